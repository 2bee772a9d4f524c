import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmduet.errors import AnnotationError, DuetError, FileError
from mmduet.policy import PolicyFile, read_policy, write_policy

numbers = st.floats(0, 100)


@given(
    st.sampled_from(["threshold", "sum"]),
    numbers,
    st.sampled_from([["informative"], ["relevance"], ["informative", "relevance"], ["reply"]]),
)
def test_what_is_written_is_read(tmp_path_factory, mode, threshold, heads):
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    write_policy(path, PolicyFile(mode=mode, threshold=threshold, heads=heads, calibration={"target": "f1"}))
    found = read_policy(path)
    assert (found.mode, found.threshold, found.heads) == (mode, threshold, heads)
    assert (found.policy.threshold, list(found.policy.heads)) == (threshold, heads)


def test_the_policy_has_the_files_options(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"mode": "hysteresis", "threshold": 0.5, "heads": ["relevance"], "options": {"refractory": 4}}')
    assert read_policy(path).policy.options == {"drop": 0.1, "refractory": 4}


def test_a_preset_has_a_name_and_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = read_policy("alert")
    assert (found.mode, found.heads) == ("threshold", ["informative", "relevance"])
    assert found.policy.threshold > 1, "both heads must agree"
    with pytest.raises(AnnotationError, match="has mode 'threshold'"):
        read_policy("alert", mode="sum")
    write_policy("alert", PolicyFile(mode="sum", threshold=3, heads=["relevance"]))
    assert read_policy("alert").mode == "sum"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"threshold": "high"}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"mode": "loud:Rule"}, "has mode 'loud:Rule', which is not built in"),
        ({"mode": "loud"}, "not built in"),
        ({"heads": ["volume"]}, "heads="),
        ({"heads": []}, "heads="),
        ({"options": {"drop": 1}}, r"mode='threshold' must take"),
        ({"level": 1}, "level"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, change, message):
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"mode": "threshold", "threshold": 0.5, "heads": ["informative"]} | change))
    with pytest.raises(DuetError, match=message):
        read_policy(path)


def test_a_policy_of_ones_own_must_be_named(tmp_path):
    path, name = tmp_path / "policy.json", "tests.policies:Smoothed"
    path.write_text(json.dumps({"mode": name, "threshold": 0.5, "heads": ["informative"]}))
    assert type(read_policy(path, mode=name).policy).__name__ == "Smoothed"
    with pytest.raises(AnnotationError, match="mode='sum' was asked for"):
        read_policy(path, mode="sum")


def test_a_file_of_another_kind_is_kept(tmp_path):
    path = tmp_path / "notes.json"
    path.write_text('{"important": 1}')
    with pytest.raises(FileError):
        write_policy(path, PolicyFile(mode="sum", threshold=1.0, heads=["informative"]))
    assert path.read_text() == '{"important": 1}'
