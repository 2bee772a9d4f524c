import sys

import pytest

from mmduet.errors import DuetError
from mmduet.system.objects import find_object


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "my_numbers.py").write_text("SEVEN = 7\nTEXT = 'seven'\n")
    (tmp_path / "my_mistake.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("my_numbers", None)


def test_built_in_and_own_objects_are_found(own):
    assert find_object("one", {"one": 1}, int, argument="number") == 1
    assert find_object("my_numbers:SEVEN", {"one": 1}, int, argument="number") == 7


def test_without_built_in_objects_none_is_listed(own):
    with pytest.raises(DuetError, match="kind='two' is not known: give module:OBJECT"):
        find_object("two", {}, int, argument="kind")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("two", r"number='two' is not known: use one of \['one'\], or module:OBJECT"),
        ("my_numbers:EIGHT", "has no attribute 'EIGHT'"),
        ("my_nothing:X", "ModuleNotFoundError"),
        ("my_mistake:X", "ZeroDivisionError"),
        ("my_numbers:TEXT", "has type str: give an object of type int"),
        (":", "cannot be imported"),
    ],
)
def test_what_is_wrong_is_named(own, name, message):
    with pytest.raises(DuetError, match=message):
        find_object(name, {"one": 1}, int, argument="number")
