"""Errors: one family of exceptions, each of which reports bad input in one sentence."""


class DuetError(ValueError):
    """An input of the user is wrong.

    The message names the file or argument, the value seen, the rule that it breaks, and the fix.
    """


class VideoError(DuetError):
    """A clip is missing, truncated, empty, or not a video."""


class AnnotationError(DuetError):
    """A data file cannot be read or breaks its format. The message names file, entry and field."""


class FileError(DuetError):
    """A file or folder cannot be written, or belongs to somebody else."""


class CheckpointError(DuetError):
    """A preset, checkpoint or adapter is unknown, incomplete, or does not fit."""


class SuiteError(DuetError):
    """A suite is wrong, or its parameters do not fit the notebook."""
