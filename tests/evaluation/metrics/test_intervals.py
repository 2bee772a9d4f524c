import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmduet.evaluation.metrics.intervals import interval_iou, overlap

spans = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted)


@given(spans, spans)
def test_iou_counts_shared_seconds(a, b):
    seconds = [set(range(*span)) for span in (a, b)]
    shared, union = len(seconds[0] & seconds[1]), len(seconds[0] | seconds[1])
    assert overlap(a, b) == shared
    assert interval_iou(a, b) == (shared / union if union else 0)


def test_intervals_are_broadcast():
    a, b = np.array([[0, 2], [4, 8]]), np.array([[1, 2], [4, 8], [0, 8]])
    assert interval_iou(a[:, None], b[None]).tolist() == [[0.5, 0, 0.25], [0, 1, 0.5]]
    assert interval_iou(a[0], b[0], epsilon=2.0) == 0.25
