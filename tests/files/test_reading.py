"""Reading: one sentence for what cannot be read."""

import json
import os

import pytest

from mmduet.errors import AnnotationError
from mmduet.files import inside, read_json, read_jsonl


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[" * 100_000, b'{"a": 1' + b"0" * 10_000 + b"}", b""])
def test_what_is_no_json_is_one_sentence(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


def test_json_and_json_lines_that_are_named_for_each_other_are_told(tmp_path):
    for name, text in (("lines.json", '{"a": 1}\n{"a": 2}\n'), ("list.jsonl", "[1,\n2]\n")):
        (tmp_path / name).write_text(text)
    with pytest.raises(AnnotationError, match=r"lines\.json .*\(a file with a value a line is named \.jsonl\)"):
        read_json(tmp_path / "lines.json")
    with pytest.raises(AnnotationError, match=r"list\.jsonl, line 1.*\(a file with one list is named \.json\)"):
        list(read_jsonl(tmp_path / "list.jsonl"))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps([1]).encode())
    assert read_json(tmp_path / "a.json") == [1]


def test_what_is_no_file_is_one_sentence(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", tmp_path / ("n" * 300), "a\0b"):
        with pytest.raises(AnnotationError):
            read_json(path)


@pytest.mark.parametrize("name", ["../a", "/a", "b/../../a", "C:\\a", "..\\a"])
def test_names_that_lead_out(tmp_path, name):
    assert inside(tmp_path, name) is None
    assert inside(tmp_path, "b/../a") == tmp_path / "b/../a"
