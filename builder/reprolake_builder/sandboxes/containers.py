"""Isolation by a container engine, docker or podman: for hosts where user namespaces or overlays are not to be had.

Everything runs from an image that is made here, by its id and never by a name. What a program can see of the host beside what
bubblewrap shows it: /sys, read-only. Membership of the group docker is as good as root: podman without root is better.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import marshal
import os
import re
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from reprolake_builder.container_engine import EngineClient, told
from reprolake_builder.errors import SandboxError
from reprolake_builder.process import printable
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.sandboxes import door_program, requirements
from reprolake_builder.sandboxes.container_arguments import (
    Container,
    Engine,
    create_arguments,
    host_paths,
    odd_paths,
)
from reprolake_builder.sandboxes.container_host import Kind, engine_of
from reprolake_builder.sandboxes.container_image import LABEL, image_of
from reprolake_builder.sandboxes.container_running import Contained, Made
from reprolake_builder.sandboxes.groups import held_by
from reprolake_builder.sandboxes.handing import copied, hand_over, refuse_nul
from reprolake_builder.sandboxes.init_program import GO, REPORT
from reprolake_builder.sandboxes.interface import Bind, Held, Limits, SandboxSpec
from reprolake_builder.sandboxes.launched import PACKAGES, Stream, Streams
from reprolake_builder.sandboxes.owners import is_gone, owner
from reprolake_builder.sandboxes.pending_doors import PendingDoors
from reprolake_builder.sandboxes.reports import unavailable
from reprolake_builder.sandboxes.seccomp import NO_CORE
from reprolake_builder.sandboxes.system_files import system_files
from reprolake_builder.sandboxes.trial import trial

_OWNER = "reprolake.owner"
_NAME = re.compile(r"reprolake-[0-9a-f]{16}")
_KEEP = (
    f"import sys; sys.path.append({PACKAGES!r}); from reprolake_builder.sandboxes.keeper import main; main()"
)


class Containers:
    """Runs programs in containers; all that one object starts share one user number."""

    def __init__(self, kind: Kind, environment: Mapping[str, str]) -> None:
        self._kind = kind
        self.passes_gpus = kind.passes_gpus
        self._client = EngineClient(
            kind.program,
            kind.package,
            kind.whole_chains,
            environment,
            SandboxError,
            "choose another --sandbox",
        )
        self._number = requirements.free_user() if os.geteuid() == 0 else -1
        self._ready: dict[str, str] = {}
        self._is_swept = False

    def missing(self) -> str:
        """What this host lacks, with the remedy; "" when nothing is known to be missing."""
        if problem := requirements.other_machine():
            return problem
        try:
            self._engine  # noqa: B018  (it asks)
        except SandboxError as error:
            return f"{error.message}; {error.hint}"
        return ""

    def problem(self) -> str:
        """Why this host cannot use it, with the remedy; "" when it can."""
        return self.missing() or trial(self, self._kind.program)

    def promises(self) -> Mapping[str, str]:
        """What isolates, and how: facts for the record of a run."""
        engine = self._engine
        return {
            "sandbox": f"{engine.program} {engine.version}{', without root' if engine.is_rootless else ''}",
            "root": "read-only; the image's layers and one of mount points, run by its id",
            "network": "none but an own loopback",
            "namespaces": f"{'user, ' if engine.is_rootless else ''}mount, pid, ipc, net, uts, cgroup",
            "user": "the caller's, without capabilities" if self._number < 0 else "a number of its own",
            "capabilities": "none, no new privileges",
            "seccomp": "denylist, over the engine's own filter",
            "keyring": "own session keyring",
        }

    def holds(self, limits: Limits) -> Mapping[str, Held]:
        """What holds each of the limits here, by the field's name; those that are None are left out."""
        why = f"{self._kind.program} has no control group for processors here"
        return held_by(limits, self._engine.controllers, Held("nothing", why))

    def prepare(self, spec: SandboxSpec, progress: Progress) -> None:
        """Load what the engine lacks of the image, and remove what runs that were killed left behind. Raises SandboxError."""
        load = image_of(spec)
        if load.image.id in self._ready:
            return
        self._sweep()
        if (found := self._found(load.ids, load.diff_ids)) is None:
            lacking = self._client.lacking(load, lambda name: load.diff_ids if name in load.ids else None)
            sent = self._client.load(load, lacking, progress)
            progress.note(f"{self._kind.program} was sent {sent} of {len(load.layers)} layers")
            found = self._found(load.ids, load.diff_ids)
        if found is None:
            raise unavailable(f"{self._kind.program} took the image and has another one instead")
        self._ready[load.image.id] = found

    def start(self, spec: SandboxSpec, *, stdin: Stream, stdout: Stream, stderr: Stream) -> Contained:
        """Start the program; it dies with this process.

        Raises SandboxError when any promised layer of isolation cannot be had.
        """
        self._refuse(spec)
        self.prepare(spec, SILENT)
        view: tuple[Bind, ...] = ()
        if spec.copy_on_write is not None:
            copied(spec.copy_on_write)
            view = (Bind(spec.copy_on_write.written, spec.copy_on_write.target, writable=True),)
        hand_over(spec, self._number)
        with contextlib.ExitStack() as stack:
            name = f"reprolake-{secrets.token_hex(8)}"
            folder = Path(tempfile.gettempdir(), name)
            folder.mkdir(mode=0o700)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for pipe, mode in (("report", 0o622), ("go", 0o644)):
                os.mkfifo(folder / pipe)
                (folder / pipe).chmod(mode)
            # a pipe can be written to where nothing else can; its mode can not be changed there
            pipes = (Bind(folder / "report", REPORT), Bind(folder / "go", GO))
            own = (*pipes, *system_files(spec, self._engine.user, folder))
            doors = PendingDoors(spec, folder) if spec.doors is not None else None
            if doors is not None:
                stack.callback(doors.close)
                own = (*own, *doors.binds)
            container = Container(
                image=self._ready[image_of(spec).image.id],
                name=name,
                labels={LABEL: "1", _OWNER: owner()},
                binds=(*own, *view),
                has_input=stdin != subprocess.DEVNULL,
                has_terminal=_is_terminal(stdin),
                processes=resource.getrlimit(resource.RLIMIT_NPROC)[1],
                core=0 if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 else NO_CORE,
            )
            begun = spec if doors is None else dataclasses.replace(spec, argv=(door_program.PROGRAM,))
            made = self._made(begun, container, doors)
            stack.callback(made.remove)
            running = self._kept(container, folder, made, (stdin, stdout, stderr))
            stack.pop_all()
        return running

    def _made(self, spec: SandboxSpec, container: Container, doors: PendingDoors | None) -> Made:
        done = self._client.ask(*create_arguments(spec, self._engine, container))
        if done.returncode:
            raise unavailable(told(done))
        return Made(
            id=done.stdout.decode().strip().splitlines()[-1],
            program=spec.argv[0],
            home=spec.home,
            memory_bytes=spec.limits.memory_bytes,
            remove=functools.partial(self._remove, container.name),
            doors=doors,
        )

    def _kept(self, container: Container, folder: Path, made: Made, streams: Streams) -> Contained:
        environment = dict(self._client.environment)
        client = shutil.which(self._kind.program, path=environment.get("PATH")) or self._kind.program
        report, to_us = os.pipe()
        until, alive = os.pipe()
        plan = os.memfd_create("reprolake", 0)
        with contextlib.ExitStack() as theirs:
            for descriptor in (to_us, until, plan):
                theirs.callback(os.close, descriptor)
            keeping = {
                "client": client,
                "environment": environment,
                "name": container.name,
                "id": made.id,
                "interactive": container.has_input or container.has_terminal,
                "report": to_us,
                "alive": until,
                "pipe": str(folder / "report"),
                "go": str(folder / "go"),
                "folder": str(folder),
            }
            os.write(plan, marshal.dumps(keeping))
            os.lseek(plan, 0, os.SEEK_SET)
            keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _KEEP, str(plan)],
                env={},
                cwd="/",
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                pass_fds=(to_us, until, plan),
                start_new_session=True,
            )
        return Contained(keeper, report, alive, made)

    def _refuse(self, spec: SandboxSpec) -> None:
        if problem := self.missing():
            raise unavailable(problem)
        if spec.gpus and not self.passes_gpus:
            raise unavailable(f"{self._kind.program} passes on no graphics processors here")
        refuse_nul(spec)
        binds = (*spec.binds, *host_paths(spec))
        if odd := odd_paths(binds):
            raise unavailable(
                f"{self._kind.program} cannot bind {printable(odd[0])!r}: its name has a comma or a quote"
            )
        for bind in binds:
            if not bind.source.exists():
                raise unavailable(f"{bind.source}: No such file or directory")

    @functools.cached_property
    def _engine(self) -> Engine:
        """What the engine is and can. Raises SandboxError when it does not answer."""
        done = self._client.ask("info", "--format", "{{json .}}")
        try:
            return engine_of(self._kind, json.loads(done.stdout), self._number)
        except (ValueError, KeyError, TypeError) as error:
            raise SandboxError(
                f"{self._kind.program} does not answer: {told(done)}",
                hint=f"`{self._kind.program} info` must work for you",
            ) from error

    def _found(self, ids: tuple[str, ...], diff_ids: tuple[str, ...]) -> str | None:
        """Return what the engine calls an image that it has under one of the ids with these layers, None when it has none."""
        for name in ids:
            shown = self._client.ask("image", "inspect", "--format", "{{json .RootFS.Layers}}", name)
            if shown.returncode == 0 and tuple(json.loads(shown.stdout) or ()) == diff_ids:
                return name
        return None

    def _sweep(self) -> None:
        """Remove containers whose process is gone, and so is whoever should have removed them, with their folders."""
        label = ".Label" if self._kind.program == "docker" else "index .Labels"
        if self._is_swept:
            return
        self._is_swept = True
        form = f'{{{{.Names}}}} {{{{{label} "{_OWNER}"}}}}'
        listed = self._client.ask("ps", "--all", "--filter", f"label={_OWNER}", "--format", form)
        for line in listed.stdout.decode(errors="replace").splitlines():
            name, _, maker = line.partition(" ")
            if _NAME.fullmatch(name) and is_gone(maker):
                self._remove(name)

    def _remove(self, name: str) -> None:
        """Remove a container, whatever it does, with its folder."""
        self._client.ask("rm", "--force", name)
        shutil.rmtree(Path(tempfile.gettempdir(), name), ignore_errors=True)


def _is_terminal(stream: Stream) -> bool:
    descriptor = stream if isinstance(stream, int) else stream.fileno()
    return descriptor >= 0 and os.isatty(descriptor)
