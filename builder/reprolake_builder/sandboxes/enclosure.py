"""What bubblewrap does itself and a container runtime leaves to whoever starts it: network, names, devices, folders in memory.

Everything is made in namespaces of our own before the runtime is started, so that it does not depend on the runtime's
configuration, and the runtime sees no more of the host than its own files. It runs below an init of ours, in a PID
namespace of ours: when that is gone, nothing of the runtime or the program is left, whatever they did.
"""

from __future__ import annotations

import os

from reprolake_builder.sandboxes import mounts

TYPE_CHECKING = False  # as in typing, whose import would double the time until the runtime starts
if TYPE_CHECKING:
    from reprolake_builder.sandboxes.plan import Enclosure, Plan

NAMESPACES = mounts.CLONE_NEWNET | mounts.CLONE_NEWUTS | mounts.CLONE_NEWIPC | mounts.CLONE_NEWCGROUP
MADE = "m"
"""Folder below the launcher's base for what is made here: own/<name>, dev, and one folder in memory for each of `rooms`."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("core", "/proc/kcore"),
    ("ptmx", "pts/ptmx"),
)


def enclose(plan: Plan, enclosure: Enclosure, base: str) -> None:
    """Prepare everything in namespaces that are our own already; `base` (host path) is where the launcher brings things together."""
    made = f"{base}/{MADE}"
    mounts.mount("tmpfs", made, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=0755,size=16m")
    mounts.loopback_up()
    mounts.set_host_name(enclosure["host_name"])
    _devices(f"{made}/dev", enclosure["devices"])
    for number, (size, mode) in enumerate(enclosure["rooms"]):
        os.mkdir(f"{made}/{number}")
        options = f"mode={mode:o},size={size}"
        mounts.mount("tmpfs", f"{made}/{number}", "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, options)
    _mount_points(enclosure["places"])
    os.makedirs(f"{made}/own/libs")  # where the runtime puts the libraries of graphics processors
    for name, content, mode in enclosure["files"]:
        _put(f"{made}/own/{name}", content, mode)
    for name, path in enclosure["over"]:
        mounts.mount(f"{made}/own/{name}", path, flags=mounts.MS_BIND)
    mounts.write("/proc/sys/user/max_user_namespaces", "1")  # the runtime's own, and none inside it
    _own_processes(plan["report"])


def _devices(folder: str, more: list[str]) -> None:
    os.mkdir(folder)
    mounts.mount("tmpfs", folder, "tmpfs", mounts.MS_NOSUID, "mode=0755,size=64k")
    for name in (*_DEVICES, *more):
        os.makedirs(os.path.dirname(f"{folder}/{name}"), exist_ok=True)
        _put(f"{folder}/{name}")
        mounts.mount(f"/dev/{name}", f"{folder}/{name}", flags=mounts.MS_BIND)
    if os.isatty(1):  # so that programs find a name for their terminal
        _put(f"{folder}/console")
        mounts.mount(os.ttyname(1), f"{folder}/console", flags=mounts.MS_BIND)
    for name in ("pts", "shm"):
        os.mkdir(f"{folder}/{name}")
    options = "newinstance,ptmxmode=0666,mode=620"
    mounts.mount("devpts", f"{folder}/pts", "devpts", mounts.MS_NOSUID | mounts.MS_NOEXEC, options)
    for name, target in _LINKS:
        os.symlink(target, f"{folder}/{name}")


def _mount_points(places: list[tuple[str, str]]) -> None:
    """Make what each of the places will be mounted on, in whichever of those before it covers its target."""
    placed: list[tuple[str, str]] = []
    for source, target in places:
        for before, covered in reversed(placed):
            if target.startswith(f"{covered}/"):
                point = before + target[len(covered) :]
                if not os.path.lexists(point):
                    _make(point, folder=os.path.isdir(source))
                break
        placed.append((source, target))


def _make(path: str, *, folder: bool) -> None:
    os.makedirs(path if folder else os.path.dirname(path), exist_ok=True)
    if not folder:
        _put(path)


def _put(path: str, content: bytes = b"", mode: int = 0o644) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _own_processes(report: int) -> None:
    """Return in a process that is the second of a new PID namespace; the first and its parent end as that process does."""
    alive, hold = os.pipe()
    mounts.unshare(mounts.CLONE_NEWPID)
    if first := os.fork():
        os.close(alive)
        os.close(report)
        _end_as(first)
    os.close(hold)
    mounts.die_with_parent()
    os.set_blocking(alive, False)
    try:
        os.read(alive, 1)
        os._exit(125)  # the parent was gone already
    except BlockingIOError:
        os.close(alive)
    mounts.mount("proc", "/proc", "proc", mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC)
    if second := os.fork():
        os.close(report)
        _end_as(second)


def _end_as(child: int) -> None:
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
