"""Byte code for the Python sources of a tree, made by the image's own interpreter, the same on every host."""

from __future__ import annotations

import concurrent.futures
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from reprolake_builder.errors import BuildError
from reprolake_builder.process import Completed, printable, run

CHUNK = 200  # sources per process: part of the layout, see compile_tree
_TIME_LIMIT = 900  # seconds per process; the process limits its own CPU time to less
_SCRIPT = Path(__file__).with_name("compile_sources.py")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def interpreter_argv(base_root: Path, python: str) -> tuple[str, ...]:
    """Return the words that start the Python of an unpacked base (host path) on this host, with the base's own libraries.

    It is started through the base's loader, since the program itself names the host's.
    """
    libraries = f"{base_root}/{_LIBRARIES}"
    loader = f"{libraries}/ld-linux-x86-64.so.2"
    program = f"{base_root}/usr/bin/python{python}"
    return (loader, "--inhibit-cache", "--library-path", libraries, program)


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

    Sources are untrusted: they are read and compiled, never imported; the process limits its memory and time. The
    interpreter may run outside a sandbox because it comes out of a Debian package whose hash a signed index vouches for.
    Raises BuildError when a process dies or takes too long, naming the source.
    """
    sources = sorted({source for folder in folders for source in _sources(tree_root, folder)})
    chunks = [sources[at : at + CHUNK] for at in range(0, len(sources), CHUNK)]
    if not chunks:
        return
    # Not -I: that would ignore the hash seed. The environment is ours, so there is nothing else to be isolated from.
    argv = (
        *interpreter_argv(base_root, python),
        *("-s", "-S", "-B", "-Xutf8", "-Xpycache_prefix=/nonexistent", "-Wignore"),
        *(str(_SCRIPT), str(tree_root), prefix_in_image.rstrip("/")),
    )
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(_compile, argv, chunk) for chunk in chunks]
        try:
            for job in concurrent.futures.as_completed(jobs):
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _sources(tree_root: Path, folder: str) -> Iterator[bytes]:
    """Yield the regular files that end in .py, relative to the tree; links are not followed."""
    top = os.fsencode(tree_root)
    pending = [os.fsencode(folder)]
    while pending:
        below = pending.pop()
        try:
            listing = list(os.scandir(top + b"/" + below))
        except FileNotFoundError:
            continue
        for item in listing:
            path = below + b"/" + item.name if below else item.name
            mode = item.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                pending.append(path)
            elif stat.S_ISREG(mode) and item.name.endswith(b".py") and item.name != b".py":
                yield path


def _compile(argv: tuple[str, ...], chunk: list[bytes]) -> None:
    environment = {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1", "LC_ALL": "C.UTF-8"}
    names = b"".join(name + b"\0" for name in chunk)
    try:
        done = run(argv, env=environment, cwd=Path("/"), stdin=names, timeout=_TIME_LIMIT)
    except subprocess.TimeoutExpired as error:
        raise BuildError(
            f"compiling {_shown(chunk[0])} and the {len(chunk) - 1} sources after it took more than {_TIME_LIMIT} seconds"
        ) from error
    except OSError as error:
        raise BuildError(f"the base's Python cannot be started: {error}") from error
    if done.returncode != 0:
        raise BuildError(_death(done, chunk), hint="the package holds a source that no Python can compile")


def _death(done: Completed, chunk: list[bytes]) -> str:
    last = done.stdout.split(b"\0")[:-1]
    name = _shown(last[-1] if last else chunk[0])
    how = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"failed: {done.tail}"
    return f"the compiler of Python sources {how} at {name}"


def _shown(name: bytes) -> str:
    return printable(name.decode("utf-8", "replace"))
