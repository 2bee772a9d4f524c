"""`scenes`: a generated data set, made of photographs that come with scikit-image and scikit-learn."""

from mmduet.data.scenes.generate import make_scenes

__all__ = ["make_scenes"]
