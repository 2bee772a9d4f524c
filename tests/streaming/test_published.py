"""The published code's numbers on a tiny model in its layout: the golden set, and the reference files if present."""

import json
import math
from functools import cache
from random import Random

import numpy as np
import pytest
import torch

from mmduet.checkpoints import load_duet, save_checkpoint
from mmduet.data.conversations import Clock
from mmduet.data.kinds.grounding import GroundingItem, grounding_conversation
from mmduet.data.kinds.magqa import MagqaItem, magqa_conversation
from mmduet.data.kinds.narration import Narration, narration_conversation
from mmduet.model.losses import IGNORE
from mmduet.policy import ScoreSum, ScoreThreshold
from mmduet.streaming.session import DuetSession
from mmduet.trace import Query
from tests.conftest import GOLDEN, REFERENCE

FOLDERS = [folder for folder in (GOLDEN / "duet", REFERENCE / "duet_tiny") if folder.is_dir()]
ATTENTIONS = ["eager", "sdpa"]
pytestmark = pytest.mark.filterwarnings("ignore:.*not used")
every_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
every_model = pytest.mark.parametrize("attention", ATTENTIONS)


@cache
def frames_of(folder):
    return torch.from_numpy(np.load(folder / "frames.npz")["frames"])


@cache
def published(folder, attention):
    return load_duet(folder / "llava-base", adapter=folder / "adapter", attn_implementation=attention)


@cache
def expected(folder):
    return json.loads((folder / "expected.json").read_text())


CASES = [(folder, name) for folder in FOLDERS for name, case in expected(folder).items() if "settings" in case]


def session_of(model, processor, settings):
    heads = [head.removesuffix("_score") for head in settings.get("score_heads", "informative").split(",")]
    if "stream_end_score_sum_threshold" in settings:
        policy = ScoreSum(settings["stream_end_score_sum_threshold"], heads=heads)
    else:
        policy = ScoreThreshold(settings.get("stream_end_prob_threshold", math.inf), heads=heads)
    return DuetSession(
        model, processor, policy=policy, protocol="upstream", max_new_tokens=24, frame_fps=2.0,
        remove_assistant_turns=settings.get("remove_assistant_turns", False),
        repetition_penalty=settings.get("repetition_penalty"),
    )  # fmt: skip


@every_model
@pytest.mark.parametrize(("folder", "case"), CASES, ids=lambda part: getattr(part, "name", part))
def test_streaming_equals_the_published_code(folder, case, attention):
    wanted = expected(folder)[case]
    trace = session_of(*published(folder, attention), wanted["settings"]).run(
        frames_of(folder), [Query(query["time"], query["content"]) for query in wanted["queries"]]
    )
    for head in ("informative", "relevance"):
        scores = [frame[f"{head}_score"] for frame in wanted["scores"]]
        assert abs(getattr(trace, head) - scores).max() < 1e-5
    assert [list(response.token_ids) for response in trace.responses] == wanted["generated_token_ids"]
    spoken = [turn for turn in wanted["turns"] if turn["role"] == "assistant"]
    assert [response.time for response in trace.responses] == [turn["time"] for turn in spoken]
    assert trace.context_length == wanted["kv_length"]


@every_folder
def test_system_turn_and_first_frame(folder):
    model, processor = published(folder, "eager")
    wanted = expected(folder)
    assert processor.ids(processor.render_turn(processor.system_turn())) == wanted["system_ids"]
    with torch.no_grad():
        embeds = model.encode_frames(processor.pixel_values(frames_of(folder)[:1]))[0]
    assert list(embeds.shape) == wanted["frame_embedding_shape"]
    assert abs(embeds[0] - torch.tensor(wanted["frame0_embedding_first_token"])).max() < 1e-5


class FullLeadIn(Random):
    def randint(self, a, b):
        return b


def training_conversation(data, case):
    annotation, clock = data["annotations"][case], Clock(data["frame_fps"], data["metadata"]["v0.mp4"]["duration"])
    if case == "dvc":
        narrations = [Narration(**item) for item in annotation["v0.mp4"]["0"]]
        instruction = data["cases"][case]["user_texts"][0]
        return narration_conversation(narrations, clock, instruction=instruction, max_frames=128)
    if case == "magqa":
        return magqa_conversation(MagqaItem(**annotation[0]), clock, rng=FullLeadIn(), max_frames=128)
    return grounding_conversation(GroundingItem(**annotation[0]), clock, template="{query}", max_frames=128)


@every_folder
@every_model
@pytest.mark.parametrize("case", ["dvc", "magqa", "grounding"])
def test_training_equals_the_published_code(folder, attention, case):
    model, processor = published(folder, attention)
    data = json.loads((folder / "expected_training.json").read_text())
    wanted, made = data["cases"][case], training_conversation(data, case)
    turns = [processor.system_turn(), *made.turns]
    text = "\n".join(processor.render_turn(turn) for turn in turns)
    placeholder = "<image>" * processor.frame.tokens
    assert text.replace(placeholder, "<FRAME>") == wanted["text_with_frame_placeholders"]
    encoded = processor.encode(made.turns)
    assert len(encoded.input_ids) == wanted["input_ids_length"]
    positions = (encoded.labels != IGNORE).nonzero().flatten().tolist()
    # the published positions are those of the predicting token, one before the label's own
    assert [[p - 1, int(encoded.labels[p])] for p in positions] == wanted["lm_label_positions"]
    with torch.no_grad():
        out = model(
            encoded.input_ids[None],
            pixel_values=processor.pixel_values(frames_of(folder)[made.first_frame : made.first_frame + made.frames]),
            labels=encoded.labels[None],
            informative_labels=encoded.informative_labels[None],
            relevance_labels=encoded.relevance_labels[None],
        )
    assert out.video_loss.item() == pytest.approx(wanted["video_loss"], abs=1e-5)
    assert (out.lm_loss is None) == (wanted["lm_loss"] is None)
    if wanted["lm_loss"] is not None:
        assert out.lm_loss.item() == pytest.approx(wanted["lm_loss"], abs=1e-5)


@pytest.mark.parametrize("merge", [True, False])
def test_published_adapter_merged_or_not_and_saved_again(tmp_path, merge):
    """In this project's own layout, the same scores."""
    folder, frames = FOLDERS[0], frames_of(FOLDERS[0])
    model, processor = load_duet(folder / "llava-base", adapter=folder / "adapter", merge=merge)
    trace = DuetSession(model, processor).run(frames[:3])
    merged, _ = load_duet(folder / "llava-base", adapter=folder / "adapter")
    save_checkpoint(merged, processor, tmp_path / "ours")
    again = DuetSession(*load_duet(tmp_path / "ours")).run(frames[:3])
    assert abs(trace.informative - again.informative).max() < (1e-12 if merge else 1e-5)


def test_what_is_not_used_is_named():
    folder = FOLDERS[0]
    with pytest.warns(UserWarning, match=r"model\.image_newline \(it separates rows") as caught:
        load_duet(folder / "llava-base", adapter=folder / "adapter")
    assert "post_layernorm" in str(caught[0].message)
    with pytest.warns(UserWarning, match=r"at random: informative_head\.weight, relevance_head\.weight") as more:
        load_duet(folder / "llava-base")
    assert {warning.filename for warning in [*caught, *more]} == {__file__}, "of who loads"
