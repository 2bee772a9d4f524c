"""A prediction file that is being written: what made it, its lines so far, and the parts of several processes.

FILE                one JSON line a question
FILE.settings.json  what made it
FILE.part-N         what process N of several has written; put into FILE at the end, or by the next run
"""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mmduet.errors import AnnotationError, DuetError
from mmduet.files import LineFile, check_target, read_json, read_jsonl, remove, validated, write_json
from mmduet.system.packages import package_versions


def settings_path(output: Path) -> Path:
    """Where it is stated what made a prediction file."""
    return output.with_name(f"{output.name}.settings.json")


def check_output(output: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse a file that `predict` did not write, before any work is done. inputs: what the command reads.

    Raises FileError; AnnotationError, with the line, for a prediction file that is damaged.
    """
    output = Path(output)
    check_target(output, ours=lambda path: settings_path(output).is_file(), inputs=inputs)
    check_target(settings_path(output), ours=lambda path: "settings" in read_json(path), inputs=inputs)
    for path in (output, *_parts(output)):
        _entries(path)


def begin(output: Path, stated: dict[str, Any], names: Sequence[str]) -> LineFile:
    """The file, to be written by this process alone; what a killed run left is put together first.

    names: of the questions that are asked; those of them that failed before lose their lines.
    """
    check_output(output)
    _check_settings(output, stated)
    file = LineFile(output)
    try:
        for path in _parts(output):
            LineFile(path).close()  # refuses where a process of a killed run is still at work
        entries = collect(output)
        _check_settings(output, stated)
        if not entries:
            write_json(settings_path(output), stated | {"versions": package_versions()})
        asked = set(names)
        again = [name for name, entry in entries.items() if name in asked and _has_failed(entry)]
        for name in again:
            del entries[name]
        _rewrite(file, output, entries)
    except BaseException:
        file.close()
        raise
    return file


def put_in_order(file: LineFile, output: Path, names: Sequence[str]) -> None:
    """Put the parts into the file, and all lines in the questions' order."""
    entries = collect(output)
    ordered = dict.fromkeys([*(name for name in names if name in entries), *entries])
    _rewrite(file, output, {name: entries[name] for name in ordered})


def _rewrite(file: LineFile, output: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Make these the file's lines, and remove the parts."""
    if list(entries.values()) != _entries(output):
        file.rewrite(entries.values())
    for path in _parts(output):
        remove(path)


def _check_settings(output: Path, stated: dict[str, Any]) -> None:
    """Raises DuetError when a file that has lines was made with other settings. Versions may change."""
    if not collect(output):
        return
    found = validated(settings_path(output), dict[str, Any], read_json(settings_path(output)))
    found.pop("versions", None)
    differing = [
        f"{name} was {found.get(name)!r}, is {stated.get(name)!r}"
        for name in sorted({*found, *stated})
        if found.get(name) != stated.get(name)
    ]
    if differing:
        raise DuetError(
            f"{output} was begun with other settings ({'; '.join(differing)}): go on with those, or give another "
            "output, or delete the file."
        )


def part_path(output: Path, index: int) -> Path:
    """The file of one process of several."""
    return output.with_name(f"{output.name}.part-{index}")


def _parts(output: Path) -> list[Path]:
    """What the processes of a run on several wrote, or are writing; also those of which only the lock exists."""
    pattern = re.compile(rf"\.?{re.escape(output.name)}\.part-(\d+)(\.lock)?")
    found = (pattern.fullmatch(path.name) for path in output.parent.glob("*.part-*"))
    return [part_path(output, index) for index in sorted({int(match[1]) for match in found if match})]


def _entries(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a prediction file; none where there is no file."""
    if not path.is_file():
        return []
    entries = []
    for number, entry in read_jsonl(path, cut=True):
        if not isinstance(entry, dict) or not isinstance(entry.get("question_id"), int | str):
            raise AnnotationError(f"{path}, line {number}: no question_id: remove the line, to have it asked again.")
        entries.append(entry)
    return entries


def collect(output: Path) -> dict[str, dict[str, Any]]:
    """question -> its line, of the file and the parts; an answer before a failure."""
    found: dict[str, dict[str, Any]] = {}
    for path in (output, *_parts(output)):
        for entry in _entries(path):
            name = str(entry["question_id"])
            if name not in found or _has_failed(found[name]):
                found[name] = entry
    return found


def _has_failed(entry: dict[str, Any]) -> bool:
    """Whether a line is an error, or holds scores that are no numbers, as earlier versions wrote them."""
    if "error" in entry:
        return True
    frames = entry.get("debug_data")
    values = [value for frame in frames if isinstance(frame, dict) for value in frame.values()] if frames else []
    return any(isinstance(value, float) and not math.isfinite(value) for value in values)
