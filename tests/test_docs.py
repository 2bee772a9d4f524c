"""The documentation: the API page has every public name, and each term of the glossary stands there once."""

import importlib
import re
from pathlib import Path

import pytest

import mmduet

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_api_page_has_every_public_name() -> None:
    named = re.findall(r"^\.\. auto(?:class|function|exception):: (\w+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(mmduet.__all__)


PACKAGES = [
    "mmduet.evaluation", "mmduet.evaluation.judges", "mmduet.data", "mmduet.training", "mmduet.checkpoints",
    "mmduet.video", "mmduet.plots", "mmduet.reports", "mmduet_widgets",
]  # fmt: skip


@pytest.mark.parametrize("package", PACKAGES)
def test_the_api_page_has_the_names_of_each_package(package: str) -> None:
    text = (DOCS / "api.md").read_text()
    named = set(re.findall(rf"^\.\. auto\w+:: {package}\.(?:benchmarks\.)?(\w+)$", text, re.MULTILINE))
    named |= set(re.findall(rf"^\.\. py:currentmodule:: {package}\n\.\. py:data:: (\w+)$", text, re.MULTILINE))
    headings = {heading.rpartition(".")[2] for heading in re.findall(rf"^## ({package}\.\w+)$", text, re.MULTILINE)}
    public = set(importlib.import_module(package).__all__)
    assert public - set(mmduet.__all__) - headings == named & public


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = set()
    for index in DOCS.rglob("index.md"):
        for block in re.findall(r"^```{toctree}\n(.*?)^```", index.read_text(), re.MULTILINE | re.DOTALL):
            listed |= {index.parent / f"{name}.md" for name in re.findall(r"^\w[\w/]*$", block, re.MULTILINE)}
    assert set(DOCS.rglob("*.md")) - listed == {DOCS / "index.md"}


def test_the_readme_is_short_and_names_files_that_exist() -> None:
    root = DOCS.parent
    text = (root / "README.md").read_text()
    links = re.findall(r"\]\(([\w/.]+)\)", text)
    assert len(links) > 15
    assert len(text.splitlines()) <= 200
    assert [link for link in links if not (root / link).exists()] == []


def test_the_glossary_has_no_term_twice() -> None:
    terms = re.findall(r"^(\S.*)\n  \S", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert len(terms) > 50
    assert len(set(terms)) == len(terms)


def test_each_benchmark_reads_the_entry_that_the_documentation_shows(tmp_path: Path) -> None:
    from mmduet.evaluation import read_questions
    from mmduet.evaluation.benchmarks import BENCHMARKS

    section = (DOCS / "benchmarks.md").read_text().partition("## Test files")[2].partition("\n## ")[0]
    entries = dict(re.findall(r"^\* `(\w+)`.*?^  `({[^`]*})`$", section, re.MULTILINE | re.DOTALL))
    assert entries.keys() == BENCHMARKS.keys()
    for name, entry in entries.items():
        lines = name == "qvhighlights"
        path = tmp_path / f"{name}.{'jsonl' if lines else 'json'}"
        path.write_text(entry if lines else f"[{entry}]")
        assert len(BENCHMARKS[name].read_references(path)) == 1, name
        assert len(read_questions(path, name)) == 1, name
