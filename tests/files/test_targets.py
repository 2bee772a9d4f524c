"""Targets: refused before any work is done."""

import errno
import os

import pytest

from mmduet.errors import FileError
from mmduet.files import LineFile, check_target
from mmduet.files.disk import unwritable


def test_targets_are_checked_before_work(tmp_path):
    reference = tmp_path / "reference.json"
    reference.write_text("[]")
    never = lambda path: False  # noqa: E731
    with pytest.raises(FileError, match="an input of this command"):
        check_target(tmp_path / "x" / ".." / "reference.json", ours=lambda path: True, inputs=[reference])
    with pytest.raises(FileError, match="another kind"):
        check_target(reference, ours=never)
    with pytest.raises(FileError, match="a folder"):
        check_target(tmp_path, ours=never)
    check_target(tmp_path / "made" / "new.json", ours=never)
    assert (tmp_path / "made").is_dir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="no regular file"):
        check_target(tmp_path / "pipe", ours=never)
    (tmp_path / "loop").symlink_to("loop")
    through = "does not lead through a file"
    for path, fix in (
        (reference / "x.json", rf"File exists\); its earlier content is kept: .*{through}\."),
        (reference / "x" / "y.json", rf"Not a directory\): .*{through}\."),
        (tmp_path / ("n" * 300), "give a shorter name"),
        (tmp_path / "a\0b", r"\(embedded null byte\): check the folder"),
        (tmp_path / "loop" / "x", through),
    ):
        with pytest.raises(FileError, match=f"cannot be written.*{fix}") as refused:
            check_target(path, ours=never)
        assert "free some space" not in str(refused.value), "that does not help"


@pytest.mark.parametrize(
    ("reason", "room"),
    [
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EDQUOT, "full"), True),
        ("it could not be written completely", True),
        (OSError(errno.EACCES, "denied"), False),
        (OSError(errno.ENOENT, "none"), False),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_failed_write_states_what_is_so(tmp_path, reason, room, exists):
    """Space is named where it is short, and earlier content where there is some."""
    path = tmp_path / "a"
    if exists:
        path.touch()
    message = str(unwritable(path, reason))
    assert ("free some space" in message) == room
    assert ("its earlier content is kept" in message) == exists


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
