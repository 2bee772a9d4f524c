"""Judges: chat models that rate a reply against a reference answer, here or at an endpoint.

`__init__.pyi` lists the public names. Each is imported when it is first used, so that this package loads no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
