"""What was asked of a kernel about one cell, what it said to that, and its words as far as they can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nbformat.notebooknode import NotebookNode

from reprolake_builder.process import printable
from reprolake_runner.documents.run import cell_name

_ERROR_SHOWN = 500


@dataclass(slots=True)
class Exchange:
    """The request for one cell, and what the kernel said to it so far: `asked` when it wants input that nobody can give."""

    sent: str
    index: int
    cell: NotebookNode
    reply: dict[str, Any] | None = None
    idle: bool = False
    asked: bool = False

    @property
    def name(self) -> str:
        """What people call the cell."""
        return cell_name(self.index, self.cell.execution_count)

    @property
    def done(self) -> bool:
        """Whether the kernel answered, and said that it is done."""
        return self.reply is not None and self.idle


def described(info: dict[str, Any]) -> dict[str, str]:
    """Return the kernel's words about itself, as far as they are short texts."""
    language = info.get("language_info")
    found = {key: info.get(key) for key in ("implementation", "implementation_version", "protocol_version")}
    if isinstance(language, dict):
        found |= {"language": language.get("name"), "language_version": language.get("version")}
    return {key: printable(value)[:100] for key, value in found.items() if isinstance(value, str)}


def is_exit(reply: dict[str, Any]) -> bool:
    """Return whether a cell ended the notebook by `sys.exit()` or `sys.exit(0)`, which papermill takes for a good end, too."""
    return (
        reply.get("status") == "error"
        and reply.get("ename") == "SystemExit"
        and reply.get("evalue") in ("", "0")
    )


def error_words(reply: dict[str, Any]) -> str:
    """Return in one line what a reply says that was raised."""
    name, value = reply.get("ename"), reply.get("evalue")
    if not isinstance(name, str) or not isinstance(value, str):
        status = reply.get("status")
        return printable(status)[:100] if isinstance(status, str) else "an error without words"
    first = value.strip().partition("\n")[0]
    return printable(f"{name}: {first}" if first else name)[:_ERROR_SHOWN]
