"""Packages: the versions that made a report or a checkpoint."""

from functools import cache
from importlib import metadata
from platform import python_version

PACKAGES = ("mmduet-workbench", "torch", "transformers", "peft", "decord", "av", "plotly", "papermill")


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the decisive packages; "not installed" where one is missing."""
    return {"python": python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
