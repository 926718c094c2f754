"""A lock that is made anew: what it had stays where nothing asks for anything else, and what changed is told."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
from packaging.utils import NormalizedName, canonicalize_name

from reprolake.changes import Differences, change_lines
from reprolake.lock_file import read_lock
from reprolake.options import UsageError
from reprolake.pipeline import Request, Session, obtain_lock
from reprolake_builder.differences import lock_changes
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable
from reprolake_builder.solvers.kept import Kept

ALL = ""
"""Said in place of a name: everything is to be as of now."""
_MOMENTS = {("source", "date"), ("setting", "packages as of")}


def lock_again(
    request: Request, path: Path | None, session: Session
) -> tuple[EnvironmentLock, tuple[str, ...]]:
    """Return a new lock of the request's link, and what became other than in the lock at a host path, a fact a line.

    What that lock has stays where nothing asks for anything else, but for what the request upgrades.
    """
    earlier = None if os.path.isfile(request.link) else earlier_lock(path, request.upgrade)
    anew = ALL in request.upgrade
    as_of = request.as_of or ("now" if anew else _decided(earlier))
    asked = replace(request, as_of=as_of, earlier=None if anew else earlier)
    made = obtain_lock(asked, session, fresh=True).lock
    if earlier is None:
        return made, ()
    made = made if anew else unless_the_same(earlier, made)
    return made, tuple(_changes(earlier, made, path))


def _decided(earlier: EnvironmentLock | None) -> str:
    """Return the cut-off that the user gave for the earlier lock, "" where nothing was given: what was decided stays, too."""
    said = earlier.as_of_is if earlier is not None else ""
    return said.removeprefix("--as-of ") if said.startswith("--as-of ") else ""


def earlier_lock(path: Path | None, upgrade: tuple[str, ...]) -> EnvironmentLock | None:
    """Return the lock at a host path, None when there is none. Raises UsageError for what is none and is to be kept to."""
    if path is None or not os.path.isfile(path) or not path.stat().st_size:
        if names := [name for name in upgrade if name != ALL]:
            raise UsageError(
                f"--upgrade {printable(names[0])}: there is no lock to upgrade it in",
                hint="name the lock with `-o FILE`",
            )
        return None
    try:
        return read_lock(path)
    except LockError as error:
        if ALL in upgrade:
            return None
        raise UsageError(
            f"{error.message}\nso nothing of it can be kept",
            hint="`--upgrade` makes the file anew, or name another file with `-o`",
        ) from error


def upgraded_names(earlier: EnvironmentLock, upgrade: tuple[str, ...]) -> frozenset[NormalizedName]:
    """Return the names of packages that are not kept. Raises UsageError for what is no package of the lock."""
    names = frozenset(canonicalize_name(name) for name in upgrade)
    known = {wheel.name for wheel in earlier.wheels} | {wheel.name for wheel in earlier.built}
    conda = earlier.conda.packages if earlier.conda is not None else ()
    known |= {canonicalize_name(package.name) for package in conda}
    for name in sorted(names - known):
        near = difflib.get_close_matches(name, known, n=3)
        raise UsageError(
            f"--upgrade {printable(name)}: the lock has no package of that name",
            hint=f"near it are {', '.join(near)}"
            if near
            else "`--upgrade` without a name renews all there is",
        )
    if names and (obeyed := earlier.environment.obeyed) is not None:
        pinned = {asked.text.partition("==")[0] for asked in obeyed.pins}
        for name in sorted(names & pinned):
            raise UsageError(
                f"--upgrade {name}: its version is what {obeyed.path} says",
                hint=f"upgrade it there: {obeyed.path} is obeyed as it is",
            )
    if names and earlier.conda is not None and earlier.conda.obeyed:
        for name in sorted(names & {canonicalize_name(package.name) for package in conda}):
            raise UsageError(
                f"--upgrade {name}: its version is what {earlier.conda.obeyed} says",
                hint=f"upgrade it there: {earlier.conda.obeyed} is obeyed as it is",
            )
    return names


def kept_of(request: Request, session: Session) -> Kept | None:
    """Return what stays of the request's earlier lock, None where there is none. Raises UsageError."""
    if request.earlier is None:
        return None
    return Kept(request.earlier, upgraded_names(request.earlier, request.upgrade), session.now)


def unless_the_same(earlier: EnvironmentLock, made: EnvironmentLock) -> EnvironmentLock:
    """Return the earlier lock where the new one differs from it by moments only, else the new one."""
    changes = {(change.kind, change.name) for change in lock_changes(earlier, made)}
    same = (earlier.environment, earlier.overrides) == (made.environment, made.overrides)
    if changes - _MOMENTS or not same:
        return made
    source = earlier.source
    if isinstance(source, type(made.source)) and hasattr(made.source, "path"):
        source = msgspec.structs.replace(source, path=made.source.path)
    return msgspec.structs.replace(earlier, source=source)


def _changes(earlier: EnvironmentLock, made: EnvironmentLock, path: Path | None) -> Iterator[str]:
    changes = tuple(c for c in lock_changes(earlier, made) if (c.kind, c.name) != ("source", "date"))
    found = Differences(images=(None, None), changes=changes)
    if not found.changes:
        yield f"{path} stays as it was; --upgrade renews all of it"
        return
    yield from (f"changed     {line}" for line in change_lines(found))
