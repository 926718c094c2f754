"""The publish stage: an image is written to where others take it from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.publishers.directory import Directory
from reprolake_builder.publishers.docker_archive import DockerArchive
from reprolake_builder.publishers.engine import ContainerEngine
from reprolake_builder.publishers.interface import Destination, Publication, Publisher
from reprolake_builder.publishers.oci_layout import OciLayout
from reprolake_builder.store import Store

PUBLISHERS: dict[str, Publisher] = {
    "oci": OciLayout(),
    "docker-archive": DockerArchive(),
    "dir": Directory(),
    "docker": ContainerEngine("docker", "docker.io", "docker.io/", whole_chains=True),
    "podman": ContainerEngine("podman", "podman", "localhost/", whole_chains=False),
}
OUTPUTS = "oci:DIR, docker-archive:FILE, dir:ROOTFS, docker:[NAME:TAG] or podman:[NAME:TAG]"
"""What can be written, for help and messages."""
# Source: OCI distribution specification 1.1, "pull": what a repository and a tag may be called.
_NAME = re.compile(
    r"^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
)


def parse_destination(text: str, name: str, environment: Mapping[str, str]) -> Destination:
    """Return the destination in `SCHEME:WHERE`; `name` is the image's `repository:tag` where the text has none.

    `environment` is for the client programs of container engines. Raises PublishError.
    """
    scheme, colon, where = text.partition(":")
    publisher = PUBLISHERS.get(scheme)
    if publisher is None or not colon or (not where and not isinstance(publisher, ContainerEngine)):
        raise PublishError(f"{printable(text)!r} is no output", hint=f"outputs are {OUTPUTS}")
    path = Path(where)
    if isinstance(publisher, ContainerEngine):
        name, path = where or name, Path()
    if not _NAME.match(name):
        raise PublishError(
            f"{printable(name)!r} is no image name",
            hint="use lower case and a tag as in `lab/crab-lightcurve:1.0`",
        )
    return Destination(scheme, path, name, environment)


def check_destination(to: Destination) -> None:
    """Raise PublishError when it is plain before anything is built that nothing can be written there."""
    PUBLISHERS[to.scheme].check(to)


def publish(image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
    """Write the image to the destination and return where it is."""
    return PUBLISHERS[to.scheme].publish(image, to, store, progress)
