"""Times of whole-video baselines: every form of the field by hand, and laws for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.evaluation.text_times import Segment, parse_segments, unread_times

TIME = st.integers(0, 999).map(lambda tenths: tenths / 10)
DASH = st.sampled_from([" - ", "-", " – ", "—", " to ", " ~ ", " until "])


def ends(text, duration=200.0):
    return [(segment.start, segment.end) for segment in parse_segments(text, duration)]


@pytest.mark.parametrize(
    "text",
    [
        "2.0 - 6.0 seconds, a door",
        "From 2.0 to 6.0 seconds, a door",
        "from 2 to 6 seconds",
        "2s to 6s",
        "2.0s - 6.0s",
        "(2s–6s) a door",
        "2 - 6 sec.",
        "2 secs — 6 secs",
        "between 2 and 6 seconds",
        "2-6s",
        "the 2 seconds - 6 seconds",
        "The given query happens in 2.0 - 6.0 seconds.",
        "The given query happens in the 2 seconds - 6 seconds.",
        "00:02 - 00:06",
        "[00:02 - 00:06] a door",
        "00:02—00:06: a door",
        "0:00:02 to 0:00:06",
        "From 00:02 to 00:06",
        "<TIME_ZERO><TIME_ZERO><TIME_TWO><TIME_DOT><TIME_ZERO> - <TIME_SIX> <TIME_DOT> <TIME_ZERO> seconds, a",
        "The start time is 2 seconds, and the end time is 6 seconds.",
        "Starting time: 2.0 s\nEnding time: 6.0 s",
        "1% to 3%",
        "From 1 to 3, a door",
        "It happens from 1 to 3.",
        "from 1 to 3 percent",
        "1. 2.0 - 6.0 seconds, a door",
        "6.0 - 2.0 seconds",
    ],
)
def test_two_to_six_seconds_of_200(text):
    assert ends(text) == [(2, 6)]
    assert unread_times(text, 200.0) == []


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1:30 - 2:00", (90, 120)),
        ("1 to 2 minutes", (60, 120)),
        ("1 min 20 s - 2 min 5 s", (80, 125)),
        ("1m20s - 2m5s", (80, 125)),
        ("50 seconds to 1 minute", (50, 60)),
        ("0:01:03 - 0:01:10", (63, 70)),
        ("190 - 310 seconds", (190, 200)),
        ("From 0 to 100, all of it", (0, 200)),
    ],
)
def test_minutes_and_the_video_s_end(text, span):
    assert ends(text) == [span]


@pytest.mark.parametrize(
    "text",
    [
        "20 - 60, a door",
        "From 2.0 to 6.0, a door",
        "From 20 to 60 people walk",
        "from 20 to 60 frames",
        "frames 20 to 60",
        "From 20 to 160, a door",
        "20% to 160%",
        "20 % - 6 seconds",
        "00:75 - 00:80",
        "from 1:30 to 2:00 hours",
        "00:02:03:04",
        "300 - 310 seconds",
        "200 - 210 seconds",
        "2 seconds and 6 seconds",
        "2,0 - 6,0 seconds",
        "-2.0 - 6.0 seconds",
        "From 2 to 6,5 seconds",
        "1 - 12.0 - 20.5 seconds",
        "6 - 00:10",
        "2 - 6, 8 - 10 and 12 - 14 seconds",
        "From 5 to 7, 9 to 11 seconds",
        "a man 2 - 3 m away",
        "At the start.",
        "",
        "starts at 2.0 and ends at 6.0",
    ],
)
def test_what_could_mean_several_things_is_not_read(text):
    assert ends(text) == []


def test_one_segment_a_sentence_and_its_text():
    text = "12 - 20.5 seconds, add oil. From 21 to 30 seconds: stir.\n00:40 - 00:50 serve\n20 - 60, what?"
    assert parse_segments(text, 200.0) == [
        Segment(12, 20.5, "add oil."), Segment(21, 30, "stir."), Segment(40, 50, "serve")
    ]  # fmt: skip
    assert unread_times(text, 200.0) == ["20 - 60"]


@given(TIME, TIME, DASH, st.sampled_from(["{} {} seconds", "from {}s{}s", "happens in {}{} sec."]))
def test_written_seconds_come_back(start, end, dash, form):
    text = form.replace("{}", f"{start}", 1).replace("{}", f"{dash}{end}".replace("- ", "-"), 1)
    assert ends(text, 1000.0) == [tuple(sorted((start, end)))]


@given(st.integers(0, 100), st.integers(0, 100), st.floats(0.5, 1e5))
def test_bare_percentages_are_shares_of_the_video(start, end, duration):
    first, last = sorted((start / 100 * duration, end / 100 * duration))
    assert ends(f"From {start:02} to {end:02}, a cat.", duration) == ([(first, last)] if first < duration else [])


@given(st.integers(0, 7199), st.integers(0, 7199))
def test_clocks_are_minutes_and_seconds(start, end):
    text = " - ".join(f"{time // 60:02}:{time % 60:02}" for time in (start, end))
    assert ends(text, 7200.0) == [tuple(sorted((start, end)))]


FORMS = st.sampled_from(
    ["from ", "to", " - ", "–", "seconds", "s", "%", ":", ".", ",", "\n", "12", "6.5", "minutes", " "]
)


@given(st.one_of(st.text(max_size=80), st.lists(FORMS, max_size=25).map("".join)), st.floats(0.1, 1e4))
def test_any_text_gives_segments_within_the_video(text, duration):
    for segment in parse_segments(text, duration):
        assert 0 <= segment.start <= segment.end <= duration
        assert segment.start < duration
