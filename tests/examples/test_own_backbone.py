"""`examples/own_backbone.py`: frames with unequal numbers of tokens, and positions of their own."""

import json
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mmduet import DuetSession, DuetTrace, Query, ScoreThreshold, load_duet, read_frames
from mmduet.checkpoints import save_adapter
from mmduet.cli import app
from mmduet.errors import DuetError
from mmduet.plots import score_figure
from mmduet.profiling.performance import EveryNth
from mmduet.training import add_lora
from tests.clips import write_clip

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def sparse(monkeypatch):
    """(model, processor), loaded by name from the examples' folder."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(EXAMPLES)
    yield load_duet("own_backbone:SPARSE", dtype="float32", device="cpu")
    sys.modules.pop("own_backbone", None)


@pytest.fixture
def uneven():
    """uint8 [9, 3, 32, 32]: noise over 1 to 9 patches of a black frame."""
    frames = torch.zeros(9, 3, 32, 32, dtype=torch.uint8)
    noise = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for index in range(9):
        for patch in range(index + 1):
            rows, columns = slice(patch // 4 * 8, patch // 4 * 8 + 8), slice(patch % 4 * 8, patch % 4 * 8 + 8)
            frames[index, :, rows, columns] = noise[index, :, rows, columns]
    return frames


def test_frames_differ_in_tokens(sparse, uneven):
    model, processor = sparse
    pixels = processor.pixel_values(uneven)
    assert [len(frame) for frame in model.encode_frames(pixels)] == list(range(1, 10))
    assert model.frame_position_ids(pixels)[5].tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    "fields", [{}, {"remove_assistant_turns": True}, {"context_frames": 4}, {"protocol": "upstream"}]
)
def test_the_look_ahead_changes_nothing(sparse, uneven, fields):
    traces = [
        DuetSession(*sparse, policy=EveryNth(4), max_new_tokens=5, look_ahead=ahead, **fields).run(
            uneven, [Query(0.0, "what?"), Query(2.0, "and now?")]
        )
        for ahead in (1, None)
    ]
    assert [response.token_ids for response in traces[0].responses] == [r.token_ids for r in traces[1].responses]
    assert traces[0].context_length == traces[1].context_length
    assert abs(traces[0].informative - traces[1].informative).max() < 1e-5


@torch.no_grad()
def test_scores_are_those_of_the_whole_context_in_one_pass(sparse, uneven):
    """Positions: text counts up, a kept patch has its cell's, and what follows begins after the largest."""
    model, processor = sparse
    trace = DuetSession(model, processor, policy=ScoreThreshold(2.0)).run(uneven, [Query(0.0, "what?")])
    frames = model.encode_frames(processor.pixel_values(uneven))
    cells = model.frame_position_ids(processor.pixel_values(uneven))
    ids = processor.ids(processor.render([processor.system_turn()]) + "\n<|im_start|>user\nwhat?<|im_end|>")
    ids += processor.ids("\n<|im_start|>stream\n")
    positions, ends = [torch.arange(len(ids))], []
    for kept in cells:
        positions.append(positions[-1].max() + 1 + kept[0])
        ends.append(sum(map(len, positions)) - 1)
    embeds = torch.cat([model.get_input_embeddings()(torch.tensor(ids)), *frames])
    hidden = model.hidden_states(embeds[None], position_ids=torch.cat(positions)[None])[0]
    torch.testing.assert_close(
        torch.tensor(trace.informative), model.score_frames(hidden[ends])[:, 0].double(), atol=1e-5, rtol=0
    )


def test_predict_evaluate_and_plot(sparse, uneven, tmp_path):
    (tmp_path / "videos").mkdir()
    clip = write_clip(tmp_path / "videos" / "a.mp4", frames=48)
    item = {"question_id": 1, "video": "a.mp4", "timestamps": [[1.0, 2.0]]}
    item["conversation"] = [{"role": "user", "content": "a square", "time": 0.0}]
    (tmp_path / "gold.json").write_text(json.dumps([item]))
    output, gold = str(tmp_path / "out.jsonl"), ["--references", str(tmp_path / "gold.json")]
    options = ["--videos", str(clip.parent), "--output", output, "--model", "own_backbone:SPARSE"]
    done = CliRunner().invoke(app, ["predict", "charades_sta", *gold, *options])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["evaluate", "charades_sta", "--predictions", output, *gold])
    assert "mIoU" in done.output
    trace = DuetTrace.from_prediction(json.loads(Path(output).read_text()))
    frames = read_frames(clip, fps=2, size=32).frames
    assert len(trace) == len(frames)
    assert score_figure(trace, policy=ScoreThreshold(0.5)).data


def test_an_adapter_fits_it(sparse, uneven, tmp_path):
    model, processor = sparse
    wrapped = add_lora(model, r=2)
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05
    wanted = DuetSession(wrapped.get_base_model(), processor).run(uneven).informative
    save_adapter(wrapped, tmp_path / "adapter", base="own_backbone:SPARSE", dtype=torch.float32)
    again, _ = load_duet("own_backbone:SPARSE", adapter=tmp_path / "adapter", dtype="float32", device="cpu")
    assert abs(DuetSession(again, processor).run(uneven).informative - wanted).max() < 1e-5


def test_it_is_not_trained_on_other_embeddings(sparse, uneven):
    model, processor = sparse
    ids = torch.tensor([processor.ids("hello")])
    with pytest.raises(DuetError, match="SparseModel replaces encode_frames"):
        model(ids, pixel_values=processor.pixel_values(uneven))


@pytest.mark.parametrize("name", ["own_backbone:NOTHING", "own_backbone:build", "no_such_module:X"])
def test_a_name_that_is_no_preset_is_refused(sparse, name):
    with pytest.raises(DuetError, match=f"model='{name}'"):
        load_duet(name)
