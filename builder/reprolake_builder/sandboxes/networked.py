"""A sandbox whose programs find the filtering proxy.

Who starts it gives its first door to a process that serves it: `Server.start(Serving(policy, digests=True),
listener=running.doors[0])`. When the program has ended, `server.stop(events.append)` returns the sums of what passed; the events
have, with `digests`, address and SHA-256 of every plain answer. Where the record's `untold` is not 0 some of them are missing.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from reprolake_builder.network.serving import CERTIFICATES, PORT, surroundings
from reprolake_builder.sandboxes.interface import Bind, Doors, SandboxSpec


def networked(spec: SandboxSpec, certificates: Path | None, *, dials: int = 0) -> SandboxSpec:
    """Return a sandbox with a door for the proxy, the variables that name it, and the site's `certificates` (host path).

    With `dials` as many sockets more are handed out after that door.
    """
    binds = (Bind(certificates, CERTIFICATES),) if certificates is not None else ()
    return dataclasses.replace(
        spec,
        doors=Doors(listen=(PORT,), dials=dials),
        binds=(*spec.binds, *binds),
        env={**spec.env, **surroundings(CERTIFICATES if certificates is not None else "")},
    )
