"""evaluate.run: predictions, scores and tables of any benchmark."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmduet.errors import DuetError
from mmduet.evaluation import BENCHMARKS, CHARADES_STA, MAGQA, ConceptJudge, evaluate
from mmduet.evaluation.evaluate import scenes
from mmduet.trace import Query
from tests.clips import write_clip

SMALL = {"max_frames": 6, "threshold": 0.4, "max_new_tokens": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with scenes/."""
    folder = tmp_path_factory.mktemp("data")
    scenes(CHARADES_STA, folder, clips=2)
    return folder


@pytest.mark.parametrize("benchmark", BENCHMARKS.values(), ids=BENCHMARKS)
def test_every_benchmark_runs_on_scenes(benchmark, data, tiny, tmp_path, ready_meteor):
    scoring = {"judge": ConceptJudge()} if "judge" in benchmark.options else {}
    given = {"limit": 2, "output": tmp_path, "settings": SMALL, "scoring": scoring}
    result = evaluate.run(benchmark, tiny, *scenes(benchmark, data, clips=2), **given)
    assert result.path.parent == tmp_path
    assert len(result.coverage.matched) == 2
    assert list(result.scores.index) == list(result.coverage.matched)
    assert set(result.estimates) == set(benchmark.metrics)
    headline = benchmark.headline or tuple(benchmark.metrics)
    assert [*result.figures] == [f"{name} ({benchmark.metrics[name].unit})" for name in headline]
    table = result.table("mine")
    assert list(table.columns) == [*result.figures, "source"]
    assert list(table.index) == ["mine", *benchmark.published]
    assert list(result.table(metrics=(headline[0],)).index) == ["this run"]
    assert list(result.timing("mine").columns) == ["questions", *result.timing_figures]
    assert result.timing("mine").loc["mine", "questions"] == 2, "a model that watches chooses its times"
    assert set(result.with_scores) == set(result.coverage.matched)
    assert len(result.thumbnail(result.coverage.matched[0])["frames"]) == 6
    again = evaluate.run(benchmark, tiny, *scenes(benchmark, data, clips=2), **given | {"predictions": result.path})
    assert again.scores.equals(result.scores)


@pytest.mark.parametrize("at_once", [False, True])
def test_figures_are_of_the_questions_asked_whatever_an_earlier_run_asked(data, tiny, tmp_path, at_once):
    """Also where no prediction counts as a wrong one."""
    over = {"judge": ConceptJudge(), "over": "references"}
    given = {"output": tmp_path / "shared", "settings": SMALL, "scoring": over, "at_once": at_once}
    place = scenes(MAGQA, data, clips=3)
    assert len(evaluate.run(MAGQA, tiny, *place, **given).scores) == 3
    few = evaluate.run(MAGQA, tiny, *place, limit=2, **given)
    alone = evaluate.run(MAGQA, tiny, *place, limit=2, **given | {"output": tmp_path / "own"})
    assert len(few.references) == len(few.predictions) == len(few.scores) == 2
    assert few.scores.equals(alone.scores)
    assert few.timing().equals(alone.timing())
    assert str(few.coverage) == "2 questions"


def test_runs_that_ask_the_same_at_once_wait_for_each_other(data, tiny, tmp_path):
    """Of a suite with workers, say; the judge's answers are shared as well."""
    scoring = {"judge": ConceptJudge(), "cache": tmp_path / "judged.jsonl"}
    place = scenes(MAGQA, data, clips=3)

    def once(_):
        return evaluate.run(MAGQA, tiny, *place, output=tmp_path, settings=SMALL, scoring=scoring)

    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(once, range(3))
    assert all(other.path == first.path and other.scores.equals(first.scores) for other in others)
    assert len(first.path.read_text().splitlines()) == 3


@pytest.mark.parametrize("changed", ["text", "video"])
def test_other_questions_with_the_same_ids_have_a_file_of_their_own(tiny, tmp_path, changed):
    def asked(content, frames):
        folder = tmp_path / f"{content}{frames}"
        folder.mkdir()
        write_clip(folder / "a.mp4", frames=frames)
        turn = {"role": "user", "content": content, "time": 0}
        item = {"question_id": 1, "video": "a.mp4", "conversation": [turn], "timestamps": [[0, 1]]}
        (folder / "references.json").write_text(json.dumps([item]))
        return folder / "references.json", folder

    places = [asked("What?", 24), asked("Who?", 24) if changed == "text" else asked("What?", 48)]
    one, other = (evaluate.run(CHARADES_STA, tiny, *place, output=tmp_path, settings=SMALL) for place in places)
    assert one.path != other.path
    assert one.predictions["1"].trace.queries == [Query(0.0, "What?")]
    assert other.predictions["1"].trace.queries == [Query(0.0, "Who?" if changed == "text" else "What?")]
    assert len(other.predictions["1"].trace) == (4 if changed == "text" else 6)


@pytest.fixture
def asked(tmp_path):
    """A test file and its videos."""
    write_clip(tmp_path / "a.mp4")
    turn = {"role": "user", "content": "What?", "time": 0}
    item = {"question_id": 1, "video": "a.mp4", "conversation": [turn], "timestamps": [[0, 1]]}
    (tmp_path / "references.json").write_text(json.dumps([item]))
    return tmp_path / "references.json", tmp_path


def test_none_and_empty_mean_as_published(asked, tiny, tmp_path):
    references, videos = asked
    nothing = {"frame_fps": None, "protocol": "", "max_frames": None}
    result = evaluate.run(
        CHARADES_STA, tiny, references, videos, output=tmp_path, settings=nothing, scoring={"window": None}
    )
    assert result.settings == CHARADES_STA.settings
    assert result.policy.threshold == float("inf")
    other = evaluate.run(CHARADES_STA, tiny, references, videos, output=tmp_path, settings={"frame_fps": 1.0})
    assert other.path != result.path, "other settings have a file of their own"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": {"fps": 2}}, "settings has an unknown name 'fps': use frame_fps, max_frames"),
        ({"scoring": {"rule": "x"}}, "scoring has an unknown name 'rule': use window, threshold"),
        ({"settings": {"mode": "x"}}, "mode='x' is not known"),
        ({"settings": {"threshold": float("nan")}}, "threshold=nan"),
    ],
)
def test_mistakes_are_refused_before_a_model_is_loaded(asked, given, message):
    with pytest.raises(DuetError, match=message):
        evaluate.run(CHARADES_STA, "no such model", *asked, **given)


def test_scenes_has_the_formats_of_the_built_in_benchmarks(tmp_path):
    from dataclasses import replace

    with pytest.raises(DuetError, match="scenes does not have the format of Mine: give references and videos"):
        scenes(replace(CHARADES_STA, title="Mine", scenes=""), tmp_path)
