"""From an image and a command to a staged result: what `exec` and `shell` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from reprolake.basket_file import basket_in
from reprolake.images import find_image, is_image_id
from reprolake.isolation import Isolation, isolated
from reprolake.limits import run_limits, with_room
from reprolake.options import UsageError
from reprolake.pipeline import Request, Session, obtain_image, obtain_lock, refuse_changes
from reprolake.prepared_roots import with_root
from reprolake.reach import network_of
from reprolake_builder.image import REPOSITORY, Image
from reprolake_builder.process import printable
from reprolake_runner.added import add_files
from reprolake_runner.documents.basket import Basket
from reprolake_runner.documents.run import CommandSpec, RunRecord
from reprolake_runner.execute_command import execute_command
from reprolake_runner.inside import repository_of, trees_of
from reprolake_runner.placement import place
from reprolake_runner.plan import Execution, RunPlan
from reprolake_runner.relay import Relay
from reprolake_runner.stage_in import StagedInputs, stage_in
from reprolake_runner.stage_out import Outcome, Staging, check_folder, stage_out
from reprolake_runner.staged import StagedResult, new_run_id
from reprolake_runner.supervise import Told

SHELL = (
    "sh",
    "-c",
    'program=$(command -v bash || command -v sh); exec $(command -v setsid && echo -c) "$program" -i',
)
"""A shell of the image that is in charge of its terminal, where the image has what it takes."""


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What the user asked for beside the image. `basket` and `stage` are host paths; without the latter nothing is staged.

    `limits` are amounts of limits by their setting; `allow_weaker` goes on where this host cannot hold one as promised.
    `cwd` is relative to the folder of the repository that holds environment and notebooks. `env` is added to the image's.
    `add` are host paths of files to bring along.
    """

    argv: tuple[str, ...]
    basket: Path | None
    stage: Path | None
    lifetime: timedelta | None
    limits: Mapping[str, str]
    allow_weaker: bool = False
    cwd: str = ""
    add: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    told: Told | None = None
    relay: Relay | None = None
    isolation: Isolation = field(default_factory=Isolation)


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
    limits = run_limits(session.options.settings, request.limits, weaker=request.allow_weaker)
    chosen = with_root(isolated(request.isolation, session.options), request.isolation.root, image, session)
    network = network_of(request.isolation.network, session.options, session.tools.progress)
    tools = session.tools
    basket = place(basket_in(request.basket)) if request.basket is not None else Basket()
    with tools.store.scratch() as scratch:
        scratch.chmod(0o700)
        inputs = stage_in(basket, frozenset(), scratch / "inputs", tools.progress)
        cwd = _folder(image, request.cwd)
        repository = repository_of(image, trees_of(image, tools.store))
        added = add_files(request.add, repository, cwd, scratch / "added")
        run = new_run_id()
        (scratch / run).mkdir(mode=0o700)
        tools.progress.note(f"run {run}; `reprolake logs -f {run}` follows it")
        plan = RunPlan(
            spec=CommandSpec(
                image=image.id,
                argv=request.argv,
                inputs=inputs.inputs,
                timeout=limits.timeout,
                cwd=cwd,
                added=added,
                terminal=request.relay is not None,
                network=str(network.policy),
            ),
            network=network,
            id=run,
            folder=scratch / run,
            inputs=inputs.folder,
            env={**inputs.env, **request.env},
            limits=limits.limits,
            bounds=with_room(limits.bounds, scratch, request.stage or scratch),
            added=scratch / "added" if added else None,
            progress=tools.progress,
            told=request.told,
            root=chosen.root,
            isolation=chosen.facts,
            gpus=request.isolation.gpus,
        )
        execution = execute_command(image, tools.store, plan, chosen.sandbox, request.relay)
        if request.stage is None:
            return execution.record, None
        outcome = _outcome(execution, inputs, image)
        staged = stage_out(outcome, Staging(request.stage, request.lifetime))
        return staged.record, staged


def _outcome(execution: Execution, inputs: StagedInputs, image: Image) -> Outcome:
    """Return what is to be staged."""
    return Outcome(
        record=execution.record,
        repository=execution.repository,
        output=execution.output,
        upper=execution.upper,
        printed=execution.printed,
        events=execution.events,
        basket=inputs.folder / "basket.json",
        annotations=image.annotations,
    )


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
    try:
        word.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the argument {printable(word)} is no UTF-8 text, and so cannot be part of the record of a run",
            hint="put it into a script in the repository, or into a file of the basket",
        ) from error
