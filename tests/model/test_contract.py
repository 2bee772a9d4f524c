"""What a user's backbone returns: wrong kinds are refused in the session that meets them, with the method's name."""

import copy

import pytest
import torch

from mmduet import DuetSession, ScoreThreshold, load_duet
from mmduet.checkpoints import Preset, build_tiny
from mmduet.errors import DuetError
from mmduet.model.duet import DuetForConditionalGeneration as Duet


def embeds(change):
    return lambda self, pixels: change(list(Duet.encode_frames(self, pixels)))


def ids(rows, dtype=torch.int64):
    return lambda self, pixels: [torch.zeros(rows, len(each), dtype=dtype) for each in self.encode_frames(pixels)]


def scores(change):
    return lambda self, hidden: change(Duet.score_frames(self, hidden))


WRONG = {
    "one frame missing": ("encode_frames", embeds(lambda each: each[:-1])),
    "one frame too many": ("encode_frames", embeds(lambda each: each + each[:1])),
    "another width": ("encode_frames", embeds(lambda each: [frame[:, :-1] for frame in each])),
    "no token": ("encode_frames", embeds(lambda each: [frame[:0] for frame in each])),
    "a batch axis": ("encode_frames", embeds(lambda each: [frame[None] for frame in each])),
    "arrays": ("encode_frames", embeds(lambda each: [frame.detach().numpy() for frame in each])),
    "no embeddings": ("encode_frames", lambda self, pixels: None),
    "positions that are not said": ("frame_position_ids", ids(1)),
    "a model output": ("hidden_states", lambda self, inputs_embeds, **k: {"last_hidden_state": inputs_embeds}),
    "no batch axis": ("hidden_states", lambda self, *args, **k: Duet.hidden_states(self, *args, **k)[0]),
    "logits": ("score_frames", scores(torch.logit)),
    "nan": ("score_frames", scores(lambda each: each * torch.nan)),
    "one head": ("score_frames", scores(lambda each: each[:, 0])),
    "three heads": ("score_frames", scores(lambda each: each[:, [0, 1, 1]])),
    "a row a head": ("score_frames", scores(lambda each: each.T)),
    "a tuple": ("score_frames", scores(lambda each: tuple(each.T))),
}


def session(tiny, **members):
    model, processor = tiny
    model = copy.copy(model)
    model.__class__ = type("Own", (Duet,), members)
    return DuetSession(model, processor, policy=ScoreThreshold(0.5), max_new_tokens=2)


@pytest.mark.parametrize(("method", "returns"), WRONG.values(), ids=WRONG)
def test_what_a_backbone_returns_is_refused_where_it_is_wrong(method, returns, tiny, frames):
    with pytest.raises(DuetError, match=rf"^Own\.{method} gave .*: give "):
        session(tiny, **{method: returns}).run(frames[:3])


@pytest.mark.parametrize("returns", [lambda self, pixels: None, ids(2), lambda self, pixels: [torch.zeros(4)] * 3])
def test_a_backbone_with_position_axes_gives_them(returns, tiny, frames):
    with pytest.raises(DuetError, match=r"^Own\.frame_position_ids gave .*position_axes"):
        session(tiny, position_axes=1, frame_position_ids=returns).run(frames[:3])


def test_frames_may_be_one_tensor(tiny, frames):
    own = session(tiny, encode_frames=lambda self, pixels: torch.stack(list(Duet.encode_frames(self, pixels))))
    assert len(own.run(frames[:3])) == 3


@pytest.mark.parametrize("decides", ["head", None, 1])
def test_a_backbone_decides_in_a_known_way(decides, tiny):
    with pytest.raises(DuetError, match=r"model Own: decides=.*: use one of heads, words"):
        session(tiny, decides=decides)


@pytest.mark.parametrize(
    "change", [lambda made: made[0], lambda made: made[::-1], lambda made: None, lambda made: "x", lambda made: ()]
)
def test_a_preset_gives_a_folder_or_a_model_with_its_processor(change, monkeypatch):
    monkeypatch.setattr("tests.policies.OWN", Preset("own", lambda: change(build_tiny())), raising=False)
    with pytest.raises(DuetError, match=r"model='tests.policies:OWN': its base\(\) returned .*: return a Path"):
        load_duet("tests.policies:OWN")
