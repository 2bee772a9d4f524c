"""Suites: a YAML file that lists notebook runs."""

import difflib
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from mmduet.errors import AnnotationError, SuiteError
from mmduet.files import read_yaml, shown
from mmduet.reports.resources import NOTHING, Resources

MAX_RUNS = 1_000
MAX_TIMEOUT = 31 * 24 * 3600  # s
MAX_NAME = 180  # bytes: with its endings a file name
FILE_NAME = r"^[\w][\w.+=-]*$"
Name = Annotated[str, Field(pattern=FILE_NAME)]
OUTPUT = re.compile(r"\{output(?::([\w.+=-]+))?\}")
BRACES = re.compile(r"\{\s*(\w+)\s*(?::[\w.+=\s-]*)?\}")
TAKEN = ("index", "history", "logs")  # names of the folder's other files


class RunEntry(BaseModel):
    """One entry of `runs`. A matrix gives one run for each combination of its values.

    `cell_timeout` is the maximum time of a cell, s; None for no limit. `after` names entries or runs that must be done
    first.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    notebook: str
    after: list[Name] = []
    resources: Resources = Resources()
    parameters: dict[str, JsonValue] = {}
    matrix: dict[str, Annotated[list[JsonValue], Field(min_length=1)]] = {}
    cell_timeout: Annotated[int, Field(gt=0, le=MAX_TIMEOUT)] | None = None

    @model_validator(mode="after")
    def _no_parameter_twice(self) -> Self:
        if twice := sorted(self.parameters.keys() & self.matrix.keys()):
            raise ValueError(f"gives {twice[0]} in parameters and in matrix: keep one")
        return self


class SuiteFile(BaseModel):
    """The content of the YAML file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    title: str
    description: str = ""
    runs: Annotated[list[RunEntry], Field(min_length=1)]


@dataclass(frozen=True)
class Run:
    """One notebook with one set of parameters. `notebook` is relative to the project's root.

    `defaults` are those that the notebook declares, after `check_suite` read it. `cell_timeout`: s. `after`: for each
    name that the suite gives, the runs that must be done first.
    """

    name: str
    notebook: str
    parameters: Mapping[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    cell_timeout: int | None = None
    after: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    resources: Resources = NOTHING

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the runs that must be done before this one."""
        return tuple(dict.fromkeys(name for names in self.after.values() for name in names))


@dataclass(frozen=True)
class Suite:
    """A checked suite with expanded matrices. Notebooks run in `root`, and their paths are relative to it."""

    path: Path
    root: Path
    name: str
    title: str
    description: str
    runs: tuple[Run, ...]


def load_suite(path: Path | str) -> Suite:
    """Read and check a suite.

    The project's root is the nearest folder above the suite that contains `notebooks/`, else the suite's own folder.

    Raises:
        SuiteError: The message names the file, the entry, the value and the fix.
    """
    path = Path(path)
    try:
        written = _validated(read_yaml(path), path)
    except AnnotationError as error:
        raise SuiteError(str(error)) from error
    if sum(_count(entry) for entry in written.runs) > MAX_RUNS:
        raise SuiteError(f"{path} has more than {MAX_RUNS} runs: shorten its matrices, or make several suites")
    expanded = [(entry, chosen, run) for entry in written.runs for chosen, run in _expand(entry)]
    _check_names(tuple(run for _, _, run in expanded), path)
    runs = _with_steps(expanded, path)
    folders = path.resolve().parents
    root = next((folder for folder in folders if (folder / "notebooks").is_dir()), folders[0])
    return Suite(path, root, written.name, written.title, written.description, runs)


def filled(run: Run, suite: Suite, folder: Path) -> Run:
    """The run with the folders for `{output}` and `{output:NAME}`, relative to the root where they lie below it.

    Raises:
        SuiteError: As for `fill_output`. The message names the suite and the run.
    """

    def shown(name: str) -> str:
        own = folder / name
        return (own.relative_to(suite.root) if own.is_relative_to(suite.root) else own).as_posix()

    steps = {name: shown(names[0]) for name, names in run.after.items() if len(names) == 1}
    folders = {"": shown(run.name), **{name: shown(name) for name in run.needs}, **steps}
    try:
        return replace(run, parameters=fill_output(dict(run.parameters), folders))
    except SuiteError as error:
        raise SuiteError(f"{suite.path}, run {run.name}: {error}") from error


def fill_output(value: Any, folders: Mapping[str, str]) -> Any:
    """Replace every `{output}` and `{output:NAME}` in the texts of `value`.

    Other braces belong to the notebook, such as those of JSON or of a prompt. A text that differs from these two by a
    slip is an error.

    Args:
        value: A JSON value.
        folders: The run's own folder under "", and the folders of the runs that it comes after, by name.

    Raises:
        SuiteError: A name has no folder, or a placeholder is misspelt.
    """
    match value:
        case str():
            _check_spelling(value, folders)
            return OUTPUT.sub(lambda found: _folder(found[1] or "", folders), value)
        case list():
            return [fill_output(item, folders) for item in value]
        case dict():
            return {key: fill_output(item, folders) for key, item in value.items()}
    return value


def _check_spelling(text: str, folders: Mapping[str, str]) -> None:
    for found in BRACES.finditer(text):
        is_meant = difflib.get_close_matches(found[1].lower(), ["output"], cutoff=0.8)  # one letter is wrong
        if is_meant and not OUTPUT.fullmatch(found[0]):
            raise SuiteError(
                f"{shown(found[0])} is no placeholder: write {{output}} for the folder of the run, or {{output:NAME}} "
                f"for that of a run that it comes after (known: {_known(folders)})"
            )


def _known(folders: Mapping[str, str]) -> str:
    return ", ".join(sorted(filter(None, folders))) or "none"


def _folder(name: str, folders: Mapping[str, str]) -> str:
    if name in folders:
        return folders[name]
    raise SuiteError(
        f"{{output:{name}}} names no single run that this one comes after (known: {_known(folders)}): name it in "
        "`after`, or give the complete name of one run"
    )


def _validated(document: Any, path: Path) -> SuiteFile:
    try:
        return SuiteFile.model_validate(document)
    except ValidationError as error:
        first, *others = error.errors()
        more = f" ({len(others)} more after it)" if others else ""
        raise SuiteError(f"{path}: {_sentence(first)}{more}") from error


def _sentence(error: Any) -> str:
    """One pydantic error as a sentence of entry, value, rule and fix."""
    *parents, key = error["loc"] or ("",)
    entry = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    found = shown(error["input"])
    match error["type"]:
        case "extra_forbidden":
            model = Resources if parents[-1:] == ["resources"] else RunEntry if parents else SuiteFile
            known = list(model.model_fields)
            near = difflib.get_close_matches(str(key), known) or known
            return f"{entry} is not a key of a suite: use {' or '.join(near)}"
        case "missing":
            return f"{entry} is missing: add it"
        case "string_pattern_mismatch":
            return f"{entry} is {found}, but it names files: use letters, digits and . _ + = -"
        case "value_error":
            return f"{entry} {error['ctx']['error']}"
        case "model_type":
            return f"{entry or 'the file'} is {found}, not keys and values: write `key: value` lines"
    return f"{entry} is {found}, but {error['msg'].lower()}: correct it"


def _count(entry: RunEntry) -> int:
    return math.prod(len(values) for values in entry.matrix.values())


def _expand(entry: RunEntry) -> Iterator[tuple[dict[str, JsonValue], Run]]:
    """The runs of an entry, each with its values of the matrix."""
    labels = {name: _labels(values) for name, values in entry.matrix.items()}
    for picks in itertools.product(*(range(len(values)) for values in entry.matrix.values())):
        chosen = dict(zip(entry.matrix, picks, strict=True))
        name = "-".join([entry.name, *(f"{key}={labels[key][pick]}" for key, pick in chosen.items())])
        values = {key: entry.matrix[key][pick] for key, pick in chosen.items()}
        parameters = {**entry.parameters, **values}
        yield values, Run(name, entry.notebook, parameters, cell_timeout=entry.cell_timeout, resources=entry.resources)


def _with_steps(expanded: list[tuple[RunEntry, dict[str, JsonValue], Run]], path: Path) -> tuple[Run, ...]:
    """The runs with the names of those that they come after.

    The name of an entry stands for its runs whose matrix agrees with that of the run in all parameters of both.
    """
    names = {name for entry, _, run in expanded for name in (entry.name, run.name)}

    def agrees(chosen: dict[str, JsonValue], other: dict[str, JsonValue]) -> bool:
        return all(chosen[key] == other[key] for key in chosen.keys() & other.keys())

    def found(name: str, run: Run, chosen: dict[str, JsonValue]) -> tuple[str, ...]:
        if name not in names:
            near = difflib.get_close_matches(name, names) or sorted(names)[:5]
            raise SuiteError(f"{path}: run {run.name} comes after {name}, which is no run: use {' or '.join(near)}")
        if exact := [other.name for _, _, other in expanded if other.name == name]:
            return tuple(exact)
        same = [other.name for entry, values, other in expanded if entry.name == name and agrees(chosen, values)]
        if not same:
            raise SuiteError(f"{path}: run {run.name} comes after {name}, but no run of {name} has its parameters")
        return tuple(same)

    return tuple(
        replace(run, after={name: found(name, run, chosen) for name in entry.after}) for entry, chosen, run in expanded
    )


def _labels(values: list[Any]) -> list[str]:
    """Each value as a part of a file name; numbers from 1 where values are long or look alike."""
    labels = [re.sub(r"[^\w.+-]+", "-", str(value)).strip("-") for value in values]
    alike = len({label.lower() for label in labels}) < len(labels)
    if alike or not all(0 < len(label) <= 40 for label in labels):
        return [str(number) for number in range(1, len(values) + 1)]
    return labels


def _check_names(runs: tuple[Run, ...], path: Path) -> None:
    names = [run.name.lower() for run in runs]
    for run in runs:
        if names.count(run.name.lower()) > 1:
            raise SuiteError(f"{path}: two runs are named {run.name}, but each makes its own file: rename one")
        if run.name.lower() in TAKEN or run.name.lower().endswith(".failed"):
            raise SuiteError(f"{path}: a run is named {run.name}, but that name is taken: rename it")
        if len(run.name.encode()) > MAX_NAME:
            raise SuiteError(f"{path}: the name {run.name[:40]}… is too long for a file: shorten it, or the matrix")
