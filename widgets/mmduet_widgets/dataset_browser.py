"""DatasetBrowser: the samples of a mixture, with clip, turns and the label of every frame."""

import base64
import html
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets as w
import plotly.graph_objects as go
import torch
import traitlets as t
from IPython.display import HTML

from mmduet.data.mixture import MixtureDataset, TrainingSample
from mmduet.data.statistics import timeline
from mmduet.errors import DuetError, VideoError
from mmduet.plots import label_figure, paged_figure
from mmduet.plots.colors import QUERY_COLOR, RESPONSE_COLOR
from mmduet.trace import Query, Response
from mmduet.video import read_frames
from mmduet_widgets.clip_file import read_clip
from mmduet_widgets.figure_view import FigureView, framed

THUMBNAIL = 96  # pixels
HEIGHT = 240  # pixels of the clip and the turns


class DatasetBrowser(w.VBox):
    """Page through the samples of a mixture: the clip, the turns, and the label of every frame.

    Only the displayed clip is read. A clip that cannot be read is replaced by the reason. The arrows move through the
    samples that match the filters; the number jumps to any sample.

    Traits, in both directions:
        index: The displayed sample.
        kind: The name of an annotation kind, or "" for all.
        text: Must occur in a sample's texts or its clip's name.
    """

    index = t.Int()
    kind = t.Unicode()
    text = t.Unicode()

    def __init__(self, dataset: MixtureDataset, *, index: int = 0):
        """Show a mixture.

        Args:
            dataset: The mixture.
            index: The sample to display first.

        Raises:
            DuetError: The mixture has no samples, or does not have this index.
        """
        if not len(dataset):
            raise DuetError(f"{dataset.path} has no samples: give a mixture that has some.")
        self.dataset = dataset
        self._words = [_words(dataset, number).casefold() for number in range(len(dataset))]
        self._place, self._clip, self._labels = w.Label(), w.HTML(), FigureView()
        super().__init__(index=index)
        self.children = (self._controls(), self._clip, self._labels)
        self._show()

    @property
    def kinds(self) -> list[str]:
        """Names of the mixture's annotation kinds."""
        return list(dict.fromkeys(sample.kind for sample in self.dataset.samples))

    @property
    def matches(self) -> list[int]:
        """The indices of the samples that match the filters."""
        wanted = self.text.casefold()
        samples = enumerate(zip(self.dataset.samples, self._words, strict=True))
        return [i for i, (sample, words) in samples if self.kind in ("", sample.kind) and wanted in words]

    def report(self) -> list[Any]:
        """The displayed clip with the turns of all its samples, and a figure with a button for each of these."""
        video = self.dataset.samples[self.index].video
        indices = [i for i, sample in enumerate(self.dataset.samples) if sample.video == video]
        samples = [self.dataset[index] for index in indices]
        labels = _numbered([sample.kind for sample in samples])
        figures = [_figure(sample, _try_frames(sample)[0]) for sample in samples]
        turns = [(sample.entry, timeline(sample).turns) for sample in samples]
        shown = paged_figure(list(zip(labels, figures, strict=True)), shown=indices.index(self.index))
        return [HTML(_clip_html(video, turns)), shown]

    def to_html(self) -> str:
        """The report in an `<iframe>` that needs no network."""
        parts = self.report()
        return framed(parts, title="Samples", height=HEIGHT + parts[1].layout.height + 60)

    @t.validate("index")
    def _check_index(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(self.dataset):
            raise DuetError(f"index={proposal['value']}: {self.dataset.path} has samples 0 to {len(self.dataset) - 1}.")
        return int(proposal["value"])

    @t.validate("kind")
    def _check_kind(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.kinds):
            raise DuetError(f"kind={proposal['value']!r}: give one of {self.kinds}, or '' for all.")
        return str(proposal["value"])

    def _controls(self) -> w.HBox:
        style = {"description_width": "auto"}
        kinds = [("all", ""), *((kind, kind) for kind in self.kinds)]
        kind = w.Dropdown(options=kinds, description="kind", style=style, layout={"width": "150px"})
        text = w.Text(placeholder="words, or a clip's name", description="find", style=style, layout={"width": "260px"})
        number = w.BoundedIntText(
            max=len(self.dataset) - 1, description="sample", style=style, layout={"width": "140px"}
        )
        back, forth = (
            w.Button(icon=f"arrow-{side}", tooltip=tip, layout={"width": "40px"})
            for side, tip in (("left", "the previous match"), ("right", "the next match"))
        )
        back.on_click(lambda _: self._go(max((i for i in self.matches if i < self.index), default=self.index)))
        forth.on_click(lambda _: self._go(min((i for i in self.matches if i > self.index), default=self.index)))
        for name, control in (("kind", kind), ("text", text), ("index", number)):
            t.link((self, name), (control, "value"))
        return w.HBox([kind, text, number, back, forth, self._place], layout={"flex_flow": "row wrap"})

    def _go(self, index: int) -> None:
        self.index = index

    @t.observe("kind", "text")
    def _filtered(self, change: Any) -> None:
        """Keep the displayed sample if it matches, otherwise display the first match."""
        matches = self.matches
        if matches and self.index not in matches:
            self.index = matches[0]
        self._update_place()

    @t.observe("index")
    def _turned(self, change: Any) -> None:
        if self.children:
            self._show()

    def _update_place(self) -> None:
        matches = self.matches
        place = f"{matches.index(self.index) + 1} of " if self.index in matches else "not among "
        self._place.value = f"{place}{len(matches)} matches" if matches else "no matches"

    def _show(self) -> None:
        sample = self.dataset[self.index]
        frames, fault = _try_frames(sample)
        self._labels.draw(_figure(sample, frames))
        self._clip.value = _clip_html(sample.video, [("", timeline(sample).turns)], fault)
        self._update_place()


def _words(dataset: MixtureDataset, index: int) -> str:
    """The clip's name and all texts of a sample."""
    return "\n".join([dataset.samples[index].video.name, *(text.text for text in dataset.texts(index))])


def _figure(sample: TrainingSample, frames: torch.Tensor | None) -> go.Figure:
    return label_figure(**timeline(sample)._asdict(), frames=frames, title=f"{sample.kind}: {sample.entry}")


def _try_frames(sample: TrainingSample) -> tuple[torch.Tensor | None, str]:
    """The labelled frames, uint8 [N, 3, S, S], or None and the reason."""
    first, count = sample.conversation.first_frame, sample.conversation.frames
    if not count:
        return None, ""
    try:
        batch = read_frames(sample.video, fps=sample.fps, size=THUMBNAIL, max_frames=first + count, rounding="ceil")
    except VideoError as error:
        return None, str(error)
    frames = batch.frames[first:]
    if len(frames) < count:
        return None, f"{sample.video}: has {first + len(frames)} frames, its labels need {first + count}."
    return frames, ""


def _clip_html(video: Path, turns: Sequence[tuple[str, Sequence[Query | Response]]], fault: str = "") -> str:
    """The clip, or why it is not shown, and the turns under each heading; all text is escaped."""
    try:
        clip, note = (b"", fault) if fault else read_clip(video)
    except VideoError as error:
        clip, note = b"", str(error)
    kind = "mp4" if clip[4:8] == b"ftyp" else "webm"
    shown = (
        f'<video controls muted style="height: {HEIGHT}px; max-width: 100%; background: #000" '
        f'src="data:video/{kind};base64,{base64.b64encode(clip).decode()}"></video>'
        if clip
        else f'<p style="max-width: 30em">{html.escape(note)}</p>'
    )
    said = "".join(_heading_html(heading) + "".join(map(_turn_html, some)) for heading, some in turns)
    return (
        f'<div style="display: flex; flex-wrap: wrap; gap: 16px; align-items: flex-start">{shown}'
        f'<div style="flex: 1 1 260px; max-height: {HEIGHT}px; overflow: auto" tabindex="0">{said}</div></div>'
    )


def _heading_html(text: str) -> str:
    return f'<p style="margin: 0 0 4px"><b>{html.escape(text)}</b></p>' if text else ""


def _turn_html(turn: Query | Response) -> str:
    role, color = ("user", QUERY_COLOR) if isinstance(turn, Query) else ("assistant", RESPONSE_COLOR)
    return (
        f'<p style="margin: 0 0 8px; padding-left: 8px; border-left: 3px solid {color}; line-height: 1.4">'
        f"<small>{turn.time:.1f} s, {role}</small><br>{html.escape(turn.text)}</p>"
    )


def _numbered(kinds: Sequence[str]) -> list[str]:
    """Button labels: each kind's name, then numbers if it occurs again: narration, grounding, 2, 3."""
    seen: Counter[str] = Counter()
    labels = []
    for kind in kinds:
        seen[kind] += 1
        labels.append(kind if seen[kind] == 1 else str(seen[kind]))
    return labels
