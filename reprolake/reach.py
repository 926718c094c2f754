"""Flags and settings → what a run may reach, and how that is reached from here."""

from __future__ import annotations

from pathlib import Path

from reprolake.options import Options, UsageError
from reprolake_builder.network.policy import parse, parse_inward
from reprolake_builder.progress import Progress
from reprolake_runner.network import Network


def network_of(asked: str, options: Options, progress: Progress) -> Network:
    """Return the network of a run; `asked` is what --network says, "" for what the settings do.

    Raises UsageError for what is no network, and where the site's proxy is none that it can go through.
    """
    said, opened = options.settings["network"], options.settings["network_inward"]
    origin = "--network" if asked else said.origin
    try:
        inward = parse_inward(tuple(opened.value.split()))
    except ValueError as error:
        raise UsageError(f"{opened.origin}: network_inward: {error}") from error
    try:
        policy = parse(asked or said.value, inward)
    except ValueError as error:
        raise UsageError(f"{origin}: {error}") from error
    network = Network(policy)
    if not network.is_open:
        return network
    site = options.site
    for scheme, url in site.proxies.items():
        if not url.startswith("http://"):
            where = options.settings[f"{scheme}_proxy"].origin
            raise UsageError(
                f"{where}: {scheme}_proxy is reached in another way than over http://, which --network cannot do",
                hint="give the proxy's http:// address, or leave --network away",
            )
    progress.note(f"the network is open: {policy}; run.json tells what passed")
    return Network(policy, site.proxies, site.no_proxy, _certificates(site.ca_bundle))


def _certificates(bundle: str) -> Path | None:
    """Return the file of the site's certificates (host path), or of those that the requests library brings."""
    if bundle:
        return Path(bundle).resolve() if Path(bundle).is_file() else None
    import certifi

    return Path(certifi.where())
