"""The seam between those who need something run in isolation and the ways to isolate it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the words of the seam alone need none of it
    from reprolake_builder.container_engine import Layer
    from reprolake_builder.progress import Progress

_COPY = "copy"


@dataclass(frozen=True, slots=True)
class ImageRoot:
    """Root file system from stored trees (host folders), lowest first; read-only inside.

    `layers` are the same files for those who cannot use the trees, lowest first.
    """

    trees: tuple[Path, ...]
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True, slots=True)
class HostRoot:
    """Root file system that shows only these host paths, read-only and at the same place inside."""

    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """A host file or folder that appears at `target` (sandbox path).

    A writable one belongs to the sandboxed user from then on; what lies in it is untrusted afterwards.
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class CopyOnWrite:
    """A private, writable view of `lower` (host folder) at `target` (sandbox path); `lower` never changes.

    What is written lands in `scratch` (host folder, made by the caller), which is empty or has a folder `upper` with files that
    count as written already.
    """

    lower: Path
    scratch: Path
    target: str

    @property
    def written(self) -> Path:
        """Host folder with what the program wrote, once it ended: an overlay's upper folder or, where none could be had, all."""
        copy = self.scratch / _COPY
        return copy if copy.is_dir() else self.scratch / "upper"

    @property
    def copied(self) -> tuple[Path, ...]:
        """Host folders whose content was `written` before the program began: the original, where it was copied."""
        return (self.lower,) if self.is_whole(self.written) else ()

    @staticmethod
    def is_whole(written: Path) -> bool:
        """Whether a folder that was `written` has all files, so that one which is not there was deleted."""
        return written.name == _COPY


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandbox may take: processes and threads of the whole sandbox, bytes of one file, open files of one process.

    `tmp_bytes` holds for each writable folder in memory. `memory_bytes` is the whole sandbox's, folders in memory included;
    `cpus` are processors at work at a time. None is unlimited.
    """

    processes: int = 4096
    file_bytes: int = 1 << 40
    open_files: int = 16384
    tmp_bytes: int = 2 << 30
    memory_bytes: int | None = None
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """What holds a limit on this host; `weaker` says in what it falls short of the promise, "" when it does not.

    With `watched` it is for the caller to look at the sandbox's usage and to end it.
    """

    by: str
    weaker: str = ""
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """What a running sandbox takes: seconds of processor time so far, bytes of memory now, processes and threads now.

    Memory is what cannot be dropped: no cached files, but the folders in memory. `peak_bytes` is the most that was seen since
    the last look that asked to begin anew. `kills` counts processes that were killed because memory ran out, `refused` those
    that could not be made because of their limit.
    """

    cpu_seconds: float
    memory_bytes: int
    peak_bytes: int
    processes: int
    kills: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Doors:
    """Sockets of a sandbox's own loopback that are made inside and handed out, before the program starts.

    A socket stays in the network that it was made in: those that listen on the ports `listen` of 127.0.0.1 are where programs
    inside are heard outside, and `dials` more, which are not connected, reach 127.0.0.1 inside and nothing else. So a proxy
    outside serves a sandbox that has no network.
    """

    listen: tuple[int, ...] = ()
    dials: int = 0


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What runs, in which root, seeing what.

    `env` is the whole environment; `cwd` and all targets are sandbox paths. `uid`/`gid` are those seen inside.
    `home` (sandbox path) and /tmp are empty, writable and in memory; "" means no home folder.
    There is no network, only an own loopback, with `doors` or None. `gpus` is "all" or a number of them, "" for none.
    """

    root: ImageRoot | HostRoot
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str = "/"
    binds: tuple[Bind, ...] = ()
    copy_on_write: CopyOnWrite | None = None
    uid: int = 1000
    gid: int = 100
    home: str = ""
    limits: Limits = field(default_factory=Limits)
    gpus: str = ""
    doors: Doors | None = None

    @property
    def candidates(self) -> tuple[str, ...]:
        """Where the program is looked for (sandbox paths), one after the other, as execvp(3) does."""
        name = self.argv[0]
        folders = self.env.get("PATH", "/bin:/usr/bin").split(":")
        return (name,) if "/" in name else tuple(f"{folder or '.'}/{name}" for folder in folders)


class Running(Protocol):
    """A program in its sandbox; `doors` are the sockets that were asked for, in that order, and their taker's to close."""

    @property
    def doors(self) -> tuple[socket.socket, ...]:
        """The sockets."""

    def poll(self) -> int | None:
        """Exit status, or None while it runs; 128 + N when signal N ended the program.

        Raises SandboxError when the program was never started.
        """

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status, as `poll` does. Raises subprocess.TimeoutExpired (seconds)."""

    def kill(self) -> None:
        """End the program and everything it started; when this returns nothing of it runs any more."""

    def fileno(self) -> int:
        """Descriptor that becomes readable when the sandbox has ended."""

    def usage(self, *, anew: bool = False) -> Usage | None:
        """What it takes; `anew` begins to look for the next peak. After its end the last that was seen, None when nothing was."""

    def is_stopped(self) -> bool:
        """Whether all processes inside were stopped by a signal."""

    def signal(self, number: int) -> bool:
        """Send a signal to the program itself, also when it is stopped; False when it is gone or cannot be told apart."""


class Sandbox(Protocol):
    """One way to isolate; `passes_gpus` says whether a program in it can be given any."""

    passes_gpus: bool

    def missing(self) -> str:
        """What this host is known to lack for it, with the remedy; "" for nothing. It may not work all the same."""

    def problem(self) -> str:
        """Why this host cannot use it, with the remedy; "" when it can: a program was started in it."""

    def promises(self) -> Mapping[str, str]:
        """What isolates, and how: facts for the record of a run."""

    def holds(self, limits: Limits) -> Mapping[str, Held]:
        """What holds each of the limits here, by the field's name; those that are None are left out."""

    def prepare(self, spec: SandboxSpec, progress: Progress) -> None:
        """Bring the root to where `start` can use it, if that takes time; else `start` does.

        Raises SandboxError.
        """

    def start(
        self, spec: SandboxSpec, *, stdin: IO[bytes] | int, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> Running:
        """Start the program; it dies with the thread that started it.

        Raises SandboxError when any promised layer of isolation cannot be had.
        """
