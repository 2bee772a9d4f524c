"""Training of a Qwen2.5-VL: heads on it, and in words."""

import json
from functools import cache

import pytest
import torch

from mmduet import DuetSession, Query, load_duet
from mmduet.checkpoints import build_tiny_words, save_checkpoint
from mmduet.errors import DuetError
from mmduet.model.losses import IGNORE
from mmduet.model.prompt import StreamTurn, TextTurn
from mmduet.training.config import read_config, run_config

TURNS = [
    TextTurn("user", "what?"),
    StreamTurn(3, informative=(0, 0, 1)),
    TextTurn("assistant", "a"),
    StreamTurn(2, informative=(0, 0)),
    TextTurn("user", "and?"),
    StreamTurn(2),
    TextTurn("assistant", "b", learn=False),
]

RATES = {"learning_rate": 1e-2, "log_every": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A checkpoint of `tiny-words`."""
    folder = tmp_path_factory.mktemp("base") / "qwen"
    save_checkpoint(*build_tiny_words(), folder)
    return folder


@pytest.fixture(scope="module")
def run(base, tmp_path_factory, scenes):
    """Trains ten steps by a config, once for each way to decide."""

    @cache
    def train(decides, **recipe):
        folder, annotations = tmp_path_factory.mktemp(decides), scenes / "annotations"
        config = {
            "output": str(folder / "run"),
            "model": {"base": str(base), "decides": decides},
            "data": {
                "train": str(annotations / "train_mixture.json"),
                "validation": str(annotations / "val_mixture.json"),
                "validation_videos": 1,
            },
            "recipe": {
                "steps": 10,
                "learning_rate": 1e-2,
                "log_every": 1,
                "align_iterations": 0,
                "batch_size": 2,
                "eval_every": 10,
            }
            | recipe,
        }
        path = folder / "config.yaml"
        path.write_text(json.dumps(config))
        return run_config(read_config(path))

    return train


def watch(model, processor):
    frames = torch.randint(0, 256, (6, 3, 40, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return DuetSession(model, processor, max_new_tokens=4).run(frames, [Query(0, "what?")])


def test_ten_steps_change_heads_and_lora_and_nothing_else(run, base):
    result = run("heads")
    plain, _ = load_duet(base, decides="heads")
    trained, processor = load_duet(base, adapter=result.adapter, merge=False)
    before, after = plain.state_dict(), trained.state_dict()
    names = {name.replace(".base_layer", "") for name in after if "lora_" not in name}
    assert names == before.keys()
    assert any("lora_B" in name and value.any() for name, value in after.items())
    changed = {n for n in after if "lora_" not in n and not torch.equal(after[n], before[n.replace(".base_layer", "")])}
    assert changed == {"informative_head.weight", "relevance_head.weight"}
    assert {"eval_informative_auc", "eval_video_loss", "eval_lm_loss"} <= set().union(*result.history)
    assert watch(trained, processor).heads == ("informative", "relevance")


@pytest.mark.parametrize("decides", ["heads", "words"])
def test_an_adapter_is_saved_and_loaded_with_the_same_scores(run, base, decides):
    result = run(decides)
    traces = [watch(*load_duet(base, adapter=result.adapter, merge=merge)) for merge in (True, False)]
    for head in traces[0].heads:
        assert traces[0].curve(head) == pytest.approx(traces[1].curve(head), abs=1e-5)
    merged = base.parent / f"merged-{decides}"
    save_checkpoint(*load_duet(base, adapter=result.adapter), merged)
    again = watch(*load_duet(merged))
    assert again.heads == traces[0].heads
    assert again.curve(again.heads[0]) == pytest.approx(traces[0].curve(again.heads[0]), abs=1e-5)
    assert again.responses == traces[0].responses


def test_training_in_words_lowers_the_loss(run):
    result = run("words")
    rows = [row["lm_loss"] for row in result.history if "lm_loss" in row]
    assert sum(rows[-3:]) < sum(rows[:3])
    assert "eval_informative_auc" not in set().union(*result.history)


def test_every_user_turn_has_its_answer():
    _, processor = build_tiny_words()
    processor.set_frames_per_turn(2)
    encoded = processor.encode(TURNS, frame_tokens=[1, 2, 1, 1, 1, 2, 1])
    text = processor.tokenizer.decode(encoded.input_ids)
    frame = lambda n: "<|vision_start|>" + "<|image_pad|>" * n + "<|vision_end|>"  # noqa: E731
    turn = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>"
    wanted = [
        turn.format(frame(1) + frame(2) + "what?", "NO REPLY"),
        turn.format(frame(1) + frame(1) + "", "a"),
        turn.format(frame(1) + frame(2) + "and?", "NO REPLY"),
        turn.format(frame(1), "b"),
    ]
    assert text.endswith("\n".join(wanted))
    learnt = processor.tokenizer.decode(encoded.labels[encoded.labels != IGNORE])
    assert learnt == "NO REPLY<|im_end|>a<|im_end|>NO REPLY<|im_end|>"


def test_the_training_prompt_is_the_streaming_context():
    model, processor = build_tiny_words()
    session = DuetSession(model, processor, frame_fps=1.0, max_new_tokens=8)
    session.run(torch.zeros(5, 3, 56, 56, dtype=torch.uint8), [Query(0, "what?"), Query(3, "and?")])
    turns = [TextTurn("user", "what?"), StreamTurn(3), TextTurn("user", "and?"), StreamTurn(2)]
    assert session.state.context == processor.encode(turns, frame_tokens=[4] * 5).input_ids.tolist()


def test_head_labels_are_at_the_token_after_a_frame():
    _, processor = build_tiny_words()
    processor.decides = "heads"
    encoded = processor.encode([StreamTurn(2, informative=(0, 1))], frame_tokens=[3, 1])
    places = (encoded.informative_labels != IGNORE).nonzero().flatten()
    assert processor.tokenizer.decode(encoded.input_ids[places]) == "<|vision_end|><|vision_end|>"
    assert encoded.informative_labels[places].tolist() == [0, 1]


def test_what_a_qwen_has_not_is_said_before_it_starts(run):
    with pytest.raises(DuetError, match="has no projector to align: set it to 0"):
        run("heads", align_iterations=5)
