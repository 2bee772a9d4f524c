"""`mmduet watch`: watch a clip, a camera or a stream, and print what is said."""

import os
import re
import shlex
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mmduet.cli.predict import (
    FRAMES_PER_TURN,
    HEADS,
    KEEP_RESPONSES,
    MAX_NEW_TOKENS,
    MAX_PIXELS,
    MODE,
    MODEL,
    PENALTY,
    POLICY,
    PROTOCOL,
    THRESHOLD,
    keeping,
    speaking,
)
from mmduet.cli.root import DEVICE, DTYPE, app
from mmduet.errors import DuetError
from mmduet.streaming import LIVE_CONTEXT

if TYPE_CHECKING:
    from mmduet.events import Event
    from mmduet.model.backbone import Backbone
    from mmduet.model.processing import DuetProcessor
    from mmduet.streaming.session import DuetSession
    from mmduet.trace import Query
    from mmduet.video import FrameBatch

NARRATE = "Please concisely narrate the video in real time."
PAGE = re.compile(r'(?s).{0,200}<meta name="generator" content="mmduet report">')
NUMBER = r"(?:\d+(?:[.,]\d*)?|[.,]\d+)"
# what follows the last @ and looks like a time, whether it is one or not; an address such as me@10.0.0.1 does not
TIMED = re.compile(rf"(?is)(?P<text>.*)@\s*(?P<time>[-+]?(?:\d*:)*{NUMBER}\s*(?:s|sec|m|min|h|ms)?)\s*")
TIME = re.compile(r"(?i)(?:(?:(?P<h>\d+):)?(?P<m>\d+):)?(?P<s>\d+(?:\.\d+)?)\s*s?")
STDIN = "/dev/stdin"

CLIP = Annotated[
    str,
    typer.Argument(
        help="A video file, a camera such as /dev/video0, the address of a stream, or - for the input.",
        callback=lambda clip: STDIN if clip == "-" else clip,
    ),
]
QUERY = Annotated[
    list[str] | None,
    typer.Option(
        help="A question, asked at the start or at a time: TEXT@12.5 (seconds), TEXT@1:05 or TEXT@1:00:05. Can be "
        "repeated.",
        show_default=NARRATE,
    ),
]
SRT = Annotated[Path | None, typer.Option(help="Write the responses as subtitles to this file.")]
VTT = Annotated[Path | None, typer.Option(help="Write the responses as subtitles for browsers to this file.")]
CSV = Annotated[Path | None, typer.Option(help="Write a table to this file, a row a frame.")]
JSON = Annotated[Path | None, typer.Option(help="Write the trace to this file; DuetTrace.from_json reads it.")]
HTML = Annotated[Path | None, typer.Option(help="Write a page with the clip, scores and responses to this file.")]
FRAME_FPS = Annotated[
    float | None, typer.Option(help="Frames a second.", show_default="2, of a model that decides in words 1")
]
CONTEXT_FRAMES = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Maximum frames in the context; older ones are dropped.",
        show_default=f"all of a clip, {LIVE_CONTEXT} of a camera or stream",
    ),
]
LIVE = Annotated[
    bool, typer.Option("--live", help="The file is still being recorded, or a pipe: wait for more at its end.")
]
FORMAT = Annotated[str | None, typer.Option(help="FFmpeg's name of a camera's or stream's format, such as v4l2.")]


@app.command()
def watch(
    clip: CLIP,
    query: QUERY = None,
    srt: SRT = None,
    vtt: VTT = None,
    csv: CSV = None,
    json: JSON = None,
    html: HTML = None,
    model: MODEL = "mini",
    adapter: Annotated[str | None, typer.Option(help="PEFT adapter, instead of the preset's own.")] = None,
    dtype: DTYPE = "auto",
    device: DEVICE = "auto",
    frame_fps: FRAME_FPS = None,
    mode: MODE = None,
    threshold: THRESHOLD = None,
    heads: HEADS = None,
    policy: POLICY = None,
    protocol: PROTOCOL = None,
    keep_responses: KEEP_RESPONSES = None,
    max_new_tokens: MAX_NEW_TOKENS = None,
    repetition_penalty: PENALTY = None,
    frames_per_turn: FRAMES_PER_TURN = None,
    max_pixels: MAX_PIXELS = None,
    context_frames: CONTEXT_FRAMES = None,
    live: LIVE = False,
    format: FORMAT = None,
) -> None:
    """Watch a clip, a camera or a stream, and print queries and responses with their times as they come.

    Ctrl-C ends it. Files are written then, too, and where a stream breaks off, but not without a frame.
    """
    from mmduet.checkpoints import load_duet

    queries = [read_query(text) for text in query or [NARRATE]]
    when = speaking(policy, mode, threshold, heads)
    source = Source(clip, is_live=live or format is not None or is_stream(clip), format=format)
    duration = source.duration()
    files = checked_files({"srt": srt, "vtt": vtt, "csv": csv, "json": json, "html": html}, clip)
    duet, processor = load_duet(model, adapter=adapter, dtype=dtype, device=device, max_pixels=max_pixels)
    session = make_session(
        duet, processor, context_frames or (LIVE_CONTEXT if source.is_live else None),
        frame_fps=frame_fps, protocol=protocol, max_new_tokens=max_new_tokens, **when,
        repetition_penalty=repetition_penalty, frames_per_turn=frames_per_turn, **keeping(keep_responses),
    )  # fmt: skip
    events: list[Event] = []
    try:
        status = follow(session, source, queries, events)
    finally:  # also where a stream breaks off
        write_all(files, session, source, events, duration)
    raise typer.Exit(status)


def make_session(
    duet: "Backbone", processor: "DuetProcessor", context_frames: int | None, **given: Any
) -> "DuetSession":
    """A session with the settings that are given and not None; else at 2 frames a second and threshold 0.5.

    A model that decides in words has its published settings instead of these.
    """
    from mmduet.evaluation.benchmark import Settings, policy_of
    from mmduet.evaluation.predict import session_for

    own = Settings(frame_fps=2.0, threshold=0.5)
    settings = own.overridden(duet.decides, {name: value for name, value in given.items() if value is not None})
    if settings.frame_fps == 0:  # in `mmduet predict`: as many frames as it may watch, over the whole video
        raise DuetError("--frame-fps 0: give a positive number of frames a second.")
    return session_for(duet, processor, settings, policy_of(settings), context_frames=context_frames)


def follow(session: "DuetSession", source: "Source", queries: "Sequence[Query]", events: "list[Event]") -> int:
    """Watch to the end or to Ctrl-C; print what is said, and add each event to a list.

    Returns:
        The command's status.
    """
    from mmduet.system.interrupts import Terminated, terminable

    try:
        with terminable():
            for event in session.stream(source.frames(session), queries):
                events.append(event)
                _say(event)
    except KeyboardInterrupt as stop:
        typer.secho(f"mmduet: stopped at {session.time:.1f} s of the video.", fg="yellow", err=True)
        return 143 if isinstance(stop, Terminated) else 130
    for text in session.unasked:
        typer.secho(f"mmduet: {text}", fg="yellow", err=True)
    return 0


def _say(event: "Event") -> None:
    from mmduet.trace import Query, Response

    if isinstance(event, Query | Response):
        who = "user" if isinstance(event, Query) else "model"
        words = " ".join("".join(char if char.isprintable() else " " for char in event.text).split())
        typer.echo(f"{event.time:7.1f} s  {who:5}  {words}")


def read_query(text: str) -> "Query":
    """A query from ``TEXT``, which is asked at the start, or ``TEXT@12.5``, ``TEXT@1:05``, ``TEXT@1:00:05.5``.

    Raises:
        DuetError: There is no text, or no time where it looks like one.
    """
    from mmduet.trace import Query

    timed = TIMED.fullmatch(text)
    asked = timed["text"].rstrip() if timed else text.strip()
    if not asked.strip():
        raise DuetError(f"--query {text!r} is empty: give a question, such as 'What is happening?@12.5'.")
    return Query(_seconds(timed["time"], text) if timed else 0.0, asked)


def _seconds(time: str, text: str) -> float:
    parts = TIME.fullmatch(time)
    if not parts or (parts["m"] and float(parts["s"]) >= 60) or (parts["h"] and int(parts["m"]) >= 60):
        raise DuetError(f"--query {text!r}: {time!r} is no time: give seconds (@12.5), or @1:05, or @1:00:05.")
    return 3600.0 * int(parts["h"] or 0) + 60.0 * int(parts["m"] or 0) + float(parts["s"])


def is_stream(address: str) -> bool:
    """Whether it is the address of a stream, or a device such as a camera."""
    try:
        return "://" in address or stat.S_ISCHR(os.stat(address).st_mode)
    except (OSError, ValueError):
        return False


def _waits(address: str) -> bool:
    """Whether a live source loses nothing while its frames are watched: a file that grows, or a pipe."""
    path = Path(address)
    return path.is_file() or path.is_fifo()


class Source(NamedTuple):
    """The video to watch.

    Attributes:
        address: A file, a device or an address.
        is_live: Whether frames come as they are recorded.
        format: FFmpeg's name of its format; None: FFmpeg finds it.
    """

    address: str
    is_live: bool
    format: str | None

    def duration(self) -> float | None:
        """Of a clip, or of its part before a cut, s; None where frames still come."""
        from mmduet.video.table import read_table

        return None if self.is_live else read_table(Path(self.address)).duration

    def frames(self, session: "DuetSession") -> "Iterable[FrameBatch]":
        """The frames as a session needs them."""
        from mmduet.video import iter_frames
        from mmduet.video.stream import StreamSource

        fps, size = session.frame_fps, session.processor.frame.fit
        if self.is_live:
            return StreamSource(
                self.address, fps=fps, size=size, drop_late=not _waits(self.address), format=self.format
            )
        ahead, pin = session.kernels.decode_ahead, session.kernels.pin
        return iter_frames(
            self.address, fps=fps, size=size, batch_size=session.look_ahead.limit, ahead=ahead, pin=pin,
            rounding="ceil",  # as a stream: every frame whose time has come
        )  # fmt: skip


def checked_files(outputs: Mapping[str, Path | None], clip: str) -> dict[str, Path]:
    """The files that are asked for, by form. Refuses to replace a file of another kind, before anything is computed."""
    from mmduet.files import check_target, read_text
    from mmduet.trace import EXPORTS

    def is_ours(path: Path, begins: re.Pattern[str] | None) -> bool:
        return bool(begins.match(read_text(path))) if begins else typer.confirm(f"{path} exists. Replace it?", err=True)

    files = {form: path for form, path in outputs.items() if path is not None}
    for form, path in files.items():
        same = [f"--{other}" for other in files if os.path.realpath(files[other]) == os.path.realpath(path)]
        if len(same) > 1:
            raise DuetError(f"{path} is given to {' and '.join(same)}: give each its own file.")
        begins = EXPORTS[form].begins if form in EXPORTS else PAGE
        check_target(path, ours=partial(is_ours, begins=begins), inputs=[clip])
    return files


def write_all(
    files: Mapping[str, Path], session: "DuetSession", source: Source, events: "list[Event]", duration: float | None
) -> None:
    """Write what was seen and said to each file; nothing where no frame came."""
    from mmduet.files import write_file
    from mmduet.reports.trace_page import trace_page
    from mmduet.trace import EXPORTS, DuetTrace

    trace = DuetTrace.from_events(events, context_length=len(session.state.context))
    files = files if len(trace) else {}
    for form, path in files.items():
        if form in EXPORTS:
            text = EXPORTS[form].make(trace, duration)
        else:
            text = trace_page(
                trace, session.policy, title=Path(source.address).name or source.address,
                command=shlex.join(["mmduet", *sys.argv[1:]]),
                clip=None if source.is_live else Path(source.address),
            )  # fmt: skip
        write_file(path, text)
    written = "".join(f"; {path}" for path in files.values())
    typer.echo(f"{len(trace)} frames, {len(trace.responses)} responses{written}")
