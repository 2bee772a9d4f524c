"""`perf/proactivevideoqa.py`: its check against a plain loop runs, with few questions."""

import re


def test_the_figures_are_those_of_the_plain_loop(printed):
    output = printed("proactivevideoqa.py", "--questions", "10", "--turns", "25", "--repeats", "1")
    assert re.findall(r"rule (\S+), 10 questions, 25 turns", output) == ["proactivevideoqa", "mmduet2"]
