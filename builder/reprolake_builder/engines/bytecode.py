"""Byte code for the Python sources of a tree, made by the image's own interpreter, the same on every host."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import os
import re
import stat
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from reprolake_builder.engines.compiler import Compiler, Source
from reprolake_builder.engines.interpreters import Program

# What one process compiles is part of the layout, see ByteCode.compile_tree: at most so many sources,
SHARE = 200
# and none more when they have so many bytes together.
SHARE_BYTES = 1 << 20
_LONGEST_SOURCE = 8 << 20  # bytes: a longer one gets no byte code
_LONGEST_NAME = 255
_TEST = re.compile(rb"(?:.*/)?tests?/(?:.*/)?test_[^/]*\.py", re.DOTALL)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Found(NamedTuple):
    """A source, relative to its tree, and its size in bytes."""

    path: bytes
    size: int


class ByteCode:
    """Makes byte code by an interpreter, in one sandbox per processor.

    For several trees, and to be used by several threads, as a context.
    """

    def __init__(self, program: Program) -> None:
        self._program = program
        # Source: PEP 3147, which came after 2.7.
        tag = f".cpython-{program.minor.replace('.', '')}.pyc"
        self._folder, self._suffix = (
            (b"", b".pyc") if program.minor == "2.7" else (b"__pycache__/", tag.encode())
        )
        self._mine = threading.local()
        self._compilers: list[Compiler] = []
        self._pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        for compiler in self._compilers:
            compiler.close()

    def compile_tree(
        self, tree_root: Path, folders: tuple[str, ...], prefix: str, skip: Collection[bytes] = ()
    ) -> dict[bytes, bytes]:
        """Write the files of byte code for every source below `folders` of `tree_root` (host path); return their SHA-256 by path.

        The files are hash-based and unchecked (before 3.7: of the one date that all files in layers have), and hold the source's path as it will be in the image: `prefix` + "/" + the
        path below `tree_root`. A folder "" is the whole tree. Sources in `skip` have byte code already. What does not compile gets no byte code, nor do test modules: a
        third of the sources of scientific packages, which pytest compiles in its own way whatever is there.

        The bytes depend on the interpreter and on the sorted list of sources only. A compiler's output depends a little on
        what its process did before, so each process gets a fixed share of that list and nothing else varies: a fixed hash
        seed, no byte code read from anywhere (`pycache_prefix` leads nowhere), an environment of our own.

        Raises BuildError when a process dies or takes too long, naming the source, and SandboxError.
        """
        every = {source for folder in folders for source in _sources(tree_root, folder)}
        found = sorted(source for source in every if source.path not in skip)
        start = os.fsencode(prefix).rstrip(b"/") + b"/"
        jobs = [self._pool.submit(self._compile, tree_root, share, start) for share in _shares(found)]
        made: dict[bytes, bytes] = {}
        try:
            for job in concurrent.futures.as_completed(jobs):
                made |= job.result()
        except BaseException:
            for job in jobs:
                job.cancel()
            raise
        return made

    def _compile(self, tree_root: Path, share: Sequence[bytes], prefix: bytes) -> dict[bytes, bytes]:
        """Compile the sources in one process, and write what it answers to their places."""
        root = os.fsencode(tree_root)
        sources = [Source(root + b"/" + path, prefix + path) for path in share]
        made: dict[bytes, bytes] = {}
        for path, pyc in zip(share, self._compiler().compile(sources), strict=True):
            folder, slash, name = path.rpartition(b"/")
            place = folder + slash + self._folder + name[: -len(b".py")] + self._suffix
            if _write(root, place, pyc):
                made[place] = hashlib.sha256(pyc).digest()
        return made

    def _compiler(self) -> Compiler:
        """Return this thread's: it would die with another one."""
        mine: Compiler | None = getattr(self._mine, "compiler", None)
        if mine is None:
            mine = self._mine.compiler = Compiler(self._program)
            self._compilers.append(mine)
        return mine


def _shares(found: Sequence[_Found]) -> Iterator[list[bytes]]:
    share: list[bytes] = []
    size = 0
    for source in found:
        share.append(source.path)
        size += source.size
        if len(share) == SHARE or size >= SHARE_BYTES:
            yield share
            share, size = [], 0
    if share:
        yield share


def _sources(tree_root: Path, folder: str) -> Iterator[_Found]:
    """Yield the regular files that end in .py; links are not followed, not even on the way to them."""
    top = os.fsencode(tree_root)
    start = os.fsencode(folder).strip(b"/")
    parts = start.split(b"/") if start else []
    if not all(_is_folder(top + b"/" + b"/".join(parts[: n + 1])) for n in range(len(parts))):
        return
    pending = [start]
    while pending:
        below = pending.pop()
        with os.scandir(top + b"/" + below) as listing:
            for item in listing:
                path = below + b"/" + item.name if below else item.name
                if item.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif _is_wanted(path, item.name) and item.is_file(follow_symlinks=False):
                    size = item.stat(follow_symlinks=False).st_size
                    if size <= _LONGEST_SOURCE:
                        yield _Found(path, size)


def _is_wanted(path: bytes, name: bytes) -> bool:
    return name.endswith(b".py") and name != b".py" and not _TEST.fullmatch(path)


def _is_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _write(root: bytes, path: bytes, pyc: bytes) -> bool:
    """Write byte code to a path below `root`; whether it could be written.

    A link in the place of `__pycache__` is left alone, a file that was there is replaced.
    """
    folder, _, name = path.rpartition(b"/")
    if not pyc or len(name) > _LONGEST_NAME:
        return False
    with contextlib.suppress(FileExistsError):
        os.mkdir(root + b"/" + folder, 0o755)
    try:
        # The folders above it are real ones: that is how the source was found, and nobody else writes to the tree.
        descriptor = os.open(root + b"/" + folder, _FOLDER)
    except OSError:
        return False
    try:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(name, dir_fd=descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o644, dir_fd=descriptor), "wb") as stream:
            stream.write(pyc)
    except FileExistsError:  # a folder of that name
        return False
    finally:
        os.close(descriptor)
    return True
