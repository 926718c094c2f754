"""A cell's outputs, collected as nbclient does it, with long streams kept cheap and counted."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat.notebooknode import NotebookNode

from reprolake_builder.process import printable
from reprolake_runner.driver.channels import Channels, Message
from reprolake_runner.driver.protocol import Said
from reprolake_runner.driver.repair import Repair

_PIECE = 50_000  # characters: as JSON, well below what a line may have


class _Sender:
    """What nbclient's output widget needs of a kernel client."""

    def __init__(self, channels: Channels) -> None:
        self.session = channels.session
        self.shell_channel = self
        self.send: Callable[[Message], None] = channels.send_shell


class Outputs:
    """Applies the kernel's iopub messages to the notebook."""

    def __init__(self, notebook: NotebookNode, channels: Channels) -> None:
        # the supervisor alone starts and ends kernels: nbclient gets a stand-in for the manager that it would make
        no_manager: Any = object()
        self._client = NotebookClient(notebook, km=no_manager, record_timing=False)
        sender: Any = _Sender(channels)
        self._client.kc = sender
        self._text: list[str] = []
        self._stream: NotebookNode | None = None
        self._changed = 0
        self._reason = ""

    def start(self, cell: NotebookNode) -> None:
        """Begin a cell: what it showed before is gone."""
        self.settle()
        cell.outputs = []
        cell.execution_count = None
        self._client.clear_before_next_output = False
        self._changed = 0
        self._reason = ""

    @property
    def warning(self) -> str:
        """What was wrong with the outputs of the cell that was started last, "" when nothing was."""
        if not self._changed:
            return ""
        what = "1 message was" if self._changed == 1 else f"{self._changed} messages were"
        return f"{what} not what a notebook can hold and had to be changed or left out: {self._reason}"

    def apply(self, message: Message, cell: NotebookNode, index: int) -> bool:
        """Apply one message to the cell and return whether it says that the cell is done.

        What a notebook cannot hold is changed, what nobody understands left out; `warning` tells of both.
        """
        repair = Repair()
        added = None
        try:
            content = repair.content(message)
            added = self._client.process_message({**message, "content": content}, cell, index)
        except CellExecutionComplete:
            return True
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  (the message is a stranger's: what our libraries make of it is no fault of ours)
            repair.reasons.append(f"a message {printable(message['msg_type'])[:60]} was not understood")
        if repair.reasons:
            self._changed += 1
            self._reason = self._reason or repair.reasons[0]
        if added is not None and added.output_type == "stream":
            self._merge(cell.outputs, added)
        return False

    def _merge(self, outputs: list[NotebookNode], piece: NotebookNode) -> None:
        """Join a piece of a stream with the one before it, as Jupyter shows it; its text is put together once, later."""
        before = outputs[-2] if len(outputs) > 1 else None
        if before is None or before.output_type != "stream" or before.name != piece.name:
            return
        outputs.pop()
        if self._stream is not before:
            self.settle()
            self._stream, self._text = before, [before.text]
        self._text.append(piece.text)

    def settle(self) -> None:
        """Give the stream that is being collected its text."""
        if self._stream is not None:
            self._stream.text = "".join(self._text)
        self._stream = None
        self._text = []

    def finish(self) -> None:
        """Keep the state of the widgets in the notebook's metadata, unless the kernel made nonsense of it."""
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            self._client.set_widgets_metadata()


def said(message: Message) -> Iterator[Said]:
    """Yield what a message has to be read: the pieces of a stream, or what a result shows as text."""
    content, kind = message["content"], message["msg_type"]
    data = content.get("data")
    if kind == "stream" and content.get("name") in {"stdout", "stderr"}:
        name, text = content["name"], content.get("text")
    elif kind in {"display_data", "execute_result"} and isinstance(data, dict):
        name, text = "shown", data.get("text/plain")
    else:
        return
    if isinstance(text, str):
        whole = text.encode("utf-8", "replace").decode()  # no half surrogate pairs
        for start in range(0, len(whole), _PIECE):
            yield Said(kind=name, text=whole[start : start + _PIECE])


def digest(outputs: list[Any]) -> str:
    """Return the SHA-256 of outputs as canonical JSON."""
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()
