"""`world`: a generated data set of streams that show a thousand things, without a picture.

kinds       words such as "dog" for many classes
script      what a stream shows
stream      a script -> the logits of a classifier
annotations logits -> training samples
generate    make_world
"""

from mmduet.data.world.generate import make_world

__all__ = ["make_world"]
