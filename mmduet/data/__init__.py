"""Training data: annotations and videos -> conversations with a label for every frame.

The names for notebooks and scripts; each is imported when it is first used, so that `make_scenes` loads no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
