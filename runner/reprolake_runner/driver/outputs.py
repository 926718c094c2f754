"""A cell's outputs, collected as nbclient does it, with long streams kept cheap and counted."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat.notebooknode import NotebookNode

from reprolake_runner.driver.channels import Channels, Message


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

    def start(self, cell: NotebookNode) -> None:
        """Begin a cell: what it showed before is gone."""
        self.settle()
        cell.outputs = []
        cell.execution_count = None
        self._client.clear_before_next_output = False

    def apply(self, message: Message, cell: NotebookNode, index: int) -> bool:
        """Apply one message to the cell and return whether it says that the cell is done.

        A message that lacks what its type promises changes nothing.
        """
        if not _plausible(message):
            return False
        try:
            added = self._client.process_message(message, cell, index)
        except CellExecutionComplete:
            return True
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError, IndexError):
            return False
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


def _plausible(message: Message) -> bool:
    """Whether an output holds what its type promises; other types change no outputs. Source: nbformat 4 schema, "output"."""
    content = message["content"]
    if not isinstance(content.get("execution_count", 0), int):
        return False
    match message["msg_type"]:
        case "stream":
            return isinstance(content.get("text"), str) and content.get("name") in {"stdout", "stderr"}
        case "display_data" | "update_display_data" | "execute_result":
            return isinstance(content.get("data"), dict) and isinstance(content.get("metadata"), dict)
        case "error":
            traceback = content.get("traceback")
            texts = [
                content.get("ename"),
                content.get("evalue"),
                *(traceback if isinstance(traceback, list) else [None]),
            ]
            return all(isinstance(text, str) for text in texts)
        case _:
            return True


def digest(outputs: list[Any]) -> str:
    """Return the SHA-256 of outputs as canonical JSON."""
    return hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()
