"""The kernel's sockets, seen from a process that believes nothing: messages are counted, limited and may be garbage.

Source: "Messaging in Jupyter" 5.4. The sockets are unix sockets in a folder that the kernel can write to; what it links
to from there leads nowhere, because this process lives in a sandbox of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import zmq
from jupyter_client.session import Session

from reprolake_runner.driver.protocol import Connection, DriverLimits

Channel = Literal["shell", "iopub", "stdin", "control"]
Message = dict[str, Any]
_BATCH = 500
_RECONNECT_MS = 20


class TooMuchError(Exception):
    """The kernel sent more than a run may."""


class Channels:
    """The channels of one kernel, and this process's own standard input, where the supervisor's notices arrive.

    `unread` counts the messages that were none of our kernel's, or that nobody could read.
    """

    def __init__(self, connection: Connection, limits: DriverLimits, notices: int) -> None:
        self.session = Session(key=connection.key.encode(), username="reprolake")
        self._left = limits.total_bytes
        self._messages_left = limits.messages
        self._limits = limits
        self.unread = 0
        self._context = zmq.Context()
        self._sockets: dict[Channel, zmq.Socket[bytes]] = {}
        self._poller = zmq.Poller()
        self._notices = notices
        self._poller.register(notices, zmq.POLLIN)
        for channel, kind, number in (
            ("shell", zmq.DEALER, 1),
            ("iopub", zmq.SUB, 2),
            ("stdin", zmq.DEALER, 3),
            ("control", zmq.DEALER, 4),
        ):
            self._connect(channel, kind, f"ipc://{connection.path}-{number}")  # type: ignore[arg-type]
        self._ends = self._sockets["iopub"].get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._poller.register(self._ends, zmq.POLLIN)

    def _connect(self, channel: Channel, kind: int, address: str) -> None:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.setsockopt(zmq.MAXMSGSIZE, self._limits.message_bytes)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)  # the kernel has yet to bind
        if channel == "iopub":
            # a publisher drops messages when a subscriber's queue is full: ours is bounded by this process's memory only
            socket.setsockopt(zmq.RCVHWM, 0)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        else:
            socket.identity = self.session.bsession
        socket.connect(address)
        self._sockets[channel] = socket
        self._poller.register(socket, zmq.POLLIN)

    def send(self, channel: Channel, kind: str, content: Message) -> str:
        """Send a request and return its message id."""
        message = self.session.msg(kind, content=content)
        self.session.send(self._sockets[channel], message)
        return str(message["header"]["msg_id"])

    def send_shell(self, message: Message) -> None:
        """Send a ready message (of a widget) to the kernel."""
        self.session.send(self._sockets["shell"], message)

    def wait(self, seconds: float) -> bool:
        """Wait until something can be read; return whether that is (also) a notice of the supervisor."""
        ready = dict(self._poller.poll(max(0, int(seconds * 1000))))
        return self._notices in ready

    def broke(self) -> bool:
        """Whether the connection for outputs ended since the last call: the kernel is gone, or sent too large a message."""
        ended = False
        while self._ends.poll(0):
            self._ends.recv_multipart()
            ended = True
        return ended

    def received(self) -> Iterator[tuple[Channel, Message]]:
        """Yield the messages that are here, a batch at most. Raises TooMuchError."""
        for channel, socket in self._sockets.items():
            for _ in range(_BATCH):
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                self._left -= sum(len(frame) for frame in frames)
                if self._left < 0:
                    raise TooMuchError(
                        f"the kernel sent more than {self._limits.total_bytes >> 20} MB of messages (outputs, mostly)"
                    )
                self._messages_left -= 1
                if self._messages_left < 0:
                    raise TooMuchError(
                        f"the kernel sent more than {self._limits.messages} messages (outputs, mostly)"
                    )
                message = self._decoded(frames)
                if message is None:
                    self.unread += 1
                else:
                    yield channel, message

    def _decoded(self, frames: list[bytes]) -> Message | None:
        """Return the message, or None for what is not signed with our key or not a message at all."""
        try:
            _, parts = self.session.feed_identities(frames)
            message: Message = self.session.deserialize(parts)
            parent = message["parent_header"]
            whole = isinstance(message["content"], dict) and isinstance(parent, dict)
            if not whole or not isinstance(parent.get("msg_id", ""), str):
                return None
            if not isinstance(message["msg_type"], str):
                return None
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return None
        return message

    def close(self) -> None:
        """Drop the connections."""
        self._sockets["iopub"].disable_monitor()
        self._ends.close()
        self._context.destroy(linger=200)
