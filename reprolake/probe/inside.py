"""The probe: tries, from inside a sandbox, what it promises to prevent, and says of each promise whether it holds.

Its text is run as it is, by any Python 3 and without this package, so it imports nothing but the standard library. Each
function below is a promise, and its docstring says which. It refuses to try anything unless it is inside: its user is not
root, it carries the word it was given, and its PID namespace is not that of its caller.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import re
import resource
import signal
import socket
import stat
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

Given = dict[str, Any]
Check = Callable[[Given], object]
ROWS: dict[str, tuple[str, Check]] = {}
"""By name: what is promised, and what returns "" when that holds, or what was seen instead."""
_IMPOSSIBLE_CLONE = 0x10000200 | signal.SIGCHLD  # CLONE_NEWUSER, and CLONE_FS, which does not go with it
_NO_PROCESS = 1 << 30


def row(name: str) -> Callable[[Check], Check]:
    """Return what adds a function to the rows."""

    def add(function: Check) -> Check:
        ROWS[name] = ((function.__doc__ or "").strip(), function)
        return function

    return add


def call(number: int, *arguments: object) -> str:
    """Make a system call (a number of x86-64) and return the name of its error, "" when it was allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.syscall(ctypes.c_long(number), *arguments) >= 0:
        return ""
    return errno.errorcode.get(ctypes.get_errno(), "?")


def denied(**calls: str) -> str:
    """Return which of the calls, given as name and error, the filter did not deny."""
    return ", ".join(f"{name}: {found or 'allowed'}" for name, found in calls.items() if found != "EPERM")


def possible(**attempts: Callable[[], object]) -> str:
    """Return which of the attempts succeeded."""
    found = []
    for name, attempt in attempts.items():
        with contextlib.suppress(OSError):
            attempt()
            found.append(name.replace("_", " "))
    return ", ".join(found)


def text(path: str) -> str:
    """Return the content of a file, "" when it cannot be read."""
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return stream.read().decode(errors="replace")
    return ""


def hashed(word: str) -> str:
    """Return what the caller tells instead of something secret."""
    return hashlib.sha256(word.encode(errors="surrogateescape")).hexdigest()


def connect(family: int, address: Any, kind: int = socket.SOCK_STREAM) -> None:
    """Reach an address within a second. Raises OSError."""
    with socket.socket(family, kind) as one:
        one.settimeout(1)
        one.connect(address)


def create(path: str) -> None:
    """Make a file. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


@row("root")
def _root(given: Given) -> str:
    """The root cannot be written, neither its folders nor the files in them."""
    del given
    folders = ("/", "/usr", "/usr/bin", "/etc", "/dev", "/opt", "/home", "/root", "/var", "/srv")
    made = [f for f in folders if possible(made=partial(create, f"{f}/probe"))]
    files = ("/usr/bin/env", "/etc/passwd", "/bin/sh")
    return ", ".join([*made, *(f for f in files if possible(opened=partial(os.open, f, os.O_WRONLY)))])


@row("host files")
def _host_files(given: Given) -> str:
    """Files of the host, of its users and of other runs cannot be seen."""
    return ", ".join(path for path in given["files"] if os.path.lexists(path))


@row("environment")
def _environment(given: Given) -> str:
    """Variables of whoever started the program cannot be seen, in its own environment or in another process's."""
    hashes = set(given["environment"])
    found = {name for name, value in os.environ.items() if hashed(f"{name}={value}") in hashes}
    for number in filter(str.isdigit, os.listdir("/proc")):
        words = text(f"/proc/{number}/environ").split("\0")
        found |= {word.split("=")[0] for word in words if word and hashed(word) in hashes}
    return ", ".join(sorted(found))


@row("processes")
def _processes(given: Given) -> str:
    """Only the sandbox's own processes can be seen, and none of their arguments is of the host."""
    numbers = list(filter(str.isdigit, os.listdir("/proc")))
    if len(numbers) > 12:
        return f"{len(numbers)} processes"
    return ", ".join(n for n in numbers if any(word in text(f"/proc/{n}/cmdline") for word in given["words"]))


@row("descriptors")
def _descriptors(given: Given) -> str:
    """Nothing is open in the program but what it was started with: its input, output and errors."""
    return ", ".join(str(number) for number in given["descriptors"] if number > 2)


@row("devices")
def _devices(given: Given) -> str:
    """There are no devices but those that every program may use, and none can be made."""
    del given
    usual = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"}
    kinds = {name: stat.S_IFMT(os.lstat(f"/dev/{name}").st_mode) for name in os.listdir("/dev")}
    found = [name for name, kind in kinds.items() if kind in {stat.S_IFCHR, stat.S_IFBLK}]
    mknod = partial(os.mknod, "/tmp/probe-device", stat.S_IFCHR | 0o600, os.makedev(1, 3))  # noqa: S108
    return ", ".join(sorted({*found, possible(mknod=mknod)} - usual - {""}))


@row("folders in memory")
def _folders(given: Given) -> str:
    """Folders in memory are no larger than their limit."""
    found = []
    for folder in ("/tmp", "/run", "/var/tmp", "/dev/shm"):  # noqa: S108
        with contextlib.suppress(OSError):
            info = os.statvfs(folder)
            if os.access(folder, os.W_OK) and info.f_blocks * info.f_frsize > given["tmp_bytes"]:
                found.append(folder)
    return ", ".join(found)


@row("mounts")
def _mounts(given: Given) -> str:
    """Nothing can be mounted, the root cannot be changed, and no file be opened past the folders that lead to it."""
    del given
    return denied(
        mount=call(165, b"none", b"", b"tmpfs", 0, None),
        umount=call(166, b"", 0),
        pivot_root=call(155, b"", b""),
        chroot=call(161, b""),
        open_tree=call(428, -100, b"", 0),
        move_mount=call(429, -1, b"", -1, b"", 0),
        fsopen=call(430, b"", 0),
        mount_setattr=call(442, -100, b"", 0, None, 0),
        open_by_handle_at=call(304, 0, None, 0),
        name_to_handle_at=call(303, -100, b"/", None, None, 0),
    )


@row("namespaces")
def _namespaces(given: Given) -> str:
    """No namespaces can be made or entered, user namespaces above all."""
    del given
    found = denied(
        unshare=call(272, 0),
        clone=call(56, _IMPOSSIBLE_CLONE, None, None, None, None),
        setns=call(308, 0, 0),
    )
    clone3 = call(435, None, 0)
    return ", ".join(filter(None, [found, "" if clone3 == "ENOSYS" else f"clone3: {clone3}"]))


@row("privileges")
def _privileges(given: Given) -> str:
    """The program has no capabilities and cannot gain any, by set-uid programs neither."""
    del given
    status = text("/proc/self/status")
    held = re.findall(r"^(Cap\w+):\s*0*([1-9a-f]\w*)$", status, re.MULTILINE)
    gains = [] if re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE) else ["new privileges"]
    became = possible(setuid=lambda: os.setuid(0))
    return ", ".join([*(name for name, _ in held), *gains, *filter(None, [became])])


@row("filter")
def _filter(given: Given) -> str:
    """System calls of all processes inside are filtered, and those of other kinds of programs with them."""
    del given
    found = {n: text(f"/proc/{n}/status") for n in ("self", *filter(str.isdigit, os.listdir("/proc")))}
    free = [n for n, said in found.items() if said and not re.search(r"(?m)^Seccomp:\s*2$", said)]
    return ", ".join(f"process {n}" for n in free)


@row("other processes' memory")
def _memory(given: Given) -> str:
    """Processes can neither be traced nor read from outside, not even the program's own."""
    del given
    me = os.getpid()
    return denied(
        ptrace=call(101, 0x4206, _NO_PROCESS, None, None),
        process_vm_readv=call(310, me, None, 0, None, 0, 0),
        pidfd_getfd=call(438, 0, 0, 0),
        kcmp=call(312, me, me, 0, 0, 0),
    )


@row("keyrings")
def _keyrings(given: Given) -> str:
    """Keys of whoever started the program cannot be seen, and keyrings not be used."""
    found = denied(
        keyctl=call(250, 0, -3, 0),
        add_key=call(248, b"user", b"probe", b"x", ctypes.c_size_t(1), -3),
        request_key=call(249, b"user", b"probe", None, -3),
    )
    seen = "a key of the host in /proc/keys" if given["key"] and given["key"] in text("/proc/keys") else ""
    return ", ".join(filter(None, [found, seen]))


@row("kernel interfaces")
def _interfaces(given: Given) -> str:
    """Parts of the kernel that no notebook needs cannot be reached, nor the machine's log, clock and modules."""
    del given
    return denied(
        io_uring_setup=call(425, 1, None),
        bpf=call(321, 0, None, 0),
        perf_event_open=call(298, None, 0, -1, -1, 0),
        userfaultfd=call(323, 1),
        fanotify_init=call(300, 0, 0),
        syslog=call(103, 10, None, 0),
        kexec_load=call(246, 0, 0, None, 0),
        init_module=call(175, None, 0, b""),
        clock_settime=call(227, 0, None),
    )


@row("kernel settings")
def _settings(given: Given) -> str:
    """What the kernel can be told through files cannot be written."""
    del given
    names = ("sys/kernel/core_pattern", "sys/kernel/modprobe", "sys/vm/overcommit_memory", "sysrq-trigger")
    return ", ".join(n for n in names if possible(opened=partial(os.open, f"/proc/{n}", os.O_WRONLY)))


@row("network")
def _network(given: Given) -> str:
    """There is no interface but an own loopback, and nothing of the host or the net answers."""
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    reached = possible(
        loopback_of_the_host=partial(connect, socket.AF_INET, ("127.0.0.1", given["port"])),
        link_local=partial(connect, socket.AF_INET, ("169.254.169.254", 80)),
        internet=partial(connect, socket.AF_INET, ("192.0.2.1", 443)),
        udp=partial(connect, socket.AF_INET, ("192.0.2.1", 53), socket.SOCK_DGRAM),
    )
    return ", ".join([*names, *filter(None, [reached])])


@row("sockets of the host")
def _sockets(given: Given) -> str:
    """Sockets of the host's programs, in folders or by abstract names, cannot be reached."""
    paths = (given["socket"], "\0" + given["abstract"], "/run/docker.sock", "/run/podman/podman.sock",
             "/run/dbus/system_bus_socket", "/run/containerd/containerd.sock")  # fmt: skip
    return ", ".join(p.strip("\0") for p in paths if possible(to=partial(connect, socket.AF_UNIX, p)))


@row("kinds of sockets")
def _kinds(given: Given) -> str:
    """Only unix and internet sockets can be made: no virtual machines', raw, packet, audit or other ones."""
    del given
    return possible(
        vsock=partial(socket.socket, 40, socket.SOCK_STREAM),
        packet=partial(socket.socket, 17, socket.SOCK_RAW),
        raw=partial(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1),
        audit=partial(socket.socket, 16, socket.SOCK_RAW, 9),
        bluetooth=partial(socket.socket, 31, socket.SOCK_RAW, 1),
        crypto=partial(socket.socket, 38, socket.SOCK_SEQPACKET),
    )


@row("terminal")
def _terminal(given: Given) -> str:
    """Nothing can be typed into the terminal of whoever started the program."""
    del given
    found = []
    with open("/dev/null", "rb") as stream:
        for name, number in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541C)):
            try:
                fcntl.ioctl(stream, number, b"x")
            except OSError as error:
                if error.errno != errno.EPERM:
                    found.append(f"{name}: {errno.errorcode[error.errno or 0]}")
            else:
                found.append(name)
    return ", ".join([*found, *filter(None, [possible(tty=lambda: os.open("/dev/tty", os.O_RDWR))])])


@row("names of the machine")
def _names(given: Given) -> str:
    """The machine's name is not the host's."""
    return "" if hashed(name := socket.gethostname()) != given["host_name"] else name


@row("processes' number")
def _number(given: Given) -> str:
    """There cannot be more processes than the limit."""
    children: list[int] = []
    try:
        while len(children) <= given["processes"]:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError:
        return ""
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return f"{len(children)} processes"


@row("resources")
def _resources(given: Given) -> str:
    """Open files and the size of a file are limited, and a crash neither writes a core nor starts the host's program for cores."""
    possible(none=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
    is_handled = text("/proc/sys/kernel/core_pattern").startswith("|")
    found = ["cores"] if is_handled and resource.getrlimit(resource.RLIMIT_CORE)[0] != 1 else []
    for name, most in (("CORE", 1), ("NOFILE", given["open_files"]), ("FSIZE", given["file_bytes"])):
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        if hard == resource.RLIM_INFINITY or hard > most:
            found.append(name)
    return ", ".join(found)


@row("user")
def _user(given: Given) -> str:
    """The program's user is the one that the image is made for."""
    return "" if os.getuid() == given["user"] else f"user {os.getuid()}"


@row("paths in mountinfo")
def _mountinfo(given: Given) -> str:
    """The list of mounts names no folders of the host."""
    return ", ".join(word for word in given["words"] if word in text("/proc/self/mountinfo"))


@row("hardware")
def _hardware(given: Given) -> str:
    """The tree of the machine's devices, /sys, is not there."""
    del given
    return "/sys" if os.path.isdir("/sys/devices") else ""


@row("memory of the first process")
def _first_memory(given: Given) -> str:
    """The memory of the process that holds the sandbox together cannot be written."""
    del given
    return possible(memory=lambda: os.open("/proc/1/mem", os.O_RDWR))


def is_inside(given: Given) -> bool:
    """Whether this is the sandbox that the caller meant."""
    knows_word = os.environ.get("PROBE_NONCE") == given["nonce"] != ""
    return knows_word and os.getuid() != 0 and os.readlink("/proc/self/ns/pid") != given["pid_namespace"]


def verdict(name: str, given: Given) -> str:
    """Return "" when a row holds, what was seen instead otherwise; a row that could not be tried does not hold."""
    try:
        return str(ROWS[name][1](given))
    except Exception as error:  # noqa: BLE001  (whatever it is, the promise was not shown to hold)
        return f"not tried: {type(error).__name__}: {error}"


def main() -> None:
    """Try everything that standard input asks for and write the verdicts, as JSON; exits with 99 when this is not inside."""
    given = json.load(sys.stdin)
    given["descriptors"] = [int(number) for number in os.listdir("/proc/self/fd")][:-1]
    if not is_inside(given):
        sys.stderr.write("not inside a sandbox: nothing was tried\n")
        sys.exit(99)
    sys.stdout.write(json.dumps({name: verdict(name, given) for name in ROWS}))


if __name__ == "__main__":
    main()
