"""How the driver reaches a kernel: over unix sockets that the kernel makes (ipc), or relayed to TCP in its sandbox.

The first is faster, and most kernels can do it. Those that cannot say so in their kernel.json, as
`"metadata": {"reprolake": {"transport": "tcp"}}`, or are known here:

| program | why |
|---|---|
| ijskernel (IJavascript) | its base, jp-kernel, binds to tcp:// whatever the connection file says |
| tslab, gophernotes | they put a colon between path and number, where Jupyter's ipc has a dash |

For all others that never answer there is `--kernel-transport tcp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Transport = Literal["ipc", "tcp"]
HERE = "127.0.0.1"
PORTS = (9001, 9002, 9003, 9004, 9005)
"""Where a kernel listens on its sandbox's own loopback, in the order of `CHANNELS`."""
CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_TCP_ONLY = {"ijskernel", "ijavascript", "tslab", "gophernotes"}


def transport_of(argv: Sequence[str], metadata: dict[str, Any], asked: str) -> Transport:
    """Return how a kernel is reached: as `asked` ("ipc" or "tcp"), as its specification says, or as its program needs it."""
    ours = metadata.get("reprolake")
    for said in (asked, ours.get("transport") if isinstance(ours, dict) else ""):
        if said in ("ipc", "tcp"):  # it may be anything, also what no set can be asked for
            return "tcp" if said == "tcp" else "ipc"
    programs = {
        part for word in argv[:2] for part in word.split("/")
    }  # node, and then the path of what it runs
    return "tcp" if programs & _TCP_ONLY else "ipc"


def connection_facts(transport: Transport, path: str) -> dict[str, Any]:
    """Return where a kernel is to listen, as its connection file says it; `path` (sandbox path) is what its sockets begin with.

    Source: jupyter_client, "Connection files", with its ipc transport.
    """
    numbers = PORTS if transport == "tcp" else range(1, len(CHANNELS) + 1)
    ports = {f"{name}_port": number for name, number in zip(CHANNELS, numbers, strict=True)}
    return {"transport": transport, "ip": HERE if transport == "tcp" else path, **ports}
