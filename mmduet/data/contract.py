"""Contract: what the functions of an annotation kind return, checked where they come back.

A turn checks its own role, text and labels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

from mmduet.data.conversations import Conversation
from mmduet.data.kinds import AnnotatedText, Entry
from mmduet.errors import AnnotationError, DuetError
from mmduet.files import shown
from mmduet.model.prompt import StreamTurn, TextTurn


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Name the file, the kind and the entry where one of a kind's functions fails or returns something else.

    An error in its code keeps its traceback and gets a note.

    Args:
        where: The file, the kind and the entry.

    Raises:
        AnnotationError: The block raised a DuetError.
    """
    try:
        yield
    except DuetError as error:
        raise AnnotationError(f"{where}: {error}") from error
    except Exception as error:
        error.add_note(f"The annotation kind failed here: {where}.")
        raise


def checked_entries(found: Any) -> Iterator[Entry]:
    """Yield the entries of an annotation file.

    Raises:
        AnnotationError: One is no `Entry`, names no video, or has a start or end that is no number.
    """
    for entry in _each("entries", found, Entry, "Entry objects"):
        if not isinstance(entry.video, str):
            raise AnnotationError(f"entries returned video={shown(entry.video)}: give its path in video_root as text.")
        for name in ("starts", "ends"):
            times = getattr(entry, name)
            if not isinstance(times, Mapping) or not all(isinstance(time, Real) for time in times.values()):
                raise AnnotationError(
                    f"entries returned entry {entry.name} with {name}={shown(times)}: give a dict of seconds by name."
                )
        yield entry


def checked_conversation(found: Any, max_frames: int) -> Conversation:
    """Return a conversation of at most `max_frames` frames.

    Raises:
        AnnotationError: It is something else.
    """
    if not isinstance(found, Conversation):
        raise AnnotationError(f"conversation returned {_came(found)}: return a Conversation.")
    turns = _each("conversation", found.turns, (TextTurn, StreamTurn), "TextTurn and StreamTurn objects as turns")
    found = replace(found, turns=tuple(turns))
    if not isinstance(found.first_frame, Integral) or found.first_frame < 0:
        raise AnnotationError(f"conversation returned first_frame={found.first_frame!r}: give a whole number from 0.")
    if found.frames > max_frames:
        raise AnnotationError(
            f"conversation returned {found.frames} frames, the mixture allows {max_frames}: cut it with `truncate`."
        )
    return found


def checked_texts(found: Any) -> Sequence[AnnotatedText]:
    """Return the texts of an annotation.

    Raises:
        AnnotationError: One is no `AnnotatedText`.
    """
    return list(_each("texts", found, AnnotatedText, "AnnotatedText objects"))


def _each(who: str, found: Any, kind: type | tuple[type, ...], wanted: str) -> Iterator[Any]:
    if not isinstance(found, Iterable):
        raise AnnotationError(f"{who} returned {_came(found)}: return {wanted}.")
    for each in found:
        if not isinstance(each, kind):
            raise AnnotationError(f"{who} returned {_came(each)} in its list: return {wanted}.")
        yield each


def _came(value: Any) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"
