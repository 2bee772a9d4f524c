"""Every notebook runs, on the `tiny` model and a few clips, and is committed clean."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmduet.checkpoints import save_adapter
from mmduet.data.scenes import make_scenes
from mmduet.reports import check_parameters, execute, export_html
from mmduet.reports.metrics import recorded_metrics
from mmduet.reports.thumbnails import recorded_thumbnail
from mmduet.trace import DuetTrace
from tests.checkpoints.test_loading import trained_tiny

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
SMALL = {
    "01_explore_data.ipynb": {"model": "tiny", "clips": 2},
    "02_train_lora.ipynb": {
        "base": "tiny", "train_clips": 2, "val_clips": 1, "steps": 6, "align_iterations": 5, "eval_every": 3,
        "lora_r": 2, "bf16": False, "output": "run", "ablation_steps": 2,
    },
    "03_duet_inference.ipynb": {"model": "tiny", "clip": 0, "threshold": 0.6, "max_new_tokens": 3},
    "04_eval_youcook2.ipynb": {"model": "tiny", "limit": 1, "max_frames": 8, "threshold": 0.6},
    "05_eval_magqa.ipynb": {"model": "tiny", "limit": 1, "max_frames": 8, "threshold": 0.6},
    "06_eval_charades_sta.ipynb": {"model": "tiny", "limit": 1, "max_frames": 8},
    "07_eval_qvhighlights.ipynb": {"model": "tiny", "limit": 1, "max_frames": 8},
    "09_compare_models.ipynb": {
        "model": "tiny", "second_model": "tiny-words", "clip": 0, "limit": 1, "max_frames": 8, "max_new_tokens": 3,
    },
    "11_evaluate_ovobench.ipynb": {"model": "tiny", "limit": 1, "answered": 1, "max_frames": 8, "threshold": 0.6},
    "12_evaluate_streamingbench.ipynb": {"model": "tiny", "limit": 1, "max_frames": 8, "threshold": 0.6},
    "08_performance.ipynb": {
        "model": "tiny", "frames": 8, "every": 4, "max_new_tokens": 2, "rounds": 1, "look_aheads": [1, 4],
        "stream_frames": 40, "context_frames": 10,
    },
    "13_calibrate_policy.ipynb": {"model": "tiny", "limit": 2, "max_frames": 4, "modes": ["own_policy:Patient"]},
    "10_evaluate_proactivevideoqa.ipynb": {"model": "tiny", "limit": 1, "max_frames": 8, "threshold": 0.6},
}  # fmt: skip


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder with a small datasets/scenes, and a policy of one's own."""
    folder = tmp_path_factory.mktemp("workspace")
    make_scenes(folder / "datasets", train=2, val=1, test=1)
    shutil.copy(FOLDER.parent / "examples" / "own_policy.py", folder)
    return folder


def test_every_notebook_is_tested():
    assert set(NOTEBOOKS) == set(SMALL)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_runs(name, workspace):
    done = execute(FOLDER / name, workspace / name, SMALL[name], folder=workspace)
    assert done.error == ""
    page = export_html(done.notebook)
    assert "</html>" in page
    assert len(page) < 10_000_000, "a report can be mailed"


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("01_explore_data.ipynb", {"split": "all"}, "split='all' is not known; known are ('train', 'val', 'test')."),
        ("08_performance.ipynb", {"rounds": 0}, "frames=8, rounds=0, stream_frames=40: each must be at least 1."),
        ("09_compare_models.ipynb", {"windows": []}, "windows=[]: give at least one of each."),
        ("09_compare_models.ipynb", {"thresholds": [], "adapter": "mine"}, "thresholds=[], windows=[6, 0]: give at"),
    ],
)
def test_a_wrong_parameter_is_one_sentence(name, given, sentence, workspace):
    error = execute(FOLDER / name, workspace / "wrong.ipynb", SMALL[name] | given, folder=workspace).error
    assert error.startswith("DuetError: ")
    assert sentence in error


def test_no_clips_of_a_split_are_all_of_it(workspace):
    name = "01_explore_data.ipynb"
    done = execute(FOLDER / name, workspace / "all.ipynb", SMALL[name] | {"clips": 0, "split": "val"}, folder=workspace)
    assert done.error == ""
    assert json.loads((workspace / "datasets" / "scenes" / "scenes.json").read_text())["clips"]["val"] == 24


def test_an_adapter_with_the_models_name_has_rows_of_its_own(workspace):
    name = "09_compare_models.ipynb"
    save_adapter(trained_tiny()[0], workspace / "runs" / "tiny", base="tiny", dtype=torch.float32)
    given = SMALL[name] | {"adapter": "runs/tiny", "second_model": "", "thresholds": [0.5, 0.5000001]}
    done = execute(FOLDER / name, workspace / "adapter.ipynb", given, folder=workspace)
    assert done.error == ""
    names = {metric.name.split(", ", 1)[1] for metric in recorded_metrics(done.notebook)}
    speaking = {"tiny, threshold 0.5", "tiny, threshold 0.5000001", "tiny with tiny"}
    measured = {"tiny, window 0", "tiny with tiny, window 6", "tiny with tiny, window 0"}  # beside the first row
    assert names == speaking | measured


def test_a_second_run_of_the_training_notebook_uses_the_adapter_of_the_first(tmp_path):
    name = "02_train_lora.ipynb"
    first, second = (execute(FOLDER / name, tmp_path / name, SMALL[name], folder=tmp_path) for _ in range(2))
    assert (first.error, second.error) == ("", "")
    assert recorded_metrics(second.notebook) == recorded_metrics(first.notebook)
    shown = json.dumps(second.notebook)
    assert "finished already" in shown
    assert "<b>6 of 6</b>" in shown, "the monitor shows the run that has ended"


def test_the_figures_are_of_the_part_that_was_watched(workspace):
    name = "03_duet_inference.ipynb"
    cut = SMALL[name] | {"max_frames": 6, "frame_fps": 2.0, "threshold": 0.0}  # speaks at each frame
    done = execute(FOLDER / name, workspace / "cut.ipynb", cut, folder=workspace)
    printed = [each.get("text", "") for cell in done.notebook.cells for each in cell.get("outputs", [])]
    assert any(text.startswith("Only the first 3 s of ") for text in printed), "the reader is told of it"
    figures = {metric.name: metric.value for metric in recorded_metrics(done.notebook)}
    assert figures["responses a minute"] == pytest.approx(figures["responses"] / 3 * 60)
    thumbnail = recorded_thumbnail(done.notebook)
    assert max(thumbnail.marks) == pytest.approx(5 / 6, abs=1e-3), "the last of the frames that were watched"


def run_small(workspace, name, **given):
    """Execute a notebook on the small parameters, and others. Returns it and what its cells printed."""
    [path] = FOLDER.glob(f"{name}_*.ipynb")
    output = workspace / f"{name}-{'-'.join(given)}.ipynb"
    done = execute(path, output, SMALL[path.name] | given, folder=workspace)
    assert done.error == ""
    outputs = [output for cell in done.notebook.cells for output in cell.get("outputs", [])]
    return done.notebook, outputs, "".join(output.get("text", "") for output in outputs)


def test_a_question_that_is_not_asked_is_named(workspace):
    given = {"query": "Tell me", "query_time": 3.0, "max_frames": 4, "frame_fps": 2.0}
    _, _, printed = run_small(workspace, "03", **given)
    assert "'Tell me' at 3 s was not asked: the last frame watched was at 1.5 s." in printed


@pytest.mark.parametrize(
    ("given", "name", "level"),
    [
        ({"policy_file": "my policy.json"}, "relevance", 0.2),
        ({"heads": ["informative", "relevance"], "threshold": 0.8}, "informative + relevance", 0.8),
        ({"mode": "sum", "threshold": 1.0}, "running sum", 1.0),
        ({"mode": "own_policy:Patient", "threshold": 0.3}, "informative", 0.3),
    ],
)
def test_the_indexs_line_is_the_threshold_of_the_one_curve_below_it(workspace, given, name, level):
    policy = {"mode": "threshold", "threshold": 0.2, "heads": ["relevance"]}
    (workspace / "my policy.json").write_text(json.dumps(policy))
    notebook, _, _ = run_small(workspace, "03", **given, max_frames=6)
    thumbnail = recorded_thumbnail(notebook)
    assert [curve.name for curve in thumbnail.curves] == [name]
    highest = max(thumbnail.curves[0].heights)
    assert thumbnail.level == pytest.approx(level / max(1.0, level, highest), abs=1e-2)


@pytest.mark.parametrize(("name", "window"), [("06", 6), ("07", 2)])
def test_the_published_window_is_marked_as_one_that_is_given(workspace, name, window):
    def marks(given):
        _, outputs, _ = run_small(workspace, name, window=given)
        figures = [output["data"].get("application/vnd.plotly.v1+json") for output in outputs if "data" in output]
        found = [figure for figure in figures if figure]
        return [(figure["layout"].get("shapes"), [trace["y"] for trace in figure["data"][-1:]]) for figure in found]

    published = marks(None)
    assert published
    assert published == marks(window)
    assert published != marks(0)


def test_a_prediction_file_is_shown_under_the_threshold_that_made_it(workspace):
    small = {"threshold": 0.9, "heads": ["informative", "relevance"], "frame_fps": 1.0}
    _, _, printed = run_small(workspace, "05", **small)
    path = re.search(r"runs/predictions/\S+\.jsonl", printed)[0]
    _, outputs, printed = run_small(workspace, "05", predictions=path)
    assert "so not used: " in printed
    assert "threshold=0.6 (made with 0.9)" in printed
    pages = json.dumps([output.get("data") for output in outputs])
    assert "(used: 0.9)" in pages
    assert "(used: 0.6)" not in pages


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_committed_clean(name):
    notebook = json.loads((FOLDER / name).read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    tags = [cell["metadata"].get("tags", []) for cell in notebook["cells"]]
    assert sum("parameters" in tag for tag in tags) == 1
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    first = "".join(notebook["cells"][0]["source"])
    assert f"papermill notebooks/{name}" in first, "the first cell gives the command that runs it"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_parameter_has_its_help(name):
    for parameter in check_parameters(FOLDER / name, {}).values():
        assert parameter.help, parameter.name


def test_scores_of_a_judged_benchmark_are_calibrated_without_a_judge(tmp_path):
    names, lines = [f"{index}.mp4" for index in range(4)], []
    turns = {"conversation": [{"role": "user", "content": "What is shown?", "time": 0}]}
    items = [{"question_id": n, "video": n, **turns, "answer": [{"content": "A cup.", "time": [2, 5]}]} for n in names]
    (tmp_path / "test.json").write_text(json.dumps(items))
    for name in names:
        times = np.arange(20.0)
        inside = np.where((times >= 2) & (times <= 5), 0.8, 0.1)
        lines.append(json.dumps(DuetTrace(times, inside, inside).to_prediction(name, 20.0)))
    (tmp_path / "p.jsonl").write_text("\n".join(lines) + "\n")
    given = {"benchmark": "magqa", "predictions": "p.jsonl", "references": "test.json", "modes": ["threshold"]}
    notebook = FOLDER / "13_calibrate_policy.ipynb"
    assert execute(notebook, tmp_path / "out.ipynb", {**given, "policy": "policy.json"}, folder=tmp_path).error == ""
    assert json.loads((tmp_path / "policy.json").read_text())["mode"] == "threshold"
