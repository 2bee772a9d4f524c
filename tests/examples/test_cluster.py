"""`examples/cluster`: each script is valid bash, names commands of this package, and says how it is started."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).resolve().parents[2] / "examples" / "cluster").glob("*.s[hl]*"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_valid(path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False).stderr == ""
    text = path.read_text()
    assert f"examples/cluster/{path.name}" in text
    assert "-m mmduet " in text
    assert "set -euo pipefail" in text


def test_all_scripts_are_tried() -> None:
    assert len(SCRIPTS) == 3
