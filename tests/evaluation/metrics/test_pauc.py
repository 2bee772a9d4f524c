"""PAUC: its laws, cases by hand, and what differs between the two rules."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mmduet.errors import DuetError
from mmduet.evaluation.metrics.pauc import RULES, SILENT, find_rule, pauc, steps

OFFICIAL, MMDUET2 = RULES["proactivevideoqa"], RULES["mmduet2"]
SPAN = (4.0, 12.0)
times = st.floats(4, 12)
omegas = st.floats(0, 1)
points = st.lists(st.tuples(times, st.integers(0, 2)), max_size=8)


@pytest.mark.parametrize(
    ("replies", "omega", "value"),
    [
        ([], 0.5, 0.25),
        ([(4, 2)], 0, 1.0),
        ([(4, 0)], 0.5, 0.0),
        ([(12, 2)], 0, 0.25),
        ([(12, 2)], 0.5, 0.625),
        # 2 s at 0.5, 4 s at 1, 2 s at 2, of 16
        ([(6, 1), (10, 2)], 0, 9 / 16),
        # at 5 s and 7 s
        ([(6, 1), (10, 2)], 0.5, (0.5 + 2 + 10) / 16),
        ([(6, 1), (10, 2)], 1, 1.0),
        ([(10, 2), (6, 1)], 0, 9 / 16),
        # of two at one time the last one counts
        ([(8, 0), (8, 2)], 0, (2 + 8) / 16),
    ],
)
def test_by_hand(replies, omega, value):
    assert pauc(replies, SPAN, omega=omega) == pytest.approx(value, abs=1e-12)


@given(points, omegas)
def test_it_is_a_share(replies, omega):
    assert 0 <= pauc(replies, SPAN, omega=omega) <= 1


@given(omegas, times, times)
def test_silence_is_a_quarter(omega, start, end):
    assert pauc([], (min(start, end), max(start, end)), omega=omega) == SILENT == 0.25


@given(points, st.data(), omegas)
def test_an_earlier_equal_reply_never_lowers_it(replies, data, omega):
    """A reply that is better than the one before it moves towards that one."""
    replies = sorted(dict(replies).items())
    better = [i for i, (_, score) in enumerate(replies) if score > (replies[i - 1][1] if i else 0.5)]
    assume(better)
    place = data.draw(st.sampled_from(better))
    before = replies[place - 1][0] if place else SPAN[0]
    earlier = data.draw(st.floats(before, replies[place][0]))
    assume(earlier > before or not place)
    moved = [*replies[:place], (earlier, replies[place][1]), *replies[place + 1 :]]
    assert pauc(moved, SPAN, omega=omega) >= pauc(replies, SPAN, omega=omega) - 1e-12


@given(points.filter(bool))
def test_omega_1_ignores_times(replies):
    last = sorted(dict(replies).items())[-1][1]
    assert pauc(replies, SPAN, omega=1) == pytest.approx(last / 2)


@given(points, omegas, st.randoms())
def test_the_order_of_replies_changes_nothing(replies, omega, rng):
    replies = list(dict(replies).items())
    assert pauc(rng.sample(replies, len(replies)), SPAN, omega=omega) == pauc(replies, SPAN, omega=omega)


@given(points, omegas)
def test_steps_fill_the_span_and_their_area_is_pauc(replies, omega):
    found = steps(replies, SPAN, omega=omega)
    assert [found[0][0], found[-1][1]] == list(SPAN)
    assert all(step[1] == following[0] for step, following in pairwise(found))
    area = sum((end - start) * score for start, end, score in found)
    assert area / 16 == pytest.approx(pauc(replies, SPAN, omega=omega), abs=1e-12)


def test_a_span_of_no_length_gives_0_with_a_reply():
    assert pauc([(3, 2)], (3, 3)) == 0
    assert pauc([], (3, 3)) == SILENT


@pytest.mark.parametrize(
    ("replies", "kept"),
    [
        ([(5, 2), (11, 1)], [(5, 2)]),
        ([(5, 1), (11, 1)], [(5, 1), (11, 1)]),
        # at the end of what the answer is about: not late
        ([(5, 2), (10, 1)], [(5, 2), (10, 1)]),
        # both late: nothing was before
        ([(10.5, 2), (11, 0)], [(10.5, 2), (11, 0)]),
        # later ones are compared with the last one in time, and not with each other
        ([(5, 2), (9, 1), (10.5, 0), (11, 2), (12, 1)], [(5, 2), (9, 1), (11, 2), (12, 1)]),
    ],
)
def test_late_and_worse_replies(replies, kept):
    assert OFFICIAL.kept(replies, 10) == kept
    assert MMDUET2.kept(replies, 10) == replies


@given(points, times)
def test_only_late_replies_are_left_out(replies, related_end):
    everything = MMDUET2.kept(replies, related_end)
    left_out = set(everything) - set(OFFICIAL.kept(replies, related_end))
    last = [score for time, score in everything if time <= related_end][-1:]
    assert all(time > related_end and [score] < last for time, score in left_out)


@pytest.mark.parametrize(
    ("text", "words"),
    [("a", "a"), (" a<|im_end|>", "a"), ("<|im_end|> a <|im_end|>\n<|im_end|>", "a"), ("a<|im_end|>b", "a<|im_end|>b"),
     ("NO REPLY", None), (" NO REPLY<|im_end|>", None), ("NO REPLY yet", "NO REPLY yet"), ("no reply", "no reply")],
)  # fmt: skip
def test_words(text, words):
    assert MMDUET2.text(text) == words
    assert OFFICIAL.text(text) == text


def test_immediate_spans():
    assert MMDUET2.is_immediate((3.08, 3.38))
    assert not MMDUET2.is_immediate((5.0, 5.5))
    assert not OFFICIAL.is_immediate((3.0, 3.0))


@pytest.mark.parametrize(
    ("replies", "omega", "message"),
    [
        ([], 1.1, "omega=1.1: must be from 0"),
        ([], float("nan"), "omega=nan: must be from 0"),
        ([(3.9, 1)], 0.5, r"a reply at 3.9 s with score 1: its time is in the span \[4, 12\]"),
        ([(5, 3)], 0.5, "a reply at 5 s with score 3: .* score is from 0 to 2"),
        ([(5, -1)], 0.5, "score -1"),
    ],
)
def test_what_is_out_of_range_is_refused(replies, omega, message):
    with pytest.raises(DuetError, match=message):
        pauc(replies, SPAN, omega=omega)


def test_an_unknown_rule_is_refused():
    with pytest.raises(DuetError, match=r"rule='official' is not known: use one of \['proactivevideoqa', 'mmduet2'\]"):
        find_rule("official")


@given(points, omegas)
def test_it_is_linear_in_omega(replies, omega):
    timed, last = (pauc(replies, SPAN, omega=value) for value in (0, 1))
    assert pauc(replies, SPAN, omega=omega) == pytest.approx((1 - omega) * timed + omega * last, abs=1e-12)
