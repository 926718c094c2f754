"""What a run may reach, and the process beside it that sees to that: the proxy for its requests, the relay for its kernel."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from reprolake_builder.errors import SandboxError
from reprolake_builder.network.policy import Policy
from reprolake_builder.sandboxes.interface import Doors, Running, Sandbox, SandboxSpec
from reprolake_builder.sandboxes.requirements import free_user
from reprolake_builder.sandboxes.unix_sockets import listening

if TYPE_CHECKING:
    from reprolake_builder.network.serving import Server  # most runs have none

_OPEN = "an own loopback, where a filtering proxy outside lets pass what --network allows"
_DIALS = 40  # connections of the driver to a kernel: five at a time, and some that broke


@dataclass(frozen=True, slots=True)
class Network:
    """What a run may reach, and by which of the site's proxies; `certificates` (host path) are those that the site believes."""

    policy: Policy = field(default_factory=Policy)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    no_proxy: tuple[str, ...] = ()
    certificates: Path | None = None

    @property
    def is_open(self) -> bool:
        """Whether anything can be reached."""
        return self.policy.mode != "none"


def promised(sandbox: Sandbox, network: Network) -> dict[str, str]:
    """Return what a sandbox promises, as it is with that network."""
    return {**sandbox.promises(), **({"network": _OPEN} if network.is_open else {})}


def opened(spec: SandboxSpec, network: Network, *, is_relayed: bool = False) -> SandboxSpec:
    """Return a sandbox whose programs find the proxy, and whose kernel can be relayed to; the same one when it needs neither."""
    dials = _DIALS if is_relayed else 0
    if not network.is_open:
        return replace(spec, doors=Doors(dials=dials)) if is_relayed else spec
    from reprolake_builder.sandboxes.networked import networked

    return networked(spec, network.certificates, dials=dials)


def served(
    running: Running,
    network: Network,
    sockets: Path | None,
    ports: Sequence[int],
    stack: contextlib.ExitStack,
) -> Server | None:
    """Return the process that serves a running sandbox, ended with the stack; None when there is nothing to serve.

    `sockets` (host folder) is where the driver will look for the kernel that listens on `ports`; None for no such kernel.
    Raises SandboxError.
    """
    doors = list(running.doors)
    if not network.is_open and sockets is None:
        return None
    from reprolake_builder.network.serving import Relayed, Server, Serving

    if len(doors) < (1 if network.is_open else 0) + (1 if sockets is not None else 0):
        raise SandboxError("the sandbox did not hand out the sockets of its network")
    listener = doors.pop(0) if network.is_open else None
    relayed = None
    if sockets is not None:
        sockets.chmod(0o755)  # whoever the driver is; nobody else gets as far as this
        stand_ins = [listening(sockets / f"k-{place}") for place in range(1, len(ports) + 1)]
        relayed = Relayed(stand_ins, tuple(ports), doors)
    user = free_user() if os.geteuid() == 0 else -1
    serving = Serving(network.policy, network.proxies, network.no_proxy, user=user)
    server = Server.start(serving, listener=listener, relayed=relayed)
    stack.callback(server.stop)
    return server
