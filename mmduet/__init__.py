"""Duet video language models: watch frame by frame, decide when to speak.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that this package loads no torch.
"""

import os
from typing import Any

import lazy_loader

from mmduet.system.imports import without_collection

# Read when torch loads its OpenMP runtime. By default its threads spin while they wait for each other, and keep the
# thread that they wait for off its core wherever another program runs. Asleep at once they wake too late on an idle
# machine, so GNU's runtime has them spin for some microseconds first (perf/busy.py).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    with without_collection():
        return _import(name)
