"""Captions read back by parsers of others: webvtt-py, and FFmpeg."""

import html
import io
import math
from pathlib import Path

import av
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.formats.captions import JOINER, READING_SPEED, SHORTEST
from mmduet.trace import UNTIMED, DuetTrace, Response
from tests.trace.traces import traces


def of(*responses: tuple[float, str]) -> DuetTrace:
    trace = DuetTrace.from_events([])
    trace.responses = [Response(time, text) for time, text in responses]
    return trace


def visible(text: str) -> list[str]:
    """The lines of a text that a viewer sees."""
    shown = "".join("\ufffd" if not char.isprintable() and char < "\xa0" and char not in "\t\n" else char
                    for char in "\n".join(text.splitlines()))  # fmt: skip
    shown = shown.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return [line.strip() for line in shown.split("\n") if line.strip()]


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def cues_in(text: str, form: str, **options: bool) -> list[tuple[float, float, list[str]]]:
    """(start, s, end, s, lines) as webvtt-py reads them."""
    if not text:
        return []
    found = webvtt.WebVTT.from_buffer(io.StringIO(text, newline=""), format=form, **options)
    return [(seconds(cue.start), seconds(cue.end), cue.raw_text.split("\n")) for cue in found]


@given(traces(), st.none() | st.floats(10, 20))
def test_webvtt_reads_back(trace: DuetTrace, duration: float | None) -> None:
    found = cues_in(trace.to_vtt(duration), "vtt", strict=True)
    wanted = [response for response in trace.responses if visible(response.text)]
    assert [[html.unescape(line) for line in lines] for *_, lines in found] == [visible(each.text) for each in wanted]
    assert [start for start, *_ in found] == [pytest.approx(each.time) for each in wanted]
    assert all(start < end <= (duration or math.inf) + 0.001 for start, end, _ in found)


@given(traces(), st.none() | st.floats(10, 20))
def test_srt_reads_back(trace: DuetTrace, duration: float | None) -> None:
    found = cues_in(trace.to_srt(duration), "srt")
    wanted = [response for response in trace.responses if visible(response.text)]
    shown = [[line.replace("-->", "→").replace(JOINER, "") for line in visible(each.text)] for each in wanted]
    assert [[line.replace(JOINER, "") for line in lines] for *_, lines in found] == shown
    assert [start for start, *_ in found] == [pytest.approx(each.time) for each in wanted]
    assert all(start < end <= (duration or math.inf) + 0.001 for start, end, _ in found)


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_ffmpeg_reads_the_same_cues(tmp_path: Path, form: str) -> None:
    trace = of((1.0, "a --> b\n\n2\n00:00:09,000 --> 00:00:10,000"), (61.5, "<b>&lt; {\\an8}ü"), (3601.25, "1\n2"))
    path = tmp_path / f"captions.{form}"
    path.write_text(getattr(trace, f"to_{form}")(3610), encoding="utf-8", newline="")
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.size]
        times = [(float(p.pts * p.time_base), float((p.pts + p.duration) * p.time_base)) for p in packets]
        texts = [bytes(packet).decode() for packet in packets]
    assert times == [(start, end) for start, end, _ in cues_in(path.read_text(encoding="utf-8"), form)]
    assert [text.split("\n") for text in texts] == [each[2] for each in cues_in(path.read_text(encoding="utf-8"), form)]


def test_a_cue_ends_when_it_is_read_or_followed_or_the_clip_ends() -> None:
    long = "word " * 20
    cues = cues_in(of((0.0, "short"), (10.0, long), (11.0, "next"), (30.0, long), (49.0, "last")).to_srt(50), "srt")
    ends = [end for _, end, _ in cues]
    assert ends == [SHORTEST, 11.0, 11.0 + SHORTEST, pytest.approx(30 + 99 / READING_SPEED), 50.0]


def test_responses_at_one_time_are_shown_together() -> None:
    assert [cue[:2] for cue in cues_in(of((1.0, "a"), (1.0, "b"), (2.0, "c")).to_srt(9), "srt")] == [
        (1, 2),
        (1, 2),
        (2, 4),
    ]


def test_a_response_at_the_end_is_shown_before_it() -> None:
    assert [cue[:2] for cue in cues_in(of((9.0, "a"), (10.0, "b"), (12.0, "c")).to_vtt(10), "vtt")] == [(9, 10)] * 3


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_every_cue_lasts(time: float, duration: float) -> None:
    ((start, end, _),) = cues_in(of((time, "a")).to_vtt(duration), "vtt")
    assert start < end


@pytest.mark.parametrize("form", ["to_srt", "to_vtt"])
def test_a_response_without_a_time_is_refused(form: str) -> None:
    with pytest.raises(DuetError, match=r"'a dog' is at -1 s: a caption needs a time"):
        getattr(of((UNTIMED, "a dog")), form)()
    with pytest.raises(DuetError, match="video_duration=-1"):
        getattr(of((1.0, "a dog")), form)(-1)
