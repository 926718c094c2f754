"""Jupyter's seam for starting kernels: a kernel of an image, in the sandbox, reached over sockets in a folder and nothing else.

The client of such a kernel (papermill, nbclient, a Jupyter server) is a process of the user's and is not confined, as the driver of
`reprolake run` is. Source: jupyter_client 8, "Kernel provisioning".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Any as AnyTrait
from traitlets import Unicode

if TYPE_CHECKING:
    from reprolake.kernel_runs import KernelRun, KernelWatch
    from reprolake.pipeline import Session
    from reprolake_builder.image import Image
    from reprolake_builder.sandboxes.interface import Bind, Running, Sandbox, SandboxSpec
    from reprolake_runner.kernelspec import Kernel
    from reprolake_runner.network import Network
    from reprolake_runner.record import Verdict

VARIABLE = "REPROLAKE_IMAGE"
_PORTS = ("shell", "iopub", "stdin", "control", "hb")
_POLL = 0.05  # seconds
_LOOK = 0.2  # seconds between two looks at what the kernel takes
_GRACE = 1.0  # seconds; ipykernel locks up in a fifth of its shutdowns, after all that the user's code does at exit


class SandboxProvisioner(KernelProvisionerBase):
    """Starts a kernel of `image`: an image's id, or the path of a lock; of REPROLAKE_IMAGE when it is not said.

    What it writes to REPROLAKE_OUTPUT and to the repository is staged in `stage` (host folder) when it ends, or given to `left`.
    """

    image = Unicode("", help="The image's id, or the path of a lock.").tag(config=True)
    stage = Unicode("", help="Folder in which what the kernel writes is staged.").tag(config=True)
    left = AnyTrait(None, allow_none=True)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._belongings = contextlib.ExitStack()
        self._running: Running | None = None
        self._spec: SandboxSpec | None = None
        self._network: Network | None = None
        self._relayed: Path | None = None  # the folder of sockets that stand in for a kernel's ports
        self._run: KernelRun | None = None
        self._verdict: Verdict | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def _manager(self) -> Any:
        return self.parent  # who makes provisioners sets it

    @property
    def has_process(self) -> bool:
        """Whether the kernel was started and nobody has noted its end."""
        return self._running is not None

    async def pre_launch(self, **settings: Any) -> dict[str, Any]:
        """Make ready what the kernel needs, and tell its manager where the sockets will be. Raises ReprolakeError."""
        from reprolake.isolation import Isolation, isolated
        from reprolake_builder.progress import SILENT
        from reprolake_builder.removal import remove_tree

        settings.pop("extra_arguments", None)
        self._belongings.close()  # of the kernel before a restart
        session = _session(self._belongings)
        image = _image(self.image, session)
        sockets = Path(tempfile.mkdtemp(prefix="rl-"))  # a socket's path has room for a hundred letters
        self._belongings.callback(remove_tree, sockets)  # of what the kernel made there, however deep
        self._connect(sockets)
        sandbox = isolated(Isolation(), session.options).sandbox
        self._spec = self._sandboxed(image, session, sockets, sandbox)
        sandbox.prepare(self._spec, SILENT)
        return dict(await super().pre_launch(cmd=list(self._spec.argv), **settings))

    async def launch_kernel(self, cmd: list[str], **settings: Any) -> KernelConnectionInfo:
        """Start the kernel in its sandbox and return how to reach it. Raises SandboxError."""
        from reprolake.kernel_runs import KernelWatch
        from reprolake_runner.network import served
        from reprolake_runner.transport import PORTS

        del cmd, settings
        assert self._spec is not None
        assert self._network is not None
        assert self._run is not None
        null = subprocess.DEVNULL
        self._running = self._run.sandbox.start(self._spec, stdin=null, stdout=null, stderr=null)
        self._belongings.callback(self._running.kill)
        self._watching = asyncio.create_task(
            self._watch(self._running, KernelWatch(self._run, self._running))
        )
        served(self._running, self._network, self._relayed, PORTS, self._belongings)
        info: KernelConnectionInfo = self._manager.get_connection_info()
        self.connection_info = info
        return info

    async def _watch(self, running: Running, watch: KernelWatch) -> None:
        """End the kernel when it takes more than it may."""
        while running.poll() is None:
            if (verdict := watch.look()) is not None:
                self._verdict = verdict
                self.log.error("the kernel was ended: %s", verdict.message)
                running.kill()
            await asyncio.sleep(_LOOK)

    async def poll(self) -> int | None:
        """Exit status, None while the kernel runs."""
        return self._running.poll() if self._running is not None else 0

    async def wait(self) -> int | None:
        """Wait for the kernel's end and return its exit status."""
        while self._running is not None and self._running.poll() is None:  # noqa: ASYNC110  (a process is no event)
            await asyncio.sleep(_POLL)
        status = self._running.poll() if self._running is not None else 0
        self._running = None
        return status

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel itself."""
        if self._running is not None:
            self._running.signal(signum)

    async def kill(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002  (jupyter_client's signature)
        """End the kernel and all that it started."""
        del restart
        if self._running is not None:
            self._running.kill()

    async def terminate(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002  (jupyter_client's signature)
        """End the kernel and all that it started; by then it has had its time to end by itself."""
        await self.kill(restart=restart)

    async def cleanup(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002  (jupyter_client's signature)
        """Hand over what the kernel wrote, and remove everything else."""
        del restart
        if self._watching is not None:
            self._watching.cancel()
        if self._running is not None:
            self._running.kill()
        run, self._run = self._run, None
        if run is not None and self.left is not None:
            self.left.take(run, self._verdict, self._belongings.pop_all())
        elif run is not None and self.stage:
            self._stage(run)
        self._belongings.close()

    def _stage(self, run: KernelRun) -> None:
        from reprolake_builder.errors import ReprolakeError
        from reprolake_runner.record import Verdict

        why = "the kernel was ended by its client, which alone knows how the notebook went"
        try:
            staged = run.stage(Path(self.stage), self._verdict or Verdict("stopped", why))
        except ReprolakeError as error:
            self.log.error("what the kernel wrote could not be kept: %s", error.message)  # noqa: TRY400  (told, not traced)
        else:
            self.log.info("what the kernel wrote is in %s", staged.folder)

    def get_shutdown_wait_time(self, recommended: float = 5.0) -> float:
        """Seconds that a kernel has to end by itself."""
        return min(recommended, _GRACE)

    def _connect(self, sockets: Path) -> None:
        """Have the kernel's manager use the sockets in a folder (host path), and write the kernel's connection file there."""
        from reprolake_runner.processes import CONNECTION, write_connection

        manager = self._manager
        manager.transport, manager.ip = "ipc", f"{sockets}/k"
        for number, name in enumerate(_PORTS, 1):
            setattr(manager, f"{name}_port", number)
        write_connection(sockets / CONNECTION, manager.session.key.decode())

    def _files_of(self, kernel: Kernel, sockets: Path, scratch: Path) -> Bind:
        """Return what the kernel sees of its connection: the folder where it makes its sockets, or a file of ports."""
        from reprolake_builder.sandboxes.interface import Bind
        from reprolake_runner.processes import CONNECTION, SOCKETS, write_connection
        from reprolake_runner.transport import transport_of

        if transport_of(kernel.argv, kernel.metadata, "auto") == "ipc":
            self._relayed = None
            return Bind(sockets, SOCKETS, writable=True)
        self._relayed = sockets
        ports = scratch / "connection"
        ports.mkdir(mode=0o755)
        write_connection(ports / CONNECTION, self._manager.session.key.decode(), "tcp")
        return Bind(ports, SOCKETS)

    def _sandboxed(self, image: Image, session: Session, sockets: Path, sandbox: Sandbox) -> SandboxSpec:
        from reprolake.kernel_runs import KernelRun
        from reprolake.limits import run_limits, with_room
        from reprolake.reach import network_of
        from reprolake_builder.image import REPOSITORY
        from reprolake_builder.progress import SILENT
        from reprolake_builder.sandboxes.interface import CopyOnWrite
        from reprolake_runner.bounds import held_limits, with_disk
        from reprolake_runner.documents.run import CommandSpec
        from reprolake_runner.inside import Places, Program, entry_of, inside, repository_of, root_of
        from reprolake_runner.kernelspec import choose, command
        from reprolake_runner.network import opened
        from reprolake_runner.plan import RunPlan
        from reprolake_runner.processes import CONNECTION, SOCKETS
        from reprolake_runner.staged import new_run_id

        store = session.tools.store
        root = root_of(image, store)
        name, language = self._manager.kernel_name or "python3", self.kernel_spec.language or ""
        kernel = choose(root.trees, name, language, image.env)
        started = command(kernel, f"{SOCKETS}/{CONNECTION}", REPOSITORY)
        limits = run_limits(session.options.settings, {}, weaker=False)
        held = held_limits(limits.limits, limits.bounds, {"timeout": limits.timeout}, sandbox)
        scratch = self._belongings.enter_context(store.scratch())
        scratch.chmod(0o700)
        for name in ("output", "repository"):
            (scratch / name).mkdir(mode=0o700)
        view = CopyOnWrite(repository_of(image, root.trees), scratch / "repository", REPOSITORY)
        program = Program(
            argv=started.argv,
            env={**image.env, **kernel.env},
            cwd=started.cwd,
            binds=(self._files_of(kernel, sockets, scratch),),
        )
        self._network = network_of("", session.options, SILENT)
        plan = RunPlan(
            spec=CommandSpec(image=image.id, argv=kernel.argv, timeout=limits.timeout),
            id=new_run_id(),
            folder=scratch,
            limits=with_disk(limits.limits, limits.bounds),
            bounds=with_room(limits.bounds, scratch, scratch),
            network=self._network,
        )
        self._run = KernelRun(
            plan, kernel.name, view.lower, view, scratch / "output", sockets, sandbox, held, image.annotations
        )
        self._verdict = None
        spec = inside(
            Places(root, view, scratch / "output", None, entry=entry_of(image)), program, plan.limits
        )
        return opened(spec, self._network, is_relayed=self._relayed is not None)


def _session(stack: contextlib.ExitStack) -> Session:
    from reprolake.options import load_options
    from reprolake.pipeline import open_session
    from reprolake_builder.progress import SILENT

    return stack.enter_context(open_session(load_options(os.environ), SILENT, datetime.now(UTC)))


def _image(said: str, session: Session) -> Image:
    """Return the image that was named. Raises UsageError when none was."""
    from reprolake.images import find_image
    from reprolake.options import UsageError
    from reprolake.pipeline import Request, obtain_image, obtain_lock

    named = said or os.environ.get(VARIABLE, "")
    if not named:
        raise UsageError(
            f"no image is named for the kernel: {VARIABLE} is not set",
            hint=f"{VARIABLE}=ID, as `reprolake build` prints it, or the path of a lock",
        )
    if Path(named).is_file():
        return obtain_image(obtain_lock(Request(link=named), session), session)
    return find_image(named, session, instead="the path of a lock")
