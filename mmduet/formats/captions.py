"""Captions: a model's responses as subtitles, in SRT and in WebVTT."""

import html
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mmduet.errors import DuetError
from mmduet.events import Response

READING_SPEED = 15  # characters per second; guides for subtitles give 12 to 20
SHORTEST = 2.0  # s that a viewer needs for a response that was not expected
ARROW = "-->"  # between the times of a cue, so no text may contain it
VTT_HEADER = "WEBVTT responses of a duet"
JOINER = "\u2060"  # takes no space
TAG = re.compile(r"(?<=<)(?=[A-Za-z/])|(?<=\{)(?=\\)")  # after the first character of <b>, </b>, {\an8}
UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Cue(NamedTuple):
    """A text and when it is shown.

    Attributes:
        start: First millisecond.
        end: Millisecond after the last one, > start.
        lines: The text's lines, none of them blank.
    """

    start: int
    end: int
    lines: tuple[str, ...]


def cues_of(responses: Iterable[Response], video_duration: float | None) -> list[Cue]:
    """Make a cue of each response: from its time until it is read, the next response comes, or the clip ends.

    A response at the clip's end or later is shown in the clip's last SHORTEST seconds. A response without a visible
    character has no cue.

    Args:
        responses: In any order.
        video_duration: s. None: the clip has no known end.

    Raises:
        DuetError: The time of a response is not known.
    """
    if video_duration is not None and not 0 <= video_duration < math.inf:
        raise DuetError(f"video_duration={video_duration}: give the clip's seconds, or None where it has no known end.")
    clip_end = None if video_duration is None else max(_milliseconds(video_duration), 1)
    ordered = sorted(responses, key=lambda response: response.time)
    starts = _starts(ordered, clip_end)
    cues = []
    for start, response in zip(starts, ordered, strict=True):
        if lines := _lines(response.text):
            ends = [start + _milliseconds(max(SHORTEST, sum(map(len, lines)) / READING_SPEED))]
            ends += starts[bisect_right(starts, start) :][:1]  # the next response
            ends += [] if clip_end is None else [clip_end]
            cues.append(Cue(start, min(ends), lines))
    return cues


def to_srt(cues: Sequence[Cue]) -> str:
    r"""Write cues as SubRip.

    SRT has no escapes. ``-->`` becomes an arrow, and a word joiner keeps players from reading ``<b>`` or ``{\an8}``
    as markup.
    """
    blocks = []
    for number, cue in enumerate(cues, 1):
        text = TAG.sub(JOINER, "\n".join(cue.lines).replace(ARROW, "→"))
        blocks.append(f"{number}\n{_clock(cue.start, ',')} {ARROW} {_clock(cue.end, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(cues: Sequence[Cue]) -> str:
    """Write cues as WebVTT: ``&``, ``<`` and ``>`` are escaped, so that no text is markup or a time."""
    blocks = [f"{VTT_HEADER}\n"]
    for cue in cues:
        text = html.escape("\n".join(cue.lines), quote=False)
        blocks.append(f"{_clock(cue.start, '.')} {ARROW} {_clock(cue.end, '.')}\n{text}\n")
    return "\n".join(blocks)


def _starts(ordered: Sequence[Response], clip_end: int | None) -> list[int]:
    """The first millisecond of each cue, ascending."""
    starts = [0]
    for response in ordered:
        if not 0 <= response.time < math.inf:
            raise DuetError(
                f"the response {response.text[:40]!r} is at {response.time:g} s: a caption needs a time from 0 s on; "
                "export this trace as CSV or JSON."
            )
        start = _milliseconds(response.time)
        if clip_end is not None and start >= clip_end:
            start = clip_end - min(_milliseconds(SHORTEST), clip_end)
        starts.append(max(start, starts[-1]))
    return starts[1:]


def _lines(text: str) -> tuple[str, ...]:
    """The lines of a text that are not blank; characters that no player shows are replaced."""
    lines = (UNPRINTABLE.sub("\ufffd", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line)


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _clock(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{point}{rest:03}"
