"""PAUC: the area under the curve of a reference answer's score over time (ProactiveVideoQA, arXiv 2507.09313).

Replies inside the span of a reference answer have scores 0, 1 or 2. The score is START until the first reply, and then
that of the last reply. PAUC is the area under these steps, divided by the largest possible one.

ω in [0, 1] says how little the time of a reply counts: it moves every reply towards the start of the span. At 0 the
replies stand at their times, and at 1 the last score alone counts.

Two evaluations are published, and their rules differ. `RULES` has both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmduet.errors import DuetError

START, HIGHEST = 0.5, 2  # the score before the first reply, and the highest one
SILENT = START / HIGHEST  # PAUC without a reply
SHORTEST = 0.5  # s; a shorter span is immediate, if the rule knows such
END_TOKEN, NO_REPLY = "<|im_end|>", "NO REPLY"

Point = tuple[float, float]  # time, s; score
Interval = tuple[float, float]  # start, end, s


@dataclass(frozen=True, slots=True)
class Rule:
    """How a published evaluation counts.

    Attributes:
        name: Its name in options.
        counts_missing: A question without a prediction is silent; otherwise it does not count.
        drops_late: A reply after the related span that is worse than the last one in it is left out.
        knows_immediate: A span shorter than SHORTEST is no part of PAUC, and has a score of its own.
        cleans: Blanks and END_TOKEN around a reply are removed, and a reply NO_REPLY is none.
        judges_duplicates: A judge decides whether a reply repeats the earlier ones.
        walks_questions: The published code may show a later user turn than the first to the judge.
    """

    name: str
    counts_missing: bool
    drops_late: bool
    knows_immediate: bool
    cleans: bool
    judges_duplicates: bool
    walks_questions: bool

    def text(self, reply: str) -> str | None:
        """The words of a reply; None: it is no reply."""
        if not self.cleans:
            return reply
        while reply != (shorter := reply.strip().removeprefix(END_TOKEN).removesuffix(END_TOKEN)):
            reply = shorter
        return None if reply == NO_REPLY else reply

    def is_immediate(self, span: Interval) -> bool:
        """Whether a span is too short for PAUC."""
        return self.knows_immediate and span[1] - span[0] < SHORTEST

    def kept(self, points: Sequence[Point], related_end: float) -> list[Point]:
        """The replies that make the curve, in time order.

        Of replies after `related_end` that are left out, none has an effect on later ones.

        Args:
            points: Time, s, and score of each reply in a span.
            related_end: The end of what the reference answer is about, s.
        """
        ordered = in_order(points)
        if not self.drops_late:
            return ordered
        last = next((score for time, score in reversed(ordered) if time <= related_end), 0.0)
        return [(time, score) for time, score in ordered if time <= related_end or score >= last]


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "proactivevideoqa",
            counts_missing=True,
            drops_late=True,
            knows_immediate=False,
            cleans=False,
            judges_duplicates=False,
            walks_questions=False,
        ),
        Rule(
            "mmduet2",
            counts_missing=False,
            drops_late=False,
            knows_immediate=True,
            cleans=True,
            judges_duplicates=True,
            walks_questions=True,
        ),
    )
}


def find_rule(name: str) -> Rule:
    """A rule by its name.

    Raises:
        DuetError: The name is not known; the message lists the known ones.
    """
    if name not in RULES:
        raise DuetError(f"rule={name!r} is not known: use one of {[*RULES]}.")
    return RULES[name]


def in_order(points: Sequence[Point]) -> list[Point]:
    """Replies by time. Of several at one time the last one counts."""
    return sorted(dict(sorted(points, key=lambda point: point[0])).items())


def steps(points: Sequence[Point], span: Interval, *, omega: float = 0.5) -> list[tuple[float, float, float]]:
    """The steps of the score over time.

    Args:
        points: Time, s, and score in [0, 2] of each reply in the span, in any order.
        span: Start and end, s.
        omega: ω in [0, 1].

    Returns:
        Start, s, end, s, and score of each step. They fill the span.

    Raises:
        DuetError: ω, a time or a score is out of range.
    """
    start, end = span
    check_omega(omega)
    ordered = in_order(points)
    for time, score in ordered:
        if not (start <= time <= end and 0 <= score <= HIGHEST):
            raise DuetError(
                f"a reply at {time:g} s with score {score:g}: its time is in the span [{start:g}, {end:g}], and its "
                f"score is from 0 to {HIGHEST}."
            )
    moved = [start, *(start + (1 - omega) * (time - start) for time, _ in ordered), end]
    scores = [START, *(score for _, score in ordered)]
    return list(zip(moved, moved[1:], scores, strict=False))


def pauc(points: Sequence[Point], span: Interval, *, omega: float = 0.5) -> float:
    """PAUC of one reference answer, in [0, 1].

    It is SILENT without a reply. A span of 0 s with a reply gives 0, as in a port of the published evaluation, whose
    original divides by zero.

    Args:
        points: Time, s, and score in [0, 2] of each reply in the span, in any order; see `Rule.kept`.
        span: Start and end, s.
        omega: ω in [0, 1].

    Raises:
        DuetError: ω, a time or a score is out of range.
    """
    found = steps(points, span, omega=omega)
    if not points:
        return SILENT
    largest = HIGHEST * (span[1] - span[0])
    area = sum(score * (end - start) for start, end, score in found)
    return min(area / largest, 1.0) if largest > 0 else 0.0  # 1.0: rounding of times


def pauc_if_right(first: NDArray[np.float64], span: Interval, *, omega: float = 0.5) -> NDArray[np.float64]:
    """PAUC of a reference answer whose replies all have the highest score; what is known of it without words.

    Args:
        first: Time of the first reply, s, in the span; float64 [N].
        span: Start and end, s.
        omega: ω in [0, 1].

    Returns:
        float64 [N], each as `pauc`.
    """
    start, end = span
    if end <= start:
        return np.zeros(len(first))
    return 1 - (1 - SILENT) * (1 - omega) * (first - start) / (end - start)


def check_omega(omega: float) -> None:
    """Refuse an ω that is not in [0, 1].

    Raises:
        DuetError: It is not.
    """
    if not 0 <= omega <= 1:
        raise DuetError(f"omega={omega}: must be from 0 (times count) to 1 (the last score alone counts).")
