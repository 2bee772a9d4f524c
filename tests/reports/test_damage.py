"""Damaged and hostile files: reading them runs nothing, and ends in one sentence where it cannot go on."""

import contextlib
import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_output

from mmduet.errors import DuetError, SuiteError
from mmduet.reports import batch, check_parameters, export_html, index, load_suite, metrics, thumbnails
from mmduet.reports.export import TEMPLATES
from mmduet.reports.metrics import recorded_metrics
from mmduet.reports.notebooks import read_notebook
from mmduet.reports.slots import Slot
from mmduet.reports.thumbnails import recorded_thumbnail
from tests.mutations import bounded
from tests.reports.samples import HOSTILE, leave_report, write_notebook, write_suite

CASES = 60  # of each kind; `python -m tests.reports.test_damage 3000 SEED` tries more


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def hostile_values() -> list[Any]:
    deep = [
        nested(90, lambda value: [value]),
        nested(500, lambda value: [value]),
        nested(500, lambda value: {"a": value}),
    ]
    return [
        None, True, 0, -1, 10**400, -(2**70), 1e308, float("nan"), float("inf"), 0.5, "", "x", "\ud800", "\x00",
        HOSTILE, "a" * 20_000, "<" * 3000, "<b>" * 3000, "<![if a", "[" * 3000, "- " * 3000, "\x1b[" * 500, [], {},
        [None], [[]], {"": None}, {"tags": 1}, "parameters", ["parameters"], [1, "a", {}], {"metrics": [{"name": 1}]},
        "../../etc/passwd", *deep,
    ]  # fmt: skip


def mutate(value: Any, random: random.Random) -> Any:
    """A copy of a JSON value in which one to three places are changed."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, 3)):
        holder, key = random.choice(list(places(value)) or [({"": value}, "")])
        match random.randrange(4):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case _:
                holder[key] = random.choice(hostile_values())
    return value


def places(value: Any) -> Any:
    """(holder, key) of everything within a JSON value."""
    for key, part in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(part, dict | list):
            yield from places(part)


def spoil(content: bytes, random: random.Random) -> bytes:
    """Bytes with a part of them cut out, changed or repeated."""
    start = random.randrange(len(content))
    end = min(len(content), start + random.choice([1, 2, 10, 1000]))
    new = random.choice([b"", b"\xff", b"\x00", b"{", b"[" * 2000, random.randbytes(3), content[start:end] * 2])
    return content[:start] + new + content[end:]


def damaged(value: Any, text: str, random: random.Random) -> bytes:
    """One of both."""
    if random.random() < 0.3:
        return spoil(text.encode(), random)
    return json.dumps(mutate(value, random)).encode()


def sample_notebook(folder: Path) -> Any:
    """A notebook with every kind of output."""
    path = write_notebook(folder / "n.ipynb", "x")
    notebook = nbformat.read(path, as_version=4)
    thumbnail = thumbnails.make_thumbnail(None, {"informative": [0.1, 0.9]}, [0.5], 0.5)
    rows = [metrics.Metric.of("AUC", (0.5, 0.1, 0.9))._asdict()]
    bundles = [
        {metrics.MIMETYPE: {"metrics": rows, "caption": "c"}, "text/html": "<table><tr><td>1</td></tr></table>"},
        {thumbnails.MIMETYPE: thumbnail.model_dump(), "text/html": "<svg></svg>"},
        {"application/vnd.plotly.v1+json": {"data": [{"x": [1]}], "layout": {}}},
        {"text/markdown": "# a\n\n* b"}, {"text/plain": "p"}, {"image/png": "AAAA", "text/plain": "p"},
        {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "W()"},
        {"text/html": "<iframe srcdoc='&lt;script&gt;1&lt;/script&gt;'></iframe>"},
    ]  # fmt: skip
    notebook.cells[2].outputs = [new_output("display_data", data=data) for data in bundles]
    notebook.cells[2].outputs += [
        new_output("stream", name="stdout", text="a\rb\n"),
        new_output("error", ename="E", evalue="v", traceback=["t"]),
    ]
    leave_report(folder, "n")
    record = json.loads((folder / "n.json").read_text())
    notebook.metadata |= {"mmduet": record, "papermill": {"parameters": {"steps": 8}}}
    return json.loads(nbformat.writes(notebook))


def try_parameters(path: Path) -> None:
    check_parameters(path, {"x": 1})


def try_notebook(path: Path) -> None:
    notebook = read_notebook(path)
    recorded_metrics(notebook)
    recorded_thumbnail(notebook)
    check_parameters(path, {"steps": 3})
    export_html(notebook).encode()


def try_record(path: Path) -> None:
    suite = load_suite(write_suite(path.parents[1], "  - {name: n, notebook: n.ipynb}\n"))
    record = Slot(path.parent, "n").record()
    if record:
        assert record.when
        assert record.duration
    index.write_index(suite, path.parent, TEMPLATES, "mmduet report")


def try_suite(path: Path) -> None:
    write_notebook(path.parent / "notebooks" / "n.ipynb")
    batch.check_suite(path)


SUITE = {
    "name": "try", "title": "A try", "description": "d",
    "runs": [{"name": "a", "notebook": "notebooks/n.ipynb", "parameters": {"steps": 1}, "matrix": {"threshold": [1]}}],
}  # fmt: skip


def samples(folder: Path) -> dict[str, tuple[Any, str, Path, Callable[[Path], None]]]:
    """By kind: a good one, its text, where it lies, and what reads it."""
    notebook = sample_notebook(folder / "out")
    record = json.loads((folder / "out" / "n.json").read_text())
    return {
        "notebook": (notebook, json.dumps(notebook), folder / "read" / "n.ipynb", try_notebook),
        "record": (record, json.dumps(record), folder / "out" / "n.json", try_record),
        "suite": (SUITE, json.dumps(SUITE, indent=1), folder / "s" / "try.yaml", try_suite),
    }


def campaign(folder: Path, kind: str, cases: int, seed: int) -> list[str]:
    """What ended in anything but a result or a DuetError of one line."""
    value, text, path, read = samples(folder)[kind]
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    read(path)  # the good one
    failures = []
    for case in range(cases):
        path.write_bytes(damaged(value, text, random.Random(f"{kind} {seed} {case}")))
        try:
            with bounded():
                read(path)
        except DuetError as error:
            failures += [f"{case}: {error}"] if "\n" in str(error) else []
        except Exception as error:
            failures.append(f"{case}: {type(error).__name__}: {str(error)[:200]}")
    return failures


@pytest.mark.parametrize("kind", ["notebook", "record", "suite"])
def test_what_is_damaged_ends_in_one_sentence(tmp_path: Path, kind: str) -> None:
    assert campaign(tmp_path, kind, CASES, 0) == []


HOSTILE_CELLS = [
    "x: __import__('os').system('touch {canary}') = 1",
    'x: \'__import__("os").system("touch {canary}")\' = 1',
    "x: [c for c in ().__class__.__base__.__subclasses__()][0] = 1",
    "x: (lambda: open('{canary}', 'w'))() = 1",
    "x: list[open('{canary}', 'w')] = []",
    "x: str | exec('open(\"{canary}\", \"w\")') = ''",
    "x: f\"{{open('{canary}', 'w')}}\" = 1",
    "x = __import__('os').system('touch {canary}')",
    "x: int = [open('{canary}', 'w') for _ in (1,)]",
    "x: " + "-" * 50_000 + "1 = 1",
    "x: " + "list[" * 2000 + "int" + "]" * 2000 + " = 1",
    "x: " + "int | " * 5000 + "int = 1",
    "x = " + "(" * 5000,
    "x = " + "-" * 5000 + "1",
    "x: int = 1\x00",
    "x = " + "9" * 10_000,
    "x: None | None = {{[]: 1}}",
    "x: dict[int] = 1",
    "x: int\n",
    "x = '" + "a" * 200_000 + "'",
    "# " + "é" * 10,
]


@pytest.mark.parametrize("cell", HOSTILE_CELLS, ids=range(len(HOSTILE_CELLS)))
def test_reading_an_annotation_runs_nothing(tmp_path: Path, cell: str) -> None:
    canary = tmp_path / "canary"
    path = write_notebook(tmp_path / "notebooks" / "n.ipynb", parameters=cell.format(canary=canary))
    suite = write_suite(tmp_path, "  - {name: a, notebook: notebooks/n.ipynb}\n")
    for read in (
        lambda: check_parameters(path, {"x": 1}),
        lambda: try_notebook(path),
        lambda: batch.check_suite(suite),
    ):
        with contextlib.suppress(SuiteError):
            read()
    assert not canary.exists()


if __name__ == "__main__":
    import sys
    import tempfile

    for one in ("notebook", "record", "suite"):
        with tempfile.TemporaryDirectory() as root:
            print(one, campaign(Path(root), one, int(sys.argv[1]), int(sys.argv[2])), flush=True)
