"""Labels of frames: what a stream turn takes."""

import numpy as np
import pytest
import torch

from mmduet.errors import DuetError
from mmduet.model.prompt import StreamTurn


@pytest.mark.parametrize("head", ["informative", "relevance"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((0, 1), r"of 3 frames has 2 {head} labels"),
        ((0, 1, 0, 1), r"of 3 frames has 4 {head} labels"),
        ((0, 2, 1), r"the {head} label 2: give 0 or 1, or -100"),
        ((0, 1.0, 1), r"the {head} label 1\.0"),
        ((0, None, 1), r"the {head} label None"),
        ((0, torch.tensor(1), 1), r"the {head} label tensor\(1\)"),
        (np.array([0, 1, 1]), r"{head}=array\(\[0, 1, 1\]\): give a tuple"),
        ("011", r"{head}='011': give a tuple"),
    ],
)
def test_labels_that_are_none_are_refused(head, labels, message):
    with pytest.raises(DuetError, match=message.format(head=head)):
        StreamTurn(3, **{head: labels})


@pytest.mark.parametrize("labels", [None, (0, 1, -100), [1, 0, 1], tuple(np.array([0, 1, 1])), (False, True, True)])
def test_labels_of_frames(labels):
    assert StreamTurn(3, relevance=labels).relevance == labels
