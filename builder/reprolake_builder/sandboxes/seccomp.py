"""The filter of system calls: what no notebook and no build needs, and what sandboxes have been left through, fails.

A denylist (flatpak's idea): a kernel or package never seen before has to work. The program is classic BPF, assembled here.
Source: seccomp(2); linux/bpf_common.h, linux/seccomp.h, asm/unistd_64.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

_LOAD, _EQUAL, _ABOVE, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_X86_64 = 0xC000003E
_X32 = 0x40000000
_ALLOW = 0x7FFF0000
_FAIL = 0x00050000
_KILL = 0x80000000

_DENIED = {
    # keyrings: the caller's may hold Kerberos tickets
    "add_key": 248, "request_key": 249, "keyctl": 250,
    # other processes
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
    "process_madvise": 440,
    # large parts of the kernel that a notebook has no use for
    "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "fanotify_init": 300, "lookup_dcookie": 212, "quotactl": 179, "quotactl_fd": 443,
    "syslog": 103, "vmsplice": 278, "modify_ldt": 154,
    # mounts and namespaces
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "open_tree_attr": 467, "unshare": 272,
    "setns": 308, "name_to_handle_at": 303, "open_by_handle_at": 304,
    # the machine
    "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176,
    "create_module": 174, "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163, "iopl": 172, "ioperm": 173,
    "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305, "adjtimex": 159, "nfsservctl": 180, "uselib": 134,
    "vhangup": 153, "_sysctl": 156, "move_pages": 279, "migrate_pages": 256, "set_mempolicy_home_node": 450,
}  # fmt: skip
_CLONE, _CLONE3, _SOCKET, _SOCKETPAIR, _IOCTL, _PERSONALITY = 56, 435, 41, 53, 16, 135
_CLONE_NEW = 0x7E020000  # CLONE_NEWNS and CLONE_NEWCGROUP to CLONE_NEWNET
_FAMILIES = (1, 2, 10)  # AF_UNIX, AF_INET, AF_INET6
_NETLINK, _NETLINK_ROUTE = 16, 0
_FCNTL, _F_SETLEASE = 72, 1024
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PRCTL, _PR_SET_PDEATHSIG = 157, 1
_SETRLIMIT, _PRLIMIT64, _RLIMIT_CORE = 160, 302, 4
NO_CORE = 1
"""Limit on the size of a core (bytes) with which Linux neither writes one nor starts the host's program for cores. Source: Linux, fs/coredump.c."""
_PERSONALITIES = (0, 0xFFFFFFFF)  # PER_LINUX, and the question which one it is


def program() -> bytes:
    """Return the filter as the array of `struct sock_filter` that bubblewrap's --seccomp reads."""
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, _X86_64, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
        # x32 would be a second name for every system call
        _line(_ABOVE, _X32, 0, 1),
        _fail(errno.ENOSYS),
    ]
    for number in sorted(_DENIED.values()):
        lines += [_line(_EQUAL, number, 0, 1), _fail(errno.EPERM)]
    # clone3 hides its flags in memory; libraries go on with clone when it is absent
    lines += [_line(_EQUAL, _CLONE3, 0, 1), _fail(errno.ENOSYS)]
    for number, checks in (
        (_CLONE, [*_argument(0), _line(_BITS, _CLONE_NEW, 0, 1), _fail(errno.EPERM)]),
        (_SOCKET, _socket_checks()),
        (_SOCKETPAIR, _socket_checks()),
        (_IOCTL, [*_argument(1), *_refused((_TIOCSTI, _TIOCLINUX))]),
        # Who reads a file waits for whoever has a lease on it, and files of the host's appear inside as the program's own.
        (_FCNTL, [*_argument(1), *_refused((_F_SETLEASE,))]),
        # bubblewrap's own process inside can be written to by those beside it: it shall not forget whom to die with.
        # Programs that use this are told that it worked, since all end with the sandbox anyway.
        (_PRCTL, [*_argument(0), _line(_EQUAL, _PR_SET_PDEATHSIG, 0, 1), _fail(0)]),
        # The limit of NO_CORE is to stay: one of 0 has the host's own program, which is root's, called for a crash.
        (_SETRLIMIT, [*_argument(0), _line(_EQUAL, _RLIMIT_CORE, 0, 1), _fail(0)]),
        (_PRLIMIT64, _new_core_limit()),
        (_PERSONALITY, [*_argument(0), *_only(_PERSONALITIES, errno.EPERM)]),
    ):
        lines += [_line(_EQUAL, number, 0, len(checks) + 1), *checks, _line(_RETURN, _ALLOW)]
    lines.append(_line(_RETURN, _ALLOW))
    return b"".join(lines)


def _line(code: int, value: int, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, when_true, when_false, value)


def _fail(number: int) -> bytes:
    return _line(_RETURN, _FAIL | number)


def _argument(index: int) -> Iterator[bytes]:
    """Load the low half of an argument: the kernel itself looks at no more of those that are tested here."""
    yield _line(_LOAD, 16 + 8 * index)


def _new_core_limit() -> list[bytes]:
    """Whether prlimit64 is to change how large a core may be: its third argument leads to the new limit, or nowhere."""
    low, high = _argument(2), _line(_LOAD, 16 + 8 * 2 + 4)
    asked = [*low, _line(_EQUAL, 0, 0, 2), high, _line(_EQUAL, 0, 1, 0), _fail(0)]
    return [*_argument(1), _line(_EQUAL, _RLIMIT_CORE, 0, len(asked)), *asked]


def _refused(values: tuple[int, ...]) -> Iterator[bytes]:
    for value in values:
        yield _line(_EQUAL, value, 0, 1)
        yield _fail(errno.EPERM)


def _only(values: tuple[int, ...], number: int) -> Iterator[bytes]:
    """Fail unless the loaded value is one of `values`; otherwise go on after the last of these lines."""
    for position, value in enumerate(values):
        yield _line(_EQUAL, value, len(values) - position, 0)
    yield _fail(number)


def _socket_checks() -> list[bytes]:
    """Unix and internet sockets, and netlink for the list of interfaces; no vsock, no raw packets, nothing exotic."""
    allow = _line(_RETURN, _ALLOW)
    checks = list(_argument(0))
    for family in _FAMILIES:
        checks += [_line(_EQUAL, family, 0, 1), allow]
    checks += [_line(_EQUAL, _NETLINK, 1, 0), _fail(errno.EAFNOSUPPORT)]
    checks += [*_argument(2), _line(_EQUAL, _NETLINK_ROUTE, 1, 0), _fail(errno.EAFNOSUPPORT)]
    return checks
