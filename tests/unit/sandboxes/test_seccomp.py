"""The filter of system calls, run by an interpreter of classic BPF made for the test."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.sandboxes.seccomp import program

X86_64, I386 = 0xC000003E, 0x40000003
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000


def judged(number, *arguments, architecture=X86_64):
    """What the filter returns for a system call."""
    padded = (*arguments, *([0] * (6 - len(arguments))))
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    lines = list(struct.iter_unpack("=HBBI", program()))
    place, loaded = 0, 0
    while True:
        code, when_true, when_false, value = lines[place]
        place += 1
        match code:
            case 0x20:
                (loaded,) = struct.unpack_from("=I", data, value)
            case 0x15:
                place += when_true if loaded == value else when_false
            case 0x35:
                place += when_true if loaded >= value else when_false
            case 0x45:
                place += when_true if loaded & value else when_false
            case 0x06:
                return value
            case _:
                raise AssertionError(hex(code))


DENIED = {
    "keyctl": 250, "add_key": 248, "ptrace": 101, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
    "io_uring_setup": 425, "mount": 165, "unshare": 272, "setns": 308, "open_by_handle_at": 304, "kexec_load": 246,
    "fsopen": 430, "move_mount": 429, "pivot_root": 155, "process_vm_readv": 310,
}  # fmt: skip
USED_DAILY = {
    "read": 0, "write": 1, "mmap": 9, "futex": 202, "openat": 257, "execve": 59, "wait4": 61, "kill": 62, "statx": 332,
    "getrandom": 318, "epoll_wait": 232, "prctl": 157, "memfd_create": 319, "rseq": 334, "pidfd_open": 434,
}  # fmt: skip


@pytest.mark.parametrize("number", DENIED.values(), ids=DENIED)
def test_dangerous_calls_fail(number):
    """What sandboxes have been left through is refused with EPERM."""
    assert judged(number) == FAIL | errno.EPERM


@pytest.mark.parametrize("number", USED_DAILY.values(), ids=USED_DAILY)
def test_daily_calls_pass(number):
    """What every program does is allowed."""
    assert judged(number) == ALLOW


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1).filter(lambda a: a != X86_64))
def test_other_architectures_are_killed(number, architecture):
    """A second way to call the kernel, with other numbers, ends the program."""
    assert judged(number, architecture=architecture) == KILL


@given(st.integers(0x40000000, 2**32 - 1))
def test_x32_has_no_calls(number):
    """The x32 numbers, under which every call would exist again, are absent."""
    assert judged(number) == FAIL | errno.ENOSYS


@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_clone_makes_threads_and_processes_but_no_namespaces(flag):
    """Any namespace flag makes clone fail; without one it passes; clone3, whose flags cannot be seen, is absent."""
    threads, fork = 0x3D0F00, 0x1200011
    assert judged(56, threads) == judged(56, fork) == ALLOW
    assert judged(56, fork | flag) == FAIL | errno.EPERM
    assert judged(435) == FAIL | errno.ENOSYS


@given(st.integers(0, 45), st.integers(0, 20))
def test_only_ordinary_sockets(family, protocol):
    """Unix and internet sockets pass, netlink for routes only, nothing else."""
    allowed = family in {1, 2, 10} or (family == 16 and protocol == 0)
    expected = ALLOW if allowed else FAIL | errno.EAFNOSUPPORT
    assert judged(41, family, 1, protocol) == judged(53, family, 1, protocol) == expected


@pytest.mark.parametrize(("request_", "verdict"), [(0x5412, FAIL | 1), (0x541C, FAIL | 1), (0x5401, ALLOW)])
def test_no_typing_into_terminals(request_, verdict):
    """The ioctls that put characters into a terminal's input fail, also with the upper half of the argument set."""
    assert judged(16, 0, request_) == verdict
    assert judged(16, 0, request_ | 1 << 32) == verdict


def test_nobody_waits_for_a_lease():
    """Leases on files are refused, also with the upper half of the argument set; all else that fcntl does passes."""
    assert judged(72, 3, 1024) == judged(72, 3, 1024 | 1 << 32) == FAIL | errno.EPERM
    assert judged(72, 3, 1025) == judged(72, 3, 2, 1) == judged(72, 1024, 1) == ALLOW


def test_nothing_inside_can_outlive_its_parent():
    """Changing the signal that comes with the parent's death seems to work and does nothing; other prctl calls pass."""
    assert judged(157, 1, 0) == judged(157, 1, 9) == FAIL | 0
    assert judged(157, 38, 1) == judged(157, 15) == ALLOW


@pytest.mark.parametrize("new", [1, 0x7FFC00001000, 0x7FFC << 32], ids=hex)
def test_the_limit_on_cores_stays(new):
    """Setting it seems to work and does nothing, wherever the new one lies in memory; asking for it passes, as do other limits."""
    assert judged(160, 4, new) == judged(302, 0, 4, new) == judged(302, 77, 4, new, new) == FAIL | 0
    assert (
        judged(302, 0, 4, 0, new)
        == judged(302, 0, 7, new)
        == judged(160, 7, new)
        == judged(97, 4, new)
        == ALLOW
    )


@pytest.mark.parametrize(
    ("persona", "verdict"), [(0, ALLOW), (0xFFFFFFFF, ALLOW), (8, FAIL | 1), (0x0400000, FAIL | 1)]
)
def test_personality_stays(persona, verdict):
    """The execution domain can be asked for, not changed."""
    assert judged(135, persona) == verdict
