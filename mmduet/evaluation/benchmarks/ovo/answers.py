"""How an answer to OVO-Bench is read: three rules that say whether a response is right.

``upstream`` is the published scoring, and ``lmms-eval`` that of this tool. Both look for letters anywhere: "Answer: D"
is right where A is, "Not sure" holds "No", and "3 or 4" is 34. ``corrected`` reads the answer itself, in capitals or
not, and a response from which no answer can be read is wrong.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmduet.errors import DuetError
from mmduet.evaluation.benchmarks.ovo.items import LETTERS

Reading = Callable[[str, int, Sequence[str]], bool]  # (response, reference, options) -> whether it is right

_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
NUMBERS = {word: value for value, word in enumerate(_WORDS)} | {"once": 1, "twice": 2, "thrice": 3}
_NUMBER = re.compile(rf"\d+(?:\.\d+)?|\b(?:{'|'.join(NUMBERS)})\b", re.IGNORECASE)
_ALTERNATIVE = re.compile(r"\s*(?:or|to|[-–/])\s*", re.IGNORECASE)  # between two numbers


@dataclass(frozen=True, slots=True)
class Rule:
    """How responses are read.

    Attributes:
        choice: Reads the letter of an option.
        count: Reads a number.
        yes_no: Reads yes (1) or no (0).
        left_out: The kinds of items whose test points without a response are left out. In the others they are wrong.
    """

    choice: Reading
    count: Reading
    yes_no: Reading
    left_out: tuple[str, ...] = ()


def find_rule(rule: str) -> Rule:
    """A rule by its name.

    Raises:
        DuetError: The name is not known.
    """
    if rule not in RULES:
        raise DuetError(f"rule={rule!r} is not known; known are {[*RULES]}.")
    return RULES[rule]


# published


def _has_letter(response: str, reference: int, options: Sequence[str]) -> bool:
    return LETTERS[reference] in response


def _has_digits(response: str, reference: int, options: Sequence[str]) -> bool:
    return "".join(re.findall(r"\d+", response)) == str(reference)


def _has_word(response: str, reference: int, options: Sequence[str]) -> bool:
    word = ("No", "Yes")[reference]
    return word in response or response == word[0]


# corrected


def read_choice(response: str, options: Sequence[str]) -> int | None:
    """The index of the option that a response names, by its letter or by its text; None if that is not clear."""
    letters = LETTERS[: len(options)]
    text = response.strip()
    for pattern in (
        rf"\W*([{letters}{letters.lower()}])\W*$",  # the letter alone
        rf"\W*([{letters}])[.):]",  # "B. The cup"
        rf".*?\b(?i:answer|option|choice)(?i:\s+is)?\s*[:=]?\s*\(?([{letters}](?!\w)|[{letters.lower()}](?=\W*$))",
    ):
        if found := re.match(pattern, text, re.DOTALL):
            return letters.index(found[1].upper())
    named = [option for option in options if option.casefold() in text.casefold()]
    longest = [option for option in named if not any(option in other and option != other for other in named)]
    if len(longest) == 1:
        return list(options).index(longest[0])
    # "A" before a word is an article
    alone = set(re.findall(rf"(?<!\w)(?:A(?!\s+(?!or\b|and\b)[a-z])|[{letters[1:]}])(?!\w)", text))
    return letters.index(alone.pop()) if len(alone) == 1 else None


def read_count(response: str) -> float | None:
    """The first number of a response, in digits or as a word; None without one, or if it is one of two ("3 or 4")."""
    first, second, *_ = [*_NUMBER.finditer(response), None, None]
    if first is None or (second and _ALTERNATIVE.fullmatch(response[first.end() : second.start()])):
        return None
    word = first[0].casefold()
    return float(NUMBERS[word]) if word in NUMBERS else float(word)


def read_yes_no(response: str) -> int | None:
    """1 for yes and 0 for no; None for neither or both."""
    text = response.casefold()
    if alone := re.fullmatch(r"\W*([yn])\W*", text):
        return int(alone[1] == "y")
    words = set(re.findall(r"\b(?:yes|no)\b", text))
    return int("yes" in words) if len(words) == 1 else None


READERS: dict[str, Callable[[str, Sequence[str]], float | None]] = {
    "choice": read_choice,
    "count": lambda response, options: read_count(response),
    "yes_no": lambda response, options: read_yes_no(response),
}  # of `corrected`, by kind of item


def _reads(kind: str) -> Reading:
    return lambda response, reference, options: READERS[kind](response, options) == reference


RULES = {
    "upstream": Rule(_has_letter, _has_digits, _has_word),
    "corrected": Rule(_reads("choice"), _reads("count"), _reads("yes_no")),
    "lmms-eval": Rule(_has_letter, _has_digits, _has_word, left_out=("count", "yes_no")),
}
