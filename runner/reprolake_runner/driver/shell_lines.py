"""Shell lines of a cell (`!command`) that failed: Jupyter goes on after them, and nobody sees it.

Kernels that we start ourselves send a message for each; see `kernelspec`.
"""

from __future__ import annotations

from reprolake_builder.process import printable
from reprolake_runner.driver.channels import Message
from reprolake_runner.driver.protocol import SHELL_LINE, SHELL_MESSAGE

_MOST = 20
_SHOWN = 100


class ShellLines:
    """The failed shell lines of one cell, each in words."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def take(self, message: Message) -> bool:
        """Note the message when it is about a shell line; False when it is about something else."""
        if message["msg_type"] != SHELL_MESSAGE:
            return False
        command, status = message["content"].get("command"), message["content"].get("status")
        if isinstance(command, str) and type(status) is int and len(self.failed) < _MOST:
            line = printable(command.strip().split("\n")[0])
            shown = line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"
            self.failed.append(f"{SHELL_LINE}`{shown}` failed with exit status {status}")
        return True
