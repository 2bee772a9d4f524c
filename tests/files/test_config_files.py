"""A checkpoint's JSON files: damaged, of another form, or asking for what no machine has."""

import json

import pytest

from mmduet.errors import CheckpointError
from mmduet.files.config_files import read_config, read_settings, understanding


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'{"a": 1', "is no readable JSON.*download the file again"),
        (b"\xff\xfe{}", "is not UTF-8 text"),
        (b"[1]", "holds no JSON object"),
        (b"3", "holds no JSON object"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "nested more than 32 levels"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b'{"text_config": {"auto_map": {"AutoConfig": "evil.Config"}}}', "auto_map names code of its own"),
        (b'{"quantization_config": {"bits": 4}}', "quantised weights"),
    ],
)
def test_a_damaged_or_hostile_file_is_one_sentence(tmp_path, content, message):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_settings(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"auto_map": None}, {"auto_map": {}}, {"a": {"b": [1, {"c": "x"}]}}])
def test_ordinary_files_are_read(tmp_path, settings):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert read_settings(tmp_path / "config.json") == settings


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_hidden_layers", 10**6), ("hidden_size", 10**12), ("rope_theta", float("inf")), ("num_labels", -(10**5))],
)
def test_sizes_that_no_model_has_are_refused(tmp_path, key, value):
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {key: value}}))
    with pytest.raises(CheckpointError, match=f"{key} is .*which no model has"):
        read_config(tmp_path)


def test_a_config_does_not_choose_how_transformers_computes(tmp_path):
    raw = {"attn_implementation": "someone/kernel", "text_config": {"_attn_implementation": "someone/kernel"}}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert read_config(tmp_path) == {"text_config": {}}


def test_what_a_library_raises_is_one_sentence(tmp_path):
    with (
        pytest.raises(CheckpointError, match=r"config\.json is not understood \(a b\)"),
        understanding(tmp_path / "config.json"),
    ):
        raise RuntimeError("a\n b")
    with pytest.raises(CheckpointError, match="lacks 'vocab_size'"), understanding(tmp_path / "config.json"):
        raise KeyError("vocab_size")
