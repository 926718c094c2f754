"""Tries to leave the sandbox, one way after the other, and prints as JSON what each attempt came to.

It refuses to run unless it is inside: the expected user, another PID namespace than the launcher's, and a nonce.
"""

import ctypes
import errno
import fcntl
import glob
import json
import os
import socket
import stat
import subprocess
import sys

given = json.loads(sys.argv[1])
if (
    (os.getuid() != 1000 and os.getuid() < 1 << 30)  # a user of no host
    or os.environ.get("NONCE") != given["nonce"]
    or os.readlink("/proc/self/ns/pid") == given["pid_namespace"]
    or not given["nonce"]
):
    sys.exit("not inside a sandbox: nothing was tried")

libc = ctypes.CDLL(None, use_errno=True)
results = {}


def attempt(name):
    """Run the function in a process of its own and note what it returns, or the name of the error that stopped it."""

    def run(function):
        read, write = os.pipe()
        child = os.fork()
        if child:
            os.close(write)
            with open(read, "rb") as stream:
                told = stream.read()
            os.waitpid(child, 0)
            results[name] = json.loads(told) if told else "EENDED"
            return
        os.close(read)
        me = os.getpid()
        try:
            found = function()
        except OSError as error:
            found = errno.errorcode.get(error.errno, f"E{type(error).__name__.upper()}")
        except Exception as error:
            found = f"E{type(error).__name__.upper()}"
        if os.getpid() == me:  # an attempt may have made a second one of us
            os.write(write, json.dumps(found).encode())
        os._exit(0)

    return run


def call(number, *arguments):
    """Make a system call; raise its error."""
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return "allowed"


def nested(function):
    """Try again as the owner of new namespaces when it is not allowed otherwise."""

    def run():
        try:
            return function()
        except PermissionError:
            call(272, 0x10000000 | 0x20000 | 0x40000000)
            return function()

    return run


def fields(name):
    """Values of a field of this process's status."""
    with open("/proc/self/status") as stream:
        return [line.split()[1] for line in stream if line.startswith(name)]


def death_signal():
    """The signal that comes with the parent's death."""
    found = ctypes.c_int()
    libc.prctl(2, ctypes.byref(found), 0, 0, 0)
    return found.value


def reading(path):
    def read():
        with open(path, "rb") as stream:
            return "read " + stream.read(200).decode(errors="replace")

    return read


def writing(path):
    def write():
        with open(path, "ab") as stream:
            stream.write(b"x")
        return "written"

    return write


def connecting(family, address, kind=socket.SOCK_STREAM):
    def connect():
        with socket.socket(family, kind) as one:
            one.settimeout(2)
            one.connect(address)
        return "connected"

    return connect


def asking():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(20)
        one.connect(("127.0.0.1", given["udp_port"]))
        one.send(b"name?")
        return "answered " + one.recv(100).decode()


def opening(family, kind=socket.SOCK_DGRAM, protocol=0):
    def open_socket():
        socket.socket(family, kind, protocol).close()
        return "allowed"

    return open_socket


# what is inherited
results["descriptors"] = sorted(
    int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")
)
# H01: the host's files
for number, path in enumerate(given["secrets"]):
    attempt(f"read secret {number}")(reading(path))
attempt("list root's home")(lambda: sorted(os.listdir("/root")))
attempt("other runs")(lambda: sorted(os.listdir("/tmp")))
# H02: what is not ours to write
for path in (
    "/x",
    "/etc/passwd",
    "/usr/bin/env",
    "/opt/env/bin/x",
    "/data/basket.json",
    "/data/new",
    "/dev/x",
):
    attempt(f"write {path}")(writing(path))
# H03: through /proc
attempt("environment of 1")(reading("/proc/1/environ"))
attempt("arguments of 1")(reading("/proc/1/cmdline"))
attempt("processes")(lambda: sorted(int(p) for p in os.listdir("/proc") if p.isdigit()))
attempt("roots")(lambda: [p for p in glob.glob("/proc/*/root/*") if given["marker"] in p])
attempt("overwrite exe of 1")(lambda: os.open("/proc/1/exe", os.O_RDWR) and "opened")
attempt("overwrite own exe")(lambda: os.open("/proc/self/exe", os.O_RDWR) and "opened")
for path in (
    "sys/kernel/core_pattern",
    "sysrq-trigger",
    "sys/kernel/modprobe",
    "sys/vm/overcommit_memory",
    "1/oom_score_adj",
):
    attempt(f"write /proc/{path}")(writing(f"/proc/{path}"))
attempt("kernel messages")(reading("/dev/kmsg"))
# H04: mounts, devices, namespaces
attempt("mknod")(lambda: os.mknod("/tmp/kmem", stat.S_IFCHR | 0o600, os.makedev(1, 2)) or "made")
attempt("mount")(nested(lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, None)))
attempt("bind mount")(nested(lambda: call(165, b"/usr", b"/tmp", None, 4096 | 0x4000, None)))
attempt("unshare user")(lambda: call(272, 0x10000000))
attempt("unshare mount")(lambda: call(272, 0x20000))
attempt("clone user")(lambda: call(56, 0x10000011, None, None, None, None))
attempt("clone3")(lambda: call(435, None, 0))
attempt("unshare program")(
    lambda: subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode
)
attempt("mknod of a pipe")(lambda: os.mknod("/tmp/pipe", stat.S_IFIFO | 0o600) or "made")
attempt("pivot_root")(nested(lambda: call(155, b"/tmp", b"/tmp")))
attempt("chroot")(nested(lambda: os.chroot("/tmp") or "done"))
attempt("open_by_handle_at")(lambda: call(304, 3, None, 0))
attempt("setns")(lambda: call(308, os.open("/proc/self/ns/user", os.O_RDONLY), 0))
attempt("fsopen")(nested(lambda: call(430, b"tmpfs", 0)))
attempt("setuid")(lambda: os.setuid(0) or "done")
attempt("setuid to oneself")(lambda: os.setuid(os.getuid()) or "done")
attempt("capabilities")(lambda: fields("Cap"))
attempt("no new privileges")(lambda: fields("NoNewPrivs"))
results["parent death signal"] = (libc.prctl(1, 0, 0, 0, 0), libc.prctl(1, 10, 0, 0, 0), death_signal())
# H13, H14, H15: network and sockets
attempt("interfaces")(lambda: [name for _, name in socket.if_nameindex()])
attempt("host's loopback")(connecting(socket.AF_INET, ("127.0.0.1", given["port"])))
attempt("host's loopback 6")(connecting(socket.AF_INET6, ("::1", given["port"])))
attempt("metadata service")(connecting(socket.AF_INET, ("169.254.169.254", 80)))
attempt("internet")(connecting(socket.AF_INET, ("192.0.2.1", 443)))
attempt("udp")(connecting(socket.AF_INET, ("192.0.2.1", 53), socket.SOCK_DGRAM))
attempt("answer of the host by UDP")(asking)
attempt("names")(lambda: socket.getaddrinfo("example.org", 80) and "resolved")
attempt("abstract socket")(connecting(socket.AF_UNIX, "\0" + given["abstract"]))
attempt("socket of the agent")(connecting(socket.AF_UNIX, given["agent"]))
attempt("host's socket")(connecting(socket.AF_UNIX, given["unix"]))
for path in (
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/dbus/system_bus_socket",
    "/run/containerd/containerd.sock",
    "/run/user/0/bus",
    "/tmp/.X11-unix/X0",
):
    attempt(f"socket {path}")(connecting(socket.AF_UNIX, path))
attempt("vsock")(opening(40))
attempt("packet")(nested(opening(17, socket.SOCK_RAW)))
attempt("raw")(nested(opening(socket.AF_INET, socket.SOCK_RAW, 1)))
attempt("netlink audit")(opening(16, socket.SOCK_RAW, 9))
attempt("bluetooth")(opening(31, socket.SOCK_STREAM))
attempt("crypto")(opening(38, socket.SOCK_SEQPACKET))
# H16: parts of the kernel
attempt("keyring of the session")(lambda: call(250, 0, -3, 0))
attempt("add_key")(lambda: call(248, b"user", b"x", b"y", 1, -3))
attempt("request_key")(lambda: call(249, b"user", given["key"].encode(), None, -3))
attempt("keys")(reading("/proc/keys"))
attempt("io_uring")(lambda: call(425, 1, None))
attempt("bpf")(lambda: call(321, 0, None, 0))
attempt("perf")(lambda: call(298, None, 0, -1, -1, 0))
attempt("userfaultfd")(lambda: call(323, 1))


@attempt("ptrace")
def trace():
    """Hold a process of one's own."""
    import signal

    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        return call(101, 0x4206, child, None, None)
    finally:
        os.kill(child, 9)


@attempt("lease")
def lease():
    """Have everybody who opens a file of one's own wait."""
    own = os.open("/tmp/leased", os.O_RDWR | os.O_CREAT, 0o600)
    return fcntl.fcntl(own, 1024, 1) or "leased"


attempt("process_vm_readv")(lambda: call(310, os.getpid(), None, 0, None, 0, 0))
attempt("kexec")(lambda: call(246, 0, 0, None, 0))
# H17: the caller's terminal
attempt("terminal")(lambda: os.open("/dev/tty", os.O_RDWR) and "opened")
attempt("TIOCSTI")(lambda: fcntl.ioctl(0, 0x5412, b"x") and "typed")
# H37: what tells machines apart
attempt("host name")(socket.gethostname)
attempt("environment")(lambda: sorted(os.environ))


@attempt("fork bomb")
def bomb():
    """H19: fork until it fails; all children wait."""
    import signal

    children = []
    try:
        while len(children) < 5000:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except BlockingIOError:
        pass
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return len(children)


@attempt("kill everything")
def kill_everything():
    """H25: the first process of the sandbox cannot be killed from inside."""
    os.kill(1, 9)
    return "alive"


# H23: a daemon that wants to outlive the run
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv("/bin/sleep", ["sleep", given["marker_number"]])
    os._exit(0)

print(json.dumps(results))
