"""Scripts that run in the sandbox while an image is made, and what they changed as a tree of its own.

A script sees the image as far as it is laid out, may write to some of its folders, and has no network unless the user gave it
one. What it left there is compared with the index of what was there before, file by file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reprolake_builder.documents.lock import Reached
from reprolake_builder.errors import BuildError
from reprolake_builder.image import HOME
from reprolake_builder.network.policy import Policy
from reprolake_builder.network.serving import Server, Serving
from reprolake_builder.network.traffic import Event, Passage
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.cgroups import available_memory
from reprolake_builder.sandboxes.interface import Bind, ImageRoot, Limits, Running, SandboxSpec
from reprolake_builder.sandboxes.networked import networked
from reprolake_builder.sandboxes.requirements import free_user
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools
from reprolake_builder.trees import Entry, Placed, merge, walk

_MINUTES = 60
_LOOK = 1.0  # seconds between two looks at the disk
_LEFT_FREE = 256 << 20  # bytes
_LOG_SHOWN = 3000  # characters


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """What runs, over which trees (lowest first), as whom, and the folders (paths in the image) that it may write to.

    `prepare` may change the copy of these folders (host folder) before; `binds` lie over the image. `policy` is None for no
    network.
    """

    what: str
    trees: tuple[Tree, ...]
    argv: tuple[str, ...]
    env: Mapping[str, str]
    writable: tuple[str, ...]
    user: tuple[int, int]
    cwd: str = "/"
    binds: tuple[Bind, ...] = ()
    prepare: Callable[[Path], None] = lambda _: None
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Ran:
    """What a script left: the copy of the folders (host folder), what is new or changed in it, what is gone, and what it fetched."""

    root: Path
    changed: tuple[bytes, ...]
    gone: tuple[bytes, ...]
    reached: tuple[Reached, ...]
    log: str


def run_script(call: ScriptCall, scratch: Path, tools: Tools) -> Ran:
    """Run a script below `scratch` (empty host folder). Raises BuildError with its last words when it fails, SandboxError."""
    root = scratch / "root"
    before = {placed.entry.path: placed for placed in _within(call)}
    with tools.progress.step(call.what):
        _copy(before.values(), root)
        for folder in call.writable:
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        call.prepare(root)
        with (scratch / "log").open("w+b") as log:
            status, reached = _run(call, root, log, tools)
            said = _end(log)
    if status:
        closed = call.policy is None
        raise BuildError(
            f"{call.what} failed with exit status {status}:\n{said[-_LOG_SHOWN:]}",
            hint="it ran in the sandbox without network; --build-network allow=HOST,… or --build-network all gives it one, "
            "which makes the image depend on what is there on the day"
            if closed
            else "it ran in the sandbox, with the network that --build-network names",
        )
    changed, gone = _compared(root, {path: placed.entry for path, placed in before.items()})
    return Ran(root, changed, gone, reached, said)


def _within(call: ScriptCall) -> Iterator[Placed]:
    """Yield what lies in the writable folders, folders above them included."""
    starts = tuple(f"{folder.strip('/')}/".encode() for folder in call.writable)
    whole = {start.rstrip(b"/") for start in starts}
    above = {parent for start in starts for parent in _parents(start.rstrip(b"/"))}
    for placed in merge((tree.root, tree.entries) for tree in call.trees)[0]:
        path = placed.entry.path
        if path in whole or path in above or path.startswith(starts):
            yield placed


def _parents(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def _copy(entries: Iterable[Placed], root: Path) -> None:
    root.mkdir()
    base = os.fsencode(root)
    for placed in entries:
        entry, target = placed.entry, base + b"/" + placed.entry.path
        source = os.fsencode(placed.root) + b"/" + entry.path
        if entry.kind == "d":
            os.makedirs(target, exist_ok=True)
        elif entry.kind == "l":
            os.symlink(entry.target, target)
        elif entry.kind == "h" and os.path.isfile(base + b"/" + entry.target):
            os.link(base + b"/" + entry.target, target)
        else:
            shutil.copyfile(source, target, follow_symlinks=False)
            os.chmod(target, entry.mode & 0o755 or 0o644)


def _run(call: ScriptCall, root: Path, log: IO[bytes], tools: Tools) -> tuple[int, tuple[Reached, ...]]:
    folders = tuple(Bind(root / folder.lstrip("/"), folder, writable=True) for folder in call.writable)
    spec = SandboxSpec(
        root=ImageRoot(tuple(tree.root for tree in call.trees)),
        argv=call.argv,
        env=call.env,
        cwd=call.cwd,
        binds=(*folders, *call.binds),
        uid=call.user[0],
        gid=call.user[1],
        home="" if HOME in call.writable else HOME,
        limits=Limits(memory_bytes=available_memory() // 10 * 9),
    )
    if call.policy is not None:
        bundle = tools.site.ca_bundle
        spec = networked(spec, Path(bundle) if bundle else None)
    running = Bubblewrap().start(spec, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    told: list[Event] = []
    server = None
    try:
        if call.policy is not None:
            user = free_user() if os.geteuid() == 0 else -1
            serving = Serving(call.policy, tools.site.proxies, tools.site.no_proxy, digests=True, user=user)
            server = Server.start(serving, listener=running.doors[0])
        status = _wait(running, call.what, root, lambda: told.extend(server.read() if server else ()))
    finally:
        running.kill()
        untold = server.stop(told.append).untold if server is not None else 0
    if untold:
        raise BuildError(
            f"{call.what} asked for more than can be recorded: {untold} requests are not told of",
            hint="fetch one archive in place of many files, or declare the packages in the environment's own files",
        )
    return status, _reached(told)


def _reached(told: Iterable[Event]) -> tuple[Reached, ...]:
    """Return what was fetched, each thing once, in an order that does not depend on who was first."""
    passed = (event for event in told if isinstance(event, Passage) and not event.problem)
    found = {
        Reached(host=event.host, port=event.port, url=event.url, sha256=event.sha256 or None)
        for event in passed
    }
    return tuple(sorted(found, key=lambda one: (one.host, one.port, one.url, one.sha256 or "")))


def _wait(running: Running, what: str, root: Path, look: Callable[[], object]) -> int:
    deadline = time.monotonic() + _MINUTES * 60
    while time.monotonic() < deadline:
        look()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.wait(_LOOK)
        if shutil.disk_usage(root).free < _LEFT_FREE:
            raise BuildError(
                f"{what} filled the disk: less than {_LEFT_FREE >> 20} MiB are free",
                hint="free some space, or choose another --store",
            )
    raise BuildError(f"{what} took more than {_MINUTES} minutes")


def _compared(root: Path, before: Mapping[bytes, Entry]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return what is new or another than before, and what is gone; the script has ended, so nothing changes meanwhile."""
    base = os.fsencode(root)
    changed, found = [], set()
    for path, info in walk(base):
        if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode) or stat.S_ISLNK(info.st_mode):
            found.add(path)
            if path not in before or _differs(base + b"/" + path, info, before[path], before):
                changed.append(path)
    return tuple(changed), tuple(path for path in before if path not in found)


def _differs(path: bytes, info: os.stat_result, was: Entry, before: Mapping[bytes, Entry]) -> bool:
    if stat.S_ISLNK(info.st_mode):
        return was.kind != "l" or os.readlink(path) != was.target
    if stat.S_ISDIR(info.st_mode):
        return was.kind != "d"
    if was.kind == "h":  # the same file under another name
        was = before.get(was.target, was)
    if was.kind != "f" or info.st_size != was.size or bool(info.st_mode & 0o100) != bool(was.mode & 0o100):
        return True
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest() != was.sha256


def take(ran: Ran, paths: Iterable[bytes], into: Path) -> None:
    """Put some of what a script left below `into` (empty host folder): files, folders and links, nothing of another kind."""
    base, target = os.fsencode(ran.root), os.fsencode(into)
    for path in paths:
        source, place = base + b"/" + path, target + b"/" + path
        info = os.lstat(source)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(source), place)
        elif stat.S_ISDIR(info.st_mode):
            os.makedirs(place, exist_ok=True)
        else:
            shutil.copyfile(source, place, follow_symlinks=False)
            os.chmod(place, 0o755 if info.st_mode & 0o100 else 0o644)


def _end(log: IO[bytes]) -> str:
    log.seek(0, 2)
    log.seek(max(0, log.tell() - 4 * _LOG_SHOWN))
    return printable(log.read().decode("utf-8", "replace").strip())
