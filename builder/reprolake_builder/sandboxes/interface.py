"""The seam between those who need something run in isolation and the ways to isolate it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol


@dataclass(frozen=True, slots=True)
class ImageRoot:
    """Root file system from stored trees (host folders), lowest first; read-only inside."""

    trees: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class HostRoot:
    """Root file system that shows only these host paths, read-only and at the same place inside."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """A host file or folder that appears at `target` (sandbox path)."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class CopyOnWrite:
    """A private, writable view of `lower` (host folder) at `target` (sandbox path).

    What is written lands in `upper` (empty host folder, made by the caller); `lower` never changes.
    """

    lower: Path
    upper: Path
    target: str


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What runs, in which root, seeing what.

    `env` is the whole environment; `cwd` and all targets are sandbox paths. `uid`/`gid` are those seen inside.
    `home` (sandbox path) and /tmp are empty, writable, in memory, at most `tmp_bytes` each; "" means no home folder.
    There is no network, only an own loopback. `max_processes` and `max_file_bytes` are limits of the whole sandbox and of one file.
    """

    root: ImageRoot | HostRoot
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str = "/"
    binds: tuple[Bind, ...] = ()
    copy_on_write: CopyOnWrite | None = None
    uid: int = 1000
    gid: int = 100
    home: str = ""
    tmp_bytes: int = 2 << 30
    max_processes: int = 4096
    max_file_bytes: int = 1 << 40


class Running(Protocol):
    """A program in its sandbox."""

    def poll(self) -> int | None:
        """Exit status, or None while it runs; negative is the number of the signal that ended it."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raises subprocess.TimeoutExpired (seconds)."""

    def kill(self) -> None:
        """End the program and everything it started, at once."""


class Sandbox(Protocol):
    """One way to isolate."""

    def problem(self) -> str:
        """Why this host cannot use it, with the remedy; "" when it can."""

    def start(
        self, spec: SandboxSpec, *, stdin: IO[bytes] | int, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> Running:
        """Start the program. Raises SandboxError when any promised layer of isolation cannot be had."""
