"""Parameters: what a notebook's cell tagged `parameters` declares, and whether given values fit."""

import ast
import difflib
import io
import math
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from mmduet.errors import SuiteError
from mmduet.reports.credentials import without_credentials
from mmduet.reports.notebooks import read_notebook

if TYPE_CHECKING:
    from nbformat import NotebookNode

INJECTED = "# Parameters\n"  # the first line of the cell that papermill injects
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "object": object}
MAX_LENGTH = 100_000  # characters of the cell


@dataclass(frozen=True)
class Parameter:
    """One line of the cell: `name: annotation = default  # help`."""

    name: str
    annotation: str
    default: Any
    help: str

    def accepts(self, value: Any) -> bool:
        """Whether `value` is of the annotated type. An int is accepted as a float, True only as a bool."""
        try:
            TypeAdapter(_type(self.annotation)).validate_python(value, strict=True)
        except ValidationError:
            return False
        return True


def check_parameters(notebook: Path | str, parameters: Mapping[str, Any]) -> dict[str, Parameter]:
    """Check that a notebook accepts parameters, before it runs.

    papermill itself only warns of an unknown parameter.

    Args:
        notebook: The notebook's path.
        parameters: Values by name.

    Returns:
        Everything that the notebook declares, by name.

    Raises:
        SuiteError: A parameter is unknown or of another type. The message names the notebook, the parameter, and the
            nearest known names or the expected type.
    """
    declared = declared_parameters(read_notebook(notebook), str(notebook))
    _check(declared, parameters, str(notebook))
    return declared


def check_injected() -> None:
    """Refuse parameters that plain `papermill` injected but the notebook does not declare.

    Call it in the cell after the one tagged `parameters`. It reads the history of the running kernel, where the
    injected cell follows the declaring cell. Where nothing was injected, as in Jupyter, it does nothing.

    Raises:
        SuiteError: As for `check_parameters`.
    """
    from IPython import get_ipython  # only a notebook needs it

    shell: Any = get_ipython()
    cells: list[str] = shell.history_manager.input_hist_raw if shell else []
    for declaring, injected in zip(cells[-2:0:-1], cells[:0:-1], strict=False):
        if injected.startswith(INJECTED):
            given = {parameter.name: parameter.default for parameter in _parse(injected, "papermill's cell")}
            declared = {parameter.name: parameter for parameter in _parse(declaring, "this notebook")}
            _check(declared, given, "this notebook")
            return


def declared_parameters(notebook: "NotebookNode", name: str) -> dict[str, Parameter]:
    """Read the declarations of the first cell tagged `parameters`; none without such a cell.

    They are read from the syntax tree, since papermill's own inspection misses annotations such as `str | None`.
    """
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            return {parameter.name: parameter for parameter in _parse(cell.source, name)}
    return {}


def without_infinities(value: Any) -> Any:
    """A JSON value with the texts inf, -inf and nan for these numbers, which JSON has not."""
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case list():
            return [without_infinities(item) for item in value]
        case dict():
            return {key: without_infinities(item) for key, item in value.items()}
    return value


def _check(declared: Mapping[str, Parameter], given: Mapping[str, Any], notebook: str) -> None:
    for name, value in given.items():
        if name not in declared:
            raise SuiteError(_unknown(name, list(declared), notebook))
        if not declared[name].accepts(value):
            raise SuiteError(
                f"{notebook} takes {name} as {declared[name].annotation}, not {without_credentials(value)!r} "
                f"({type(value).__name__}): write it like its default, {declared[name].default!r}"
            )


def _unknown(name: str, known: list[str], notebook: str) -> str:
    if not known:
        return f"{notebook} takes no parameter {name}, nor any: declare it in a cell tagged `parameters`"
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
    return f"{notebook} takes no parameter {name}: use one of {', '.join(near)}"


def _parse(source: str, notebook: str) -> list[Parameter]:
    if len(source) > MAX_LENGTH:
        raise SuiteError(
            f"{notebook} has a `parameters` cell of {len(source):,} characters: keep it below {MAX_LENGTH:,}"
        )
    try:
        statements, comments = ast.parse(source).body, _comments(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        raise SuiteError(f"{notebook} has a `parameters` cell that is not Python ({error}): correct it") from error
    try:
        return [_parameter(statement, comments) for statement in statements if not _is_text(statement)]
    except _NotSimple as error:
        line = source.splitlines()[error.line - 1].strip()[:80]
        raise SuiteError(
            f"{notebook} has `{line}` in its `parameters` cell, where each line is `name: type = literal  # help`, "
            "of str, int, float, bool, list, dict, None: move it to the next cell"
        ) from None


class _NotSimple(ValueError):
    """A statement is not a parameter."""

    def __init__(self, statement: ast.stmt):
        super().__init__()
        self.line = statement.lineno


class _Floats(ast.NodeTransformer):
    """Replaces `float('inf')` by its value: no literal has it, so papermill writes it like this."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace a call, also in a list or dict."""
        match node:
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str() as text)], keywords=[]):
                return ast.Constant(value=float(text))
        return node


def _parameter(statement: ast.stmt, comments: Mapping[int, str]) -> Parameter:
    kind: ast.expr | None
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=kind, value=ast.expr() as value):
            pass
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            kind = None
        case _:
            raise _NotSimple(statement)
    try:
        default = ast.literal_eval(_Floats().visit(value))
        parameter = Parameter(name, _annotation(kind, default), default, comments.get(statement.end_lineno or 0, ""))
        parameter.accepts(default)  # raises where the annotation is not a type
        return parameter
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, PydanticUserError):
        raise _NotSimple(statement) from None


def _annotation(kind: ast.expr | None, default: Any) -> str:
    match kind:
        case None:
            return type(default).__name__ if default is not None else "object"
        case ast.Constant(value=str() as text):
            return text
    return ast.unparse(kind)


def _type(annotation: ast.expr | str) -> Any:
    """The type that an annotation names, without evaluating it.

    Raises ValueError for all but TYPES, None, their unions, and lists and dicts of them.
    """
    match annotation:
        case str():
            return _type(ast.parse(annotation, mode="eval").body)
        case ast.Constant(value=None):
            return None
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_type(left), _type(right)]  # noqa: UP007  (None | None is no type)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return list[_type(item)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[key, value])):
            return dict[_type(key), _type(value)]  # type: ignore[misc]
    raise ValueError("no type")


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _comments(source: str) -> dict[int, str]:
    """The comment at each line's end, by line number from 1."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
