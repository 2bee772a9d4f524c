"""Exports: each is known again by its start, and by no other's."""

import pytest
from hypothesis import given

from mmduet.trace import EXPORTS, DuetTrace
from tests.trace.traces import traces


@given(traces())
def test_our_files_are_known_again(trace: DuetTrace) -> None:
    texts = {form: export.make(trace, 20.0) for form, export in EXPORTS.items()}
    for form, export in EXPORTS.items():
        if export.begins is not None:
            assert [other for other, text in texts.items() if export.begins.match(text)] == [form]


@pytest.mark.parametrize("text", ["WEBVTT\n\n00:01.000 --> 00:02.000\nmine\n", "time,price\n1,2\n", '{"times": 1}', ""])
def test_files_of_others_are_not(text: str) -> None:
    assert not [form for form, export in EXPORTS.items() if export.begins and export.begins.match(text)]
