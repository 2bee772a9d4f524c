"""Exports: the files that hold a trace, by the ending of their names."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from mmduet.formats.captions import VTT_HEADER
from mmduet.trace.trace import DuetTrace


@dataclass(frozen=True, slots=True)
class Export:
    """A kind of file.

    Attributes:
        make: Its text, of a trace and the clip's duration, s (None: no known end).
        media_type: Its type, as browsers name it.
        begins: A pattern of the start of such a file; None where it does not show that we wrote it.
    """

    make: Callable[[DuetTrace, float | None], str]
    media_type: str
    begins: re.Pattern[str] | None


EXPORTS: dict[str, Export] = {
    "srt": Export(DuetTrace.to_srt, "application/x-subrip", None),
    "vtt": Export(DuetTrace.to_vtt, "text/vtt", re.compile(re.escape(VTT_HEADER))),
    "csv": Export(
        lambda trace, _: trace.to_csv(), "text/csv", re.compile(r"time,(\w+,)*query,response\r?$", re.MULTILINE)
    ),
    "json": Export(lambda trace, _: trace.to_json(), "application/json", re.compile(r'\{"times": \[')),
}
