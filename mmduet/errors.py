"""The one exception family of this package: bad input, told in one sentence."""


class DuetError(ValueError):
    """Something the user gave is wrong.

    The message names the file or argument, the value seen, the rule it breaks, and the fix.
    """


class VideoError(DuetError):
    """A clip is missing, truncated, empty, or no video at all."""


class AnnotationError(DuetError):
    """A data file cannot be read or breaks its format; the message names file, entry and field."""


class FileError(DuetError):
    """A file or folder cannot be written, or is not ours to write."""


class CheckpointError(DuetError):
    """A preset, checkpoint or adapter is unknown, incomplete, or does not fit."""


class SuiteError(DuetError):
    """A suite or a notebook's parameters are not what the notebook takes."""
