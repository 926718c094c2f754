"""The image's own interpreter as a compiler: it runs in the sandbox, takes sources and hands byte code back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from reprolake_builder.engines.interpreters import Program
from reprolake_builder.errors import BuildError
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, ImageRoot, Limits, SandboxSpec

_SCRIPT = Path(__file__).with_name("compile_sources.py")
_PROGRAM = "/mnt/compile_sources.py"  # sandbox path
_TIME_LIMIT = 900  # seconds per share; the process that compiles it limits its own CPU time to less
_COMPLAINT = 1 << 20  # bytes
_MEMORY = 3 << 30  # bytes of one sandbox; the process that compiles limits itself to less
_LOOK = 0.2  # seconds between two looks at its memory, where nothing else holds the limit
# It writes nothing but its answer, which goes through a pipe, and complaints.
_LIMITS = Limits(processes=64, file_bytes=_COMPLAINT, tmp_bytes=1 << 20, memory_bytes=_MEMORY)
_NUMBER = 8  # bytes
_LONGEST = 65 << 20  # bytes of an answer about one source
_GRACE = 5  # seconds between the end of an answer and that of the process
_PIPE = 1 << 20  # bytes: what Linux allows everybody
_PIECE = 1 << 16  # bytes
_SHOWN = 4000


class Source(NamedTuple):
    """A source to compile: its host path, and its path in the image, which the byte code will name."""

    on_disk: bytes
    in_image: bytes


class Compiler:
    """One sandbox with an interpreter in it, that compiles shares of sources.

    The interpreter is not trusted, for a lock may come from anybody and name any package as its Python: it sees the base and
    what it is sent, can write nothing but its answer, and what it answers is only ever written to files.
    It dies with the thread that made this object. Raises SandboxError, and BuildError for trees without that Python.
    """

    def __init__(self, program: Program) -> None:
        inside = program.executable.lstrip("/")
        if not any(os.path.lexists(root / inside) for root in program.roots):
            raise BuildError(
                f"the image holds no Python {program.minor} at {program.executable}",
                hint="the lock was changed by hand",
            )
        # Not -I: that would ignore the hash seed. The environment is ours, so there is nothing else to be isolated from.
        spec = SandboxSpec(
            root=ImageRoot(program.roots),
            argv=(
                program.executable,
                *("-s", "-S", "-B", "-Wignore"),
                *(() if program.minor == "2.7" else ("-Xutf8", "-Xpycache_prefix=/nonexistent")),
                _PROGRAM,
            ),
            env={"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "LC_ALL": "C.UTF-8"},
            binds=(Bind(_SCRIPT, _PROGRAM),),
            limits=_LIMITS,
        )
        self._complaints = os.memfd_create("complaints", os.MFD_CLOEXEC)  # not a file: the disk may be full
        theirs, self._requests = os.pipe()
        self._answers, to_us = os.pipe()
        try:
            for pipe in (theirs, to_us):
                with contextlib.suppress(OSError):  # this user has many such pipes: a small one does
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
            sandbox = Bubblewrap()
            self._is_watched = sandbox.holds(spec.limits)["memory_bytes"].watched
            self._running = sandbox.start(spec, stdin=theirs, stdout=to_us, stderr=self._complaints)
        except BaseException:
            for descriptor in (self._complaints, self._requests, self._answers):
                os.close(descriptor)
            raise
        finally:
            os.close(theirs)
            os.close(to_us)
        os.set_blocking(self._requests, False)
        self._told = bytearray()
        self._next_look = 0.0

    def compile(self, share: Sequence[Source]) -> Iterator[bytes]:
        """Yield the byte code of each source in turn, b"" where there is none.

        A share, whose sources are held in memory, is compiled by one process that has compiled nothing before.
        Raises BuildError naming the source that ends it; the object is of no use then.
        """
        deadline = time.monotonic() + _TIME_LIMIT
        request = memoryview(b"".join(_request(share)))
        for source in share:
            try:
                while len(self._told) < _NUMBER:
                    request = self._exchange(request, deadline)
                length = _NUMBER + int.from_bytes(self._told[:_NUMBER], "little")
                if length > _LONGEST:
                    raise EOFError
                while len(self._told) < length:
                    request = self._exchange(request, deadline)
            except (EOFError, MemoryError):
                raise BuildError(
                    self._death(source), hint="the package holds a source that no Python can compile"
                ) from None
            except TimeoutError as error:
                raise BuildError(
                    f"compiling {_shown(share[0])} and the {len(share) - 1} sources after it took more than {_TIME_LIMIT} seconds"
                ) from error
            pyc = bytes(self._told[_NUMBER:length])
            del self._told[:length]
            yield pyc

    def _exchange(self, request: memoryview, deadline: float) -> memoryview:
        """Send or receive what can be, and return what is left to send."""
        poller = select.poll()
        poller.register(self._answers, select.POLLIN)
        if request:
            poller.register(self._requests, select.POLLOUT)
        until = min(deadline, self._looked()) if self._is_watched else deadline
        ready = {number for number, _ in poller.poll(max(0.0, until - time.monotonic()) * 1000)}
        if not ready and time.monotonic() >= deadline:
            raise TimeoutError
        if self._answers in ready:
            piece = os.read(self._answers, _PIECE)
            if not piece:
                raise EOFError
            self._told += piece
        if self._requests in ready:
            try:
                return request[os.write(self._requests, request) :]
            except BrokenPipeError:
                return memoryview(b"")  # the end of the answer says why
        return request

    def _looked(self) -> float:
        """See whether it takes too much memory, and return when to look again (monotonic seconds). Raises MemoryError."""
        now = time.monotonic()
        if now >= self._next_look:
            usage = self._running.usage()
            if usage is not None and usage.memory_bytes > _MEMORY:
                raise MemoryError
            self._next_look = now + _LOOK
        return self._next_look

    def close(self) -> None:
        """End the sandbox."""
        self._running.kill()
        for descriptor in (self._complaints, self._requests, self._answers):
            os.close(descriptor)

    def _death(self, source: Source) -> str:
        too_much = f"the compiler of Python sources needed more than {_MEMORY / (1 << 30):g} GiB of memory at {_shown(source)}"
        if self._is_out_of_memory():
            self._running.kill()
            return too_much
        try:
            status = self._running.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return f"the compiler of Python sources gave no sensible answer at {_shown(source)}"
        if self._is_out_of_memory():
            return too_much
        said = os.pread(self._complaints, _COMPLAINT, 0).decode("utf-8", "replace").strip()
        reason = printable(said[-_SHOWN:]) or f"status {status}"
        how = f"was ended by signal {status - 128}" if status > 128 else f"failed: {reason}"
        return f"the compiler of Python sources {how} at {_shown(source)}"

    def _is_out_of_memory(self) -> bool:
        usage = self._running.usage()
        return usage is not None and (usage.kills > 0 or usage.memory_bytes > _MEMORY)


def _request(share: Sequence[Source]) -> Iterator[bytes]:
    """Yield what the program in the sandbox reads."""
    yield len(share).to_bytes(_NUMBER, "little")
    for source in share:
        with open(os.open(source.on_disk, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            content = file.read()
        yield len(source.in_image).to_bytes(_NUMBER, "little")
        yield len(content).to_bytes(_NUMBER, "little")
        yield source.in_image
        yield content


def _shown(source: Source) -> str:
    return printable(source.in_image.decode("utf-8", "replace"))
