import gc
import weakref

from mmduet.memory import free_garbage


class Ring:
    """Refers to itself, so only the collector frees it."""

    def __init__(self):
        self.itself = self


def test_what_refers_only_to_itself_is_freed():
    gc.disable()
    try:
        gone = weakref.ref(Ring())
        assert gone() is not None
        free_garbage()
        assert gone() is None
    finally:
        gc.enable()
