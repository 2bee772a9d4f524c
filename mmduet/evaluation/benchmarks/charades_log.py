"""Charades-STA in lmms-eval's sample logs: read with its own reading of times, and written.

A log's line repeats the video, the query and the reference span under each metric. Therefore a log is also a test file.
lmms-eval compares two intervals. This project compares two sets of frames, and its figures of a written log differ.
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation import lmms_eval
from mmduet.evaluation.benchmark import Console, ask_conversation
from mmduet.evaluation.coverage import coverage
from mmduet.evaluation.items import GroundedItem, Places, Span, read_items
from mmduet.evaluation.metrics.smoothing import check_threshold, scale, smooth
from mmduet.evaluation.prediction_file import Prediction, PredictionFile, read_predictions
from mmduet.evaluation.text_times import Segment
from mmduet.files import check_target, validated
from mmduet.policy import decision_scores
from mmduet.trace import DuetTrace

METRICS = tuple(f"charades_sta_{name}" for name in ("IOU@3", "IOU@5", "IOU@7", "mIOU"))
MARK = ">>>"  # between video, query and span
Place = tuple[str, tuple[float, float]]  # video, and reference span
Window = Annotated[int, "Frames on each side to smooth over; the paper's is 6."]
Threshold = Annotated[float, "Threshold of the smoothed and scaled scores, 0 to 1."]

_EXAMPLE = "a specific example is : 20.8 - 30.0 seconds"  # of lmms-eval's prompt, which some models repeat
_NUMBER, _CLOCK = r"(\d+(?:\.\d+)?)", r"(\d{1,2}:\d{2}(?::\d{2})?)"
_NUMBERS = re.compile(rf"{_NUMBER}\s*[–-]\s*{_NUMBER}")
_NUMBERS_S = re.compile(rf"{_NUMBER}\s*s?\s*[–-]\s*{_NUMBER}\s*s?")
_CLOCKS = re.compile(rf"\b{_CLOCK}\s*[–-]\s*{_CLOCK}\b")


def read_interval(text: str) -> tuple[float, float] | None:
    """The interval that lmms-eval 0.7 reads from a text: start and end, s; None if it reads none.

    Sentences end at "!", "?" and line ends. Those with "start", "end" or "happen" count, or all if there is none. The
    first of these forms decides: a range of clock times; a range of numbers; two clock times anywhere; the first
    numbers of two sentences; a range of numbers with "s". Every "to" is a dash, also in a word.
    """
    text = text.lower().replace(_EXAMPLE, "").replace("to", "-")
    sentences = re.split(r"[!?\n]", text)
    chosen = [s for s in sentences if any(word in s for word in ("start", "end", "happen"))] or sentences
    clocks = [clock for sentence in chosen for clock in re.findall(rf"\b{_CLOCK}\b", sentence)]
    numbers = [found[0] for sentence in chosen if (found := re.findall(rf"\b{_NUMBER}\b", sentence))]
    forms = (_range(_CLOCKS, chosen), _range(_NUMBERS, chosen), clocks[:2], numbers[:2], _range(_NUMBERS_S, chosen))
    pair = next((form for form in forms if len(form) == 2), None)
    if pair is None:
        return None
    first, second = (_in_seconds(time) for time in pair)
    return min(first, second), max(first, second)


def _range(pattern: re.Pattern[str], sentences: list[str]) -> list[str]:
    """Both times of the first match."""
    return next((list(match.groups()) for s in sentences if (match := pattern.search(s))), [])


def _in_seconds(time: str) -> float:
    return sum(float(part) * 60**power for power, part in enumerate(reversed(time.split(":"))))


# reading


def read_charades(path: Path, references: Mapping[str, GroundedItem]) -> PredictionFile:
    """Read a prediction file, or a sample log of lmms-eval.

    A line of a log belongs to the references with its video and span whose text is its query. A text that is no query,
    as a prompt, belongs to the longest query in it. A line without a reference keeps its number, as ``doc_id N``. Of
    lines with the same video, query and span, the last one counts.

    Raises:
        DuetError: The file is of neither form, or the text of a question has several queries of the log in it.
    """
    if not lmms_eval.is_log(path):
        return read_predictions(path)
    asked: dict[Place, dict[str, str]] = {}
    for name, item in references.items():
        for span in item.timestamps:
            asked.setdefault((item.video, span), {})[name] = item.conversation[0].content if item.conversation else ""
    samples: dict[Place, dict[str, lmms_eval.Sample]] = {}
    for sample in lmms_eval.read_log(path):
        video, query, span = _document(path, sample)
        samples.setdefault((video, span), {})[query] = sample
    found = PredictionFile(path)
    for place, queries in samples.items():
        texts = asked.get(place, {})
        known = {name: _query_of(path, name, text, queries.keys(), texts.values()) for name, text in texts.items()}
        for query, sample in queries.items():
            for name in [n for n, own in known.items() if own == query] or [f"doc_id {sample.doc_id}"]:
                found.by_id[name] = _prediction(path, name, sample, *place)
    return found


def _query_of(path: Path, name: str, text: str, queries: Collection[str], texts: Collection[str]) -> str | None:
    """The query of the log that a question asks; None if the log does not have it.

    Args:
        path: The log.
        name: The question.
        text: Its text.
        queries: Those of the log about its video and span.
        texts: Of all questions about them. A query that is one of them is in no other text.

    Raises:
        DuetError: The text has queries in it of which none has the others in it.
    """
    if text in queries:
        return text
    within = sorted((query for query in queries if query in text and query not in texts), key=len)
    if others := [query for query in within if query not in within[-1]]:
        raise DuetError(
            f"{path}: question {name!r}, {text!r}, has both {within[-1]!r} and {others[0]!r} of the log in it: give "
            "references whose texts are the log's queries, or the log itself as references."
        )
    return within[-1] if within else None


def _document(path: Path, sample: lmms_eval.Sample) -> tuple[str, str, tuple[float, float]]:
    """Video, query and reference span of a line."""
    where = f"{path}: doc_id {sample.doc_id}"
    value = next((sample.metrics[metric] for metric in METRICS if metric in sample.metrics), None)
    if not value or any(key.count(MARK) < 2 for key in value):
        raise AnnotationError(f'{where} has no metric {METRICS[0]} with "VIDEO{MARK}QUERY{MARK}[start, end]".')
    video, _, rest = next(iter(value)).partition(MARK)
    query, _, span = rest.rpartition(MARK)
    try:
        times = json.loads(span)
    except ValueError:
        raise AnnotationError(f"{where}: the span {span!r} is no [start, end].") from None
    return video, query, validated(where, Span, times, place="span")


def _prediction(path: Path, name: str, sample: lmms_eval.Sample, video: str, span: tuple[float, float]) -> Prediction:
    if not isinstance(sample.filtered_resps, str):
        raise AnnotationError(f"{path}: doc_id {sample.doc_id} has no response that is a text.")
    times = read_interval(sample.filtered_resps)
    segments = [] if times is None else [Segment(*times, sample.filtered_resps)]
    end = max(span[1], *(segment.end for segment in segments), 1.0)  # the log does not state the video's duration
    return Prediction(name, end, DuetTrace.from_events([]), segments, video)


def logged_questions(places: Places) -> Places:
    """The entries of a test file; a line of a sample log becomes the question that it was asked.

    Lines with the same video, query and span are one question, as in lmms-eval.
    """
    found: Places = []
    seen: set[tuple[str, str, tuple[float, float]]] = set()
    for place, value in places:
        if not isinstance(value, dict) or not value.keys() >= lmms_eval.FIELDS:
            found.append((place, value))
            continue
        sample: lmms_eval.Sample = validated("the log", lmms_eval.Sample, value, place=f"{place} /")
        document = _document(Path("the log"), sample)
        if document not in seen:
            video, query, span = document
            turn = {"role": "user", "content": query, "time": 0}
            item = {"question_id": sample.doc_id, "video": video, "conversation": [turn], "timestamps": [span]}
            found.append((place, item))
        seen.add(document)
    return found


# writing


def best_interval(prediction: Prediction, *, window: int = 6, threshold: float = 0.5) -> tuple[float, float] | None:
    """The interval that the scores mark best: start and end, s; None without any.

    Of the runs of frames whose smoothed and scaled relevance reaches the threshold, it is the one with the highest sum.
    A whole-video baseline has its first segment.
    """
    check_threshold(threshold)
    if prediction.segments is not None:
        return next(((s.start, s.end) for s in prediction.segments), None)
    times = prediction.trace.times
    if not len(times):
        raise DuetError(f"prediction {prediction.question_id!r} has no frame scores: predict it again.")
    (smoothed,) = smooth([decision_scores(prediction.trace, ("relevance",))], window)
    scaled = scale(smoothed)
    runs = np.split(np.arange(len(times)), np.flatnonzero(np.diff(scaled >= threshold)) + 1)
    chosen = [run for run in runs if scaled[run[0]] >= threshold]
    if not chosen:
        return None
    best = max(chosen, key=lambda run: float(scaled[run].sum()))
    ends = np.append(times[1:], prediction.duration)
    return float(times[best[0]]), float(max(ends[best[-1]], times[best[-1]]))


def export_files(
    predictions: Path,
    output: Path,
    references: Path | None,
    console: Console,
    *,
    window: Window = 6,
    threshold: Threshold = 0.5,
) -> None:
    """Write each question's best interval as a sample log of lmms-eval, which needs --references."""
    if references is None:
        raise DuetError("a sample log repeats the annotations: give --references.")
    check_target(output, ours=lmms_eval.is_log, inputs=[predictions, references])
    items = read_items(references, GroundedItem, logged_questions)
    found = read_charades(predictions, items)
    met = coverage(found, items, {name: ask_conversation(item) for name, item in items.items()})
    console.say(str(met))
    lines = [
        _line(number, items[name], best_interval(found.by_id[name], window=window, threshold=threshold))
        for number, name in enumerate(met.matched)
    ]
    console.say(f"{output}: {lmms_eval.write_log(output, lines)} queries")


def _line(number: int, item: GroundedItem, interval: tuple[float, float] | None) -> dict[str, Any]:
    if len(item.timestamps) != 1:
        raise DuetError(f"question {item.question_id!r} has {len(item.timestamps)} spans; lmms-eval's form has one.")
    query, span = item.conversation[0].content, list(item.timestamps[0])
    said = "" if interval is None else f"The event happens in the {interval[0]:.2f} - {interval[1]:.2f} seconds."
    key = f"{item.video}{MARK}{query}{MARK}{span}"
    return lmms_eval.sample_line(
        number,
        {"video": item.video, "caption": query, "timestamp": span},
        target=str(span),
        response=said,
        metrics={metric: {key: said} for metric in METRICS},
        query=query,
    )
