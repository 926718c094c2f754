"""What the process that serves a sandbox's network is told."""

from __future__ import annotations

from reprolake_builder.documents.base import Document
from reprolake_builder.network.policy import Policy


class ServerPlan(Document, frozen=True, kw_only=True):
    """What to serve. `user` is the number to become, -1 to stay; `parent` the process to end with.

    `proxies` are the site's own by scheme, which are not for `no_proxy`. With `digests` the SHA-256 of plain bodies is told.
    `ports` are the sandbox's that the relay's sockets lead to. The descriptors come with it: the proxy's listening socket, if
    `is_proxy`; one unix socket for each of the ports; then sockets to connect with.
    """

    policy: Policy
    user: int
    parent: int
    is_proxy: bool
    digests: bool = False
    proxies: dict[str, str] = {}
    no_proxy: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
