"""A sandbox as bubblewrap's arguments: pure text, so that a test can read what is promised."""

from __future__ import annotations

from reprolake_builder.sandboxes.interface import HostRoot, ImageRoot, SandboxSpec
from reprolake_builder.sandboxes.launch import BASE

HOSTNAME = "reprolake"
FOLDERS = ("/tmp", "/run", "/var/tmp", "/dev/shm")  # noqa: S108  (in the sandbox, in memory)


def mount_points(spec: SandboxSpec) -> list[str]:
    """Sandbox folders that must exist in a read-only root before anything can be mounted on them."""
    points = ["/proc", "/dev", *(folder for folder in FOLDERS if not folder.startswith("/dev"))]
    if spec.home:
        points.append(spec.home)
    if spec.copy_on_write:
        points.append(spec.copy_on_write.target)
    return points


def arguments(spec: SandboxSpec, *, seccomp: int, report: int, copied: bool) -> list[str]:
    """Return the arguments before the command; order matters, the last mount on a path wins.

    `seccomp` and `report` are descriptors. Sources are the short names that `launch` gives to what comes from the host.
    `copied` says that the copy-on-write is a real copy, which lies below scratch.
    """
    words = [*_isolation(spec), "--seccomp", str(seccomp), "--json-status-fd", str(report)]
    binds = list(enumerate(spec.binds))
    if isinstance(spec.root, ImageRoot):
        words += ["--ro-bind", f"{BASE}/root", "/"]
    words += ["--proc", "/proc", "--dev", "/dev"]
    size = str(spec.limits.tmp_bytes)
    for folder in FOLDERS:
        words += ["--perms", "1777", "--size", size, "--tmpfs", folder]
    if isinstance(spec.root, HostRoot):
        # after the folders in memory: a virtual environment may lie below /tmp
        for number, path in enumerate(spec.root.paths, len(binds)):
            words += ["--ro-bind", f"{BASE}/b/{number}", str(path)]
    if spec.home:
        words += ["--perms", "0700", "--size", size, "--tmpfs", spec.home]
    if spec.copy_on_write:
        source = "scratch/copy" if copied else "repo"
        words += ["--bind", f"{BASE}/{source}", spec.copy_on_write.target]
    for number, bind in binds:
        words += ["--bind" if bind.writable else "--ro-bind", f"{BASE}/b/{number}", bind.target]
    # the folders that bubblewrap made in memory, which have no limit of their own
    words += ["--remount-ro", "/dev", "--remount-ro", "/"]
    words += ["--chdir", spec.cwd, "--clearenv"]
    for name, value in spec.env.items():
        words += ["--setenv", name, value]
    return words


def _isolation(spec: SandboxSpec) -> list[str]:
    return [
        "--unshare-all",
        *(["--share-net"] if spec.doors else []),  # the launcher's, which is none of the host's
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--hostname",
        HOSTNAME,
        "--uid",
        str(spec.uid),
        "--gid",
        str(spec.gid),
    ]
