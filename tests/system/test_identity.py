from pathlib import Path

import pytest

from mmduet.errors import DuetError
from mmduet.system.identity import check_same_settings


def test_the_same_settings_are_resumed():
    check_same_settings(Path("p"), {"a": 1, "b": {"c": [1]}}, {"b": {"c": [1]}, "a": 1})


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ({"a": 2, "b": {"c": 1}}, r"\(a was 1, is 2\): resume with those"),
        ({"a": 1, "b": {"c": 2, "d": 3}}, r"\(b / c was 1, is 2; b / d was None, is 3\)"),
        ({"a": 1}, r"\(b was \{'c': 1\}, is None\)"),
    ],
)
def test_every_setting_that_differs_is_named(now, message):
    with pytest.raises(DuetError, match=rf"^runs/p was started with other settings {message}"):
        check_same_settings(Path("runs/p"), {"a": 1, "b": {"c": 1}}, now)
