"""Policy files: a policy that was chosen, and how, as a small JSON file; and presets, which have a name and no file.

``{"mode": "threshold", "threshold": 0.42, "heads": ["informative"], "options": {}, "calibration": {…}}``
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict, StrictStr

from mmduet.errors import AnnotationError
from mmduet.files import check_target, read_json, validated, write_json
from mmduet.policy.builtin import POLICIES, make_policy
from mmduet.policy.protocol import Policy
from mmduet.policy.scores import HEADS

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]


class PolicyFile(BaseModel):
    """What a policy file holds.

    Attributes:
        mode: As of `make_policy`, and so are threshold, heads and options.
        calibration: How the policy was chosen, and what it gives; for readers alone.
    """

    model_config = ConfigDict(extra="forbid")

    mode: StrictStr
    threshold: Number
    heads: list[StrictStr]
    options: dict[str, Number] = {}
    calibration: dict[str, Any] = {}

    @property
    def policy(self) -> Policy:
        """The policy.

        Raises:
            DuetError: It cannot be made so.
        """
        return make_policy(self.mode, self.threshold, heads=self.heads, options=self.options)

    def __str__(self) -> str:
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        return f"mode {self.mode}, threshold {self.threshold}, heads {' + '.join(self.heads)}{options}"


# to be told of what one asked for: both heads must agree (docs/concepts.md has what it gives)
PRESETS: dict[str, PolicyFile] = {"alert": PolicyFile(mode="threshold", threshold=1.4, heads=[*HEADS])}


def read_policy(path: str | Path, *, mode: str | None = None) -> PolicyFile:
    """Read a policy file, or take a preset.

    Args:
        path: The file, or the name of a preset (`PRESETS`).
        mode: The mode that it must have. A policy of your own (``module:OBJECT``) must be named here, since a file
            alone imports no code.

    Raises:
        AnnotationError: It is no policy file, or its mode is another one, or not built in and not named.
        DuetError: The policy cannot be made so.
    """
    preset = PRESETS.get(str(path)) if not Path(path).exists() else None
    found: PolicyFile = preset or validated(path, PolicyFile, read_json(path), place="field")
    if mode is not None and mode != found.mode:
        raise AnnotationError(f"{path} has mode {found.mode!r}, and mode={mode!r} was asked for: leave one out.")
    if mode is None and found.mode not in POLICIES:
        raise AnnotationError(
            f"{path} has mode {found.mode!r}, which is not built in: name it as the mode, too, since a file alone "
            f"imports no code. Built in are {[*POLICIES]}."
        )
    _ = found.policy  # refuses wrong heads and options
    return found


def check_policy_target(path: str | Path, inputs: Iterable[str | Path] = ()) -> None:
    """Refuse to write a policy over an input, or over a file of another kind.

    Raises:
        FileError: It would be.
    """
    check_target(path, ours=lambda old: {"mode", "threshold", "heads"} <= set(read_json(old)), inputs=inputs)


def write_policy(path: str | Path, policy: PolicyFile) -> None:
    """Write a policy file; an older one is replaced.

    Raises:
        FileError: There is a file of another kind, or it cannot be written.
    """
    check_policy_target(path)
    write_json(path, policy.model_dump())
