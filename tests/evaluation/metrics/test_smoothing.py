import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmduet.evaluation.metrics.smoothing import smooth

CURVES = st.lists(st.lists(st.integers(0, 1000).map(lambda n: n / 1000), max_size=40), max_size=4)


@given(CURVES, st.integers(0, 14))
def test_every_mean_is_numpys_to_the_last_bit(curves, window):
    """A mean that differs in its last bit breaks ties, and with them the published figures."""
    for curve, smoothed in zip(curves, smooth([np.array(c, dtype=float) for c in curves], window), strict=True):
        plain = [np.mean(curve[max(0, i - window) : i + window + 1]) for i in range(len(curve))]
        assert smoothed.tolist() == plain


def test_by_hand():
    (smoothed,) = smooth([np.array([0.0, 3.0, 6.0, 0.0])], 1)
    assert smoothed.tolist() == [1.5, 3.0, 3.0, 3.0]
