"""Byte code for the Python sources of a tree, made by the image's own interpreter, the same on every host."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from reprolake_builder.errors import BuildError
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, ImageRoot, Limits, SandboxSpec
from reprolake_builder.store import disk_error

CHUNK = 200  # sources per process: part of the layout, see compile_tree
_TIME_LIMIT = 900  # seconds per process; the process limits its own CPU time to less
_SCRIPT = Path(__file__).with_name("compile_sources.py")
_TREE, _PROGRAM = "/mnt/tree", "/mnt/compile_sources.py"  # sandbox paths
_LIMITS = Limits(processes=64, file_bytes=2 << 30, tmp_bytes=16 << 20)
_LENGTH = 8  # bytes of the number before each piece of byte code
_SHOWN = 4000
_RESERVED = 1 << 14  # bytes
_READ = 1 << 20  # bytes
_FULL = 1 << 20  # bytes: a disk with less has no room for an answer
_LONGEST_NAME = 255
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def compile_tree(
    base_root: Path, python: str, tree_root: Path, folders: tuple[str, ...], prefix_in_image: str
) -> None:
    """Write `__pycache__` files for every source below `folders` of `tree_root` (host path).

    `python` is the minor version ("3.11") of the interpreter in `base_root` (host path). The files are hash-based and
    unchecked, and hold the source's path as it will be in the image: `prefix_in_image` + "/" + the path below `tree_root`.
    A folder "" is the whole tree. What does not compile gets no byte code.

    The bytes depend on the interpreter and on the sorted list of sources only. A compiler's output depends a little on
    what its process did before, so each process gets a fixed share of that list and nothing else varies: a fixed hash
    seed, no byte code read from anywhere (`pycache_prefix` leads nowhere), an environment of our own.

    Sources are untrusted: they are read and compiled, never imported. So is the interpreter, for a lock may come from
    anybody and name any package as its Python: it runs in the sandbox, where it can write nothing but its answer.
    Raises BuildError when a process dies or takes too long, naming the source, and SandboxError.
    """
    sources = sorted({source for folder in folders for source in _sources(tree_root, folder)})
    chunks = [sources[at : at + CHUNK] for at in range(0, len(sources), CHUNK)]
    if not chunks:
        return
    if not os.path.lexists(base_root / f"usr/bin/python{python}"):
        raise BuildError(f"the base holds no Python {python}", hint="the lock was changed by hand")
    # Not -I: that would ignore the hash seed. The environment is ours, so there is nothing else to be isolated from.
    spec = SandboxSpec(
        root=ImageRoot((base_root,)),
        argv=(
            f"/usr/bin/python{python}",
            *("-s", "-S", "-B", "-Xutf8", "-Xpycache_prefix=/nonexistent", "-Wignore"),
            *(_PROGRAM, _TREE, prefix_in_image.rstrip("/")),
        ),
        env={"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "LC_ALL": "C.UTF-8"},
        binds=(Bind(tree_root, _TREE), Bind(_SCRIPT, _PROGRAM)),
        limits=_LIMITS,
    )
    sandbox = Bubblewrap()
    suffix = f".cpython-{python.replace('.', '')}.pyc".encode()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(_compile, sandbox, spec, tree_root, chunk, suffix) for chunk in chunks]
        try:
            for job in concurrent.futures.as_completed(jobs):
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _sources(tree_root: Path, folder: str) -> Iterator[bytes]:
    """Yield the regular files that end in .py, relative to the tree; links are not followed, not even on the way to it."""
    top = os.fsencode(tree_root)
    start = os.fsencode(folder).strip(b"/")
    parts = start.split(b"/") if start else []
    if not all(_is_folder(top + b"/" + b"/".join(parts[: n + 1])) for n in range(len(parts))):
        return
    pending = [start]
    while pending:
        below = pending.pop()
        for item in list(os.scandir(top + b"/" + below)):
            path = below + b"/" + item.name if below else item.name
            mode = item.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                pending.append(path)
            elif stat.S_ISREG(mode) and item.name.endswith(b".py") and item.name != b".py":
                yield path


def _is_folder(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _compile(
    sandbox: Bubblewrap, spec: SandboxSpec, tree_root: Path, chunk: list[bytes], suffix: bytes
) -> None:
    """Compile the sources in one process, and write what it answers to their places."""
    beside = tree_root.parent  # on the store's disk, which has room
    with (
        tempfile.TemporaryFile(dir=beside) as names,
        tempfile.TemporaryFile(dir=beside) as answer,
        tempfile.TemporaryFile(dir=beside) as complaints,
    ):
        os.posix_fallocate(complaints.fileno(), 0, _RESERVED)  # so that a full disk can be complained of
        names.write(b"".join(name + b"\0" for name in chunk))
        names.seek(0)
        running = sandbox.start(spec, stdin=names, stdout=answer, stderr=complaints)
        try:
            status = running.wait(_TIME_LIMIT)
        except subprocess.TimeoutExpired as error:
            raise BuildError(
                f"compiling {_shown(chunk[0])} and the {len(chunk) - 1} sources after it took more than {_TIME_LIMIT} seconds"
            ) from error
        finally:
            running.kill()
        answer.seek(0)
        done = 0
        for name, pyc in zip(chunk, _pieces(answer), strict=False):
            _write(tree_root, name, suffix, pyc)
            done += 1
        if status != 0 or done != len(chunk):
            _refuse_full_disk(beside, complaints)
            at = chunk[min(done, len(chunk) - 1)]
            raise BuildError(
                _death(status, at, complaints), hint="the package holds a source that no Python can compile"
            )


def _pieces(answer: IO[bytes]) -> Iterator[bytes]:
    """Yield the byte code of each source in turn, b"" where there is none; whoever wrote the answer is not trusted."""
    while len(head := answer.read(_LENGTH)) == _LENGTH:
        length = int.from_bytes(head, "little")
        if length > _LIMITS.file_bytes or len(pyc := answer.read(length)) != length:
            return
        yield pyc


def _write(tree_root: Path, source: bytes, suffix: bytes, pyc: bytes) -> None:
    """Write byte code beside its source; a link in the place of `__pycache__` is left alone, a file that was there is replaced."""
    if not pyc:
        return
    folder, _, name = source.rpartition(b"/")
    cache = os.fsencode(tree_root) + b"/" + folder + b"/__pycache__"
    with contextlib.suppress(FileExistsError):
        os.mkdir(cache, 0o755)
    try:
        # The folders above it are real ones: that is how the source was found, and nobody else writes to the tree.
        descriptor = os.open(cache, _FOLDER)
    except OSError:
        return
    try:
        place = name[: -len(b".py")] + suffix
        if len(place) > _LONGEST_NAME:
            return
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(place, dir_fd=descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with (
            contextlib.suppress(FileExistsError),  # a folder of that name
            open(os.open(place, flags, 0o644, dir_fd=descriptor), "wb") as stream,
        ):
            stream.write(pyc)
    finally:
        os.close(descriptor)


def _refuse_full_disk(folder: Path, complaints: IO[bytes]) -> None:
    """Raise OSError when the compiler's answer did not fit on the disk."""
    if error := disk_error(_said(complaints)):
        raise error
    if shutil.disk_usage(folder).free < _FULL:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _death(status: int, name: bytes, complaints: IO[bytes]) -> str:
    said = _said(complaints)
    how = f"was ended by signal {status - 128}" if status > 128 else f"failed: {said or f'status {status}'}"
    return f"the compiler of Python sources {how} at {_shown(name)}"


def _said(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    text = complaints.read(_READ).replace(b"\0", b"").decode("utf-8", "replace")
    return printable(text.strip()[-_SHOWN:])


def _shown(name: bytes) -> str:
    return printable(name.decode("utf-8", "replace"))
