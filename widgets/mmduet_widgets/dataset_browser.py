"""DatasetBrowser: the examples of a mixture, with clip, turns and the label of every frame."""

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

from mmduet.data.annotations import GroundingItem, MagqaItem
from mmduet.data.mixture import Example, MixtureDataset, Source
from mmduet.data.statistics import example_times
from mmduet.errors import DuetError, VideoError
from mmduet.plots import label_figure, paged_figure
from mmduet.plots.style import QUERY_COLOR, RESPONSE_COLOR
from mmduet.trace import Query, Response
from mmduet.video import read_frames
from mmduet_widgets.duet_player import read_clip
from mmduet_widgets.figure_view import FigureView, framed

THUMBNAIL = 96  # pixels
HEIGHT = 240  # pixels of the clip and the turns


class DatasetBrowser(w.VBox):
    """Page through the examples of a mixture: the clip, what is said, and the label of every frame.

    Only the clip in view is read; one that cannot be read is named in its place. The arrows go through what the
    filters let through; the number jumps anywhere.

    Traits, in both directions: `index`, of the example in view; `kind`: narration, magqa, grounding, or "" for all;
    `text`, to be found in an example's words or its clip's name. Raises DuetError for a dataset without examples, an
    index that it does not have, or another kind.
    """

    index = t.Int()
    kind = t.Unicode()
    text = t.Unicode()

    def __init__(self, dataset: MixtureDataset, *, index: int = 0):
        if not len(dataset):
            raise DuetError(f"{dataset.path} has no examples: give a mixture that has some.")
        self.dataset = dataset
        self._words = [_words(source).casefold() for source in dataset.sources]
        self._place, self._clip, self._labels = w.Label(), w.HTML(), FigureView()
        super().__init__(index=index)
        self.children = (self._controls(), self._clip, self._labels)
        self._show()

    @property
    def kinds(self) -> list[str]:
        """The kinds that the dataset has."""
        return list(dict.fromkeys(source.kind for source in self.dataset.sources))

    @property
    def matches(self) -> list[int]:
        """The indices that the filters let through."""
        wanted = self.text.casefold()
        examples = enumerate(zip(self.dataset.sources, self._words, strict=True))
        return [i for i, (source, words) in examples if self.kind in ("", source.kind) and wanted in words]

    def report(self) -> list[Any]:
        """The clip in view beside what all its examples say, and a figure of them with a button for each."""
        video = self.dataset.sources[self.index].video
        indices = [i for i, source in enumerate(self.dataset.sources) if source.video == video]
        examples = [self.dataset[index] for index in indices]
        labels = _numbered([example.kind for example in examples])
        figures = [_figure(example, _try_frames(example)[0]) for example in examples]
        turns = [(example.entry, example_times(example)[3]) for example in examples]
        shown = paged_figure(list(zip(labels, figures, strict=True)), shown=indices.index(self.index))
        return [HTML(_clip_html(video, turns)), shown]

    def to_html(self) -> str:
        """The same in an `<iframe>` that asks nothing of any network."""
        parts = self.report()
        return framed(parts, title="Examples", height=HEIGHT + parts[1].layout.height + 60)

    @t.validate("index")
    def _check_index(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(self.dataset):
            raise DuetError(
                f"index={proposal['value']}: {self.dataset.path} has examples 0 to {len(self.dataset) - 1}."
            )
        return proposal["value"]

    @t.validate("kind")
    def _check_kind(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *self.kinds):
            raise DuetError(f"kind={proposal['value']!r}: give one of {self.kinds}, or '' for all.")
        return proposal["value"]

    def _controls(self) -> w.HBox:
        style = {"description_width": "auto"}
        kinds = [("all", ""), *((kind, kind) for kind in self.kinds)]
        kind = w.Dropdown(options=kinds, description="kind", style=style, layout={"width": "150px"})
        text = w.Text(placeholder="words, or a clip's name", description="find", style=style, layout={"width": "260px"})
        number = w.BoundedIntText(
            max=len(self.dataset) - 1, description="example", style=style, layout={"width": "140px"}
        )
        back, forth = (
            w.Button(icon=f"arrow-{side}", tooltip=tip, layout={"width": "40px"})
            for side, tip in (("left", "the match before"), ("right", "the next match"))
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
        """Stay at what is in view if it matches, else go to the first that does."""
        matches = self.matches
        if matches and self.index not in matches:
            self.index = matches[0]
        self._say_place()

    @t.observe("index")
    def _turned(self, change: Any) -> None:
        if self.children:
            self._show()

    def _say_place(self) -> None:
        matches = self.matches
        place = f"{matches.index(self.index) + 1} of " if self.index in matches else "not among "
        self._place.value = f"{place}{len(matches)} matches" if matches else "nothing matches"

    def _show(self) -> None:
        example = self.dataset[self.index]
        frames, fault = _try_frames(example)
        self._labels.draw(_figure(example, frames))
        self._clip.value = _clip_html(example.video, [("", example_times(example)[3])], fault)
        self._say_place()


def _words(source: Source) -> str:
    """All that an example says, and its clip's name."""
    match source.annotation:
        case MagqaItem() as item:
            said = [turn.content for turn in item.conversation]
        case GroundingItem() as item:
            said = [item.query]
        case narrations:
            said = [narration.text for narration in narrations]
    return "\n".join([source.video.name, *said])


def _figure(example: Example, frames: torch.Tensor | None) -> go.Figure:
    times, informative, relevance, turns = example_times(example)
    labels = {"informative": informative, "relevance": relevance}
    return label_figure(times, **labels, turns=turns, frames=frames, title=f"{example.kind}: {example.entry}")


def _try_frames(example: Example) -> tuple[torch.Tensor | None, str]:
    """The frames that the labels belong to, uint8 [N, 3, S, S], or None and why there are none."""
    first, count = example.conversation.first_frame, example.conversation.frames
    if not count:
        return None, ""
    try:
        batch = read_frames(example.video, fps=example.fps, size=THUMBNAIL, max_frames=first + count, rounding="ceil")
    except VideoError as error:
        return None, str(error)
    frames = batch.frames[first:]
    if len(frames) < count:
        return None, f"{example.video}: has {first + len(frames)} frames, its labels need {first + count}."
    return frames, ""


def _clip_html(video: Path, turns: Sequence[tuple[str, Sequence[Query | Response]]], fault: str = "") -> str:
    """The clip, or why it is not shown, beside what is said under each heading; all text is escaped."""
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
    """Each kind once by its name, then by number: narration, grounding, 2, 3."""
    seen: Counter[str] = Counter()
    labels = []
    for kind in kinds:
        seen[kind] += 1
        labels.append(kind if seen[kind] == 1 else str(seen[kind]))
    return labels
