"""Benchmark: everything that the commands, notebooks and tables need to know about one benchmark.

The built-in ones are in `mmduet.evaluation.benchmarks.BENCHMARKS`. One of your own is an object of this class in a
module of your own, named as ``module:OBJECT`` wherever a benchmark is named; nothing in the package changes.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import pandas as pd
from pydantic import BaseModel

from mmduet.errors import DuetError
from mmduet.evaluation.contract import (
    check_combined,
    check_entries,
    check_metrics,
    check_predictions,
    check_question,
    check_rows,
    check_scores,
    check_spans,
    check_type,
)
from mmduet.evaluation.items import Places, read_items
from mmduet.evaluation.metrics.bootstrap import Combined, Estimate, Means, estimate_means
from mmduet.evaluation.option import Option, options_of
from mmduet.evaluation.prediction_file import Prediction, PredictionFile, read_predictions
from mmduet.evaluation.table import PAPER
from mmduet.policy import REPLY, Policy, PolicyFile, make_policy
from mmduet.trace import Query, UserTurn

Predictions = Mapping[str, Prediction]  # question id -> prediction
References = Mapping[str, Any]  # question id -> item


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a benchmark, as it is asked.

    Attributes:
        question_id: The key of its prediction.
        video: A file in the video folder.
        queries: The user's turns.
        turns: All user turns, where they are fixed beforehand, for a model that decides in words.
        images: The frames of these turns, files in the video folder, instead of a video.
    """

    question_id: str | int
    video: str
    queries: tuple[Query, ...]
    turns: tuple[UserTurn, ...] = ()
    images: tuple[str, ...] = ()

    def stated(self) -> dict[str, Any]:
        """What a prediction line states of the question, as JSON gives it back: all that is set but the id."""
        given = {name: value for name, value in asdict(self).items() if value and name != "question_id"}
        return cast(dict[str, Any], json.loads(json.dumps(given)))


@dataclass(frozen=True, slots=True)
class Settings:
    """How a benchmark's questions are asked.

    Attributes:
        frame_fps: Frames a second; 0: such that `max_frames` cover the video.
        max_frames: Maximum frames of a video.
        mode: The policy, a name of `mmduet.policy.POLICIES`.
        threshold: The policy's threshold; None: the model never responds.
        heads: The heads whose scores the policy adds up.
        options: The policy's other settings.
        protocol: As in `DuetSession`, and so are the others.
    """

    frame_fps: float
    max_frames: int = 400
    mode: str = "threshold"
    threshold: float | None = None
    heads: tuple[str, ...] = ("informative",)
    options: Mapping[str, float] = field(default_factory=dict)
    protocol: str = "training"
    remove_assistant_turns: bool = False
    repetition_penalty: float | None = None
    max_new_tokens: int = 200
    frames_per_turn: int | None = None

    def stated(self) -> dict[str, Any]:
        """The settings as a prediction file states them: options and `frames_per_turn` only where they are set."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in ("options", "frames_per_turn") or value not in ({}, None)
        }

    def in_words(self) -> "Settings":
        """MMDuet2's published settings for a model that decides in words; the frames of a video are the same."""
        return Settings(
            frame_fps=1.0, max_frames=self.max_frames, mode="greedy", heads=(REPLY,), max_new_tokens=512,
            frames_per_turn=2,
        )  # fmt: skip

    def overridden(self, decides: str, given: Mapping[str, Any]) -> "Settings":
        """These settings for a model, by how it decides, with what is given; a threshold alone means mode threshold."""
        own = self.in_words() if decides == "words" else self
        if own.mode == "greedy" and "threshold" in given and "mode" not in given:
            given = {"mode": "threshold", **given}
        return replace(own, **given)


def policy_of(settings: Settings) -> Policy:
    """The policy of prediction settings.

    Raises:
        DuetError: The mode, the threshold or a head is wrong.
    """
    threshold = math.inf if settings.threshold is None else settings.threshold
    return make_policy(settings.mode, threshold, heads=settings.heads, options=settings.options)


def settings_of(policy: PolicyFile) -> dict[str, Any]:
    """The fields of `Settings` that a policy file sets."""
    return {
        "mode": policy.mode, "threshold": policy.threshold, "heads": tuple(policy.heads), "options": policy.options,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of a benchmark's scores.

    Attributes:
        unit: Its unit or range, such as ``%`` or ``0 to 1``.
        better: Which direction is better; None: neither.
        digits: Digits after the point in tables.
        weight: The column of the scores that says how much a question counts in the mean, such as its number of
            reference answers; empty: each counts the same.
        optional: Whether the scores may lack the column, where predictions of a form do not have it.
    """

    unit: str
    better: Literal["higher", "lower"] | None = "higher"
    digits: int = 1
    weight: str = ""
    optional: bool = False


class Console(Protocol):
    """What `mmduet evaluate` offers a benchmark's own command."""

    def say(self, text: str) -> None:
        """Print a line."""
        ...

    def show(self, estimates: Mapping[str, Any], units: Mapping[str, str]) -> None:
        """Print figures with their intervals and units."""
        ...

    def confirm(self, question: str) -> None:
        """Ask the user; the command ends if the answer is no."""
        ...

    def resumable(self, kept: Callable[[], str]) -> Any:
        """A block that Ctrl-C and SIGTERM end with one sentence; `kept` says what is kept."""
        ...


def ask_conversation(item: Any) -> Question:
    """The question of an item whose conversation holds the user's turns.

    Raises:
        DuetError: The item has no conversation.
    """
    if not hasattr(item, "conversation"):
        raise DuetError(f"question {item.question_id!r} has no conversation: give the benchmark a `question` function.")
    queries = tuple(Query(turn.time, turn.content) for turn in item.conversation if turn.role == "user")
    return Question(item.question_id, item.video, queries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A benchmark: its test file, how it is asked, and how it is scored.

    What its functions return is checked where it comes back (`mmduet.evaluation.contract`); call the methods.

    Attributes:
        name: Its name in commands and file names.
        title: Its name in texts.
        summary: What is measured, in a few words.
        item: The schema of an entry of the test file: a pydantic model with ``question_id`` and ``video``, and with
            ``spans`` if there are times at which something is due: [start, end] or [start, end, label] each, s.
        settings: The published settings of prediction, except the protocol.
        score: ``score(predictions, references, *, OPTIONS)`` gives a table: one row a question (index
            ``question_id``), one column a metric. Its keyword-only parameters whose type is
            ``Annotated[type, "help"]`` are options of `mmduet evaluate` and of `evaluate.run`.
        metrics: The columns, with unit and direction.
        asked: The schema of an entry as far as it is asked, if a test file without labels can be predicted.
        question: The question of an entry of `asked` (of `item`, if `asked` is None).
        errors: The column of the table that counts what a judge did not rate; empty: none. `mmduet evaluate` writes its
            sum, and has status 1 if there are any.
        published: System -> metric -> published figure, in the unit of the metric.
        source: Where the published figures come from.
        headline: The metrics of the table; empty: all.
        command: ``command(predictions, references, console, *, OPTIONS)`` does the work of `mmduet evaluate NAME`
            where `score` alone is not enough. It takes both paths and gives the table, or None if nothing was scored.
        export: ``export(predictions, output, references, console, *, OPTIONS)`` does the work of `mmduet export NAME`:
            it writes predictions for the benchmark's own server.
        scenes: The test file in this format that the `scenes` data set has.
        entries: ``entries(places)`` makes of the values of a test file the entries that `item` checks, one a question.
            None: each value is an entry.
        read: ``read(path, references)`` reads the predictions, where other forms than the prediction file count.
        combined: ``combined(means)`` gives metrics that are made of the means of the columns of `score`, such as a mean
            of tasks. It computes with arrays, float64 [D]: the mean of all questions, then those of the resamples.
        parts: Whether a row of `score` is a part of a question, such as a test point, whose name is no question's id.
    """

    name: str
    title: str
    summary: str = ""
    item: type[BaseModel]
    settings: Settings
    score: Callable[..., pd.DataFrame]
    metrics: Mapping[str, Metric]
    asked: type[BaseModel] | None = None
    question: Callable[[Any], Question] = ask_conversation
    errors: str = ""
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    source: str = PAPER
    headline: tuple[str, ...] = ()
    command: Callable[..., pd.DataFrame | None] | None = None
    export: Callable[..., None] | None = None
    scenes: str = ""
    entries: Callable[[Places], Places] | None = None
    read: Callable[[Path, References], PredictionFile] | None = None
    combined: Combined | None = None
    parts: bool = False

    def read_references(self, path: str | Path) -> dict[str, Any]:
        """Question id -> item of a test file."""
        items = self._items(path, self.item)
        check_spans(path, items)
        return items

    def read_questions(self, path: str | Path) -> list[Question]:
        """The questions of a test file, whether or not it has labels."""
        questions, who = [], self._who("question")
        for name, item in self._items(path, self.asked or self.item).items():
            question = self.question(item)
            check_type(who, question, Question, "return a Question, such as Question(id, video, (Query(0.0, text),))")
            check_question(who, name, question)
            questions.append(question)
        return questions

    def read_predictions(self, path: str | Path, references: References) -> PredictionFile:
        """The predictions of a file, in any form that the benchmark reads."""
        if self.read is None:
            return read_predictions(path)
        found = self.read(Path(path), references)
        check_predictions(self._who("read"), found)
        return found

    def scores_of(self, predictions: Predictions, references: References, **options: Any) -> pd.DataFrame:
        """The table of `score`.

        Raises:
            DuetError: It is no table of numbers with a row a question and a column a metric.
        """
        scores = self.check(self.score(predictions, references, **options), "score")
        if not self.parts:
            check_rows(self._who("score"), scores, references)
        return scores

    def check(self, scores: Any, function: str) -> pd.DataFrame:
        """Check a table that a function of the benchmark, `score` or `command`, returned, and give it back.

        Raises:
            DuetError: It is no table of numbers with a column a metric.
        """
        who, weights = self._who(function), {name: metric.weight for name, metric in self.metrics.items()}
        errors = [self.errors] if self.errors else []
        check_scores(who, scores, weights | dict.fromkeys(errors, ""))
        if len(scores):
            check_metrics(who, scores.columns, errors)
        # `combined` may make a metric of others; a table without rows is refused where it is averaged
        if len(scores) and (self.combined is None or not len(self.measured(scores).columns)):
            check_metrics(who, scores.columns, self._required)
        table: pd.DataFrame = scores
        return table

    @property
    def options(self) -> dict[str, Option]:
        """The options of `mmduet evaluate NAME`, by name."""
        return options_of(self.command or self.score)

    @property
    def units(self) -> dict[str, str]:
        """Metric -> unit."""
        return {name: metric.unit for name, metric in self.metrics.items()}

    def measured(self, scores: pd.DataFrame) -> pd.DataFrame:
        """The columns of scores that are metrics."""
        return scores[[name for name in self.metrics if name in scores]]

    def estimate(self, scores: pd.DataFrame) -> dict[str, Estimate]:
        """Metric -> its mean over questions, weighted as the metric says, with a 95 % interval; in `metrics`' order."""
        scores = scores.where(scores.notna(), math.nan)  # None and pandas.NA are no value, too
        measured = self.measured(scores)
        weights = {str(name): scores[weight] for name in measured if (weight := self.metrics[str(name)].weight)}
        found = estimate_means(measured, weights=weights, combined=self._combine if self.combined else None)
        return {name: found[name] for name in self.metrics if name in found}

    def _combine(self, means: Means) -> Means:
        assert self.combined is not None
        made, who = self.combined(means), self._who("combined")
        check_combined(who, made, len(next(iter(means.values()))))
        check_metrics(who, {**means, **made}, self._required)
        return made

    @property
    def _required(self) -> list[str]:
        return [name for name, metric in self.metrics.items() if not metric.optional]

    def _items(self, path: str | Path, schema: type[BaseModel]) -> dict[str, Any]:
        return read_items(path, schema, self._entries if self.entries else None)

    def _entries(self, places: Places) -> Places:
        assert self.entries is not None
        made = self.entries(places)
        check_entries(self._who("entries"), made)
        return made

    def _who(self, function: str) -> str:
        return f"benchmark {self.name!r}: {function}"
