"""Stated settings: the settings that made a prediction file, read back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmduet.errors import AnnotationError, DuetError
from mmduet.evaluation.benchmark import Settings, policy_of
from mmduet.evaluation.prediction_file import settings_path, stated_settings
from mmduet.files import validated
from mmduet.policy import POLICIES


def stated_by(path: Path) -> Mapping[str, Any]:
    """What the settings file of a prediction file holds; nothing where there is none, as of a file of others."""
    return stated_settings(path) if path.is_file() and settings_path(path).exists() else {}


def settings_that_made(path: Path) -> Settings | None:
    """The settings that made a prediction file.

    Returns:
        None where they are not stated, as of a published file, or no policy is, as of a whole-video baseline.

    Raises:
        AnnotationError: They are damaged, or their policy cannot be made so.
    """
    stated = stated_by(path).get("settings")
    if not isinstance(stated, dict) or stated.get("mode") is None:
        return None
    made: Settings = validated(settings_path(path), Settings, stated, place="field settings /")
    if made.mode in POLICIES:  # the name of another mode may import code, which a file alone must not
        try:
            policy_of(made)
        except DuetError as error:
            raise AnnotationError(f"{settings_path(path)}: {error}") from None
    return made
