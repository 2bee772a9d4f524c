"""A pytest plugin that hides decord: `pytest -p tests.no_decord …` tests what machines without it do."""

import sys

sys.modules["decord"] = None  # type: ignore[assignment]  (`import decord` raises ImportError)
