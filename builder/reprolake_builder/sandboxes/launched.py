"""What the sandboxes have in common that start from our launcher, over an overlay mounted in a user namespace.

Outside, the program runs as the calling user, or, when that is root, under a user number that nothing else has.
"""

from __future__ import annotations

import abc
import contextlib
import functools
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import reprolake_builder
from reprolake_builder.errors import SandboxError
from reprolake_builder.progress import Progress
from reprolake_builder.sandboxes import requirements, scope, seccomp
from reprolake_builder.sandboxes.arguments import mount_points
from reprolake_builder.sandboxes.groups import Grouped, group_for, held, processors
from reprolake_builder.sandboxes.handing import copied, give, hand_over, refuse_nul
from reprolake_builder.sandboxes.interface import Bind, Held, ImageRoot, Limits, SandboxSpec
from reprolake_builder.sandboxes.plan import Enclosure, Plan
from reprolake_builder.sandboxes.reports import Report, unavailable
from reprolake_builder.sandboxes.running import Belongings, OwnerUnmappedError, Sandboxed
from reprolake_builder.sandboxes.trial import trial

_MOST_TREES = (
    498  # Linux stacks 500 (OVL_MAX_STACK); one of them is for the mount points, and one is another overlay's
)
PACKAGES = str(Path(reprolake_builder.__file__).parent.parent)
LAUNCH = (
    f"import sys; sys.path.append({PACKAGES!r}); from reprolake_builder.sandboxes.launch import main; main()"
)

Stream = IO[bytes] | int
Streams = tuple[Stream, Stream, Stream]
"""Standard input, output and error."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the launcher becomes: `program` (host path) with `words` and `env`; it inherits `descriptors`.

    `limits` are numbers of limits and values that are set before; `more` are mount points (sandbox paths) beside a spec's own.
    """

    program: str
    words: tuple[str, ...]
    descriptors: tuple[int, ...] = ()
    limits: tuple[tuple[int, int], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    more: tuple[str, ...] = ()
    enclosure: Enclosure | None = None


class Launched(abc.ABC):
    """Runs programs by the launcher; all that one object starts share one user number outside."""

    passes_gpus = False
    name: str

    def __init__(self) -> None:
        self._outer = requirements.free_user() if os.geteuid() == 0 else -1

    @property
    @abc.abstractmethod
    def _version(self) -> tuple[int, ...]:
        """The runtime's version, () when it does not say."""

    @abc.abstractmethod
    def missing(self) -> str:
        """What this host lacks, with the remedy; "" when nothing is known to be missing."""

    @abc.abstractmethod
    def _report(self, spec: SandboxSpec, group: Grouped) -> Report:
        """Return what a start is reported by."""

    @abc.abstractmethod
    def _runtime(
        self, spec: SandboxSpec, stack: contextlib.ExitStack, report: int, *, copied: bool
    ) -> Runtime:
        """Return what the launcher becomes; descriptors are closed with the stack."""

    def problem(self) -> str:
        """Why this host cannot use it, with the remedy; "" when it can."""
        return self.missing() or trial(self, self.name)

    def promises(self) -> Mapping[str, str]:
        """What isolates, and how: facts for the record of a run."""
        return {
            "sandbox": f"{self.name} {'.'.join(map(str, self._version))}",
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
        return held(limits)

    def prepare(self, spec: SandboxSpec, progress: Progress) -> None:
        """Trees are mounted where they lie, which takes no time."""
        del spec, progress

    def start(self, spec: SandboxSpec, *, stdin: Stream, stdout: Stream, stderr: Stream) -> Sandboxed:
        """Start the program; it dies with the thread that started it.

        Raises SandboxError when any promised layer of isolation cannot be had.
        """
        if problem := self.missing():
            raise unavailable(problem)
        if spec.gpus and not self.passes_gpus:
            raise unavailable(f"{self.name} passes on no graphics processors")
        refuse_nul(spec)
        hand_over(spec, self._outer)
        streams = (stdin, stdout, stderr)
        try:
            return self._launch(spec, streams, copied=False)
        except OwnerUnmappedError:
            self._copy(spec)
            return self._launch(spec, streams, copied=True)

    def _launch(self, spec: SandboxSpec, streams: Streams, *, copied: bool) -> Sandboxed:
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as failed:
            group = group_for(spec.limits)
            if group is not None:
                failed.callback(group.remove)
            report = self._report(spec, group)
            failed.callback(report.close)
            stack.callback(os.close, report.theirs)
            runtime = self._runtime(spec, stack, report.theirs, copied=copied)
            plan = self._plan(spec, runtime, report.theirs, copied=copied)
            doors, theirs = _doors(stack, spec)
            if doors is not None:
                failed.callback(doors.close)
            plan["doors"] = theirs
            plan["groups"] = list(group.procs) if group is not None and runtime.enclosure is None else []
            before = scope.prefix(spec.limits) if isinstance(group, scope.Scope) else ()
            plan_fd = in_memory(stack, marshal.dumps(dict(plan)))
            child = subprocess.Popen(
                [*before, sys.executable, "-I", "-S", "-c", LAUNCH, str(plan_fd)],
                env=scope.environment() if before else {},
                cwd="/",
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                pass_fds=(report.theirs, *runtime.descriptors, plan_fd, *([theirs] if doors else [])),
                start_new_session=True,
            )
            failed.pop_all()
        scratch = spec.copy_on_write.scratch if spec.copy_on_write else None
        belongings = Belongings(scratch, spec.home, group, spec.limits.memory_bytes, doors)
        return Sandboxed(child, report, belongings)

    def _plan(self, spec: SandboxSpec, runtime: Runtime, report: int, *, copied: bool) -> Plan:
        trees = spec.root.trees if isinstance(spec.root, ImageRoot) else ()
        if len(trees) > _MOST_TREES:
            raise SandboxError(
                f"the image has {len(trees)} trees, and Linux stacks {_MOST_TREES} at most",
                hint="this is a limit of Reprolake: please report the image",
            )
        cow = spec.copy_on_write
        binds = all_binds(spec)
        folders = [bind.target for bind in binds if bind.source.is_dir()]
        makes_points = isinstance(spec.root, ImageRoot) or runtime.enclosure is not None
        return {
            "parent": os.getpid(),
            "report": report,
            "program": runtime.program,
            "words": list(runtime.words),
            "env": dict(runtime.env),
            "enclosure": runtime.enclosure,
            "outer": self._outer,
            "inner": (spec.uid, spec.gid),
            "trees": [str(tree) for tree in trees],
            "folders": [*mount_points(spec), *runtime.more, *folders] if makes_points else [],
            "files": [b.target for b in binds if b.target not in folders] if makes_points else [],
            "lower": str(cow.lower) if cow and not copied else "",
            "scratch": str(cow.scratch) if cow else "",
            "binds": [(str(bind.source), bind.writable) for bind in binds],
            "groups": [],
            "limits": list(runtime.limits),
            "processors": processors(spec.limits),
            "doors": -1,
            "listen": list(spec.doors.listen) if spec.doors else [],
            "dials": spec.doors.dials if spec.doors else 0,
        }

    def _copy(self, spec: SandboxSpec) -> None:
        """Copy what no overlay can give to the program's user: another user's files, or where overlays cannot be written."""
        if spec.copy_on_write is None:
            raise unavailable("the launcher asked for a copy of nothing")
        copied(spec.copy_on_write)
        give(spec.copy_on_write.scratch, self._outer)


@functools.cache
def rules() -> bytes:
    """Return the filter of system calls."""
    return seccomp.program()


def all_binds(spec: SandboxSpec) -> tuple[Bind, ...]:
    """Return what comes from the host, in the launcher's order: the binds, then what a root of host paths shows."""
    if isinstance(spec.root, ImageRoot):
        return spec.binds
    return (*spec.binds, *(Bind(path, str(path)) for path in spec.root.paths))


def in_memory(stack: contextlib.ExitStack, content: bytes) -> int:
    """Return a descriptor that reads `content`; it is closed with the stack."""
    descriptor = os.memfd_create("reprolake", 0)
    stack.callback(os.close, descriptor)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _doors(stack: contextlib.ExitStack, spec: SandboxSpec) -> tuple[socket.socket | None, int]:
    """Return where the sockets of the program's network arrive, and the descriptor of the other end, which is closed with the stack."""
    if spec.doors is None:
        return None, -1
    ours, theirs = socket.socketpair()
    stack.callback(theirs.close)
    return ours, theirs.fileno()
