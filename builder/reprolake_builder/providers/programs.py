"""Programs that read repositories: where they are looked for, and what becomes of one that is not there or does not end."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from reprolake_builder import process
from reprolake_builder.errors import ResolveError

_SYSTEM = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its command, what people call it, and Debian's package of it."""

    command: str
    name: str
    package: str

    @contextlib.contextmanager
    def telling(self, command: str = "") -> Iterator[None]:
        """Raise ResolveError in the block's place where the program is absent, or a `command` of it does not end in time."""
        try:
            yield
        except FileNotFoundError as error:
            raise ResolveError(
                f"{self.name} is not installed", hint=f"install it: apt install {self.package}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise ResolveError(
                f"{self.command} {command} did not end within {error.timeout:.0f} seconds", transient=True
            ) from error

    @contextlib.contextmanager
    def converse(
        self, argv: tuple[str, ...], env: Mapping[str, str]
    ) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Yield standard input and output of a command that runs beside the block. Raises ResolveError."""
        with contextlib.ExitStack() as stack:
            with self.telling():
                pipes = stack.enter_context(process.converse(argv, env=env))
            yield pipes


def search_path(given: Mapping[str, str]) -> str:
    """Return where programs are looked for: a relative entry would find some in the folder that is looked at."""
    entries = [entry for entry in given.get("PATH", "").split(":") if entry.startswith("/")]
    return ":".join(entries) or _SYSTEM
