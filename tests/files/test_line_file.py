"""LineFile: lines appended completely or not at all."""

import os

import pytest

from mmduet.errors import FileError
from mmduet.files import LineFile, read_jsonl


def test_lines_end_at_a_line_feed_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    text = "a\u2028b\u2029c\u0085d"
    with LineFile(path) as file:
        file.add({"text": text})
        file.add({"text": "\ud800"})  # what UTF-8 cannot hold
    assert list(read_jsonl(path)) == [(1, {"text": text}), (2, {"text": "\ud800"})]


def test_a_truncated_line_is_cut_when_the_file_is_opened(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "\xc3')
    with LineFile(path) as file:
        file.add({"a": 2})
    assert path.read_bytes() == b'{"a": 1}\n{"a": 2}\n'


def test_one_writer_a_file(tmp_path):
    with LineFile(tmp_path / "a.jsonl"), pytest.raises(FileError, match=f"written by process {os.getpid()}"):
        LineFile(tmp_path / "a.jsonl")
    LineFile(tmp_path / "a.jsonl").close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_lines_are_replaced_by_others(tmp_path):
    with LineFile(tmp_path / "a.jsonl") as file:
        file.add(1)
        file.rewrite([2, 3])
        file.add(4)
    assert (tmp_path / "a.jsonl").read_text() == "2\n3\n4\n"


def test_a_file_that_cannot_be_opened_leaves_no_lock(tmp_path):
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(FileError, match="Is a directory"):
        LineFile(tmp_path / "a.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_what_killed_processes_left_of_a_lock_is_no_obstacle(tmp_path):
    """One that could not state its process, and one that was taking over."""
    (tmp_path / ".a.jsonl.lock").touch()
    os.utime(tmp_path / ".a.jsonl.lock", (1, 1))
    (tmp_path / f".a.jsonl.lock.break.99999999.{'0' * 32}").touch()
    LineFile(tmp_path / "a.jsonl").close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_short_write_is_noticed_and_taken_back(tmp_path, monkeypatch):
    with LineFile(tmp_path / "a.jsonl") as file:
        file.add([1])
        whole = file._file

        class Full:
            def write(self, line):
                return whole.write(line[:2])

            def __getattr__(self, name):
                return getattr(whole, name)

        monkeypatch.setattr(file, "_file", Full())
        with pytest.raises(FileError, match="2 of 4 bytes"):
            file.add([2])
    assert (tmp_path / "a.jsonl").read_text() == "[1]\n"
