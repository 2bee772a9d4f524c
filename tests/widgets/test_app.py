"""The servers of `make app` and `make lab`: their kernels, and messages to them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from mmduet_widgets.app import RootedKernelManager, is_message

PARTS = st.lists(st.binary(max_size=40), min_size=4, max_size=9)  # header, parent header, metadata, content, buffers


@given(PARTS)
def test_what_jupyter_writes_is_passed_on(parts: list[bytes]) -> None:
    assert is_message(serialize_msg_to_ws_v1(parts, "shell"))


@given(PARTS, st.integers(0, 60), st.integers(0, 2**64 - 1))
def test_a_number_that_is_not_true_is_noticed(parts: list[bytes], place: int, number: int) -> None:
    message = serialize_msg_to_ws_v1(parts, "shell")
    place = 8 * (place % (len(parts) + 3))  # how many, the channel's start … the end
    changed = message[:place] + number.to_bytes(8, "little") + message[place + 8 :]
    inner = 8 < place < 8 * (len(parts) + 2)  # a part's start may lie elsewhere between its neighbours
    assert inner or is_message(changed) is (changed == message)


@pytest.mark.parametrize(
    "message", [b"", b"\xff" * 8, (2**62).to_bytes(8, "little"), "text", None, b"\x06" + bytes(99)]
)
def test_anything_else_is_dropped(message: object) -> None:
    assert not is_message(message)


@pytest.mark.parametrize("notebook", ["", "notebooks", "notebooks/deep", "missing"])
def test_kernels_run_where_the_server_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notebook: str
) -> None:
    (tmp_path / "notebooks" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert RootedKernelManager(root_dir=str(tmp_path / "notebooks")).cwd_for_path(notebook) == str(tmp_path)
