"""The conda packages that an environment stands on, with the only Python that it has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import msgspec

from reprolake_builder.documents.conda import CONDA_PREFIX, CondaLock, CondaPackage
from reprolake_builder.documents.environment import Asked, CondaAsked, EnvironmentSpec
from reprolake_builder.documents.lock import CondaInterpreter
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.process import printable
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.conda import CondaAsking, UnsolvableError, find, name_of, solve_conda
from reprolake_builder.solvers.conda_pinned import take_pinned
from reprolake_builder.solvers.conda_python import stands, with_distributions
from reprolake_builder.solvers.kept import Kept
from reprolake_builder.solvers.pypi_asking import Beside
from reprolake_builder.solvers.pypi_requirements import parse_all
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.python_choice import Candidate
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER, RELEASED, WITHOUT_PYTHON, PythonOnOffer
from reprolake_builder.tools import Tools

KERNEL = "ipykernel"
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?")
_LONG_AGO = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class CondaBase:
    """Conda packages, the Python among them, and that as the one candidate there is. `added` are demands of ours, and why."""

    lock: CondaLock
    interpreter: CondaInterpreter
    candidate: Candidate
    beside: Beside
    added: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted: what the files ask for, as of the date, with the Python of `--python` if not "".

    What an earlier lock has (`kept`) stays where nothing speaks against it. `told_by` is the source's address, "" for a folder.
    """

    spec: EnvironmentSpec
    as_of: AsOf
    python: str = ""
    kept: Kept | None = None
    told_by: str = ""


def does_without(spec: EnvironmentSpec, python: str) -> bool:
    """Whether nothing is asked of conda but a Python in place of which the user chose one that Debian has."""
    if spec.conda is None:
        return True
    return _asks_python_only(spec.conda) and ".".join(python.split(".")[:2]) in PYTHONS_ON_OFFER


def _asks_python_only(asked: CondaAsked) -> bool:
    return not asked.pins and {name_of(item.text) for item in asked.specs} <= {"python", "pip"}


def solve_base(wish: Wish, tools: Tools) -> CondaBase:
    """Return the conda packages that fulfil a wish, with a Python and a kernel.

    Raises UnsolvableError when none fit, DetectError for a demand that means nothing, FetchError when a channel cannot be read.
    """
    try:
        return _solved(wish, tools)
    except FetchError as error:
        if wish.spec.conda is None or not _asks_python_only(wish.spec.conda):
            raise
        raise FetchError(
            f"{error.message}\nIt was asked for its Python; Debian has {', '.join(PYTHONS_ON_OFFER)}",
            hint=f"{error.hint}; or take one of Debian's with `--python X.Y`",
            transient=error.transient,
        ) from error


def _solved(wish: Wish, tools: Tools) -> CondaBase:
    spec, python, kept = wish.spec, wish.python, wish.kept
    if spec.conda is None:
        raise AssertionError("conda was asked for")
    if spec.conda.pins:
        if python:
            raise LockError(
                f"--python {printable(python)[:50]} cannot change what {spec.conda.obeyed} pins",
                hint=f"leave it out, or have the lock ignored: --ignore {spec.conda.obeyed}",
            )
        pinned = _with_interpreter(take_pinned(spec.conda, wish.told_by, tools), (), ())
        return _with_stands(pinned, tools) if _needs_index(spec, pinned) else pinned
    specs, notes = _with_python(spec.conda.specs, python)
    constraints = tuple(
        Asked(text=f"python {item.text}", origin=item.origin) for item in spec.python if item.text
    )
    named = {name_of(item.text) for item in specs}
    needed = () if "python" in named else (Asked(text="python", origin="every environment"),)
    kernel = (
        ()
        if KERNEL in named or _asks_pip_for(KERNEL, spec)
        else (Asked(text=KERNEL, origin="every environment"),)
    )
    asked = CondaAsking(
        spec.conda.channels,
        specs,
        () if python else constraints,
        (*needed, *kernel),
        wish.as_of,
        WITHOUT_PYTHON.glibc,
        kept=kept.conda if kept is not None else (),
        upgraded=kept.upgraded_conda if kept is not None else (),
        told_by=wish.told_by,
    )
    lock, more = _with_or_without(asked, kernel, tools)
    added = [f"{item.text}: no Python was declared" for item in needed]
    if kernel and find(lock.packages, KERNEL) is not None:
        added.append(f"{KERNEL}: no kernel was declared")
    base = _with_interpreter(lock, tuple(added), (*notes, *more))
    return _with_stands(base, tools) if _needs_index(spec, base) else base


def _needs_index(spec: EnvironmentSpec, base: CondaBase) -> bool:
    asked = bool(spec.requirements or spec.sources) or spec.project is not None
    return asked or not base.beside.has_kernel


def _with_stands(base: CondaBase, tools: Tools) -> CondaBase:
    """Return the base with what a resolver of further Python packages has to know of it; for that packages are fetched."""
    lock = with_distributions(base.lock, tools)
    return replace(base, lock=lock, beside=replace(base.beside, stands=stands(lock, tools.store)))


def _with_interpreter(lock: CondaLock, added: tuple[str, ...], notes: tuple[str, ...]) -> CondaBase:
    """Return the base that a lock's packages make. Raises LockError where they hold no Python that serves."""
    package = find(lock.packages, "python")
    if package is None:
        raise LockError(
            "the conda packages hold no Python, and every environment has one",
            hint="ask for python among the conda packages",
        )
    minor = ".".join(package.version.split(".")[:2])
    try:
        interpreter = msgspec.convert(
            {
                "kind": "conda",
                "version": package.version,
                "executable": f"{CONDA_PREFIX}/bin/python{minor}",
                "sha256": package.sha256,
            },
            CondaInterpreter,
        )
    except msgspec.ValidationError as error:
        raise LockError(
            f"{package.filename} is no Python that is known here",
            hint="known are Python 2.7 and 3.x in released versions",
        ) from error
    beside = Beside((), find(lock.packages, KERNEL) is not None)
    return CondaBase(lock, interpreter, _candidate(package, minor, lock), beside, added, notes)


def _candidate(package: CondaPackage, minor: str, lock: CondaLock) -> Candidate:
    glibc = next(
        (one.version for one in lock.virtual_packages if one.name == "__glibc"), WITHOUT_PYTHON.glibc
    )
    python = PythonOnOffer(minor, "conda", RELEASED.get(minor, _LONG_AGO), glibc)
    return Candidate(python, Target(package.version, int(glibc.split(".")[1])))


def _with_python(specs: Sequence[Asked], python: str) -> tuple[tuple[Asked, ...], tuple[str, ...]]:
    """Return the specifications with the Python of the user in place of those of the file, and notes."""
    if not python:
        return tuple(specs), ()
    if not _VERSION.fullmatch(python):
        raise LockError(
            f"--python {printable(python)[:50]} is no version",
            hint="write it like `--python 3.11` or `--python 3.11.4`",
        )
    rest = tuple(item for item in specs if name_of(item.text) != "python")
    notes = tuple(
        f"{item.origin} asks for {item.text}; `--python {python}` took its place"
        for item in specs
        if item not in rest
    )
    return (*rest, Asked(text=f"python {python}.*", origin="--python")), notes


def _asks_pip_for(name: str, spec: EnvironmentSpec) -> bool:
    return any(demand.name == name for demand in parse_all(spec.requirements))


def _with_or_without(
    asked: CondaAsking, kernel: tuple[Asked, ...], tools: Tools
) -> tuple[CondaLock, tuple[str, ...]]:
    """Return the solution with a kernel; without one where the channels have none that fits: then one comes from the index."""
    if not kernel:
        return solve_conda(asked, tools)
    try:
        return solve_conda(asked, tools)
    except UnsolvableError:
        rest = tuple(item for item in asked.added if item not in kernel)
        return solve_conda(replace(asked, added=rest), tools)
