import pytest

from mmduet.data.annotations import check_times
from mmduet.errors import AnnotationError


def test_a_time_past_the_end_is_refused():
    check_times("a.json", "3", {"narration 0 time": 10.3}, 10.0)
    with pytest.raises(AnnotationError, match=r"a\.json: entry 3, narration 1 time 12\.0 s lies past .* 10\.00 s"):
        check_times("a.json", "3", {"narration 0 time": 1.0, "narration 1 time": 12.0}, 10.0)
    check_times("a.json", "3", {"narration 0 end": 20.0}, 10.0, tolerance=10)
