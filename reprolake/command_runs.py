"""From an image and a command to a staged result: what `exec` and `shell` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reprolake.basket_file import basket_in
from reprolake.images import find_image, is_image_id
from reprolake.options import UsageError
from reprolake.pipeline import Request, Session, obtain_image, obtain_lock, refuse_changes
from reprolake.running import Asked, granted, kept, plan_of, ready, scratch
from reprolake_builder.image import REPOSITORY, Image
from reprolake_builder.process import printable
from reprolake_runner.added import add_files
from reprolake_runner.documents.basket import Basket
from reprolake_runner.documents.run import CommandSpec, RunRecord
from reprolake_runner.execute_command import execute_command
from reprolake_runner.inside import repository_of, trees_of
from reprolake_runner.json_value import is_text
from reprolake_runner.placement import place
from reprolake_runner.relay import Relay
from reprolake_runner.stage_in import stage_in
from reprolake_runner.stage_out import check_folder
from reprolake_runner.staged import StagedResult

SHELL = (
    "sh",
    "-c",
    'program=$(command -v bash || command -v sh); exec $(command -v setsid && echo -c) "$program" -i',
)
"""A shell of the image that is in charge of its terminal, where the image has what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRequest(Asked):
    """What the user asked for beside the image. `stage` is a host path; without it nothing is staged. `env` is added to the image's."""

    argv: tuple[str, ...]
    stage: Path | None
    env: Mapping[str, str] = field(default_factory=dict)
    relay: Relay | None = None


def image_of(request: Request, session: Session) -> Image:
    """Return the image that a link, a lock or an image id stands for; it is built where the store lacks it."""
    if is_image_id(request.link):
        refuse_changes(f"{request.link} is an image", request)
        return find_image(request.link, session, instead="a link, a lock")
    obtained = obtain_lock(request, session)
    session.tools.progress.note(f"environment: {obtained.origin}")
    return obtain_image(obtained, session)


def run_command(
    request: CommandRequest, image: Image, session: Session
) -> tuple[RunRecord, StagedResult | None]:
    """Return the record of a command that ran, whether it succeeded or not, and the result when it was to be staged."""
    for word in request.argv:
        _refuse_unreadable(word)
    if request.stage is not None:
        check_folder(request.stage)
    site = granted(request, session).on(image, request, session)
    tools = session.tools
    basket = place(basket_in(request.basket)) if request.basket is not None else Basket()
    with scratch(session) as folder:
        inputs = stage_in(basket, frozenset(), folder / "inputs", tools.progress)
        cwd = _folder(image, request.cwd)
        repository = repository_of(image, trees_of(image, tools.store))
        added = add_files(request.add, repository, cwd, folder / "added")
        made = ready(folder, request.stage, inputs, added, session)
        spec = CommandSpec(
            image=image.id,
            argv=request.argv,
            inputs=inputs.inputs,
            timeout=site.limits.timeout,
            cwd=cwd,
            added=added,
            terminal=request.relay is not None,
            network=str(site.network.policy),
        )
        plan = plan_of(spec, request, site, made, session)
        plan = replace(plan, env={**plan.env, **request.env})
        execution = execute_command(image, tools.store, plan, site.chosen.sandbox, request.relay)
        if request.stage is None:
            return execution.record, None
        staged = kept(execution, made, image, request.lifetime)
        return staged.record, staged


def shell_request(request: CommandRequest, terminal: str) -> CommandRequest:
    """Return the request with the shell that is run when none is named; `terminal` is the kind of the user's (TERM)."""
    known = terminal if terminal.isascii() and terminal.replace("-", "").isalnum() else "dumb"
    return replace(request, argv=request.argv or SHELL, env={**request.env, "TERM": known})


def _folder(image: Image, cwd: str) -> str:
    """Return the working folder relative to the repository's root; without one it is the image's own."""
    own = str(image.settings.get("WorkingDir", "")).removeprefix(REPOSITORY).strip("/")
    return f"{own}/{cwd}" if own and cwd else own or cwd


def _refuse_unreadable(word: str) -> None:
    """Refuse an argument that no record could hold."""
    if not is_text(word):
        raise UsageError(
            f"the argument {printable(word)} is no UTF-8 text, and so cannot be part of the record of a run",
            hint="put it into a script in the repository, or into a file of the basket",
        )
