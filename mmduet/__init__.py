"""Duet video language models: watch frame by frame, decide when to speak.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that this package loads no torch.
"""

import os

import lazy_loader

# Read when torch loads its OpenMP runtime: threads that wait for each other sleep. By default they spin, and keep the
# thread that they wait for off its core wherever another program runs (perf/busy.py).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
