"""Files: complete or as they were, and nothing of anyone else's touched."""

import json
import os
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmduet.errors import AnnotationError, FileError
from mmduet.files import (
    MANIFEST,
    LineFile,
    check_folder,
    check_target,
    clean,
    inside,
    is_complete,
    locked,
    read_json,
    read_jsonl,
    remove,
    replacing,
    replacing_folder,
    write_file,
    write_files,
)
from tests.clips import write_clip


def test_a_file_is_replaced_when_the_block_ends_well(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.suffix == ".json"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "new"


def _write_half(temporary):
    temporary.write_text("half")
    raise KeyError("elsewhere")


def test_a_failed_block_leaves_the_file_as_it_was(tmp_path):
    target = tmp_path / "a.json"
    target.write_text("old")
    with pytest.raises(KeyError, match="elsewhere"), replacing(target) as temporary:
        _write_half(temporary)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "old"}


def test_several_files_are_written_or_none(tmp_path):
    (tmp_path / "b").mkdir()  # cannot become a file
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileError, match=r"b cannot be written"):
        write_files({tmp_path / "b": "x", tmp_path / "a": "new"})
    assert (tmp_path / "a").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_and_a_mode_stay(tmp_path):
    (tmp_path / "kept").write_text("old")
    (tmp_path / "kept").chmod(0o640)
    (tmp_path / "link").symlink_to("kept")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o640


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    with replacing(tmp_path / "x.json") as temporary:
        temporary.write_text("")
        host = temporary.name.split("-")[1]
    gone, other = tmp_path / "deep", tmp_path / "deep" / ".mmduet-other-99999999-0.part.json"
    gone.mkdir()
    (gone / f".mmduet-{host}-99999999-0.part.json").write_text("left")
    other.write_text("of another machine")
    write_file(gone / "y.json", "{}")
    assert sorted(path.name for path in gone.iterdir()) == [other.name, "y.json"]


def test_a_folder_that_was_moved_aside_gets_its_name_back(tmp_path):
    """A process that ends between the two renames loses nothing."""
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("")
        machine = temporary.name.split("-")[1]
    for name in ("kept", "replaced"):
        aside = tmp_path / "deep" / f".mmduet-{machine}-99999999-0.part.was-{name}"
        aside.mkdir(parents=True)
        (aside / "weights").write_text("old")
    (tmp_path / "deep" / "replaced").mkdir()
    clean(tmp_path / "deep")
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["kept", "replaced"]
    assert (tmp_path / "deep" / "kept" / "weights").read_text() == "old"
    assert not (tmp_path / "deep" / "replaced" / "weights").exists()


def test_links_and_folders_in_a_folder_of_ours_are_not_removed(tmp_path):
    with replacing_folder(tmp_path / "model") as temporary:
        (temporary / "part").mkdir()
        (temporary / "part" / "weights").write_text("1")
    check_folder(tmp_path / "model")
    (tmp_path / "link").symlink_to("model", target_is_directory=True)
    with replacing_folder(tmp_path / "link") as temporary:
        (temporary / "weights").write_text("2")
    assert (tmp_path / "link").is_symlink()
    for make in (lambda path: path.symlink_to(tmp_path), Path.mkdir):
        make(tmp_path / "model" / "mine")
        with pytest.raises(FileError, match="holds mine, which"):
            check_folder(tmp_path / "model")
        remove(tmp_path / "model" / "mine")
    with pytest.raises(FileError, match="is what is read, or holds it"):
        check_folder(tmp_path / "link", inputs=[tmp_path / "model"])


def _save_weights(path):
    save_file({"weights": torch.zeros(5000)}, path)


def _save_state(path):
    torch.save({"weights": torch.zeros(5000)}, path)


def _save_text(path):
    with path.open("w") as file:
        file.write("0" * 20000)


def _save_clip(path):
    write_clip(path, frames=48, size=(320, 240))


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files there")
@pytest.mark.parametrize("save", [_save_weights, _save_state, _save_text, _save_clip])
def test_a_full_disk_is_one_sentence_whoever_writes(tmp_path, save):
    import resource

    target = tmp_path / "a.mp4"
    target.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(FileError, match=r"a\.mp4 cannot be written .* is kept"), replacing(target) as temporary:
            save(temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.mp4": "old"}


def test_what_is_no_failure_to_write_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        (tmp_path / "none").read_text()
    with pytest.raises(ConnectionError), replacing(tmp_path / "a"):
        raise ConnectionResetError
    assert list(tmp_path.iterdir()) == []


def test_others_wait_for_a_lock(tmp_path):
    inside_now, most = [], []

    def work(_):
        with locked(tmp_path / "cache" / "model"):
            inside_now.append(1)
            most.append(len(inside_now))
            inside_now.pop()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(6)))
    assert most == [1] * 6
    with pytest.raises(OSError, match="from the block"), locked(tmp_path / "cache" / "model"):
        raise OSError("from the block")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_of_ours_is_replaced_and_one_of_others_never(tmp_path):
    folder = tmp_path / "model"
    for content in ("1", "2"):
        with replacing_folder(folder) as temporary:
            (temporary / "weights").write_text(content)
    assert is_complete(folder)
    assert (folder / "weights").read_text() == "2"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"notes\.txt.*did not write"):
        check_folder(folder)
    with pytest.raises(FileError), replacing_folder(folder):
        pass
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "weights").unlink()
    assert not is_complete(folder)


@pytest.mark.parametrize("name", ["full", "full/..", "file"])
def test_folders_that_are_not_ours_are_refused(tmp_path, name, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError):
        check_folder(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="current folder"):
        check_folder(".")


def test_a_manifest_that_is_no_manifest_claims_nothing(tmp_path):
    (tmp_path / "m").mkdir()
    for text in ("[]", "{}", "no JSON", '{"a": "1"}'):
        (tmp_path / "m" / MANIFEST).write_text(text)
        (tmp_path / "m" / "a").write_text("1")
        with pytest.raises(FileError):
            check_folder(tmp_path / "m")


def test_targets_are_checked_before_work(tmp_path):
    gold = tmp_path / "gold.json"
    gold.write_text("[]")
    never = lambda path: False  # noqa: E731
    with pytest.raises(FileError, match="what this command reads"):
        check_target(tmp_path / "x" / ".." / "gold.json", ours=lambda path: True, inputs=[gold])
    with pytest.raises(FileError, match="another kind"):
        check_target(gold, ours=never)
    with pytest.raises(FileError, match="a folder"):
        check_target(tmp_path, ours=never)
    check_target(tmp_path / "made" / "new.json", ours=never)
    assert (tmp_path / "made").is_dir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="no regular file"):
        check_target(tmp_path / "pipe", ours=never)
    (tmp_path / "loop").symlink_to("loop")
    for path in (gold / "x.json", tmp_path / ("n" * 300), tmp_path / "a\0b", tmp_path / "loop" / "x"):
        with pytest.raises(FileError, match="cannot be written"):
            check_target(path, ours=never)


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


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[" * 100_000, b'{"a": 1' + b"0" * 10_000 + b"}", b""])
def test_what_is_no_json_is_one_sentence(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


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


def test_one_process_at_a_time(tmp_path):
    target = tmp_path / "run"
    told = rf"is being written by process {os.getpid()}: wait"
    with locked(target), pytest.raises(FileError, match=told), locked(target, patience=0):
        pass
    with locked(target, patience=0):
        pass
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_counts_for_nothing(tmp_path):
    process = os.fork()
    if not process:
        with locked(tmp_path / "run"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(process, 0)
    assert (tmp_path / ".run.lock").exists()
    with locked(tmp_path / "run", patience=0):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")
def test_a_target_that_a_killed_process_was_writing_has_no_lock_any_more(tmp_path):
    """Also where the next run has nothing to write. The lock of a process at work stays."""
    target = tmp_path / "a.jsonl"
    if not (child := os.fork()):
        file = LineFile(target)
        file.add({"a": 1})
        os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / ".a.jsonl.lock").exists()
    check_target(target, ours=lambda _: True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
    with LineFile(target):
        check_target(target, ours=lambda _: True)
        assert (tmp_path / ".a.jsonl.lock").exists()
