"""The duet model: vision tower, projector, language model and two heads; and the prompt that it reads.

Saved adapters name this package as the home of their base model's class.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
