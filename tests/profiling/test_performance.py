import pytest
import torch

from mmduet.profiling.performance import (
    EveryNth,
    alternate_runs,
    frame_flops,
    latencies,
    memory_growth,
    peak_flops,
    watch,
)
from mmduet.streaming.session import DuetSession
from mmduet.system.stages import STAGES, StageClock, count_stages, stage
from mmduet.video import iter_frames
from tests.clips import write_clip


@pytest.fixture
def session(tiny):
    return DuetSession(*tiny, policy=EveryNth(4), max_new_tokens=3)


def test_every_stage_is_counted(session, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frames=72)
    speed = watch(session, iter_frames(clip, fps=2, size=32, ahead=1))
    assert len(speed.trace) == 12
    assert len(speed.trace.responses) == 3
    assert list(speed.stages) == [*STAGES, "rest"]
    assert all(seconds > 0 for seconds in speed.stages.values())
    beside = speed.stages["decode"] + speed.stages["resize"]
    assert sum(speed.stages.values()) - beside == pytest.approx(speed.seconds)
    assert speed.frames_per_second == 12 / speed.seconds
    tokens = sum(len(response.token_ids) for response in speed.trace.responses)
    assert speed.tokens_per_second == tokens / speed.stages["generation"]


def test_without_a_thread_the_stages_add_up(session, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", frames=72)
    speed = watch(session, iter_frames(clip, fps=2, size=32))
    assert speed.stages["wait"] == 0
    assert sum(speed.stages.values()) == pytest.approx(speed.seconds)


def test_a_stage_inside_another_is_part_of_it():
    times = iter([1.0, 4.0, 10.0, 11.0])
    clock = StageClock()
    clock.now = lambda: next(times)
    with count_stages(clock):
        with stage("generation"), stage("language model"):
            pass
        with stage("language model"):
            pass
    with stage("vision"):
        pass
    assert dict(clock.seconds) == {"generation": 3.0, "language model": 1.0}


def test_a_latency_for_each_frame(session, frames):
    waits = latencies(session, frames)
    assert waits.shape == (12,)
    assert (waits > 0).all()


def test_what_is_held_grows_with_the_stream_unless_it_is_bounded(tiny, frames):
    endless = memory_growth(DuetSession(*tiny, policy=EveryNth(0)), frames, 200, parts=4)
    bounded = memory_growth(DuetSession(*tiny, policy=EveryNth(0), context_frames=20), frames, 200, parts=4)
    assert endless.frames == [50, 100, 150, 200]
    assert endless.megabytes[-1] > endless.megabytes[0]
    assert bounded.megabytes[-1] == bounded.megabytes[0]
    assert all(value > 0 for value in endless.milliseconds)


@pytest.mark.parametrize("count", range(1, 7))
def test_no_part_of_a_short_stream_is_empty(session, frames, count):
    grown = memory_growth(session, frames, count, parts=4)
    assert len(grown.frames) == min(count, 4)
    assert grown.frames == sorted(set(grown.frames))
    assert grown.frames[-1] == count


def test_sides_take_turns():
    calls = []
    seconds, results = alternate_runs({"a": lambda: calls.append("a") or len(calls), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert results == {"a": 5, "b": None}
    assert list(seconds) == ["a", "b"]


def test_flops_of_the_language_model_are_those_torch_counts(tiny):
    from torch.utils.flop_counter import FlopCounterMode

    model, _ = tiny
    embeds = torch.zeros(1, 4, 64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.hidden_states(embeds)
    # torch counts the whole square of attention, we the half below the diagonal, and the norms' few weights
    assert frame_flops(model)["language model"] == pytest.approx(counter.get_total_flops(), rel=0.02)
    more = frame_flops(model, context=100)["language model"] - frame_flops(model)["language model"]
    assert more == 4 * 4 * 100 * 64 * 2


def test_the_machine_has_a_peak_speed():
    assert peak_flops("cpu", torch.float32, size=64) > 1e6
