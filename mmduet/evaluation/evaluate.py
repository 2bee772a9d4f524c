"""Evaluate: ask a benchmark's questions, score the answers, and put the figures beside the published ones."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from mmduet.errors import DuetError
from mmduet.evaluation.benchmark import Benchmark, Question, Settings, policy_of, settings_of
from mmduet.evaluation.benchmarks import find_benchmark
from mmduet.evaluation.coverage import Coverage, coverage, questions_of
from mmduet.evaluation.metrics.bootstrap import Estimate
from mmduet.evaluation.prediction_file import Prediction, PredictionFile
from mmduet.evaluation.references import read_questions, read_references
from mmduet.evaluation.response_timing import UNITS, estimate_timing, timing_scores, timing_table
from mmduet.evaluation.stated_settings import settings_that_made
from mmduet.evaluation.table import beside_published
from mmduet.files import in_turn
from mmduet.policy import POLICIES, Policy, read_policy

if TYPE_CHECKING:
    from mmduet.model.duet import DuetForConditionalGeneration
    from mmduet.model.processing import DuetProcessor

    Loaded = tuple[DuetForConditionalGeneration, DuetProcessor]


@dataclass(frozen=True, slots=True)
class Result:
    """What an evaluation gives.

    Attributes:
        benchmark: The benchmark.
        settings: How its questions were asked. For a prediction file that was given: as it states; else as published,
            with the overrides.
        path: The prediction file.
        videos: The folder of the videos.
        predictions: Question id -> prediction.
        references: Question id -> item.
        coverage: Which questions have both.
        scores: One row a question, one column a metric.
        estimates: Metric -> its mean with a 95 % bootstrap interval over questions.
        scoring: The options of the benchmark's `score`, with their defaults.
    """

    benchmark: Benchmark
    settings: Settings
    path: Path
    videos: Path
    predictions: dict[str, Prediction]
    references: dict[str, Any]
    coverage: Coverage
    scores: pd.DataFrame
    estimates: dict[str, Estimate]
    scoring: Mapping[str, Any]

    def table(self, name: str = "this run", *, metrics: tuple[str, ...] | None = None) -> pd.DataFrame:
        """The figures beside the published ones: one row a system, one column a metric with its unit.

        Args:
            name: The name of this run's row.
            metrics: The columns; None: the benchmark's headline metrics, with the published rows.
        """
        shown = metrics or self._headline
        return beside_published(
            self.estimates,
            self.benchmark.published if metrics is None else {},
            metrics=shown,
            name=name,
            digits={name: metric.digits for name, metric in self.benchmark.metrics.items()},
            units=self.benchmark.units,
            source=self.benchmark.source,
        )

    @property
    def figures(self) -> dict[str, tuple[float, float, float]]:
        """The headline metrics for `record_metrics`: name with unit -> value, low, high."""
        units = self.benchmark.units
        return {f"{n} ({units[n]})": (e.value, e.low, e.high) for n in self._headline for e in [self.estimates[n]]}

    def timing(self, name: str = "this run") -> pd.DataFrame:
        """Whether the model responds at the right moments: the row of `timing_table`, named `name`."""
        return timing_table({name: self})

    @property
    def timing_figures(self) -> dict[str, tuple[float, float, float]]:
        """The same figures for `record_metrics`: name with unit -> value, low, high."""
        found = estimate_timing(timing_scores(self.predictions, self.references))
        return {f"{name} ({UNITS[name]})": (e.value, e.low, e.high) for name, e in found.items()}

    @property
    def policy(self) -> Policy:
        """The policy that decided when to respond."""
        return policy_of(self.settings)

    @property
    def with_scores(self) -> dict[str, Prediction]:
        """The predictions with frame scores and a reference, by question id; whole-video baselines have none."""
        return {name: self.predictions[name] for name in self.coverage.matched if len(self.predictions[name].trace)}

    def video(self, name: str) -> Path:
        """The video of a question."""
        return self.videos / str(self.references[name].video)

    def thumbnail(self, name: str, *, heads: tuple[str, ...] = ("informative", "relevance")) -> dict[str, Any]:
        """The frames and the score curves of a question, for `record_thumbnail`.

        A model that decides in words has one curve, whatever heads are named.
        """
        from mmduet.video import read_frames_of

        trace = self.predictions[name].trace
        curves = {head: trace.curve(head) for head in trace.heads if head in heads or len(trace.heads) == 1}
        return {"frames": read_frames_of(self.video(name), trace.times), "curves": curves}

    @property
    def _headline(self) -> tuple[str, ...]:
        return tuple(name for name in self.benchmark.headline or self.benchmark.metrics if name in self.estimates)


def run(
    benchmark: str | Benchmark,
    model: "str | Path | Loaded",
    references: str | Path,
    videos: str | Path,
    *,
    predictions: str | Path | None = None,
    adapter: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    limit: int | None = None,
    output: str | Path = "runs/predictions",
    policy: str | Path | None = None,
    at_once: bool = False,
    settings: Mapping[str, Any] | None = None,
    scoring: Mapping[str, Any] | None = None,
) -> Result:
    """Ask a benchmark's questions, and score the answers. The same call resumes an interrupted run, or waits for one.

    Args:
        benchmark: A benchmark, its name, or ``module:OBJECT``.
        model: A preset, a checkpoint folder or hub id, or (model, processor).
        references: The benchmark's test file.
        videos: The folder of its videos.
        predictions: A prediction file to score, under the settings that it states, if any; None or "": ask the model.
        adapter: A PEFT adapter instead of the preset's own.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` …
        dtype: Precision of the weights: ``auto`` (bfloat16 on a GPU, float32 on a CPU), ``bfloat16``, ``float32`` …
        limit: Number of questions to ask, the first ones, which alone are scored then; None or 0: all.
        output: The folder of prediction files: one for each model, settings, questions and videos.
        policy: A policy file of `mmduet calibrate`, which replaces those fields of `settings`; None or "": none.
        at_once: Answer every query at once, as `answer` does, whatever the policy.
        settings: Fields of `Settings` that differ from the published ones; None and "" mean as published.
        scoring: Options of the benchmark's `score` that differ from its defaults; None and "" mean the default.

    Raises:
        DuetError: A name, a setting or a file is wrong; the message says which and how to correct it.
    """
    benchmark = find_benchmark(benchmark)
    given = _given(settings, inspect.signature(Settings).parameters, "settings") | _speaking(policy, settings)
    policy_of(asked := benchmark.settings.overridden("heads", given))  # refuses wrong settings before a model is loaded
    options = _given(scoring, _score_options(benchmark), "scoring")
    items = read_references(references, benchmark)
    if predictions:
        return _score_file(benchmark, predictions, references, items, videos, options, asked=asked, given=given)
    questions = read_questions(references, benchmark)  # refuses wrong ones before a model is loaded
    loaded = model if isinstance(model, tuple) else _load(model, adapter, device, dtype)
    asked = benchmark.settings.overridden(loaded[0].decides, given)
    file = _ask(loaded, benchmark, questions, items, videos, output, asked, limit=limit or None, at_once=at_once)
    return _scored(benchmark, asked, file, dict(islice(items.items(), limit or None)), videos, options)


def scenes(benchmark: str | Benchmark, folder: str | Path = "datasets", *, clips: int = 60) -> tuple[str, str]:
    """Make test clips of the `scenes` data set, which has the formats of the built-in benchmarks.

    Returns:
        The test file and the folder of videos, for `run`.

    Raises:
        DuetError: `scenes` does not have the benchmark's format.
    """
    from mmduet.data.scenes import make_scenes

    benchmark = find_benchmark(benchmark)
    if not benchmark.scenes:
        raise DuetError(f"scenes does not have the format of {benchmark.title}: give references and videos.")
    made = make_scenes(folder, train=0, val=0, test=clips)
    return str(made / "annotations" / benchmark.scenes), str(made / "videos" / "test")


def _load(model: str | Path, adapter: str | Path | None, device: str, dtype: str) -> "Loaded":
    from mmduet.checkpoints import load_duet

    return load_duet(model, adapter=adapter or None, dtype=dtype, device=device)


def _ask(
    loaded: "Loaded",
    benchmark: Benchmark,
    questions: Sequence[Question],
    references: Mapping[str, Any],
    videos: str | Path,
    output: str | Path,
    settings: Settings,
    *,
    limit: int | None,
    at_once: bool,
) -> PredictionFile:
    """Ask the first `limit` questions. The file may hold more, of a run with a larger limit, which is left out."""
    from mmduet.evaluation.answering import answer
    from mmduet.evaluation.predict import describe, output_path, predict, stated_question

    stated = [(question.question_id, stated_question(question, videos)) for question in questions]
    path = output_path(output, benchmark.name, describe(loaded[0], settings), stated, at_once)
    with in_turn(path):
        (answer if at_once else predict)(*loaded, questions[:limit], videos, path, settings=settings)
    return benchmark.read_predictions(path, references).only({str(name) for name, _ in stated[:limit]})


def _score_file(
    benchmark: Benchmark,
    predictions: str | Path,
    references: str | Path,
    items: dict[str, Any],
    videos: str | Path,
    options: Mapping[str, Any],
    *,
    asked: Settings,
    given: Mapping[str, Any],
) -> Result:
    """Score predictions that are given. Refuses answers to other questions."""
    file = benchmark.read_predictions(predictions, items)
    questions = questions_of(benchmark, references, file)
    return _scored(benchmark, _as_made(file.path, asked, given), file, items, videos, options, questions)


def _scored(
    benchmark: Benchmark,
    settings: Settings,
    file: PredictionFile,
    references: dict[str, Any],
    videos: str | Path,
    options: Mapping[str, Any],
    questions: Mapping[str, Question] | None = None,
) -> Result:
    met = coverage(file, references, questions)
    with in_turn(cache) if (cache := options.get("cache")) else nullcontext():  # a judge's answers, or others'
        scores = benchmark.scores_of(file.by_id, references, **options)
    means = benchmark.estimate(scores)
    scoring = _score_options(benchmark) | dict(options)
    return Result(benchmark, settings, file.path, Path(videos), file.by_id, references, met, scores, means, scoring)


def _as_made(path: Path, asked: Settings, given: Mapping[str, Any]) -> Settings:
    """The settings that made a prediction file, as it states them; `asked` where it does not."""
    made = settings_that_made(path)
    if made is None:
        return asked
    if made.mode not in (*POLICIES, asked.mode):
        warnings.warn(
            f"{path} was made in mode {made.mode!r}, and mode {asked.mode!r} is shown instead: a file alone imports no "
            f"code, so name the mode in settings, too.",
            stacklevel=4,
        )
        return asked
    if other := [name for name in given if getattr(made, name) != getattr(asked, name)]:
        texts = (f"{name}={getattr(asked, name)!r} (made with {getattr(made, name)!r})" for name in other)
        warnings.warn(f"{path} states the settings that made it, so not used: {', '.join(texts)}.", stacklevel=4)
    return made


def _score_options(benchmark: Benchmark) -> dict[str, Any]:
    """The options of a benchmark's `score`: name -> default."""
    parameters = inspect.signature(benchmark.score).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def _speaking(policy: str | Path | None, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of a policy file. A mode of one's own must be named in `settings`, too."""
    if not policy:
        return {}
    mode = (settings or {}).get("mode") or ""
    return settings_of(read_policy(policy, mode=mode if ":" in mode else None))


def _given(values: Mapping[str, Any] | None, known: Any, argument: str) -> dict[str, Any]:
    """The values that are given. Refuses unknown names."""
    if unknown := sorted(set(values or {}) - set(known)):
        raise DuetError(f"{argument} has an unknown name {unknown[0]!r}: use {', '.join(known)}.")
    given = {name: value for name, value in (values or {}).items() if value is not None and value != ""}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
