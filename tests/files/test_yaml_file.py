"""YAML files: plain values of bounded size; aliases and merges count as what they stand for."""

import itertools
from pathlib import Path

import pytest

from mmduet.errors import AnnotationError
from mmduet.files import read_yaml

LISTS = "".join(f"{y}: &{y} [*{x}, *{x}, *{x}, *{x}]\n" for x, y in itertools.pairwise("abcdefghij"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a: &a [1, 1]\n{LISTS}", "stands for more than 100000 values"),
        ("a: &a [*a]", "stands for more than 100000 values"),
        ("a: {x: 1, x: 2}", r"line 1: key 'x' is given twice"),
        ("a: [", r"is no readable YAML \(line 1: "),
        ("a: " + "[" * 60 + "]" * 60, "is nested too deeply"),
        ("a: !!python/name:os.system a", "could not determine a constructor"),
        ("a: !!int a", "invalid literal"),
        ('"\\ud800": 1', "half of a surrogate pair"),
        ("#" * 100_001, "100,001 characters"),
    ],
)
def test_dangerous_or_broken_yaml_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(AnnotationError, match=message) as error:
        read_yaml(tmp_path / "a.yaml")
    assert str(error.value).startswith(str(tmp_path / "a.yaml"))
    assert "\n" not in str(error.value)


def test_values_are_those_of_yaml_1_2_without_dates(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("{a: 1e-5, b: 4.5E3, c: 2026-01-02, d: '1', 1: x, e: -.5e1}")
    assert read_yaml(tmp_path / "a.yaml") == {"a": 1e-5, "b": 4500.0, "c": "2026-01-02", "d": "1", 1: "x", "e": -5.0}


def test_an_anchor_is_merged_and_overridden(tmp_path: Path) -> None:
    """Also where what is merged is itself a merge with an override."""
    text = "a: &a {x: 1, y: 2}\nb: {c: &c {<<: *a, x: 3}}\nd: {<<: *c, y: 4}\n"
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml") == {
        "a": {"x": 1, "y": 2},
        "b": {"c": {"x": 3, "y": 2}},
        "d": {"x": 3, "y": 4},
    }
