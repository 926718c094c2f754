"""From an image's lock and a notebook to a staged result: what `plan` shows and `run` does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from reprolake.basket_file import basket_in
from reprolake.describe import obeyed_in_words
from reprolake.modules import provided_modules
from reprolake.pipeline import Look, Obtained, Session, obtain_image
from reprolake.reach import network_of
from reprolake.running import Asked, Granted, Ready, granted, kept, plan_of, ready, scratch
from reprolake_builder.documents.base import Document
from reprolake_builder.documents.environment import UnheardFile
from reprolake_builder.documents.source import PinnedSource
from reprolake_builder.image import Image
from reprolake_builder.process import printable
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.source_tree import SourceTree
from reprolake_runner.added import add_files
from reprolake_runner.bind import Binding, BindOptions, bind, refuse_unfilled
from reprolake_runner.documents.run import CheckSpec, Parameter, RunSpec
from reprolake_runner.errors import NotebookError, StageOutError
from reprolake_runner.execute import execute
from reprolake_runner.imports import repository_modules, undeclared_imports
from reprolake_runner.notebook import Notebook, check_cwd, read_notebook
from reprolake_runner.prepare import prepared_notebook
from reprolake_runner.stage_in import StagedInputs, stage_in, stage_parameters
from reprolake_runner.stage_out import check_folder
from reprolake_runner.staged import StagedResult, new_run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest(Asked):
    """What the user asked for beside the link. `stage` is a host path.

    `injects` says whether the paths of the notebook and of the executed one are parameters. `kernel` and `language` are the
    RunSpec's, as `kernel_transport` and `check` are.
    """

    notebook: str
    values: BindOptions
    stage: Path
    strict_shell: bool = False
    injects: tuple[bool, bool] = (False, False)
    kernel: str = ""
    language: str = ""
    start_timeout: float = 60
    kernel_transport: Literal["auto", "ipc", "tcp"] = "auto"
    report_mode: bool = False
    check: CheckSpec | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A notebook, what it will be given, and its working folder relative to the repository's root ("": its own)."""

    notebook: Notebook
    binding: Binding
    undeclared: tuple[str, ...]
    cwd: str


class PlannedInput(Document, frozen=True, kw_only=True):
    """A file of the basket: where it comes from, where the notebook will see it, and which parameters take it."""

    name: str
    url: str
    path: str
    size: int | None
    parameters: tuple[str, ...]


class Plan(Document, frozen=True, kw_only=True):
    """All that a run would do; `obeyed` is the lock file of another tool that decides, "" without one. Sizes in bytes."""

    source: PinnedSource
    python: str
    as_of: str
    wheels: int
    debian_packages: int
    to_fetch: int
    lock: str
    obeyed: str
    unheard: tuple[UnheardFile, ...]
    notebook: str
    kernel: str
    parameters: tuple[Parameter, ...]
    defaults: dict[str, str]
    inputs: tuple[PlannedInput, ...]
    network: str
    unused: tuple[str, ...]
    unfilled: tuple[str, ...]
    undeclared: tuple[str, ...]
    notices: tuple[str, ...]


class PreparedNotebook(Document, frozen=True, kw_only=True):
    """What `reprolake run --prepare-only --json` prints; `notebook` is a host path."""

    notebook: str
    parameters: tuple[Parameter, ...]


class RunResult(Document, frozen=True, kw_only=True):
    """What `reprolake run --json` prints; `result` is the staged result's host path."""

    run: str
    status: str
    exit_code: int
    message: str
    result: str
    image: str


def prepare(request: RunRequest, obtained: Obtained, session: Session) -> Prepared:
    """Return the notebook with its parameters bound. Raises NotebookError and BasketError."""
    notebook, binding, cwd = _bound(request, obtained.tree, obtained.lock.source.subdir)
    provided = provided_modules(obtained.lock, session.tools.store)
    provided |= repository_modules(obtained.tree.folder, notebook.path)
    provided |= {file.stem for file in request.add}
    missing = tuple(item.module for item in undeclared_imports(notebook, provided))
    return Prepared(notebook, binding, missing, cwd)


def look(request: RunRequest, source: PinnedSource) -> Look:
    """Return what raises for a notebook that cannot be run on what was given, from the repository alone."""
    return lambda tree: _bound(request, tree, source.subdir)


def _bound(request: RunRequest, tree: SourceTree, subdir: str) -> tuple[Notebook, Binding, str]:
    """Return the notebook, its parameters bound, and its working folder, as in Prepared.

    The request's paths are relative to `subdir`, the folder that environment and notebooks are in.
    """
    path = _within(subdir, request.notebook)
    notebook = read_notebook(tree.folder, path, request.kernel, request.language)
    cwd = _within(subdir, request.cwd) if request.cwd else ""
    check_cwd(tree.folder, cwd)
    basket = basket_in(request.basket) if request.basket is not None else None
    inject_input, inject_output = request.injects
    values = replace(
        request.values,
        input_path=path if inject_input else "",
        output_path=path.rpartition("/")[2] if inject_output else "",
    )
    return notebook, bind(notebook, basket, values), cwd


def plan_run(request: RunRequest, obtained: Obtained, session: Session) -> Plan:
    """Return what a run would do; nothing is built, copied or executed."""
    prepared = prepare(request, obtained, session)
    lock, binding, store = obtained.lock, prepared.binding, session.tools.store
    takers = {item.id: feed.parameter for feed in binding.feeds for item in feed.items}
    archives = [(deb.sha256, deb.size) for deb in (*lock.debian.base, *lock.debian.extra)]
    archives += [(wheel.sha256, wheel.size) for wheel in lock.wheels]
    given = binding.parameters.values
    return Plan(
        source=lock.source,
        python=lock.interpreter.version,
        as_of=lock.as_of.isoformat().replace("+00:00", "Z"),
        wheels=len(lock.wheels) + len(lock.built),
        debian_packages=len(lock.debian.base) + len(lock.debian.extra),
        to_fetch=sum(size for sha256, size in archives if not store.has_archive(sha256)),
        lock=obtained.origin,
        obeyed=obeyed_in_words(lock.environment),
        unheard=lock.environment.unheard,
        notebook=prepared.notebook.path,
        kernel=prepared.notebook.kernel or f"for {prepared.notebook.language}",
        parameters=binding.parameters.parameters,
        defaults={item.name: item.shown for item in prepared.notebook.parameters if item.name not in given},
        inputs=tuple(
            PlannedInput(
                name=item.name,
                url=item.url,
                path=item.path,
                size=item.size,
                parameters=tuple([takers[item.id]] if item.id in takers else []),
            )
            for item in binding.basket.items
        ),
        network=str(network_of(request.isolation.network, session.options, SILENT).policy),
        unused=tuple(item.name for item in binding.unused),
        unfilled=binding.unfilled,
        undeclared=prepared.undeclared,
        notices=binding.notices,
    )


def prepare_only(request: RunRequest, obtained: Obtained, session: Session) -> PreparedNotebook:
    """Return where the notebook lies as a run would execute it, in a new folder; nothing is built, copied or executed."""
    prepared = prepare(request, obtained, session)
    refuse_unfilled(prepared.binding)
    for notice in prepared.binding.notices:
        session.tools.progress.note(notice)
    given = prepared.binding.parameters
    data = prepared_notebook(obtained.tree.folder, prepared.notebook, given, report_mode=request.report_mode)
    check_folder(request.stage)
    place = request.stage / f"prepared-{new_run_id()}" / prepared.notebook.path.rpartition("/")[2]
    try:
        place.parent.mkdir(mode=0o700)
        place.write_bytes(data)
    except OSError as error:
        raise StageOutError(f"{place} cannot be written: {error.strerror}") from error
    return PreparedNotebook(notebook=str(place), parameters=given.parameters)


def run_notebook(request: RunRequest, obtained: Obtained, session: Session) -> StagedResult:
    """Return the staged result of a run, whether the notebook succeeded or not; the record says which."""
    prepared = prepare(request, obtained, session)
    refuse_unfilled(prepared.binding)
    if request.check is not None:
        _refuse_without_outputs(prepared.notebook)
    check_folder(request.stage)
    site = granted(request, session)
    _tell(prepared, session.tools.progress)
    image = obtain_image(obtained, session)
    site = site.on(image, request, session)
    with scratch(session) as folder:
        inputs = _stage_in(prepared, folder / "inputs", session)
        cwd = prepared.cwd or prepared.notebook.path.rpartition("/")[0]
        added = add_files(request.add, obtained.tree.folder, cwd, folder / "added")
        made = ready(folder, request.stage, inputs, added, session)
        plan = plan_of(_spec(request, prepared, image, site, made), request, site, made, session)
        execution = execute(image, session.tools.store, plan, site.chosen.sandbox)
        return kept(execution, made, image, request.lifetime)


def _refuse_without_outputs(notebook: Notebook) -> None:
    if not notebook.has_outputs:
        raise NotebookError(
            f"{printable(notebook.path)} was saved without outputs: there is nothing to compare with",
            hint="run it in Jupyter, save it with its outputs, and commit that; or leave --check-outputs away",
        )


def _tell(prepared: Prepared, progress: Progress) -> None:
    """Tell what is not as one would expect."""
    for notice in prepared.binding.notices:
        progress.note(notice)
    if prepared.undeclared:
        progress.warn(
            f"the notebook imports {', '.join(prepared.undeclared)}, which nothing declares: add the packages that have "
            "them to requirements.txt, or let --infer add them"
        )


def _stage_in(prepared: Prepared, folder: Path, session: Session) -> StagedInputs:
    binding = prepared.binding
    staged = stage_in(binding.basket, binding.needed, folder, session.tools.progress)
    return stage_parameters(staged, binding.parameters)


def _within(subdir: str, path: str) -> str:
    return f"{subdir}/{path}" if subdir else path


def _spec(request: RunRequest, prepared: Prepared, image: Image, site: Granted, made: Ready) -> RunSpec:
    return RunSpec(
        image=image.id,
        notebook=prepared.notebook.path,
        notebook_sha256=prepared.notebook.sha256,
        parameters=prepared.binding.parameters,
        inputs=made.inputs.inputs,
        timeout=site.limits.timeout,
        execution_timeout=site.limits.execution_timeout,
        start_timeout=request.start_timeout,
        kernel_transport=request.kernel_transport,
        kernel=request.kernel,
        language=request.language,
        cwd=prepared.cwd,
        strict_shell=request.strict_shell,
        report_mode=request.report_mode,
        check=request.check,
        added=made.added,
        network=str(site.network.policy),
    )
