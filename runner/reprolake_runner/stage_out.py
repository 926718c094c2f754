"""Outcome of a run → StagedResult: whole or absent, described for machines and for people.

    <notebook>.ipynb            the executed notebook; none of a command
    source/<notebook>.ipynb     the notebook as it is in the repository; none of a command
    outputs/                    what was written to REPROLAKE_OUTPUT
    outputs/repository/         what was created or changed in the repository
    figures/                    images that cells showed
    log.txt                     what the kernel's process printed; of a command stdout.txt and stderr.txt, or terminal.txt
    events.jsonl run.json basket.json
    index.html ro-crate-metadata.json manifest.json

It is built beside its place and renamed, the manifest last. Only its owner can enter it; `chmod` shares it.
What lies beyond the limits is not kept, and then a run that went well ends as `limit-exceeded`: a result that lacks
outputs never looks complete.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec

from reprolake_builder.documents.base import file_sha256, pretty
from reprolake_builder.sandboxes.interface import CopyOnWrite
from reprolake_runner.collect import Collector, Limits, copy_plain, open_left
from reprolake_runner.contents import Contents, Kept, Role
from reprolake_runner.crate import crate
from reprolake_runner.documents.run import Manifest, RunRecord, RunSpec, StagedFile
from reprolake_runner.errors import StageOutError
from reprolake_runner.figures import Shown, extract
from reprolake_runner.notebook import notebook_bytes
from reprolake_runner.origin import origin_of
from reprolake_runner.placement import Names
from reprolake_runner.report import report
from reprolake_runner.staged import CRATE, MANIFEST, PAGE, RECORD, StagedResult, is_run_id

LIMIT_EXIT_CODE = 26
_OURS = (MANIFEST, RECORD, CRATE, PAGE, "events.jsonl", "basket.json", "source", "outputs", "figures")
_PARTIAL = ".tmp-"
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left on this host (host paths; None where there is nothing).

    `repository` is the image's own copy, which nobody writes to; `upper` the overlay folder with what the run changed in it;
    `output` the folder that the notebook knew as REPROLAKE_OUTPUT; `basket` the normalised basket, `printed` what processes
    printed, by its name in the result. Whatever the notebook or its driver could write to is taken for hostile. `annotations` are the image's.
    """

    record: RunRecord
    repository: Path
    notebook: Path | None = None
    output: Path | None = None
    upper: Path | None = None
    printed: Mapping[str, Path] = field(default_factory=dict)
    events: Path | None = None
    basket: Path | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Staging:
    """Where results go (`folder`, a host path, made when missing), for how long (None: for ever), and how much of them."""

    folder: Path
    lifetime: timedelta | None = timedelta(days=30)
    limits: Limits = field(default_factory=Limits)


def stage_out(outcome: Outcome, staging: Staging) -> StagedResult:
    """Return the staged result, which lies at `staging.folder`/<run id>; its record also tells what could not be kept.

    Raises StageOutError, and then nothing is left behind.
    """
    run = outcome.record.id
    if not is_run_id(run):
        raise StageOutError(f"{run!r} is no id of a run")
    try:
        staging.folder.mkdir(parents=True, exist_ok=True)
        folder = staging.folder.resolve()
        with _partial(folder, run) as partial:
            contents = _fill(partial, outcome, staging)
            manifest = _describe(partial, contents)
            final = folder / run
            partial.rename(final)
        _sync(folder)
    except OSError as error:
        raise _explained(error, staging.folder) from error
    return StagedResult(final, contents.record, manifest)


def check_folder(folder: Path) -> None:
    """Raise StageOutError when results cannot be staged in a host folder, which is made when missing: before a run, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileExistsError as error:
        raise StageOutError(
            f"{folder} is a file; results are staged in a folder", hint="name another with --stage FOLDER"
        ) from error
    except OSError as error:
        raise _explained(error, folder) from error


def _fill(partial: Path, outcome: Outcome, staging: Staging) -> Contents:
    """Copy everything that is kept and return what it is."""
    record = msgspec.structs.replace(outcome.record, source=origin_of(outcome.annotations))
    names = Names()
    for fixed in (*_OURS, *outcome.printed):
        names.unique(fixed)
    spec = record.spec
    files = [_source(partial, outcome, spec)] if isinstance(spec, RunSpec) else []
    lost: list[str] = []
    executed = names.unique(spec.notebook.rpartition("/")[2]) if isinstance(spec, RunSpec) else ""
    single: tuple[tuple[Path | None, str, Role], ...] = (
        (outcome.notebook, executed, "executed"),
        *((path, name, "log") for name, path in outcome.printed.items()),
        (outcome.events, "events.jsonl", "events"),
        (outcome.basket, "basket.json", "basket"),
    )
    for path, name, role in single:
        if path is not None and (kept := _single(path, partial, name, role, staging.limits)) is not None:
            files.append(kept)
        elif path is not None:
            lost.append(f"{name} is missing: the run left none, or one that cannot be kept")
    collector = _outputs(partial, outcome, staging.limits)
    roles: dict[str, Role] = {"output": "output", "created": "created", "changed": "changed"}
    brought = {(f"outputs/repository/{one.path}", one.sha256) for one in record.spec.added}
    files += [
        Kept(
            one.path,
            one.size,
            one.sha256,
            "added" if (one.path, one.sha256) in brought else roles[one.state],
            one.original,
        )
        for one in collector.files
    ]
    shown = extract(partial / executed, partial) if any(one.role == "executed" for one in files) else Shown()
    files += [_kept(partial, figure.path, "figure") for figure in shown.figures]
    record = _settled(record, (*lost, *collector.warnings), exceeded=collector.exceeded)
    (partial / RECORD).write_bytes(pretty(record))
    files.append(_kept(partial, RECORD, "record"))
    expires = record.ended + staging.lifetime if staging.lifetime is not None else None
    return Contents(record, tuple(files), shown, outcome.annotations, expires)


def _source(partial: Path, outcome: Outcome, spec: RunSpec) -> Kept:
    """Keep the notebook as the repository has it; it is what the record names by its hash."""
    data = notebook_bytes(outcome.repository, spec.notebook)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != spec.notebook_sha256:
        raise StageOutError(f"{spec.notebook} changed in the store while it ran")
    path = f"source/{Names().unique(spec.notebook.rpartition('/')[2])}"
    (partial / "source").mkdir()
    (partial / path).write_bytes(data)
    return Kept(path, len(data), sha256, "source")


def _single(path: Path, partial: Path, name: str, role: Role, limits: Limits) -> Kept | None:
    """Keep one file of ours that the driver could have replaced by anything."""
    try:
        readable = open_left(path)
    except OSError:
        return None
    size = os.fstat(readable).st_size
    if size > limits.total_bytes:
        os.close(readable)
        return None
    return Kept(name, size, copy_plain(readable, size, partial / name), role)


def _outputs(partial: Path, outcome: Outcome, limits: Limits) -> Collector:
    collector = Collector(partial, limits)
    if outcome.upper is not None:
        is_whole = CopyOnWrite.is_whole(outcome.upper)
        collector.collect_changes(outcome.upper, outcome.repository, "outputs/repository", is_whole=is_whole)
    if outcome.output is not None:
        collector.collect(outcome.output, "outputs")
    return collector


def _settled(record: RunRecord, warnings: tuple[str, ...], *, exceeded: bool) -> RunRecord:
    """Return the record with what staging found; a success that could not be kept whole is none."""
    record = msgspec.structs.replace(record, warnings=(*record.warnings, *warnings))
    if not exceeded or record.status != "succeeded":
        return record
    return msgspec.structs.replace(
        record,
        status="limit-exceeded",
        exit_code=LIMIT_EXIT_CODE,
        message="everything ran, but the outputs exceed what may be kept; some of them are missing here",
    )


def _kept(partial: Path, path: str, role: Role) -> Kept:
    return Kept(path, (partial / path).stat().st_size, file_sha256(partial / path), role)


def _describe(partial: Path, contents: Contents) -> Manifest:
    """Write crate and page, bring all to the disk, then write the manifest, without which there is no result."""
    (partial / CRATE).write_bytes(crate(contents))
    (partial / PAGE).write_bytes(report(contents, _pictures(partial, contents)))
    described = [StagedFile(path=one.path, size=one.size, sha256=one.sha256) for one in contents.files]
    others = (_kept(partial, name, "record") for name in (CRATE, PAGE))
    described += [StagedFile(path=one.path, size=one.size, sha256=one.sha256) for one in others]
    record = contents.record
    manifest = Manifest(
        run=record.id,
        key=record.key,
        status=record.status,
        created=record.ended,
        expires=contents.expires,
        files=tuple(sorted(described, key=lambda one: one.path)),
    )
    for folder, _, names in os.walk(partial, topdown=False):
        for name in names:
            _sync(Path(folder, name))
        _sync(Path(folder))
    (partial / MANIFEST).write_bytes(pretty(manifest))
    _sync(partial / MANIFEST)
    _sync(partial)
    return manifest


def _pictures(partial: Path, contents: Contents) -> frozenset[str]:
    """Return the outputs that are PNG or JPEG by their first bytes, whatever their name says."""
    found = set()
    for kept in contents.of("output", "created", "changed"):
        if kept.media_type in {"image/png", "image/jpeg"}:
            with (partial / kept.path).open("rb") as stream:
                if stream.read(8).startswith(_MAGIC):
                    found.add(kept.path)
    return frozenset(found)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _partial(folder: Path, run: str) -> Iterator[Path]:
    """Yield a folder for unfinished work that is gone afterwards unless it was renamed; sweep those of the dead."""
    partial = folder / f"{_PARTIAL}{run}"
    with _locked(folder, wait=True) as alone:  # so that nobody sweeps a folder before its owner holds it
        if alone:
            for name in os.listdir(folder):
                if name.startswith(_PARTIAL) and is_run_id(name.removeprefix(_PARTIAL)):
                    _sweep(folder / name)
        partial.mkdir(mode=0o700)
        in_use = contextlib.ExitStack()
        in_use.enter_context(_locked(partial))
    with in_use:
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _sweep(partial: Path) -> None:
    """Remove what a process that is gone left unfinished."""
    with _locked(partial) as abandoned:
        if abandoned:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a folder's lock, which ends with the process; yield whether it could be had (some file systems have none)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _explained(error: OSError, folder: Path) -> StageOutError:
    if error.errno == errno.ENOSPC:
        return StageOutError(
            f"the disk of {folder} is full", hint="free some space, or choose another --stage folder"
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return StageOutError(
            f"{folder} cannot be written: {error.strerror}",
            hint="choose a folder of your own with --stage FOLDER",
        )
    return StageOutError(
        f"the result cannot be staged in {folder}: {error.strerror or error}",
        hint="name another folder with --stage FOLDER",
    )
