"""Duet video language models: watch frame by frame, decide when to speak.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that this package loads no torch.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
