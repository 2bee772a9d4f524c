"""The documentation: the API page has every public name, and each term of the glossary stands there once."""

import re
from pathlib import Path

import mmduet

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_api_page_has_every_public_name() -> None:
    named = re.findall(r"^\.\. auto(?:class|function|exception):: (\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(mmduet.__all__)


def test_the_glossary_has_no_term_twice() -> None:
    terms = re.findall(r"^(\S.*)\n  \S", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert len(terms) > 50
    assert len(set(terms)) == len(terms)
