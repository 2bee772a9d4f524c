"""ProactiveVideoQA's turns: a reference answer with the replies in its span, and what a judge is asked about them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmduet.evaluation.benchmarks.magqa import replies
from mmduet.evaluation.benchmarks.proactive.items import ProactiveAnswer, ProactiveItem
from mmduet.evaluation.judges.rating import Texts
from mmduet.evaluation.metrics.pauc import Interval, Rule
from mmduet.evaluation.prediction_file import Prediction
from mmduet.trace import Response

DUPLICATE = "=duplicate"  # the end of a pair's name that asks whether a reply is a duplicate


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply in a span.

    Attributes:
        time: s.
        text: Its words.
        earlier: The words of the different replies before it in the span.
        is_literal: One of them has the same words.
    """

    time: float
    text: str
    earlier: tuple[str, ...]
    is_literal: bool

    @property
    def joined(self) -> str:
        """The earlier different replies and this one, as the judge reads them."""
        return " ".join((*self.earlier, self.text))


@dataclass(frozen=True, slots=True)
class Turn:
    """A reference answer and the replies in its span.

    Attributes:
        question_id: Its question.
        index: Its place among the question's reference answers.
        question: The question that the judge reads.
        reference: The reference answer's text.
        span: When a reply counts, s.
        related_end: The end of what the answer is about, s.
        is_immediate: The span is one moment: the answer is due at once.
        replies: The replies in the span, by time.
    """

    question_id: str
    index: int
    question: str
    reference: str
    span: Interval
    related_end: float
    is_immediate: bool
    replies: tuple[Reply, ...]

    @property
    def judged(self) -> list[Reply]:
        """The replies that make the score: of several different ones at one time the last, at once the first."""
        different = [reply for reply in self.replies if not reply.is_literal]
        if self.is_immediate:
            return different[:1]
        return list({reply.time: reply for reply in different}.values())


@dataclass(frozen=True, slots=True)
class ProactivePair:
    """What a judge is asked about a reply.

    Attributes:
        question_id: Its question.
        custom_id: Its name in batch files: ``QUESTION=TURN=TIME``, or ``QUESTION=TURN=REPLY=duplicate``.
        texts: Question, reference answer, replies so far; or "", earlier replies, reply.
    """

    question_id: str
    custom_id: str
    texts: Texts


def coverage_id(turn: Turn, reply: Reply) -> str:
    """The name of the pair that asks how much of the reference answer the replies so far cover."""
    return f"{turn.question_id}={turn.index}={float(reply.time)}"


def duplicate_id(turn: Turn, number: int) -> str:
    """The name of the pair that asks whether reply `number` of a turn says anything new."""
    return f"{turn.question_id}={turn.index}={number}{DUPLICATE}"


def coverage_pairs(turns: Iterable[Turn]) -> list[ProactivePair]:
    """The pairs that make PAUC."""
    return [
        ProactivePair(turn.question_id, coverage_id(turn, reply), (turn.question, turn.reference, reply.joined))
        for turn in turns
        for reply in turn.judged
    ]


def duplicate_pairs(turns: Iterable[Turn]) -> list[ProactivePair]:
    """The pairs that make the judged duplicates: every reply after the first, unless its words were said before."""
    return [
        ProactivePair(turn.question_id, duplicate_id(turn, number), ("", " ".join(reply.earlier), reply.text))
        for turn in turns
        if not turn.is_immediate
        for number, reply in enumerate(turn.replies)
        if number and not reply.is_literal
    ]


def read_coverage_id(name: str) -> tuple[str, str]:
    """The name of a coverage pair with its time as `coverage_id` writes it, and its question; else "" for both."""
    question, *rest = name.rsplit("=", 2)
    try:
        index, time = rest
        return f"{question}={int(index)}={float(time)}", question
    except ValueError:
        return "", ""


def read_duplicate_id(name: str) -> tuple[str, str]:
    """The name of a duplicate pair, and its question; else "" for both."""
    return (name, name.rsplit("=", 3)[0]) if name.endswith(DUPLICATE) else ("", "")


def turns_of(
    predictions: Mapping[str, Prediction],
    references: Mapping[str, ProactiveItem],
    rule: Rule,
    *,
    single_question: bool = True,
    counts_missing: bool | None = None,
) -> list[Turn]:
    """The turns of all questions that count, in the order of the references.

    The span of an immediate turn is the time of the judge's question: of the prediction's user turn with its number, or
    of the reference's, if the prediction does not have it.

    Args:
        predictions: Question id -> prediction.
        references: Question id -> item.
        rule: How replies and spans are read.
        single_question: The judge reads the first user turn. Otherwise it reads the first one that does not begin
            before the span's end (the last one if all do), as the published code of `mmduet2` does.
        counts_missing: Whether a question without a prediction counts as silent; None: as the rule says.
    """
    keeps = rule.counts_missing if counts_missing is None else counts_missing
    return [
        turn
        for name, item in references.items()
        if keeps or name in predictions
        for turn in _turns(name, item, predictions.get(name), rule, single_question)
    ]


def words(prediction: Prediction | None, rule: Rule) -> list[Response]:
    """The replies of a prediction with the words that count, by time."""
    said = sorted(replies(prediction), key=lambda reply: reply.time) if prediction else []
    if not rule.cleans:
        return said
    read = ((reply.time, rule.text(reply.text)) for reply in said)
    return [Response(time, text) for time, text in read if text is not None]


def _turns(
    name: str, item: ProactiveItem, prediction: Prediction | None, rule: Rule, single_question: bool
) -> Iterable[Turn]:
    asked = [turn for turn in item.conversation if turn.role == "user"]
    queries = prediction.trace.queries if prediction else []
    said = words(prediction, rule)
    times = [reply.time for reply in said]
    for index, answer in enumerate(item.answer):
        number = 0 if single_question else _walked([turn.time for turn in asked], answer)
        span, is_immediate = answer.reply_timespan, rule.is_immediate(answer.reply_timespan)
        if is_immediate:
            moment = queries[number].time if number < len(queries) else asked[number].time
            span = (moment, moment)
        inside = said[bisect_left(times, span[0]) : bisect_right(times, span[1])]
        yield Turn(
            name, index, asked[number].content, answer.content, span, answer.related_end, is_immediate, _read(inside)
        )


def _walked(times: Sequence[float], answer: ProactiveAnswer) -> int:
    """The user turn whose text the published code of `mmduet2` shows to the judge."""
    return next((number for number, time in enumerate(times) if time >= answer.reply_timespan[1]), len(times) - 1)


def _read(inside: Sequence[Response]) -> tuple[Reply, ...]:
    found, different = [], dict[str, None]()
    for response in inside:
        found.append(Reply(response.time, response.text, tuple(different), response.text in different))
        different[response.text] = None
    return tuple(found)
