"""`reprolake build`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reprolake.cli.common import (
    as_usage_error,
    link_options,
    lock_options,
    output_options,
    request_of,
    show,
    with_session,
)
from reprolake.cli.sections import Sectioned

if TYPE_CHECKING:
    from reprolake.pipeline import Session


@click.command(name="build", cls=Sectioned)
@link_options
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="OUTPUT",
    multiple=True,
    help="Write the image there, too, and read it back: oci:DIR, docker-archive:FILE, dir:ROOTFS (unpacked), "
    "docker:[NAME:TAG] or podman:[NAME:TAG] (load into that engine what it lacks).",
)
@click.option(
    "--name",
    metavar="NAME:TAG",
    default="",
    help="What the image is called in the outputs. [from the source]",
)
@lock_options
@output_options
@with_session
def command(
    *, session: Session, link: str, outputs: tuple[str, ...], name: str, as_json: bool, **rest: Any
) -> None:
    """Build the image of LINK, which may be a lock. Prints the image's id.

    The same lock gives the same image id everywhere; nothing is built that the store already holds.

    \b
    Examples:
      reprolake build ./my-analysis
      reprolake build 10.5281/zenodo.15600127 --source archive
      reprolake build reprolake.lock -o docker: --name lab/crab:1.0
      reprolake build reprolake.lock -o docker-archive:crab.tar && docker load -i crab.tar
    """
    from reprolake.describe import image_name
    from reprolake.options import UsageError
    from reprolake.pipeline import BuildResult, obtain_image, obtain_lock
    from reprolake_builder.publish import check_destination, parse_destination, publish

    for text in outputs:
        with as_usage_error():
            asked = parse_destination(text, name or "check:now", session.options.engine_environment)
        check_destination(asked)
    if name and not outputs:
        raise UsageError(
            "--name is what the image is called in an output", hint="add -o docker: or another --output"
        )
    obtained = obtain_lock(request_of(link, rest), session)
    image = obtain_image(obtained, session)
    called = name or image_name(obtained.lock)
    destinations = [parse_destination(text, called, session.options.engine_environment) for text in outputs]
    publications = tuple(
        publish(image, to, session.tools.store, session.tools.progress) for to in destinations
    )
    result = BuildResult(
        image=image.id, lock_sha256=image.lock_sha256, layers=len(image.layers), publications=publications
    )
    for publication in publications:
        named = f" as {called} (manifest {publication.manifest})" if publication.manifest else ""
        session.tools.progress.note(f"wrote {publication.reference}{named}")
    show(session, result, as_json=as_json, text=image.id)
