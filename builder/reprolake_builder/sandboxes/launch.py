"""The small program between Reprolake and bubblewrap or another runtime: a user, namespaces, mounts; then it becomes that.

It runs in an interpreter of its own (`python -I -S`) because a process with threads must not change namespaces, and
because bubblewrap cannot mount an overlay itself before version 0.11. All that it brings together lies below /tmp of a
private mount namespace, under short names:

    t/<n>  trees of an image    b/<n>  binds    top  mount points    root  the overlay    repo  the copy-on-write
    m  what `enclosure` makes
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without the names that `signal` gives numbers: 2 ms
import marshal
import os
import resource
import sys

from reprolake_builder.sandboxes import enclosure, mounts

TYPE_CHECKING = False  # as in typing, whose import would double the time until bubblewrap runs
if TYPE_CHECKING:
    from collections.abc import Callable

    from reprolake_builder.sandboxes.plan import Plan

_FIRST_TO_GO = (
    "1000"  # when the host's memory runs out after all, nothing else of it is to be killed for this
)
_OF_TERMINALS = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)
_WATCHERS = "/proc/sys/user/max_inotify_instances"  # of this user namespace
_MOST_WATCHERS = "64"  # half of what Linux allows a user, who needs some outside
BASE = "/tmp"  # noqa: S108  (a mount point in a namespace of our own, not a place for files)
UNMAPPED = "copy"
"""Reported when the copy-on-write's files have an owner that an overlay cannot keep: the caller makes a real copy."""


def main() -> None:
    """Read the plan from the descriptor given as the only argument, and become what it says."""
    with open(int(sys.argv[1]), "rb") as stream:
        plan: Plan = marshal.loads(stream.read())  # noqa: S302  (written by our own parent into memory)
    try:
        _prepare(plan)
        os.execve(plan["program"], plan["words"], plan["env"])  # noqa: S606
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        os.write(plan["report"], f"!{what}\n".encode(errors="replace"))
    os._exit(125)


def _prepare(plan: Plan) -> None:
    _guard_parent(plan["parent"])
    # What the caller ignores would be ignored inside, for good: a program could not be interrupted.
    for number in _OF_TERMINALS:
        _signal.signal(number, _signal.SIG_DFL)
    make_doors = _door_maker(plan)
    for procs in plan["groups"]:
        mounts.write(procs, "0")
    if plan["processors"]:
        os.sched_setaffinity(0, plan["processors"])
    mounts.write("/proc/self/oom_score_adj", _FIRST_TO_GO)
    os.umask(
        0o022
    )  # the caller's could hide the mount points from the user that we become, and make runs differ
    try:  # noqa: SIM105  (contextlib takes 3 ms to import)
        mounts.join_own_keyring()
    except OSError:
        pass  # a kernel without keyrings, or one that forbids them: nothing to leave behind
    if plan["outer"] >= 0:
        mounts.unshare(mounts.CLONE_NEWNS)
        _gather(plan)
        _become(plan["outer"])
        _own_namespaces(plan)
    else:
        _own_namespaces(plan)
        _gather(plan)
    make_doors()
    if plan["trees"]:
        _stack(plan)
    if plan["lower"]:
        _copy_on_write(plan)
    for kind, value in plan["limits"]:
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (allowed, allowed))
    _guard_parent(plan["parent"])  # again: a change of user or namespace takes the guard away
    if plan["enclosure"] is not None:
        enclosure.enclose(plan, plan["enclosure"], BASE)


def _door_maker(plan: Plan) -> Callable[[], None]:
    """Return what makes a network with doors; it is loaded now, since the user that we become may not read it, if at all."""
    if plan["doors"] < 0:
        return lambda: None
    from reprolake_builder.sandboxes import loopback

    def make() -> None:
        loopback.own_network()
        loopback.hand_out(plan["doors"], plan["listen"], plan["dials"])

    return make


def _guard_parent(parent: int) -> None:
    mounts.die_with_parent()
    if os.getppid() != parent:
        os._exit(125)


def _own_namespaces(plan: Plan) -> None:
    uid, gid = plan["inner"]
    outside = os.getuid(), os.getgid()
    more = enclosure.NAMESPACES if plan["enclosure"] is not None else 0
    mounts.unshare(mounts.CLONE_NEWUSER | mounts.CLONE_NEWNS | more)
    mounts.map_ids("self", (uid, outside[0]), (gid, outside[1]))
    try:  # noqa: SIM105  (contextlib takes 3 ms to import)
        mounts.write(_WATCHERS, _MOST_WATCHERS)
    except OSError:
        pass  # below a /proc that cannot be written to: the host's own limit for this user holds


def _become(outer: int) -> None:
    """Stop being root: a process of user 0 could write /proc/sys and much else from any namespace."""
    os.setgroups([])
    os.setresgid(outer, outer, outer)
    os.setresuid(outer, outer, outer)
    mounts.stay_inspectable()


def _gather(plan: Plan) -> None:
    """Make everything from the host appear below BASE, whatever the modes of the folders above it."""
    mounts.mount("none", "/", flags=mounts.MS_REC | mounts.MS_PRIVATE)
    flags = os.O_PATH | os.O_CLOEXEC
    folder = flags | os.O_DIRECTORY | os.O_NOFOLLOW
    trees = [os.open(path, folder) for path in plan["trees"]]
    binds = [(os.open(path, flags), writable) for path, writable in plan["binds"]]
    lower = os.open(plan["lower"], folder) if plan["lower"] else -1
    scratch = os.open(plan["scratch"], folder) if plan["scratch"] else -1
    mounts.mount("tmpfs", BASE, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=0755,size=4m")
    for name in ("t", "b", "top", "root", "lower", "scratch", "repo", enclosure.MADE):
        os.mkdir(f"{BASE}/{name}")
    for number, descriptor in enumerate(trees):
        os.mkdir(f"{BASE}/t/{number}")
        mounts.bind_descriptor(descriptor, f"{BASE}/t/{number}")
    reader = _Reader(plan["outer"])
    for number, (descriptor, writable) in enumerate(binds):
        target = f"{BASE}/b/{number}"
        _make_mount_point(target, folder=_is_folder(descriptor))
        (mounts.bind_descriptor if writable else reader.bind)(descriptor, target)
    if lower >= 0:
        reader.bind(lower, f"{BASE}/lower")
    if scratch >= 0:
        mounts.bind_descriptor(scratch, f"{BASE}/scratch")
    _make_mount_points(plan)


def _is_folder(descriptor: int) -> bool:
    return (os.fstat(descriptor).st_mode & 0o170000) == 0o040000


def _make_mount_point(path: str, *, folder: bool) -> None:
    if folder:
        os.makedirs(path, exist_ok=True)
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


def _make_mount_points(plan: Plan) -> None:
    """Make the folders and files that something will be mounted on; as the top of the overlay they hide links of the image."""
    for folder in plan["folders"]:
        os.makedirs(f"{BASE}/top{folder}", exist_ok=True)
    for file in plan["files"]:
        os.makedirs(os.path.dirname(f"{BASE}/top{file}"), exist_ok=True)
        _make_mount_point(f"{BASE}/top{file}", folder=False)


class _Reader:
    """Binds for reading: where root's own files are to be read by the user that we become, they appear as that user's.

    Never for what is writable: files made there would belong to root, with any set-uid bit.
    """

    def __init__(self, outer: int) -> None:
        self._outer = outer
        self._namespaces: dict[tuple[int, int], int] = {}

    def bind(self, descriptor: int, target: str) -> None:
        if self._outer >= 0:
            info = os.fstat(descriptor)
            try:
                mounts.bind_as(descriptor, target, self._namespace(info.st_uid, info.st_gid))
                return
            except OSError:
                pass  # a kernel before 5.12 or a file system without it: their modes have to allow it
        mounts.bind_descriptor(descriptor, target)

    def _namespace(self, uid: int, gid: int) -> int:
        if (uid, gid) not in self._namespaces:
            made = mounts.user_namespace((uid, self._outer), (gid, self._outer))
            self._namespaces[uid, gid] = made
        return self._namespaces[uid, gid]


def _stack(plan: Plan) -> None:
    """Mount the trees as one read-only file system; short names keep hundreds of them within mount(2)'s one page."""
    os.chdir(f"{BASE}/t")
    lower = ":".join(["../top", *(str(number) for number in reversed(range(len(plan["trees"]))))])
    mounts.mount(
        "overlay",
        f"{BASE}/root",
        "overlay",
        mounts.MS_NODEV | mounts.MS_NOSUID,
        f"userxattr,lowerdir={lower}",
    )
    os.chdir("/")


def _copy_on_write(plan: Plan) -> None:
    """Mount the overlay whose changes land in scratch/upper; report UNMAPPED when its files' owner has no place here."""
    owner = os.stat(f"{BASE}/lower").st_uid
    os.chdir(BASE)
    try:
        if owner != plan["inner"][0]:
            raise OSError(75, "the files belong to another user", "copy-on-write")
        for name in ("upper", "work"):
            if not os.path.isdir(f"{BASE}/scratch/{name}"):
                os.mkdir(f"{BASE}/scratch/{name}")
        mounts.mount(
            "overlay",
            "repo",
            "overlay",
            mounts.MS_NODEV | mounts.MS_NOSUID,
            "userxattr,lowerdir=lower,upperdir=scratch/upper,workdir=scratch/work",
        )
    except OSError:
        os.write(plan["report"], f"{UNMAPPED}\n".encode())
        os._exit(125)
    os.chdir("/")


if __name__ == "__main__":
    main()
