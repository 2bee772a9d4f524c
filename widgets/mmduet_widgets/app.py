"""The servers of `make app` and `make lab`: where kernels run, and checks of the messages that a page sends."""

import os
from datetime import UTC, datetime
from typing import Any
from weakref import WeakSet

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import Instance

PROTOCOL = "v1.kernel.websocket.jupyter.org"
PARTS = range(6, 1001)  # offsets of a message: of its channel, header, parent header, metadata, content, buffers, end


class RootedKernelManager(AsyncMappingKernelManager):
    """Starts kernels in the folder that the server was started in, wherever their notebook is.

    A relative path then means the same in a notebook, for papermill and for a command. A kernel that Voilà keeps ready
    is idle from when a page takes it: its page needs time to connect.
    """

    _looked_at = Instance(WeakSet, ())  # kernels

    def cwd_for_path(self, path: str, **kwargs: Any) -> str:
        """Return the working folder of a notebook's kernel."""
        return os.getcwd()

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that is idle. Voilà does not ask for one that is kept ready."""
        kernel = self.get_kernel(kernel_id)
        if kernel not in self._looked_at and hasattr(kernel, "last_activity"):
            self._looked_at.add(kernel)
            kernel.last_activity = datetime.now(UTC)
        await super().cull_kernel_if_idle(kernel_id)  # type: ignore[no-untyped-call]


class CheckedConnection(ZMQChannelsWebsocketConnection):
    """Drops messages that do not follow Jupyter's binary protocol.

    Jupyter trusts the number of parts in a message's first 8 bytes, so a wrong number makes it build an endless list.
    """

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """Pass on a message that follows the protocol."""
        if self.subprotocol == PROTOCOL and is_message(incoming_msg):
            super().handle_incoming_message(incoming_msg)
        else:
            self.log.warning("a message that does not follow Jupyter's protocol was dropped")


def is_message(message: Any) -> bool:
    """Tell whether a message has all parts that it announces, one after the other."""
    if not isinstance(message, bytes):
        return False
    count = int.from_bytes(message[:8], "little")
    head = 8 * (count + 1)
    if count not in PARTS or len(message) < head:
        return False
    offsets = [int.from_bytes(message[place : place + 8], "little") for place in range(8, head, 8)]
    return offsets == sorted(offsets) and (offsets[0], offsets[-1]) == (head, len(message))
