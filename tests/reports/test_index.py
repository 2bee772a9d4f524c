"""The index: what is compared, how numbers stand, and where earlier reports are."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup, Tag

from mmduet.reports import check_suite, run_suite
from mmduet.reports.export import TEMPLATES
from mmduet.reports.index import Column, Live, write_index
from mmduet.reports.metrics import Metric
from mmduet.reports.thumbnails import POINTS, Curve, Thumbnail
from tests.reports.samples import HOSTILE, assert_offline, leave_report, write_notebook, write_suite


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Runs a-threshold=… of one notebook, one at the default."""
    write_notebook(tmp_path / "notebooks" / "n.ipynb")
    return write_suite(
        tmp_path,
        """\
  - {name: a, notebook: notebooks/n.ipynb, parameters: {where: "{output}"}, matrix: {threshold: [0.25, 0.75]}}
  - {name: b, notebook: notebooks/n.ipynb, parameters: {where: "{output}", steps: 3}}
""",
    )


def index_of(path: Path, live: dict[str, Live] | None = None) -> BeautifulSoup:
    suite, folder, _ = check_suite(path)
    page = write_index(suite, folder, TEMPLATES, "mmduet report", live).read_text()
    assert_offline(page)
    assert "<script" not in page
    assert len(page) < 300_000
    return BeautifulSoup(page, "html.parser")


def table(soup: BeautifulSoup | Tag) -> list[list[str]]:
    rows = [row.select("th, td:not(:has(.picture))") for row in soup.select(".runs tr")]
    return [[cell.get_text(" ", strip=True) for cell in row if cell.get_text(strip=True)] for row in rows]


def test_only_parameters_that_differ_are_compared_defaults_among_them(suite: Path) -> None:
    assert table(index_of(suite)) == [
        ["Run", "threshold"],
        ["a-threshold=0.25 waiting", "0.25"],
        ["a-threshold=0.75 waiting", "0.75"],
        ["b waiting", "0.5"],
    ], "b is at the default of threshold; steps is 3 everywhere, given or not; each has its own output folder"


def test_numbers_have_the_decimals_of_their_intervals_and_a_range(suite: Path) -> None:
    folder = check_suite(suite)[1]
    values = {"a-threshold=0.25": (0.5, 0.25, 1.0), "a-threshold=0.75": (12.5, 10.0, 20.25), "b": (None, None, None)}
    for name, (value, low, high) in values.items():
        given = {"threshold": float(name.partition("=")[2] or 0.5)}
        leave_report(folder, name, parameters=given, metrics=[Metric("F1", value, low, high), Metric("n", 7)])
    soup = index_of(suite)
    assert table(soup)[1:] == [
        ["a-threshold=0.25 2026-03-01 00:00 UTC · 1.0 s", "0.25", "0.5 0.2 – 1.0", "7"],
        ["a-threshold=0.75 2026-03-01 00:00 UTC · 1.0 s", "0.75", "12 10 – 20", "7"],
        ["b 2026-03-01 00:00 UTC · 1.0 s", "0.5", "–", "7"],
    ]
    assert [bar["style"] for bar in soup.select(".range i")] == [
        "left:0.0%;right:calc(100% - 3.8%)",
        "left:48.8%;right:calc(100% - 100.0%)",
    ]


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("status", ["queued", "running", "stopped", "waiting", "not run", ""])
def test_parameters_are_of_the_run_whose_numbers_stand_beside_them(suite: Path, status: str, failed: bool) -> None:
    """The suite has another threshold now, and its run has not ended, or not run."""
    _, folder, runs = check_suite(suite)
    given = {"defaults": dict(runs[2].defaults), "parameters": {**runs[2].parameters, "threshold": 0.125}}
    leave_report(folder, "b", **given, metrics=[Metric("F1", 0.75)])
    if failed:
        given["parameters"] |= {"threshold": 0.875}
        leave_report(folder, "b.failed", **given, run="b", status="failed", error="boom", metrics=[Metric("F1", 0.25)])
    soup = index_of(suite, {"b": Live(status, "why")} if status else None)
    name, *numbers = table(soup)[-1]
    assert numbers == (["0.875", "0.250"] if failed else ["0.125", "0.750"])
    links = [link["href"] for link in soup.select(".runs tr:last-child a")]
    assert links[0] == ("b.failed.html" if failed else "b.html")
    if status:
        marked = f"b {status} why shown: report of 2026-03-01 00:00 UTC{' boom' if failed else ''}"
        assert name.startswith(marked), "its numbers are not those of this run"
        assert links[1] == links[0]


def test_parameters_of_a_report_that_is_up_to_date_are_written_as_in_the_suite(project: SimpleNamespace) -> None:
    where = ["{output}", "{output:a}/x", "rtsp://user:secret@host/1"]
    runs = [f"  - {{name: {name}, notebook: notebooks/n.ipynb, after: [a], parameters: {{where: '{text}', "
            f"threshold: .inf}}}}\n" for name, text in zip("bcd", where, strict=True)]  # fmt: skip
    project.suite.write_text(project.suite.read_text() + "".join(runs))
    for _ in range(2):  # made, and unchanged
        rows = table(BeautifulSoup(run_suite(project.suite).index.read_text(), "html.parser"))
        assert [row[1:] for row in rows] == [
            ["threshold", "where"], ["0.5", "{output}"], ["inf", "{output}"], ["inf", "{output:a}/x"],
            ["inf", "rtsp://***@host/1"],
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "texts"),
    [([0.5, 99.5], ["0.50", "99.50"]), ([3, 1312], ["3", "1,312"]), ([0, 0.5], ["0.000", "0.500"]), ([], [])],
)
def test_decimals_are_those_of_the_largest(values: list[float], texts: list[str]) -> None:
    column = Column("x", [Metric.of("x", value) for value in values])
    assert [column.text(metric) for metric in column.metrics] == texts


def test_text_of_others_is_text(tmp_path: Path) -> None:
    write_notebook(tmp_path / "notebooks" / "n.ipynb")
    quoted = HOSTILE.replace("\u2028", "").replace('"', "")
    runs = f"""\
  - {{name: a, notebook: notebooks/n.ipynb, matrix: {{where: ["{quoted}", b]}}}}
"""
    path = write_suite(tmp_path, runs, title=quoted, description=quoted)
    _, folder, checked = check_suite(path)
    names = [run.name for run in checked]
    picture = Thumbnail(curves=[Curve(name=quoted, heights=[0.5])])
    for name in names:
        leave_report(
            folder, name, title=quoted, status="failed", error=quoted, metrics=[Metric(quoted, 0.5)], thumbnail=picture
        )
        leave_report(folder / "history", f"{name}.1", run=name, title=quoted, error=quoted, parameters={quoted: quoted})
    index_of(path)
    for page in (folder / "index.html", folder / "history" / "index.html"):
        soup = BeautifulSoup(page.read_text(), "html.parser")
        assert not soup.find_all(["img", "script", "b"], class_=False, style=False)
        assert not [tag for tag in soup.find_all() if any(name.startswith("on") for name in tag.attrs)]
        assert soup.get_text().count("onerror=boom()") >= 6


@pytest.mark.parametrize(("runs", "frames", "curves"), [(3, 3, 3), (100, 0, 100), (200, 0, 0)])
def test_the_index_stays_small_however_many_pictures_there_are(
    tmp_path: Path, runs: int, frames: int, curves: int
) -> None:
    write_notebook(tmp_path / "notebooks" / "n.ipynb")
    matrix = f"matrix: {{steps: {list(range(runs))}}}"
    path = write_suite(tmp_path, f"  - {{name: a, notebook: notebooks/n.ipynb, {matrix}}}\n")
    strip = "data:image/webp;base64," + "A" * 20_000
    picture = Thumbnail(strip=strip, curves=[Curve(name="informative", heights=[0.123] * POINTS)])
    folder = check_suite(path)[1]
    for steps in range(runs):
        leave_report(folder, f"a-steps={steps}", thumbnail=picture, metrics=[Metric("F1", steps / 7, 0.1, 30.0)])
    soup = index_of(path)
    assert len(soup.select(".runs tbody tr")) == runs
    assert len(soup.select(".picture image")) == frames
    assert len(soup.select(".picture")) == curves


def test_the_history_compares_what_stood_before_with_what_stands_now(suite: Path) -> None:
    folder = check_suite(suite)[1]
    leave_report(folder, "b", parameters={"steps": 3}, started=datetime(2026, 3, 3, tzinfo=UTC))
    for day in (1, 2):
        before = {"run": "b", "started": datetime(2026, 3, day, tzinfo=UTC), "metrics": [Metric("F1", day / 10)]}
        leave_report(folder / "history", f"b.{day}", parameters={"steps": day}, **before)
    leave_report(folder, "gone")
    index = index_of(suite)
    assert [(link.get_text(), link["href"]) for link in index.select("a[href^=history]")] == [
        ("3 earlier reports", "history/index.html"),
        ("2 earlier reports", "history/index.html#b"),
    ]
    page = (folder / "history" / "index.html").read_text()
    assert_offline(page)
    history = BeautifulSoup(page, "html.parser")
    assert table(history) == [
        ["Run", "steps", "F1"],
        ["now 2026-03-03 00:00 UTC · 1.0 s", "3", "–"],
        ["2026-03-02 00:00 UTC abc · 1.0 s", "2", "0.200"],
        ["2026-03-01 00:00 UTC abc · 1.0 s", "1", "0.100"],
    ]
    links = [str(link["href"]) for link in history.select("a:not([href^='#'])")]
    assert {(folder / "history" / link).is_file() for link in links} == {True}, "every link leads to a file"
    assert links.count("../gone.html") == 1
    assert "no longer in the suite" in history.get_text()


def test_every_report_is_linked_and_every_link_leads_to_one(project: SimpleNamespace) -> None:
    for source in "123":
        project.source = source
        run_suite(project.suite)
    pages = {path.resolve() for path in project.folder.rglob("*.html")}
    linked = set()
    for page in (project.folder / "index.html", project.folder / "history" / "index.html"):
        links = BeautifulSoup(page.read_text(), "html.parser").select("a:not([href^='#'])")
        linked |= {(page.parent / str(link["href"]).partition("#")[0]).resolve() for link in links}
    assert linked == pages
