import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PERF = Path(__file__).parents[2] / "perf"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs a script of `perf/` with options, in this process; gives what it prints."""

    def run(script: str, *options: str) -> str:
        monkeypatch.syspath_prepend(PERF)
        monkeypatch.setattr(sys, "argv", [str(PERF / script), *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(sys.argv[0], run_name="__main__")
        assert not ended.value.code, capsys.readouterr().err[-1000:]
        return capsys.readouterr().out

    return run
