"""Isolation by bubblewrap over an overlay: no daemon, no root, about 25 ms.

Outside, the program runs as the calling user, or, when that is root, under a user number that nothing else has.
What it can still see of the host: paths in /proc/self/mountinfo, the kernel's version, the machine's processors and load.
"""

from __future__ import annotations

import contextlib
import functools
import marshal
import math
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import reprolake_builder
from reprolake_builder.errors import SandboxError
from reprolake_builder.progress import Progress
from reprolake_builder.sandboxes import cgroups, requirements, scope, seccomp
from reprolake_builder.sandboxes.arguments import arguments, mount_points
from reprolake_builder.sandboxes.interface import Bind, Held, HostRoot, ImageRoot, Limits, SandboxSpec
from reprolake_builder.sandboxes.plan import Plan
from reprolake_builder.sandboxes.running import Belongings, OwnerUnmappedError, Sandboxed, unavailable

_MOST_TREES = 499  # Linux stacks 500 (OVL_MAX_STACK), and one of them is for the mount points
_TRIAL_SECONDS = 30
_PACKAGES = str(Path(reprolake_builder.__file__).parent.parent)
_LAUNCH = (
    f"import sys; sys.path.append({_PACKAGES!r}); from reprolake_builder.sandboxes.launch import main; main()"
)

Stream = IO[bytes] | int


@dataclass(frozen=True, slots=True)
class _Streams:
    stdin: Stream
    stdout: Stream
    stderr: Stream


class Bubblewrap:
    """Runs programs in bubblewrap; all that one object starts share one user number outside."""

    passes_gpus = False

    def __init__(self) -> None:
        self._outer = requirements.free_user() if os.geteuid() == 0 else -1

    def problem(self) -> str:
        """Why this host cannot use it, with the remedy; "" when it can."""
        return requirements.missing() or self._trial()

    def promises(self) -> Mapping[str, str]:
        """What isolates, and how: facts for the record of a run."""
        return {
            "sandbox": f"bubblewrap {'.'.join(map(str, requirements.version()))}",
            "root": "read-only; an image's is an overlay of its trees, mounted in a user namespace",
            "network": "none but an own loopback",
            "namespaces": "user, mount, pid, ipc, net, uts, cgroup; no further user namespaces",
            "user": "a number of its own" if self._outer >= 0 else "the caller's, without capabilities",
            "capabilities": "none, no new privileges",
            "seccomp": "denylist",
            "keyring": "own session keyring",
        }

    def holds(self, limits: Limits) -> Mapping[str, Held]:
        """What holds each of the limits here, by the field's name; those that are None are left out."""
        resource_limit = Held("resource limit")
        found = dict.fromkeys(("processes", "file_bytes", "open_files"), resource_limit)
        found["tmp_bytes"] = Held("size of the folder in memory")
        groups = _groups()
        if "pids" in groups:
            found["processes"] = Held(groups["pids"])
        if limits.memory_bytes is not None:
            watched = Held("watchdog, which adds up what the processes take", watched=True)
            found["memory_bytes"] = Held(groups["memory"]) if "memory" in groups else watched
        if limits.cpus is not None:
            weaker = "without control groups a program that wants more processors can take them"
            found["cpus"] = Held(groups["cpu"]) if "cpu" in groups else Held("processor affinity", weaker)
        return found

    def prepare(self, spec: SandboxSpec, progress: Progress) -> None:
        """Do nothing: trees are mounted where they lie."""

    def start(self, spec: SandboxSpec, *, stdin: Stream, stdout: Stream, stderr: Stream) -> Sandboxed:
        """Start the program; it dies with the thread that started it.

        Raises SandboxError when any promised layer of isolation cannot be had.
        """
        if problem := requirements.missing():
            raise unavailable(problem)
        if spec.gpus:
            raise unavailable("bubblewrap passes on no graphics processors")
        _refuse_nul(spec)
        self._hand_over(spec)
        streams = _Streams(stdin, stdout, stderr)
        try:
            return self._launch(spec, streams, copied=False)
        except OwnerUnmappedError:
            self._copy(spec)
            return self._launch(spec, streams, copied=True)

    def _launch(self, spec: SandboxSpec, streams: _Streams, *, copied: bool) -> Sandboxed:
        with contextlib.ExitStack() as stack:
            report, to_us = os.pipe()
            stack.callback(os.close, to_us)
            rules = _in_memory(stack, _filter())
            words = arguments(spec, seccomp=rules, report=to_us, copied=copied)
            words_fd = _in_memory(stack, b"".join(os.fsencode(word) + b"\0" for word in words))
            group = _group(spec.limits)
            plan = self._plan(spec, report=to_us, words=words_fd, copied=copied)
            plan["groups"] = list(group.procs) if group is not None else []
            before = scope.prefix(spec.limits) if isinstance(group, scope.Scope) else ()
            plan_fd = _in_memory(stack, marshal.dumps(dict(plan)))
            child = subprocess.Popen(
                [*before, sys.executable, "-I", "-S", "-c", _LAUNCH, str(plan_fd)],
                env=scope.environment() if before else {},
                cwd="/",
                stdin=streams.stdin,
                stdout=streams.stdout,
                stderr=streams.stderr,
                pass_fds=(to_us, rules, words_fd, plan_fd),
                start_new_session=True,
            )
        scratch = spec.copy_on_write.scratch if spec.copy_on_write else None
        belongings = Belongings(scratch, spec.home, group, spec.limits.memory_bytes)
        return Sandboxed(child, os.fdopen(report, "rb", buffering=0), belongings)

    def _plan(self, spec: SandboxSpec, *, report: int, words: int, copied: bool) -> Plan:
        is_image = isinstance(spec.root, ImageRoot)
        trees = spec.root.trees if isinstance(spec.root, ImageRoot) else ()
        if len(trees) > _MOST_TREES:
            raise SandboxError(
                f"the image has {len(trees)} trees, and Linux stacks {_MOST_TREES} at most",
                hint="this is a limit of Reprolake: please report the image",
            )
        shown = (
            ()
            if isinstance(spec.root, ImageRoot)
            else tuple(Bind(path, str(path)) for path in spec.root.paths)
        )
        cow = spec.copy_on_write
        folders = [bind.target for bind in spec.binds if bind.source.is_dir()]
        return {
            "parent": os.getpid(),
            "report": report,
            "bwrap": requirements.bwrap(),
            "arguments": words,
            "command": list(spec.argv),
            "outer": self._outer,
            "inner": (spec.uid, spec.gid),
            "trees": [str(tree) for tree in trees],
            "folders": [*mount_points(spec), *folders] if is_image else [],
            "files": [b.target for b in spec.binds if b.target not in folders] if is_image else [],
            "lower": str(cow.lower) if cow and not copied else "",
            "scratch": str(cow.scratch) if cow else "",
            "binds": [(str(bind.source), bind.writable) for bind in (*spec.binds, *shown)],
            "groups": [],
            "limits": _limits(spec.limits),
            "processors": _processors(spec.limits),
        }

    def _hand_over(self, spec: SandboxSpec) -> None:
        """Give what is writable to the user that the program will run as."""
        writable = [bind.source for bind in spec.binds if bind.writable]
        if spec.copy_on_write:
            writable.append(spec.copy_on_write.scratch)
        for place in writable:
            self._give(place)

    def _give(self, place: Path) -> None:
        if self._outer < 0:
            return
        os.chown(place, self._outer, self._outer, follow_symlinks=False)
        for folder, folders, files, descriptor in os.fwalk(place, follow_symlinks=False):
            del folder
            for name in (*folders, *files):
                os.chown(name, self._outer, self._outer, dir_fd=descriptor, follow_symlinks=False)

    def _copy(self, spec: SandboxSpec) -> None:
        """Copy what no overlay can give to the program's user: another user's files, or where overlays cannot be written."""
        if spec.copy_on_write is None:
            raise unavailable("the launcher asked for a copy of nothing")
        scratch = spec.copy_on_write.scratch
        shutil.copytree(spec.copy_on_write.lower, scratch / "copy", symlinks=True)
        if (scratch / "upper").is_dir():
            shutil.copytree(scratch / "upper", scratch / "copy", symlinks=True, dirs_exist_ok=True)
        for name in ("upper", "work"):
            shutil.rmtree(scratch / name, ignore_errors=True)
        self._give(scratch)

    def _trial(self) -> str:
        """Start a program that does nothing over this host's own files, and return what went wrong."""
        paths = tuple(path for path in map(Path, ("/usr", "/bin", "/lib", "/lib64")) if path.is_dir())
        null = subprocess.DEVNULL
        spec = SandboxSpec(root=HostRoot(paths), argv=("/bin/true",), env={})
        try:
            status = self.start(spec, stdin=null, stdout=null, stderr=null).wait(_TRIAL_SECONDS)
        except SandboxError as error:
            return error.message
        except subprocess.TimeoutExpired:
            return "bubblewrap does not come to an end; see whether `bwrap --unshare-all --ro-bind / / true` does"
        return "" if status == 0 else f"a program that does nothing ended with status {status} in bubblewrap"


@functools.cache
def _filter() -> bytes:
    return seccomp.program()


def _refuse_nul(spec: SandboxSpec) -> None:
    """Refuse what would end one of bubblewrap's arguments and begin another."""
    targets = [bind.target for bind in spec.binds]
    words = (*spec.argv, *spec.env, *spec.env.values(), *targets, spec.cwd, spec.home)
    if any("\0" in word for word in words) or any("=" in name or not name for name in spec.env):
        raise unavailable("an argument or a variable of the program is no text that Linux can pass on")


def _limits(limits: Limits) -> list[tuple[int, int]]:
    beyond = "pids" in _groups()  # the group says no first, because it counts how often
    return [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, limits.processes + beyond),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
    ]


def _processors(limits: Limits) -> list[int]:
    """Return the processors that the program is kept to where nothing better holds its limit; [] for all that we may use."""
    if limits.cpus is None or "cpu" in _groups():
        return []
    ours = sorted(os.sched_getaffinity(0))
    return random.sample(ours, min(len(ours), math.ceil(limits.cpus)))


def _groups() -> Mapping[str, str]:
    """Return what limits each controller here, in words; nothing where there are no control groups for us."""
    if places := cgroups.places():
        return {name: f"cgroup v{place.version}" for name, place in places.items()}
    return dict.fromkeys(("memory", "cpu", "pids"), "cgroup v2, by systemd") if scope.is_there() else {}


def _group(limits: Limits) -> cgroups.Group | scope.Scope | None:
    """Return a group for one sandbox, None where this host has none for us."""
    if not cgroups.places():
        return scope.Scope() if scope.is_there() else None
    try:
        return cgroups.Group(limits)
    except OSError as error:
        raise unavailable(f"its control group cannot be made: {error.filename}: {error.strerror}") from error


def _in_memory(stack: contextlib.ExitStack, content: bytes) -> int:
    """Return a descriptor that reads `content`; it is closed with the stack."""
    descriptor = os.memfd_create("reprolake", 0)
    stack.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
