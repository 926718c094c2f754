"""Scripts that run in the sandbox while an image is made, and what they changed as a tree of its own.

A script sees the image as far as it is laid out, may write to some of its folders, and has no network unless the user gave it
one. What it left there is compared with the index of what was there before, file by file.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reprolake_builder.documents.lock import Reached
from reprolake_builder.engines.attending import LEFT_FREE, Work, attend, last_words
from reprolake_builder.errors import BuildError, SandboxError
from reprolake_builder.git_tree import MOST_ENTRIES, folders_above, folders_of
from reprolake_builder.image import HOME
from reprolake_builder.network.policy import Policy
from reprolake_builder.network.serving import Server, Serving
from reprolake_builder.network.traffic import Event, Passage
from reprolake_builder.process import printable
from reprolake_builder.rootfs import shown
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, ImageRoot, SandboxSpec
from reprolake_builder.sandboxes.networked import networked
from reprolake_builder.sandboxes.reports import NOT_STARTED
from reprolake_builder.sandboxes.requirements import free_user
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools
from reprolake_builder.trees import MTIME, Entry, Placed, content_digest, give_modes, merge, walk

_LOG_SHOWN = 3000  # characters
_SAME_EACH_TIME = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": str(MTIME)}


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
    _refuse_links(call, before)
    with tools.progress.step(call.what):
        _copy(before.values(), root)
        for folder in call.writable:
            (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        call.prepare(root)
        _settle(root)
        with (scratch / "log").open("w+b") as log:
            try:
                status, reached = _run(call, root, log, tools)
            except SandboxError as error:
                if not last_words(log).startswith(NOT_STARTED):
                    raise
                raise BuildError(
                    f"{call.what} failed: the image has no program as its first line names it (#!…)",
                    hint="begin it with #!/bin/bash, or name the Debian package of that program in apt.txt",
                ) from error
            said = last_words(log)
    if status:
        closed = call.policy is None
        raise BuildError(
            f"{call.what} failed with exit status {status}:\n{said[-_LOG_SHOWN:]}",
            hint="it ran in the sandbox without network; --build-network allow=HOST,… or --build-network all gives it one, "
            "which makes the image depend on what is there on the day"
            if closed
            else "it ran in the sandbox, with the network that --build-network names",
        )
    changed, gone = _compared(root, call.what, {path: placed.entry for path, placed in before.items()})
    return Ran(root, changed, gone, reached, said)


def _within(call: ScriptCall) -> Iterator[Placed]:
    """Yield what lies in the writable folders, folders above them included."""
    starts = tuple(f"{folder.strip('/')}/".encode() for folder in call.writable)
    whole = {start.rstrip(b"/") for start in starts}
    above = folders_of(whole)
    for placed in merge((tree.root, tree.entries) for tree in call.trees)[0]:
        path = placed.entry.path
        if path in whole or path in above or path.startswith(starts):
            yield placed


def _refuse_links(call: ScriptCall, before: Mapping[bytes, Placed]) -> None:
    """Return when no writable folder is, or lies below, a link: on this host that would lead somewhere else. Raises BuildError."""
    for folder in call.writable:
        path = folder.strip("/").encode()
        for place in (path, *folders_above(path)):
            if place in before and before[place].entry.kind != "d":
                raise BuildError(
                    f"{call.what} needs the folder {folder}, and a package of the image has something else at {shown(place)}",
                    hint="leave that package away",
                )


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


def _settle(root: Path) -> None:
    """Give all below a folder one date, and the modes of an image: a script sees them, and may put them into what it makes."""
    give_modes(root)
    for path, _ in walk(os.fsencode(root)):
        os.utime(os.fsencode(root) + b"/" + path, (MTIME, MTIME), follow_symlinks=False)


def _run(call: ScriptCall, root: Path, log: IO[bytes], tools: Tools) -> tuple[int, tuple[Reached, ...]]:
    folders = tuple(Bind(root / folder.lstrip("/"), folder, writable=True) for folder in call.writable)
    work = Work(call.what, root)
    spec = SandboxSpec(
        root=ImageRoot(tuple(tree.root for tree in call.trees)),
        argv=call.argv,
        env={**call.env, **_SAME_EACH_TIME},
        cwd=call.cwd,
        binds=(*folders, *call.binds),
        uid=call.user[0],
        gid=call.user[1],
        home="" if HOME in call.writable else HOME,
        limits=work.limits,
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
        look = (lambda: told.extend(server.read())) if server is not None else (lambda: None)
        status = attend(running, work, look=look)
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


def _compared(
    root: Path, what: str, before: Mapping[bytes, Entry]
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return what is new or another than before, and what is gone; the script has ended, so nothing changes meanwhile.

    Raises BuildError for more than an image may hold, before any of it is read.
    """
    base = os.fsencode(root)
    free = shutil.disk_usage(root).free - LEFT_FREE
    found: dict[bytes, os.stat_result] = {}
    size = 0
    try:
        for path, info in walk(base, most=MOST_ENTRIES, unlock=True):
            if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode) or stat.S_ISLNK(info.st_mode):
                found[path] = info
                was = before.get(path)
                size += info.st_size if was is None or was.size != info.st_size else 0
    except (OSError, ValueError) as error:
        raise BuildError(
            f"what {what} left cannot be taken: {printable(str(error))}",
            hint="an image holds no paths of more than 4096 bytes, and what is not needed later can be removed at the script's end",
        ) from error
    if size > free:  # of a file with holes the disk has less than a copy of it takes
        raise BuildError(
            f"{what} left files of {size >> 20} MiB, and {max(free, 0) >> 20} MiB are free",
            hint="free some space, or choose another --store",
        )
    changed = tuple(
        path
        for path, info in found.items()
        if path not in before or _differs(base + b"/" + path, info, before[path], before)
    )
    return changed, tuple(path for path in before if path not in found)


def _differs(path: bytes, info: os.stat_result, was: Entry, before: Mapping[bytes, Entry]) -> bool:
    if stat.S_ISLNK(info.st_mode):
        return was.kind != "l" or os.readlink(path) != was.target
    if stat.S_ISDIR(info.st_mode):
        return was.kind != "d"
    if was.kind == "h":  # the same file under another name
        was = before.get(was.target, was)
    if was.kind != "f" or info.st_size != was.size or bool(info.st_mode & 0o100) != bool(was.mode & 0o100):
        return True
    return content_digest(path) != was.sha256


def take(ran: Ran, paths: Iterable[bytes], into: Path) -> None:
    """Put some of what a script left below `into` (empty host folder): files, folders and links, nothing of another kind."""
    base, target = os.fsencode(ran.root), os.fsencode(into)
    first: dict[tuple[int, int], bytes] = {}
    for path in paths:
        source, place = base + b"/" + path, target + b"/" + path
        info = os.lstat(source)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(source), place)
        elif stat.S_ISDIR(info.st_mode):
            os.makedirs(place, exist_ok=True)
        elif (known := first.setdefault((info.st_dev, info.st_ino), place)) != place:
            os.link(known, place)
        else:
            shutil.copyfile(source, place, follow_symlinks=False)
            os.chmod(place, 0o755 if info.st_mode & 0o100 else 0o644)
