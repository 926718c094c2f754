"""The first program of a container whose runtime cannot do what is promised: limits, the filter, an exact environment.

Apptainer hands its own variables on, lets through every system call that its profiles cannot name, and leaves its own
process inside unfiltered. So the first program is one of ours, made here for each start: a Linux program for x86-64 that is
nothing but a list of system calls with constant arguments. It limits and filters itself, starts the command as its child,
and ends as the command does. It needs nothing of the image.

It is not the first process of docker's and podman's containers (`init_program`), nor can be without loss: it inherits a socket,
whose words the kernel signs with the sender's number, so that both processes are in their control group before anything of the
image runs; it sets limits; and it has to end with the command, because its launcher waits for that.
Source: System V ABI, AMD64 supplement: 3.4.1 (initial stack), A.2.1 (system calls); elf(5); the calls' manual pages.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reprolake_builder.sandboxes.machine_code import Data, call, executable, short

_WRITE, _CLOSE, _DUP2, _FORK, _EXECVE, _WAIT4, _FCNTL, _CHDIR = 1, 3, 33, 57, 59, 61, 72, 80
_PRCTL, _EXIT_GROUP, _PRLIMIT64, _SECCOMP, _CLOSE_RANGE = 157, 231, 302, 317, 436
_F_SETFD, _FD_CLOEXEC = 2, 1
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9
_SECCOMP_SET_MODE_FILTER = 1
_REPORT = 3
_MOST = 0xFFFFFFFF
_NEVER_RAN = 125

FIRST, PROGRAM = b"first", b"program"
"""What it reports: the first process is filtered; its child is, too, and waits for a word of ours to become the command.

The number of an error, in one byte, is the end instead.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """What to become: `paths` (sandbox paths) are tried one after the other, `limits` are numbers of limits and their values."""

    paths: Sequence[bytes]
    argv: Sequence[bytes]
    env: Mapping[bytes, bytes]
    cwd: bytes
    limits: Sequence[tuple[int, int]]


def first_program(command: Command, own: bytes, rules: bytes, report: int) -> bytes:
    """Return the program, which will lie at `own` (sandbox path) and be started without arguments.

    `rules` are the filter's, `report` is the descriptor of a socket: it tells by it how far it got, and waits for a word of ours.
    """
    data = Data()
    argv = data.pointers([data.text(word) for word in command.argv])
    env = data.pointers([data.text(name + b"=" + value) for name, value in command.env.items()])
    filter_at = data.put(struct.pack("=HxxxxxxQ", len(rules) // 8, data.put(rules)))
    tell = {word: data.put(word) for word in (FIRST, PROGRAM)}
    failed = _failed()

    def must(number: int, *values: int) -> bytes:
        # test eax, eax; jns over what follows
        return call(number, *values) + b"\x85\xc0\x79" + struct.pack("b", len(failed)) + failed

    code = _unless_again(
        call(_EXECVE, data.text(own), data.pointers([data.text(b"first")] * 2), data.pointers([]))
    )
    code += must(_DUP2, report, _REPORT) + must(_CLOSE_RANGE, _REPORT + 1, _MOST, 0)
    for kind, value in command.limits:
        code += must(_PRLIMIT64, 0, kind, data.put(struct.pack("=QQ", value, value)), 0)
    code += must(_PRCTL, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    filtered = must(_SECCOMP, _SECCOMP_SET_MODE_FILTER, 0, filter_at)
    code += must(_FORK)
    child = must(_PRCTL, _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0) + filtered
    child += must(_WRITE, _REPORT, tell[PROGRAM], len(PROGRAM)) + _answer(failed)
    child += must(_CHDIR, data.text(command.cwd)) + must(_FCNTL, _REPORT, _F_SETFD, _FD_CLOEXEC)
    for path in command.paths:
        child += call(_EXECVE, data.text(path), argv, env)
    child += failed
    code += b"\x0f\x85" + struct.pack("<i", len(child)) + child  # jnz over what only the child does
    parent = (
        b"\x41\x89\xc4" + filtered + must(_WRITE, _REPORT, tell[FIRST], len(FIRST)) + call(_CLOSE, _REPORT)
    )  # mov r12d, eax
    return executable(data.content, code + parent + _reaper())


def _unless_again(start: bytes) -> bytes:
    """Start itself once more, without any variables: cmp dword [rsp], 1 (its number of words); jne over the call."""
    return b"\x83\x3c\x24\x01\x75" + short(start) + start


def _failed() -> bytes:
    """Report the error of the last call, and end: neg eax; push rax; write(report, rsp, 1)."""
    write = b"\xf7\xd8\x50\xbf" + struct.pack("<I", _REPORT) + b"\x48\x89\xe6\xba" + struct.pack("<I", 1)
    write += b"\xb8" + struct.pack("<I", _WRITE) + b"\x0f\x05"
    return write + call(_EXIT_GROUP, _NEVER_RAN)


def _answer(failed: bytes) -> bytes:
    """Wait for the word to go on: read(report, rsp - 64, 1); cmp eax, 1; je over what follows."""
    read = b"\xbf" + struct.pack("<I", _REPORT) + b"\x48\x8d\x74\x24\xc0\xba" + struct.pack("<I", 1)
    return read + b"\x31\xc0\x0f\x05\x83\xf8\x01\x74" + short(failed) + failed


def _reaper() -> bytes:
    """Wait until the child (in r12d) has ended, collect orphans meanwhile, and end with its status: 128 and the signal's number."""
    head = b"\x48\x83\xec\x10"  # sub rsp, 16
    wait = b"\x31\xd2\x45\x31\xd2\xbf\xff\xff\xff\xff\x48\x89\xe6"  # no options, no usage; any child; status at rsp
    wait += b"\xb8" + struct.pack("<I", _WAIT4) + b"\x0f\x05"
    give_up = b"\x83\xf8" + struct.pack("b", -errno.ECHILD)  # cmp eax, -ECHILD; je over the way back
    again = b"\x44\x39\xe0"  # cmp eax, r12d; jne back to the wait
    length = len(wait) + len(give_up) + 2 + len(again) + 2
    loop = wait + give_up + b"\x74" + short(again + b"..") + again + b"\x75" + struct.pack("b", -length)
    # the status: its low seven bits are the signal, its second byte what the program returned
    end = b"\x8b\x04\x24\x89\xc7\x83\xe7\x7f"  # mov eax, [rsp]; mov edi, eax; and edi, 127
    signalled = b"\x81\xc7" + struct.pack("<I", 128) + b"\xeb\x06"  # add edi, 128; jmp over
    returned = b"\x0f\xb6\xfc\x90\x90\x90"  # movzx edi, ah
    leave = b"\xb8" + struct.pack("<I", _EXIT_GROUP) + b"\x0f\x05"
    return head + loop + end + b"\x74" + short(signalled) + signalled + returned + leave
