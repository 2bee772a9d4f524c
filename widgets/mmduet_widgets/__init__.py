"""Jupyter widgets of the MMDuet workbench, one per module; `static/` holds their JavaScript and CSS.

The core package `mmduet` knows nothing of them. A widget is imported when its name is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
