"""Memory that is free, and still the process's: glibc keeps it in the holes between what is used."""

import ctypes
import gc
import sys

_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def return_memory() -> None:
    """Give free memory back to the system; where there is no glibc, nothing happens."""
    if _trim is not None:
        _trim(0)


def free_garbage() -> None:
    """Also collect what nothing refers to any more, such as a model whose trainer referred to itself."""
    gc.collect()
    return_memory()
