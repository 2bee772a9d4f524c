import pytest
import torch
import torch.nn.functional as F

from mmduet.checkpoints import build_tiny
from mmduet.errors import CheckpointError, DuetError
from mmduet.model.duet import DuetConfig, DuetForConditionalGeneration
from mmduet.model.losses import IGNORE
from mmduet.model.prompt import StreamTurn, TextTurn
from mmduet.vision.efficientnet import EfficientNetLiteConfig
from mmduet.vision.pooling import FramePool

TURNS = [
    TextTurn("user", "hi"),
    StreamTurn(3, informative=(0, 0, 1)),
    TextTurn("assistant", "ok it"),
    StreamTurn(2, relevance=(0, 1)),
    TextTurn("assistant", "not learnt", learn=False),
]


def batch_of(processor, frames, turns=TURNS):
    encoded = processor.encode(turns)
    return {
        "input_ids": encoded.input_ids[None],
        "pixel_values": processor.pixel_values(frames),
        "labels": encoded.labels[None],
        "informative_labels": encoded.informative_labels[None],
        "relevance_labels": encoded.relevance_labels[None],
    }


def test_both_losses_by_hand(tiny, frames):
    model, processor = tiny
    batch = batch_of(processor, frames[:5])
    out = model(**batch)
    said = processor.ids("ok it<|im_end|>")
    assert out.logits.shape == (len(said), 259), "logits at labelled positions only"
    hidden = out.last_hidden_state[0]
    positions = (batch["labels"][0] != IGNORE).nonzero().flatten()
    assert batch["labels"][0, positions].tolist() == said
    logits = model.vocabulary_logits(hidden[positions - 1])
    torch.testing.assert_close(out.lm_loss, F.cross_entropy(logits, torch.tensor(said)))
    heads = torch.cat([out.informative_logits[:3], out.relevance_logits[3:]])
    torch.testing.assert_close(out.video_loss, F.cross_entropy(heads, torch.tensor([0, 0, 1, 0, 1])))
    torch.testing.assert_close(out.loss, out.lm_loss + out.video_loss)


def test_no_text_no_lm_loss(tiny, frames):
    model, processor = tiny
    turns = [TextTurn("user", "cat"), StreamTurn(2, relevance=(0, 1))]
    out = model(**batch_of(processor, frames[:2], turns))
    assert out.lm_loss is None
    assert torch.equal(out.loss, out.video_loss)


def test_no_label_no_loss(tiny, frames):
    model, processor = tiny
    batch = batch_of(processor, frames[:5])
    out = model(batch["input_ids"], pixel_values=batch["pixel_values"])
    assert out.loss is None
    assert out.logits is None


def test_stored_features_equal_pixels(tiny, frames):
    model, processor = tiny
    batch = batch_of(processor, frames[:5])
    straight = model(**batch).loss
    batch["vision_features"] = model.vision_features(batch.pop("pixel_values"))
    torch.testing.assert_close(model(**batch).loss, straight)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@torch.no_grad()
def test_a_frames_features_are_its_own_whatever_is_beside_it(tiny, two_threads):
    """`mini`'s tower in two threads rounds a frame that is alone otherwise."""
    parts = {"vision_config": EfficientNetLiteConfig(), "pool_mode": "average"}
    model = DuetForConditionalGeneration(DuetConfig(text_config=tiny[0].config.text_config, **parts)).eval()
    pixels = torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    whole = model.frame_features(pixels)
    for some in (slice(0, 1), slice(0, 7), slice(5, 6), slice(1, 8), slice(0, 0)):
        assert torch.equal(model.frame_features(pixels[some]), whole[some])


def test_padding_changes_nothing(tiny, frames):
    model, processor = tiny
    batch = batch_of(processor, frames[:5])
    alone = model(**batch)
    padded = {name: F.pad(value, (0, 7), value=IGNORE) for name, value in batch.items() if "labels" in name}
    ids = F.pad(batch["input_ids"], (0, 7), value=processor.end_id)
    mask = F.pad(torch.ones_like(batch["input_ids"]), (0, 7))
    out = model(ids, attention_mask=mask, pixel_values=batch["pixel_values"], **padded)
    torch.testing.assert_close(out.loss, alone.loss)


def test_a_label_off_the_frames_is_refused(tiny, frames):
    model, processor = tiny
    batch = batch_of(processor, frames[:5])
    batch["relevance_labels"][0, 0] = 1
    with pytest.raises(DuetError, match="last token"):
        model(**batch)


def test_frames_and_image_tokens_must_agree(tiny, frames):
    model, processor = tiny
    batch = batch_of(processor, frames[:4])
    with pytest.raises(DuetError, match=r"20 image tokens, the frames given fill 16"):
        model(**batch)


@pytest.mark.parametrize("name", ["response_labels", "related_labels"])
def test_the_published_collators_label_names_are_refused(tiny, frames, name):
    model, processor = tiny
    batch = batch_of(processor, frames[:5])
    batch[name] = batch.pop("informative_labels")
    with pytest.raises(TypeError, match=name):
        model(**batch)


def test_gradient_reaches_heads_projector_and_llm(frames):
    model, processor = build_tiny()
    model(**batch_of(processor, frames[:5])).loss.backward()
    for part in (model.informative_head, model.relevance_head, model.projector, model.language_model):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_the_frozen_tower_has_no_graph_whatever_hooks_it_has(frames):
    """The projector learns what it learns with a graph of the tower, which the features don't need."""
    model, processor = build_tiny()
    batch = batch_of(processor, frames[:5])
    pixels = processor.pixel_values(frames[:5])
    features = model.vision_tower(pixels)[:, model.pool.cells]
    assert features.requires_grad
    model(
        **{name: value for name, value in batch.items() if name != "pixel_values"}, vision_features=features
    ).loss.backward()
    wanted = {name: p.grad.clone() for name, p in model.named_parameters() if not name.startswith("vision_tower.")}

    def require_grad(module, given, output):
        if isinstance(output, torch.Tensor):
            output.requires_grad_(True)

    for module in model.vision_tower.modules():
        module.register_forward_hook(require_grad)
    model.zero_grad()
    assert not model.vision_features(pixels.requires_grad_()).requires_grad
    model(**batch).loss.backward()
    assert any(gradient.any() for name, gradient in wanted.items() if name.startswith("projector."))
    for name, gradient in wanted.items():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient)
    assert all(p.grad is None for p in model.vision_tower.parameters())


def test_save_and_load_round_trip(tiny, frames, tmp_path):
    model, processor = tiny
    model.save_pretrained(tmp_path)
    again = DuetForConditionalGeneration.from_pretrained(tmp_path).eval()
    batch = batch_of(processor, frames[:5])
    assert torch.equal(again(**batch).loss, model(**batch).loss)


@pytest.mark.parametrize("kind", ["mlp", "mlpx_gelu", "resampler", "mlp0x_gelu"])
def test_unknown_projectors_are_refused(tiny, kind):
    config = DuetConfig.from_dict({**tiny[0].config.to_dict(), "projector_type": kind})
    with pytest.raises(CheckpointError, match="projector_type"):
        DuetForConditionalGeneration(config)


@pytest.mark.parametrize("kind", ["linear", "mlp1x_gelu", "mlp3x_gelu"])
def test_projector_depths(tiny, kind):
    model = DuetForConditionalGeneration(DuetConfig.from_dict({**tiny[0].config.to_dict(), "projector_type": kind}))
    linear = [layer for layer in model.projector if isinstance(layer, torch.nn.Linear)]
    assert len(linear) == (1 if kind == "linear" else int(kind[3]))


@pytest.mark.parametrize(("side", "stride"), [(27, 4), (7, 4), (4, 2), (5, 2)])
@pytest.mark.parametrize("mode", ["bilinear", "average", "max"])
def test_pooling_of_the_read_cells_equals_pooling_of_the_grid(side, stride, mode):
    pool = FramePool(side=side, stride=stride, mode=mode)
    grid = torch.randn(2, side * side, 6, generator=torch.Generator().manual_seed(0))
    image = grid.transpose(1, 2).unflatten(2, (side, side))
    size = -(-side // stride) if mode == "bilinear" else side // stride
    wanted = {
        "bilinear": lambda: F.interpolate(image, (size, size), mode="bilinear", align_corners=False),
        "average": lambda: F.avg_pool2d(image, stride),
        "max": lambda: F.max_pool2d(image, stride),
    }[mode]()
    torch.testing.assert_close(pool(grid[:, pool.cells]), wanted.flatten(2).transpose(1, 2))
    assert pool.tokens == size**2


def test_published_pooling_reads_169_of_729_cells():
    assert len(FramePool(side=27, stride=4, mode="bilinear").cells) == 169
