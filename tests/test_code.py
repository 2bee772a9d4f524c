"""The code: it never runs what it reads, importing it is cheap, and it keeps the sizes that CONTRIBUTING.md states."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [*(ROOT / "mmduet").rglob("*.py"), *(ROOT / "widgets").rglob("*.py"), *(ROOT / "notebooks").glob("*.ipynb")]
FORBIDDEN = {
    "eval or exec": r"(?<![\w.])(?<!def )(?:eval|exec)\(",
    "compile": r"(?<![\w.])compile\(",
    "remote code": r"trust_remote_code\s*=\s*(?!False\b)",
    "unsafe YAML": r"yaml\.(?:unsafe_|full_)?load(?:_all)?\(|yaml\.(?:Unsafe|Full)?Loader\b",
    "pickle": r"\b(?:pickle|cPickle|dill|joblib|shelve|marshal)\.loads?\(|allow_pickle\s*=\s*True",
    "unsafe torch.load": r"torch\.load\((?![^()]*(?:\([^()]*\)[^()]*)*weights_only=True)|weights_only\s*=\s*False",
    "a shell": r"shell\s*=\s*True|os\.system\(|os\.popen\(",
}
EXAMPLES = {
    "eval or exec": "x = eval(text)",
    "compile": "compile(source, '', 'exec')",
    "remote code": "AutoModel.from_pretrained(name, trust_remote_code=True)",
    "unsafe YAML": "yaml.load(text, yaml.Loader)",
    "pickle": "pickle.load(file)",
    "unsafe torch.load": "torch.load(open(path), map_location='cpu')",
    "a shell": "subprocess.run(words, shell=True)",
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_nothing_in_the_package_runs_what_it_reads(kind: str) -> None:
    assert re.search(FORBIDDEN[kind], EXAMPLES[kind]), "the pattern finds an example"
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in SOURCES
        for match in re.finditer(FORBIDDEN[kind], path.read_text(encoding="utf-8"))
    ]
    assert len(SOURCES) > 80
    assert found == []


@pytest.mark.parametrize("module", ["mmduet", "mmduet.cli", "mmduet.doctor", "mmduet.files", "mmduet.reports"])
def test_importing_loads_no_torch(module: str) -> None:
    code = f"import {module}, sys; sys.exit(', '.join({{'torch', 'transformers', 'pandas'}} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_modules_and_functions_are_short() -> None:
    packages = (ROOT / "mmduet", ROOT / "widgets" / "mmduet_widgets")
    modules = {path: path.read_text(encoding="utf-8") for package in packages for path in package.rglob("*.py")}
    assert [path for path, text in modules.items() if len(text.splitlines()) > 350] == []
    functions = [
        (path, node)
        for path, text in modules.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 1000
    assert [(path, node.name) for path, node in functions if (node.end_lineno or 0) - node.lineno >= 50] == []


def test_the_duet_can_be_read_in_an_afternoon() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = guide.split("## To understand the duet")[1].split("\n## ")[0]
    modules = re.findall(r"`([\w/]+\.py)`", rows)
    assert len(modules) > 10
    assert sum(len((ROOT / "mmduet" / module).read_text(encoding="utf-8").splitlines()) for module in modules) < 2500


def test_the_guide_names_every_folder() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(\w+)/", guide.split("## Folders")[1].split("\n## ")[0]))
    assert {folder.parent.name for folder in (ROOT / "mmduet").glob("*/__init__.py")} <= named
