"""What a model says of real pictures that it was not trained on: narration, alerts, ten minutes, and speed.

    python perf/real_world.py                                      # mini: every table, 45 clips
    python perf/real_world.py --only narration --only alerts       # these tables alone
    python perf/real_world.py --adapter runs/mini_world --seed 1   # an adapter of your own, other clips
    python perf/real_world.py --ceiling                            # the bare classifier, no language model

The clips show labelled photographs, panned and zoomed (stamps.py: sources, licences). `apt-get download` fetches them,
161 MB; without apt, `--stamps` takes a folder with the unpacked package.

* narration: a response is right if the first thing that it names is a correct class of the scene in view, or of one
  that left at most 1 s ago (`stamps.is_correct`). A scene is named by a response that is right for it, within it or at
  most 1 s later. A pause is spoken in by a response 1 s after its start or later. The bare classifier is that of the
  vision tower's wheel: its first class for the middle squares' features, averaged over cells and the scene's frames.
* alerts: "Tell me when there is X." X is a thing of the clip, one that is not in it, a kind of thing in it, and one
  that is not. It is reported by any response within its span, or at most 1 s later. Where X is absent, any response is
  a false alarm. The AUC is the relevance head's, over frames.
* endless: one minute of clips, again and again, narrated with a bounded context.
* speed: from an mp4 at 12 frames a second, sampled at 2, to scores and responses.

Intervals are 95 % bootstrap intervals over clips. The status is 1 if a figure falls short of what is asked.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from itertools import chain, pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import av
import numpy as np
import psutil
import torch
import typer
from sklearn.metrics import roc_auc_score
from stamps import HEIGHT, KINDS, RATE, WIDTH, Clip, Stamp, fetch, is_correct, make_clips, phrase, stamps
from tqdm import tqdm

from mmduet import DuetSession, Query, Response, ScoreThreshold, iter_frames, load_duet
from mmduet.evaluation.metrics.bootstrap import bootstrap
from mmduet.policy import HEADS, PRESETS
from mmduet.profiling.performance import watch
from mmduet.system.machine import machine
from mmduet.system.memory import free_garbage
from mmduet.video import CenterCrop, fit_frames
from mmduet.vision.efficientnet import EfficientNetLiteConfig, EfficientNetLiteTower

STAMPS = Path("build/stamps")
NARRATE = "Please concisely narrate the video in real time."
GRACE = 1.0  # s after a scene's end, and after a pause's start, in which a response is still about the scene
ROUNDS = 3  # of a measurement of speed
ALERT = PRESETS["alert"].threshold
MOST_GROWTH, MOST_CHANGE, SLOWEST = 20.0, 30.0, 25.0  # MB, %, frames a second

Record = dict[str, Any]  # a clip's counts, by name
Seen = list[list[bool]]  # whether the bare classifier gets each scene of each clip right
Spans = list[tuple[float, float]]  # start and end, s
Table = StrEnum("Table", ["narration", "alerts", "endless", "speed"])


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of a table. `low`, `high`: what is asked; None: nothing on that side."""

    name: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None

    @property
    def holds(self) -> bool:
        return (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)

    def __str__(self) -> str:
        asked = ", ".join(f"{sign} {end:g}" for sign, end in (("≥", self.low), ("≤", self.high)) if end is not None)
        return f"| {self.name} | {self.text} | {asked} |"


def plain(name: str, value: float, **bounds: float) -> Figure:
    return Figure(name, value, "none" if math.isnan(value) else f"{value:.1f}", **bounds)


def estimated(name: str, records: list[Record], statistic: Callable[[list[Record]], float], **bounds: float) -> Figure:
    estimate = bootstrap(records, statistic)
    return Figure(name, estimate.value, "none" if math.isnan(estimate.value) else str(estimate), **bounds)


def share(name: str, records: list[Record], part: str, whole: str, *, scale: float = 100, **bounds: float) -> Figure:
    def ratio(some: list[Record]) -> float:
        total = sum(record[whole] for record in some)
        return scale * sum(record[part] for record in some) / total if total else math.nan

    return estimated(name, records, ratio, **bounds)


class Classifier:
    """The ImageNet classifier of EfficientNet-Lite0's wheel, on features averaged over cells and frames."""

    def __init__(self) -> None:
        self.weight, self.bias = EfficientNetLiteTower.imagenet_classifier()
        self.tower = EfficientNetLiteTower(EfficientNetLiteConfig()).eval()
        self.tower.load_state_dict(EfficientNetLiteTower.imagenet_state())

    @torch.inference_mode()
    def right(self, clip: Clip, squares: torch.Tensor) -> list[bool]:
        """Whether its first class is correct, for each scene. squares: the clip's frames, uint8 [N, 3, 224, 224]."""
        pixels = (squares.float() / 255 - 0.5) / 0.5
        features = torch.cat([self.tower(some).mean(1) for some in pixels.split(4)])
        scenes = [features[round(start * RATE) : round(end * RATE)].mean(0) for _, start, end in clip.scenes]
        first = (torch.stack(scenes) @ self.weight.T + self.bias).argmax(1).tolist()
        return [index in stamp.classes for (stamp, *_), index in zip(clip.scenes, first, strict=True)]


def middle_square(frames: torch.Tensor) -> torch.Tensor:
    return fit_frames(frames, CenterCrop(224))


def letterbox(frames: torch.Tensor) -> torch.Tensor:
    return fit_frames(frames, 224)


def classified(clips: Sequence[Clip], square: Callable[[torch.Tensor], torch.Tensor] = middle_square) -> Seen:
    classifier = Classifier()
    return [classifier.right(clip, square(frames)) for clip, frames in shown(clips, square.__name__)]


def ceiling(clips: Sequence[Clip]) -> Iterator[Figure]:
    """Share of scenes that the bare classifier gets right, by how a frame becomes a square; and what it misses."""
    for square in (letterbox, middle_square):
        seen = classified(clips, square)
        shots = [scene for clip in clips for scene in clip.scenes]
        missed = {shot[0].stem for shot, right in zip(shots, chain(*seen), strict=True) if not right}
        print(f"missed, {square.__name__}:", *sorted(missed))
        records = [{"scenes": len(right), "right": sum(right)} for right in seen]
        yield share(f"scenes right, {square.__name__}, %", records, "right", "scenes")


def shown(clips: Sequence[Clip], title: str) -> Iterator[tuple[Clip, torch.Tensor]]:
    for clip in tqdm(clips, desc=title, unit="clip", disable=None):
        yield clip, clip.frames()


def narration(session: DuetSession, clips: Sequence[Clip], seen: Seen) -> list[Figure]:
    records = list[Record]()
    for (clip, frames), sees in zip(shown(clips, "narration"), seen, strict=True):
        records.append(narrated(clip, session.run(frames, [Query(0.0, NARRATE)]).responses, sees))
    return [
        share("responses right, %", records, "right", "responses", low=75),
        share("scenes named, of those the classifier gets right, %", records, "named and seen", "seen", low=65),
        share("scenes named, of all, %", records, "named", "scenes"),
        share("scenes that the classifier gets right, %", records, "seen", "scenes"),
        share("responses a scene", records, "responses", "scenes", scale=1, high=1.2),
        share("pauses spoken in, %", records, "spoken", "pauses", high=5),
    ]


def narrated(clip: Clip, responses: Sequence[Response], sees: Sequence[bool]) -> Record:
    """Counts of one clip. `sees`: whether the classifier gets each scene right."""
    named = [
        any(is_correct(said.text, [stamp]) for said in within(responses, start, end))
        for stamp, start, end in clip.scenes
    ]
    return {
        "responses": len(responses),
        "right": sum(is_correct(said.text, in_view(clip, said.time)) for said in responses),
        "scenes": len(named),
        "named": sum(named),
        "seen": sum(sees),
        "named and seen": sum(map(min, named, sees)),
        "pauses": len(clip.pauses),
        "spoken": sum(any(start + GRACE <= said.time < end for said in responses) for start, end in clip.pauses),
    }


def in_view(clip: Clip, time: float) -> list[Stamp]:
    return [stamp for stamp, start, end in clip.scenes if start <= time <= end + GRACE]


def within(responses: Sequence[Response], start: float, end: float) -> list[Response]:
    return [said for said in responses if start <= said.time <= end + GRACE]


def alerts(session: DuetSession, clips: Sequence[Clip], seen: Seen) -> list[Figure]:
    by_name, by_kind = list[Record](), list[Record]()
    for (clip, frames), sees in zip(shown(clips, "alerts"), seen, strict=True):
        rng = np.random.default_rng([*clip.entropy, 10_000])
        number = rng.integers(len(clip.scenes))
        thing, start, end = clip.scenes[number]
        absent = [stamp for stamp in stamps() if not any(stamp.resembles(other) for other, *_ in clip.scenes)]
        other = absent[rng.integers(len(absent))]
        record = asked(session, frames, {thing.asked: [(start, end)], other.asked: []})
        by_name.append(record | {"seen": sees[number], "reported and seen": sees[number] and record["reported"]})
        by_kind.append(asked(session, frames, kinds(clip, rng)))
    return [
        share("things reported, of all, %", by_name, "reported", "spans", low=80),
        share("things reported, of those the classifier gets right, %", by_name, "reported and seen", "seen"),
        share("clips with a false alarm, thing absent, %", by_name, "alarms", "absent", high=5),
        estimated("relevance AUC over frames, by name", by_name, auc),
        share("spans of kinds reported, %", by_kind, "reported", "spans", low=60),
        share("clips with a false alarm, kind absent, %", by_kind, "alarms", "absent", high=5),
        estimated("relevance AUC over frames, by kind", by_kind, auc, low=0.9),
    ]


def kinds(clip: Clip, rng: np.random.Generator) -> dict[str, Spans]:
    """A kind of thing in the clip with its spans, and one that is not in it, each if there is one."""
    doubtful = [stamp.kind.strip("()") for stamp, *_ in clip.scenes if stamp.kind[0] == "("]
    spans = {kind: spans_of(clip, kind) for kind in KINDS if kind not in doubtful}
    groups = [kind for kind in spans if spans[kind]], [kind for kind in spans if not spans[kind]]
    return {kind: spans[kind] for kind in [group[rng.integers(len(group))] for group in groups if group]}


def spans_of(clip: Clip, kind: str) -> Spans:
    """When a kind is in view; scenes of it that follow each other at once are one span."""
    spans: Spans = []
    for _, start, end in (scene for scene in clip.scenes if scene[0].kind == kind):
        follows = spans and spans[-1][1] == start
        spans.append((spans.pop()[0] if follows else start, end))
    return spans


def asked(session: DuetSession, frames: torch.Tensor, wanted: dict[str, Spans]) -> Record:
    """Counts of one clip, asked in turn for each thing or kind with the spans in which it is in view."""
    record: Record = {"spans": 0, "reported": 0, "absent": 0, "alarms": 0, "present": [], "relevance": []}
    for name, spans in wanted.items():
        trace = session.run(frames, [Query(0.0, f"Tell me when there is {phrase(name)}.")])
        record["spans"] += len(spans)
        record["reported"] += sum(bool(within(trace.responses, start, end)) for start, end in spans)
        record["absent"] += not spans
        record["alarms"] += not spans and bool(trace.responses)
        record["present"] += [any(start <= time < end for start, end in spans) for time in trace.times]
        record["relevance"] += trace.curve("relevance").tolist()
    return record


def auc(records: list[Record]) -> float:
    """Area under the ROC curve of the relevance head, over the frames of all records; NaN of one class alone."""
    present = np.concatenate([np.array(record["present"], dtype=bool) for record in records])
    relevance = np.concatenate([np.array(record["relevance"], dtype=float) for record in records])
    return float(roc_auc_score(present, relevance)) if present.any() and not present.all() else math.nan


def endless(session: DuetSession, clips: Sequence[Clip], minutes: int) -> list[Figure]:
    """One minute of clips in a loop, narrated. The first and the last two minutes show the same."""
    minute = round(60 * RATE)  # frames
    loop = torch.cat([clip.frames() for clip in clips[:6]])  # a clip lasts at least 9 s
    loop = loop.repeat(-(-minute // len(loop)), 1, 1, 1)[:minute].split(minute // 6)
    session.reset()
    session.ask(NARRATE)
    responses, megabytes = list[Response](), list[float]()
    for part in tqdm(range(6 * minutes), desc="endless", unit="10 s", disable=None):
        responses += [event for event in session.feed(loop[part % 6]) if isinstance(event, Response)]
        if part + 1 in (12, 6 * minutes):
            free_garbage()
            megabytes.append(psutil.Process().memory_info().rss / 1e6)
    early = [said for said in responses if said.time < 120]
    late = [said for said in responses if said.time >= 60 * minutes - 120]
    change = 100 * (len(late) / len(early) - 1) if early else math.nan
    return [
        plain("responses a minute, first two minutes", len(early) / 2),
        plain("responses a minute, last two minutes", len(late) / 2),
        plain("change, %", change, low=-MOST_CHANGE, high=MOST_CHANGE),
        plain("responses like the one before, first two minutes, %", repeated(early)),
        plain("responses like the one before, last two minutes, %", repeated(late)),
        plain("memory of the process after 2 minutes, MB", megabytes[0]),
        plain(f"memory of the process after {minutes} minutes, MB", megabytes[1]),
        plain("growth, MB", megabytes[1] - megabytes[0], high=MOST_GROWTH),
    ]


def repeated(responses: Sequence[Response]) -> float:
    """Share of the responses with the same text as the one before, %."""
    pairs = list(pairwise(responses))
    return 100 * sum(before.text == after.text for before, after in pairs) / len(pairs) if pairs else math.nan


def speed(sessions: dict[str, DuetSession], clip: Clip) -> list[Figure]:
    """Frames a second from an mp4, the median of some rounds after one that does not count."""
    figures = []
    with TemporaryDirectory() as folder:
        path = write_clip(Path(folder) / "clip.mp4", clip)
        for name, session in sessions.items():
            size, batch = session.processor.frame.fit, session.look_ahead.limit
            reading = partial(iter_frames, path, fps=RATE, size=size, batch_size=batch)
            speeds = [watch(session, reading(), [Query(0.0, NARRATE)]).frames_per_second for _ in range(ROUNDS + 1)]
            figures.append(plain(f"frames a second, {name}", median(speeds[1:]), low=SLOWEST))
    return figures


def write_clip(path: Path, clip: Clip, rate: int = 12) -> Path:
    """Write H.264 at a rate, 1/s."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in clip.pictures(rate):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def main(
    model: Annotated[str, typer.Option(help="Preset or checkpoint folder, with heads.")] = "mini",
    adapter: Annotated[Path | None, typer.Option(help="Adapter's folder; without one, the preset's own.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips, of 3 to 5 scenes each.")] = 45,
    seed: Annotated[int, typer.Option(min=0, help="Seed of clips and queries.")] = 0,
    folder: Annotated[Path, typer.Option("--stamps", help="Folder of the unpacked package, or for it.")] = STAMPS,
    only: Annotated[list[Table] | None, typer.Option(help="Only this table; may be repeated.")] = None,
    threshold: Annotated[float, typer.Option(help="Of alerts, for the sum of both heads.")] = ALERT,
    minutes: Annotated[int, typer.Option(min=4, help="Length of the endless stream.")] = 10,
    context_frames: Annotated[int, typer.Option(min=2, help="Frames in the endless stream's context.")] = 60,
    only_classifier: Annotated[bool, typer.Option("--ceiling", help="The bare classifier alone.")] = False,
) -> None:
    """Print tables of figures beside what is asked, and whether all of them hold."""
    drawn = make_clips(fetch(folder), clips, seed=seed)
    if only_classifier:
        printed("bare classifier", list(ceiling(drawn)))
        return
    duet, processor = load_duet(model, adapter=adapter)
    assert duet.decides == "heads", f"model={model!r} decides in words: give one with heads"
    session = partial(DuetSession, duet, processor, frame_fps=RATE, max_new_tokens=40)
    either, silent = ScoreThreshold(threshold, heads=HEADS), ScoreThreshold(math.inf)
    seen = cache(partial(classified, drawn))
    tables: dict[str, Callable[[], list[Figure]]] = {
        "narration": lambda: narration(session(), drawn, seen()),
        "alerts": lambda: alerts(session(policy=either), drawn, seen()),
        "endless": lambda: endless(session(context_frames=context_frames), drawn, minutes),
        "speed": lambda: speed({"narration": session(), "scores alone": session(policy=silent)}, drawn[0]),
    }
    print(f"{model}, {adapter or 'its own adapter'}, {clips} clips, seed {seed}; {machine()}")
    figures = [figure for name in only or Table for figure in printed(name, tables[name]())]
    short = [figure.name for figure in figures if not figure.holds]
    print(f"\nfalls short: {'; '.join(short)}" if short else "\nholds")
    raise typer.Exit(int(bool(short)))


def printed(title: str, figures: list[Figure]) -> list[Figure]:
    print(f"\n| {title} | measured | asked |\n| --- | --- | --- |", *figures, sep="\n", flush=True)
    return figures


if __name__ == "__main__":
    typer.run(main)
