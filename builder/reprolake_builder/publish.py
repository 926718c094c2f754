"""The publish stage: an image is written to where others take it from."""

from __future__ import annotations

import re
from pathlib import Path

from reprolake_builder.errors import PublishError
from reprolake_builder.image import Image
from reprolake_builder.progress import Progress
from reprolake_builder.publishers.docker_archive import DockerArchive
from reprolake_builder.publishers.interface import Destination, Publication, Publisher
from reprolake_builder.publishers.oci_layout import OciLayout
from reprolake_builder.store import Store

PUBLISHERS: dict[str, Publisher] = {"oci": OciLayout(), "docker-archive": DockerArchive()}
# Source: OCI distribution specification 1.1, "pull": what a repository and a tag may be called.
_NAME = re.compile(
    r"^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
)


def parse_destination(text: str, name: str) -> Destination:
    """Return the destination in `SCHEME:PATH`; `name` is the image's `repository:tag` there. Raises PublishError."""
    scheme, colon, path = text.partition(":")
    if scheme not in PUBLISHERS or not colon or not path:
        known = ", ".join(f"{scheme}:PATH" for scheme in PUBLISHERS)
        raise PublishError(f"{text!r} is no output", hint=f"outputs are {known}")
    if not _NAME.match(name):
        raise PublishError(
            f"{name!r} is no image name", hint="use lower case as in `lab/crab-lightcurve:1.0`"
        )
    return Destination(scheme, Path(path), name)


def check_destination(to: Destination) -> None:
    """Raise PublishError when it is plain before anything is built that nothing can be written there."""
    PUBLISHERS[to.scheme].check(to)


def publish(image: Image, to: Destination, store: Store, progress: Progress) -> Publication:
    """Write the image to the destination and return where it is."""
    return PUBLISHERS[to.scheme].publish(image, to, store, progress)
