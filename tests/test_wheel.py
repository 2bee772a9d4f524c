"""The wheel: it holds every file of the packages, and a suite of one's own runs from it outside a checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"mmduet": ROOT / "mmduet", "mmduet_widgets": ROOT / "widgets" / "mmduet_widgets"}
SHOWN = """
import mmduet, plotly.graph_objects as go
from mmduet.reports import record_metrics
record_metrics({"steps": steps})
print(mmduet.__file__)
go.Figure(go.Scatter(y=[0, steps]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    for name in ("mmduet", "widgets"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        folder,
        copy,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as file:
        file.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_is_in_the_wheel(wheel: Path, package: str) -> None:
    def files(folder: Path) -> set[str]:
        found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return {name for name in found if "__pycache__" not in name}

    wanted = files(PACKAGES[package])
    assert "py.typed" in wanted
    assert files(wheel / package) == wanted


def test_a_suite_of_ones_own_runs_outside_a_checkout(wheel: Path, tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell("steps: int = 1  # how many", metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_markdown_cell("# My page"), nbformat.v4.new_code_cell(SHOWN)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "mine.ipynb")
    runs = "runs:\n  - {name: a, notebook: mine.ipynb, parameters: {steps: 3}}\n"
    (tmp_path / "mine.yaml").write_text(f"name: mine\ntitle: My suite\n{runs}")
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    command = [sys.executable, "-m", "mmduet", "report", "mine.yaml"]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment, timeout=300)
    page = (tmp_path / "reports" / "out" / "mine" / "a.html").read_text()
    assert f"{wheel}{os.sep}mmduet{os.sep}__init__.py" in page
    assert "My page" in page
    assert "plotly" in page
    assert "My suite" in (tmp_path / "reports" / "out" / "mine" / "index.html").read_text()
