"""Credentials: passwords and keys in URLs, which no page and no file of a report shows."""

import re
from collections.abc import Iterator
from typing import Any

from mmduet.evaluation.judges.endpoint import masked_url

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")


def without_credentials(value: Any, parameters: Any = None) -> Any:
    """Mask each password and key by ***.

    Args:
        value: A JSON value or notebook.
        parameters: The URLs in its texts are masked wherever the texts of `value` contain them. None: `value` itself.
    """
    masks: dict[str, str] = {}
    for text in _texts(value if parameters is None else parameters):
        for url in URL.findall(text):
            if (masked := masked_url(url)) != url:
                in_a_cell = url.encode("unicode_escape").decode().replace('"', r"\"")  # as papermill writes it
                masks |= {url: masked, in_a_cell: masked}
    return _replaced(value, masks) if masks else value


def _texts(value: Any) -> Iterator[str]:
    """The texts in a JSON value."""
    match value:
        case str():
            yield value
        case list() | tuple() | set():
            for item in value:
                yield from _texts(item)
        case dict():
            for item in value.values():
                yield from _texts(item)


def _replaced(value: Any, masks: dict[str, str]) -> Any:
    match value:
        case str():
            for url in sorted(masks, key=len, reverse=True):  # one may be the beginning of another
                value = value.replace(url, masks[url])
            return value
        case list() | tuple() | set():
            return type(value)(_replaced(item, masks) for item in value)
        case dict():
            return type(value)({key: _replaced(item, masks) for key, item in value.items()})
    return value
