"""evaluate.run: predictions, scores and tables of any benchmark."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmduet.errors import DuetError
from mmduet.evaluation import BENCHMARKS, CHARADES_STA, MAGQA, ConceptJudge, evaluate
from mmduet.evaluation.evaluate import scenes
from mmduet.evaluation.prediction_file import settings_path
from mmduet.policy import ScoreSum, write_policy
from mmduet.policy.policy_file import PRESETS
from mmduet.trace import Query
from tests.clips import write_clip
from tests.policies import Smoothed

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


MADE = {"mode": "sum", "threshold": 0.9, "heads": ("relevance",), "frame_fps": 1.0}


@pytest.mark.parametrize(
    ("given", "unused"),
    [
        ({}, []),
        ({"threshold": 0.9, "mode": "", "heads": None}, []),
        (MADE, []),
        ({"threshold": 0.5, "frame_fps": 1}, ["threshold=0.5 (made with 0.9)"]),
        (
            {"heads": ["informative"], "frame_fps": 2.0, "remove_assistant_turns": True},
            ["heads=('informative',) (made with ('relevance',))", "frame_fps=2.0 (made with 1.0)"],
        ),
    ],
)
def test_a_given_file_is_shown_under_the_settings_that_made_it(asked, tiny, tmp_path, given, unused):
    settings = {**MADE, "remove_assistant_turns": True}
    made = evaluate.run(CHARADES_STA, tiny, *asked, output=tmp_path, settings=settings)
    assert str(made.policy) == str(ScoreSum(0.9, heads=("relevance",)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = evaluate.run(CHARADES_STA, "no model", *asked, predictions=made.path, settings=given)
    assert result.settings == made.settings
    assert str(result.policy) == str(made.policy)
    stated = f"{made.path} states the settings that made it, so not used: {', '.join(unused)}."
    assert [str(each.message) for each in caught] == ([stated] if unused else [])


def test_a_policy_file_does_not_change_what_made_a_file(asked, tiny, tmp_path):
    made = evaluate.run(CHARADES_STA, tiny, *asked, output=tmp_path, settings=MADE)
    write_policy(tmp_path / "policy.json", PRESETS["alert"])
    with pytest.warns(UserWarning, match=r"so not used: mode='threshold' \(made with 'sum'\), threshold=1.4"):
        result = evaluate.run(
            CHARADES_STA, "", *asked, predictions=made.path, policy=tmp_path / "policy.json", settings={}
        )
    assert str(result.policy) == str(made.policy)


def test_a_file_that_states_no_settings_is_shown_as_published_or_given(asked, tiny, tmp_path):
    made = evaluate.run(CHARADES_STA, tiny, *asked, output=tmp_path, settings=MADE)
    settings_path(made.path).unlink()
    given = {"threshold": 0.3, "mode": "sum"}
    assert evaluate.run(CHARADES_STA, "", *asked, predictions=made.path).settings == CHARADES_STA.settings
    result = evaluate.run(CHARADES_STA, "", *asked, predictions=made.path, settings=given)
    assert str(result.policy) == str(ScoreSum(0.3))


def test_the_settings_of_a_whole_video_baseline_state_no_policy(asked, tiny, tmp_path):
    made = evaluate.run(CHARADES_STA, tiny, *asked, output=tmp_path, settings=MADE)
    settings_path(made.path).write_text(json.dumps({"settings": {"form": "tc", "frame_fps": 1.0}}))
    assert evaluate.run(CHARADES_STA, "", *asked, predictions=made.path).settings == CHARADES_STA.settings


OWN = "tests.policies:Smoothed"


def test_a_file_alone_imports_no_policy_of_ones_own(asked, tiny, tmp_path):
    settings = {**MADE, "mode": OWN, "heads": ("informative",)}
    made = evaluate.run(CHARADES_STA, tiny, *asked, output=tmp_path, settings=settings)
    with pytest.warns(UserWarning, match=f"made in mode '{OWN}', and mode 'sum' is shown instead: a file alone"):
        other = evaluate.run(CHARADES_STA, "", *asked, predictions=made.path, settings={"mode": "sum", "threshold": 1})
    assert str(other.policy) == str(ScoreSum(1))
    named = evaluate.run(CHARADES_STA, "", *asked, predictions=made.path, settings={"mode": OWN})
    assert isinstance(named.policy, Smoothed)
    assert named.policy.threshold == 0.9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"threshold": "high"}, "field settings / threshold: Input should be a valid number"),
        ({"heads": ["volume"]}, "heads="),
        ({"threshold": float("nan")}, "threshold=nan"),
    ],
)
def test_damaged_settings_of_a_file_are_named(asked, tiny, tmp_path, wrong, message):
    made = evaluate.run(CHARADES_STA, tiny, *asked, output=tmp_path, settings=MADE)
    stated = json.loads(settings_path(made.path).read_text())
    stated["settings"] |= wrong
    settings_path(made.path).write_text(json.dumps(stated))
    with pytest.raises(DuetError, match=rf"{settings_path(made.path).name}: .*{message}"):
        evaluate.run(CHARADES_STA, "", *asked, predictions=made.path)


@pytest.mark.parametrize(("given", "window"), [({}, 6), ({"window": None}, 6), ({"window": 0}, 0)])
def test_a_result_has_the_options_that_scored_it(asked, tiny, tmp_path, given, window):
    result = evaluate.run(CHARADES_STA, tiny, *asked, output=tmp_path, settings=SMALL, scoring=given)
    assert result.scoring["window"] == window
    assert set(result.scoring) >= {"window", "threshold"}


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
