"""What the processes of a sandbox take, read from its own /proc as the host sees it: works without control groups.

Everything inside may try to mislead: what is read here are numbers that the kernel writes, and text is only compared.
Source: proc(5): stat, status, smaps_rollup, clear_refs.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.sandboxes.arguments import FOLDERS

_NODE = 1 << 10  # bytes that the name of a file and what is known of it take, whatever is in it
_TICKS = os.sysconf("SC_CLK_TCK")
_FIRST = "1"  # bubblewrap's own process inside, which the program is a child of
_STOPPED = {"T", "t"}
_BEGIN_ANEW = "5"  # written to clear_refs it makes the highest mark what is resident now


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of processor time so far, bytes of memory now, threads, and whether all processes are stopped."""

    cpu_seconds: float
    memory_bytes: int
    processes: int
    is_stopped: bool


class Processes:
    """The processes of a sandbox whose first one is `first` (a number on this host), which `descriptor` refers to, too.

    `home` (sandbox path) is in memory, "" for none. `program` is the number of the program, where it is known already.
    """

    def __init__(self, first: int, descriptor: int, home: str = "", program: int = 0) -> None:
        self._root = Path(f"/proc/{first}/root")
        self._first = first
        self._descriptor = descriptor
        self._folders = (*FOLDERS, *([home] if home else []))
        self._is_set_up = False
        self._known = program

    def taken(self, *, exactly: bool) -> Taken:
        """Return what all take together. Memory that processes share counts once for each of them unless `exactly`."""
        if not self._has_own_root():
            return Taken(0.0, 0, 0, is_stopped=False)
        ticks = own = shared = threads = 0
        states = []
        for number in self._numbers():
            with contextlib.suppress(OSError, ValueError, IndexError):
                words = (self._root / "proc" / number / "stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, words[11:15]))  # its own time, and that of its children that ended
                threads += int(words[17])
                if number != _FIRST and words[0] != "Z":
                    states.append(words[0])
                memory = self._memory(number, exactly=exactly)
                own, shared = own + memory[0], shared + memory[1]
        is_stopped = bool(states) and set(states) <= _STOPPED
        # what is shared may be files in folders: which, nobody says
        return Taken(ticks / _TICKS, own + max(shared, self._in_folders()), threads, is_stopped)

    def _has_own_root(self) -> bool:
        """Whether the first process has left the host's files for those of the sandbox: before, their /proc is the host's."""
        if not self._is_set_up:
            with contextlib.suppress(OSError):
                inside = os.stat(self._root / "proc" / _FIRST / "ns/pid")
                self._is_set_up = os.path.samestat(inside, os.stat(f"/proc/{self._first}/ns/pid"))
        return self._is_set_up

    def _numbers(self) -> Iterator[str]:
        with contextlib.suppress(OSError):
            yield from (name for name in os.listdir(self._root / "proc") if name.isdigit())

    def _memory(self, number: str, *, exactly: bool) -> tuple[int, int]:
        """Return the bytes that are a process's own, and those that others or a folder in memory may have, too."""
        folder = self._root / "proc" / number
        if exactly:
            with contextlib.suppress(OSError):
                found = _fields(folder / "smaps_rollup", "Pss_Anon", "Pss_Shmem")  # since Linux 5.14
                if any(found):
                    return found
        return _fields(folder / "status", "RssAnon", "RssShmem")

    def _in_folders(self) -> int:
        taken = 0
        for folder in self._folders:
            with contextlib.suppress(OSError):
                info = os.statvfs(f"{self._root}{folder}")
                taken += (info.f_blocks - info.f_bfree) * info.f_frsize
                taken += (info.f_files - info.f_ffree) * _NODE
        return taken

    def highest(self, *, anew: bool) -> int:
        """Return the most memory that the program itself had at a time, in bytes; 0 when this host does not tell."""
        number = self._program()
        folder = Path(f"/proc/{number}")
        found = 0
        if number:
            with contextlib.suppress(OSError):
                height, files = _fields(folder / "status", "VmHWM", "RssFile")
                found = height - files
                if anew:
                    (folder / "clear_refs").write_text(_BEGIN_ANEW)
        return max(0, found)

    def signal(self, number: int) -> bool:
        """Send a signal to the program; one that is stopped goes on, to receive it."""
        pid = self._program()
        if not pid:
            return False
        try:
            program = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            # while the first one lives, its number and those of its children are not given to others
            if pid not in self._children() or select.select([self._descriptor], [], [], 0)[0]:
                return False
            signal.pidfd_send_signal(program, number)
            with contextlib.suppress(ProcessLookupError):  # it may have ended of the first already
                signal.pidfd_send_signal(program, signal.SIGCONT)
        except OSError:
            return False
        finally:
            os.close(program)
        return True

    def _program(self) -> int:
        """Return the number, on this host, of the program that the sandbox was started for; 0 when it is gone.

        Orphans become children of the first process, too: the program is the one that was made before them. While the
        first process lives the number stays the program's: the sandbox ends with it.
        """
        if not self._known:
            self._known = self._found()
        return self._known

    def _found(self) -> int:
        for child in self._children():
            with contextlib.suppress(OSError, IndexError):
                words = (
                    Path(f"/proc/{child}/status").read_text().partition("NSpid:")[2].split("\n")[0].split()
                )
                if words[-1] == "2":
                    return child
        return 0

    def _children(self) -> list[int]:
        try:
            return [
                int(word)
                for word in Path(f"/proc/{self._first}/task/{self._first}/children").read_text().split()
            ]
        except OSError:
            return []


def _fields(path: Path, first: str, second: str) -> tuple[int, int]:
    """Return two sizes of a list of `Name: N kB`, in bytes; 0 for one that is not there. Raises OSError."""
    pairs = (line.partition(":")[::2] for line in path.read_text().splitlines())
    found = {name: int(size.split()[0]) << 10 for name, size in pairs if name in {first, second}}
    return found.get(first, 0), found.get(second, 0)
