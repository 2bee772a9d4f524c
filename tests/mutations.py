"""Seeded mutants of files: cut, flipped, spliced bytes, and JSON whose values, keys and types are exchanged."""

import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from random import Random
from typing import Any

ODD = (
    None, True, False, 0, -1, 1, 2**63, 10**400, 1e308, float("nan"), float("inf"), -0.5, "", "0", "nan", "\ud800",
    "a\0b", "../../etc/passwd", "/etc/passwd", "x" * 5000, "a\nb", "<image>", [], {}, [[]], {"": None}, [None],
    {"a": {"b": []}},
)  # fmt: skip
BYTES = (
    b"",
    b"\xff\xfe",
    b"\x00",
    b"{",
    b"]",
    b'"',
    b"," * 9,
    b"[" * 3000,
    b"9" * 5000,
    b"\xe2\x80\xa8",
    b"&a [*a, *a]",
)


@contextmanager
def bounded() -> Iterator[None]:
    """A block that may take 5 s of computing and 500 MB of Python's memory."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
    finally:
        seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seconds < 5
        assert peak < 500e6


def mutants(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`count` mutants of a file; the same seed gives the same."""
    draw = Random(seed)
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    for _ in range(count):
        if value is not None and draw.random() < 0.7:
            yield json.dumps(_exchanged(value, draw)).encode("utf-8", "surrogatepass")
        else:
            yield _cut_or_flipped(content, draw)


def _exchanged(value: Any, draw: Random) -> Any:
    """A value with one to three of its parts exchanged, removed, renamed or put into lists."""
    changed = [deepcopy(value)]
    for _ in range(draw.randint(1, 3)):
        holder, key = draw.choice(list(_places(changed)))
        match draw.randrange(5):
            case 0 if holder is not changed:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw.choice(["", "../x", "\ud800", "key", str(key) * 99])] = holder.pop(key)
            case 2:
                for _ in range(draw.choice([1, 3, 150])):
                    holder[key] = [holder[key]]
            case _:
                holder[key] = deepcopy(draw.choice(ODD))  # a later exchange may change it
    return changed[0] if changed else None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(holder, key) of everything in a value."""
    open_holders = [value]
    while open_holders:
        holder = open_holders.pop()
        keys = range(len(holder)) if isinstance(holder, list) else list(holder)
        yield from ((holder, key) for key in keys)
        open_holders += [holder[key] for key in keys if isinstance(holder[key], list | dict)]


def _cut_or_flipped(content: bytes, draw: Random) -> bytes:
    start = draw.randrange(len(content) + 1)
    end = min(len(content), start + draw.choice([0, 1, 5, 40]))
    match draw.randrange(4):
        case 0:
            return content[:start]
        case 1:
            return content[:start] + draw.choice(BYTES) + content[end:]
        case 2:
            return content[:start] + bytes(byte ^ 1 << draw.randrange(8) for byte in content[start:end]) + content[end:]
        case _:
            return content[:start] + content[start:end] * 3 + content[end:]
