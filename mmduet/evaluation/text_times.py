"""Times in the texts of whole-video baselines, such as `12.0 - 20.5 seconds, text`.

These forms are read: two times with -, –, —, ~, "to" or "until" between them,

* seconds: `2.0 - 6.0 seconds`, `2s to 6s`, `From 2.0 to 6.0 seconds`, `between 2 and 6 sec` (TimeChat; VTG-LLM, whose
  time tokens, `<TIME_TWO><TIME_DOT><TIME_ZERO>`, are digits);
* minutes and hours: `00:02 - 00:06`, `1:02:03 - 1:02:10`, `1 to 2 minutes`, `1 min 20 s - 2 min 5 s`;
* percent of the video: `20% to 60%`, and bare whole numbers after "from", as VTimeLLM writes them: `From 20 to 60, …`;
* `The start time is 2 seconds, and the end time is 6 seconds.`

Ambiguous numbers (`20 - 60`, `From 2.0 to 6.0, …`), percentages over 100, frame numbers, and segments that start at or
after the video's end are not read. A segment is cut at the video's end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
_TOKEN = re.compile(rf"<TIME_({'|'.join(_DIGITS)}|DOT)>")
_TOKENS = re.compile(rf"{_TOKEN.pattern}(?:\s*{_TOKEN.pattern})*")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}  # of a unit, by its first letter

_BEFORE = r"(?<![\w.,:%/+−–—-])"  # the first time is no part of another number
_BETWEEN = r"(?:-->|[-–—−~]|to\b|until\b|till\b|(?(between)and\b|(?!)))"


def _time(n: int) -> str:
    """A pattern for a clock, minutes and seconds, or a number; then a unit."""
    return (
        rf"(?:(?P<clock{n}>\d{{1,3}}(?::\d{{2}}){{1,2}}(?:\.\d{{1,9}})?)"
        rf"|(?P<minutes{n}>\d{{1,4}})\s*(?:m|mins?|minutes?)(?![^\W\d])[\s,]*(?:and\s+)?(?P<rest{n}>\d{{1,2}}(?:\.\d{{1,9}})?)"
        rf"(?=\s*(?:s|secs?|seconds?)\b)"
        rf"|(?P<number{n}>\d{{1,9}}(?:\.\d{{1,9}})?))(?!\d|[.,:]\d)"
        rf"(?:\s*(?P<unit{n}>%|(?:s|secs?|seconds?|mins?|minutes?|hrs?|hours?|percent|frames?)\b))?"
    )


_RANGE = re.compile(
    rf"(?:\b(?:(?P<from>from)|(?P<between>between))\s+(?:the\s+)?)?{_BEFORE}{_time(1)}\s*{_BETWEEN}\s*(?:the\s+)?{_time(2)}",
    re.IGNORECASE,
)
_START_AND_END = re.compile(
    rf"\bstart\w*\b[^\d]{{0,60}}?{_BEFORE}(?P<from>(?!)x)?{_time(1)}[^\d]{{0,60}}?\bend\w*\b[^\d]{{0,60}}?{_BEFORE}{_time(2)}",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?:^|(?<=[.;!?])\s+)[\W\d]{0,8}$")  # the start of a sentence, perhaps with its number
_END = re.compile(r"\s*(?:$|[,.:;)\]]\s*)")
_LEAD = re.compile(r"^\s*[\])}]?\s*[,:.;–—-]?\s*")  # between times and text


@dataclass(frozen=True, slots=True)
class Segment:
    """An interval of a video and its text. start, end: s, start <= end."""

    start: float
    end: float
    text: str


def parse_segments(text: str, duration: float) -> list[Segment]:
    """Read the segments in the text of a whole-video baseline, in its order.

    The first two times of a sentence count. A sentence without times that can be read is left out.

    Args:
        text: The text.
        duration: Duration of the video, s.
    """
    return [segment for _, segment in _pieces(text, duration) if segment is not None]


def unread_times(text: str, duration: float) -> list[str]:
    """The parts of a text that look like the times of a segment and cannot be read."""
    return [written for written, segment in _pieces(text, duration) if segment is None]


def _pieces(text: str, duration: float) -> Iterator[tuple[str, Segment | None]]:
    """(times as written, segment; None: they cannot be read) of each sentence with two times."""
    text = _TOKENS.sub(lambda run: _TOKEN.sub(_digit, re.sub(r"\s+", "", run[0])), text)
    found = False
    for line in text.split("\n"):
        sentences = list(_sentences(line))
        for (match, _), end in zip(sentences, [*(start for _, start in sentences[1:]), len(line)], strict=False):
            found = True
            yield match[0], _segment(match, duration, _LEAD.sub("", line[match.end() : end]).strip())
    if not found and (both := _START_AND_END.search(text)):
        yield both[0], _segment(both, duration, "")


def _digit(token: re.Match[str]) -> str:
    return "." if token[1] == "DOT" else str(_DIGITS.index(token[1]))


def _sentences(line: str) -> Iterator[tuple[re.Match[str], int]]:
    """(match, start of its sentence) of the first times of a line, and of others at the start of a sentence."""
    is_first = True
    for match in _RANGE.finditer(line):
        before = max(0, match.start() - 24)
        start = _SENTENCE.search(line[before : match.start()])
        if start or is_first:
            yield match, before + start.start() if start else 0
        is_first = False


def _segment(match: re.Match[str], duration: float, text: str) -> Segment | None:
    units = [(match[f"unit{n}"] or "").lower()[:1] for n in (1, 2)]
    if not any(units) and _is_bare_percent(match):
        units = ["%", "%"]
    units = ["%" if unit == "p" else unit for unit in units]
    times = [_in_seconds(match, n, units[n - 1], units[2 - n], duration) for n in (1, 2)]
    numbers_alone = all(match[f"number{n}"] for n in (1, 2))
    if None in times or ("%" in units and (not numbers_alone or set(units) - {"%", ""})):
        return None
    start, end = sorted(time for time in times if time is not None)
    return Segment(start, min(end, duration), text) if start < duration else None


def _is_bare_percent(match: re.Match[str]) -> bool:
    """Whether these are two whole numbers after "from", and punctuation follows but no more times."""
    whole = all((match[f"number{n}"] or "").isdigit() for n in (1, 2))
    ends = _END.match(match.string, match.end())
    return bool(match["from"] and whole and ends and not _RANGE.match(match.string, ends.end()))


def _in_seconds(match: re.Match[str], n: int, unit: str, other: str, duration: float) -> float | None:
    """The n-th time. unit, other: first letters of its own unit and of the other time's, "" for none."""
    if clock := match[f"clock{n}"]:
        *high, low = (float(part) for part in clock.split(":"))
        is_clock = all(part < 60 for part in (*high[1:], low)) and unit in ("", "s", "m")
        return sum(part * 60 ** (len(high) - i) for i, part in enumerate(high)) + low if is_clock else None
    if minutes := match[f"minutes{n}"]:
        rest = float(match[f"rest{n}"])
        return 60 * int(minutes) + rest if rest < 60 else None
    value = float(match[f"number{n}"])
    other_is_number = bool(match[f"number{3 - n}"])
    unit = unit or (other if other_is_number else "")  # "2 - 6 seconds": one unit for both
    if unit == "%":
        return value / 100 * duration if value <= 100 else None
    return value * _SECONDS[unit] if unit in _SECONDS else None
