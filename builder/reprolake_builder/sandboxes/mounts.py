"""System calls of Linux that Python's library does not have: namespaces, mounts, keyrings.

Only modules that are cheap to import are used: this is loaded by a fresh interpreter before every start.
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_RDONLY = 1
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_SIGKILL = 9
# Numbers of system calls on x86-64; those from 424 on are the same everywhere.
_KEYCTL = 250
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_MOUNT_SETATTR = 442
_KEYCTL_JOIN_SESSION_KEYRING = 1
_OPEN_TREE_CLONE = 1
_AT_EMPTY_PATH = 0x1000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x00100000
_AF_INET, _SOCK_DGRAM = 2, 2
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1

_NAMESPACES = {
    CLONE_NEWUSER: "user",
    CLONE_NEWNS: "mount",
    CLONE_NEWNET: "network",
    CLONE_NEWUTS: "UTS",
    CLONE_NEWIPC: "IPC",
    CLONE_NEWCGROUP: "cgroup",
    CLONE_NEWPID: "PID",
}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def _call(number: int, what: str, *arguments: object) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments), what)


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    names = [name for bit, name in _NAMESPACES.items() if flags & bit]
    _checked(_libc.unshare(ctypes.c_int(flags)), f"new {' and '.join(names)} namespace")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Add one mount; the file name of its OSError says what was to appear where."""
    _checked(
        _libc.mount(
            source.encode(errors="surrogateescape"),
            target.encode(errors="surrogateescape"),
            kind.encode(),
            ctypes.c_ulong(flags),
            options.encode(errors="surrogateescape"),
        ),
        f"mount of {kind or source} on {target}",
    )


def bind_descriptor(descriptor: int, target: str) -> None:
    """Make the file or folder behind `descriptor`, with what is mounted below it, appear at `target`."""
    mount(f"/proc/self/fd/{descriptor}", target, flags=MS_BIND | MS_REC)


def bind_as(descriptor: int, target: str, namespace: int) -> None:
    """As `bind_descriptor`, with owners as `namespace` (a user namespace) maps them. Source: mount_setattr(2), ID-mapped mounts."""
    tree = _call(
        _OPEN_TREE,
        "open_tree",
        ctypes.c_int(descriptor),
        b"",
        ctypes.c_uint(_OPEN_TREE_CLONE | _AT_EMPTY_PATH | os.O_CLOEXEC),
    )
    try:
        attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, namespace)  # struct mount_attr
        _call(
            _MOUNT_SETATTR,
            "mount_setattr",
            ctypes.c_int(tree),
            b"",
            ctypes.c_uint(_AT_EMPTY_PATH),
            attributes,
            ctypes.c_size_t(len(attributes)),
        )
        _call(
            _MOVE_MOUNT,
            "move_mount",
            ctypes.c_int(tree),
            b"",
            ctypes.c_int(-100),
            target.encode(errors="surrogateescape"),
            ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
        )
    finally:
        os.close(tree)


def map_ids(process: str, uid: tuple[int, int], gid: tuple[int, int]) -> None:
    """Map one user and one group, each (inside, outside), in the user namespace of `process` ("self" or a number)."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid[0]} {uid[1]} 1"),
        ("gid_map", f"{gid[0]} {gid[1]} 1"),
    ):
        write(f"/proc/{process}/{name}", text)


def write(path: str, word: str) -> None:
    """Write a word to a file of the kernel's."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, word.encode())
    finally:
        os.close(descriptor)


def loopback_up() -> None:
    """Switch on the only interface of a new network namespace. Source: netdevice(7)."""
    asking = _checked(_libc.socket(_AF_INET, _SOCK_DGRAM, 0), "socket")
    try:
        request = ctypes.create_string_buffer(struct.pack("16sh22x", b"lo", _IFF_UP))
        _checked(_libc.ioctl(asking, ctypes.c_ulong(_SIOCSIFFLAGS), request), "loopback interface")
    finally:
        os.close(asking)


def user_namespace(uid: tuple[int, int], gid: tuple[int, int]) -> int:
    """Return a descriptor of a new user namespace with that mapping, which nothing runs in. Needs root."""
    ready, tell = os.pipe()
    until, hold = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(hold)
            unshare(CLONE_NEWUSER)
            os.write(tell, b".")
            os.read(until, 1)  # ends with the parent, at the latest
        finally:
            os._exit(1)
    try:
        os.close(tell)
        if os.read(ready, 1) != b".":
            raise OSError(1, "Operation not permitted", "new user namespace")
        map_ids(str(child), uid, gid)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for descriptor in (ready, until, hold):
            os.close(descriptor)
        os.waitpid(child, 0)


def set_host_name(name: str) -> None:
    """Give the machine another name, in this UTS namespace."""
    _checked(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name.encode()))), "host name")


def join_own_keyring() -> None:
    """Leave the caller's session keyring, which may hold Kerberos tickets, for an empty one."""
    _call(_KEYCTL, "keyctl", ctypes.c_int(_KEYCTL_JOIN_SESSION_KEYRING), None)


def die_with_parent() -> None:
    """Have this process killed when its parent ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(_SIGKILL), 0, 0, 0), "prctl")


def stay_inspectable() -> None:
    """Let this process write its own /proc files after a change of user."""
    _checked(_libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0), "prctl")
