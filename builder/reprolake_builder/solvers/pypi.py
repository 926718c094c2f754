"""Python packages: which Python, and which wheels for it, as of a date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import BuiltWheelLock, WheelLock
from reprolake_builder.download import Wanted
from reprolake_builder.errors import BuilderError, LockError, SourceBuildError
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_failure import RELAX, NoChoice, Rejected, explained, reason_of
from reprolake_builder.solvers.pypi_index import Behind, Resolved, find_behind
from reprolake_builder.solvers.pypi_requirements import Demand, hashes_of, origins_of, parse_all
from reprolake_builder.solvers.pypi_supply import BuildNeed, Lack, Supplier, WheelsOnly
from reprolake_builder.solvers.pypi_target import Target, rank_of
from reprolake_builder.solvers.pypi_urls import remember
from reprolake_builder.solvers.pypi_uv import Answer, Found, Question, Uv, Wheel
from reprolake_builder.solvers.pypi_words import Refusal, UnsatisfiableError
from reprolake_builder.solvers.python_choice import Candidate
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER
from reprolake_builder.tools import Tools

KERNEL = canonicalize_name("ipykernel")
_LARGEST_WHEEL = 16 << 30  # bytes
_WHEELS_ONLY = WheelsOnly()
_NEED = BuildNeed("the repository's package", _WHEELS_ONLY)
_MOST_BUILDS = 40  # wheels built for one Python
_BUILD_TOOLS = ("setuptools", "wheel", "packaging")
_KERNEL_PARTS = ("debugpy", "psutil", "pyzmq", "tornado")  # those of a kernel's parts that are compiled
_CATCHING_UP = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked for, parsed, and the cut-off."""

    requirements: tuple[Demand, ...]
    constraints: tuple[Demand, ...]
    as_of: AsOf

    @property
    def demands(self) -> tuple[Demand, ...]:
        """Requirements and constraints."""
        return (*self.requirements, *self.constraints)


@dataclass(frozen=True, slots=True)
class Solution:
    """Python packages for a target: wheels of the index, and `built` ones. `behind` are those much older than they need be."""

    target: Target
    wheels: tuple[WheelLock, ...]
    built: tuple[BuiltWheelLock, ...]
    added: tuple[str, ...]
    behind: tuple[Behind, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The solution that was taken, for which candidate, and the Pythons that were not."""

    solution: Solution
    candidate: Candidate
    rejected: tuple[Rejected, ...]


def asking(requirements: Sequence[Asked], constraints: Sequence[Asked], as_of: AsOf) -> Asking:
    """Return the demands, parsed. Raises LockError for what is no plain requirement."""
    return Asking(parse_all(requirements), parse_all(constraints), as_of)


def solve(asked: Asking, target: Target, tools: Tools, supplier: Supplier = _WHEELS_ONLY) -> Solution:
    """Return the wheels for one target, with what `python -m venv` gave at the date and a kernel.

    What `supplier` has built is on offer beside the wheels of the index. Raises UnsatisfiableError when no set of wheels fits; FetchError or LockError (transient) when the index cannot be reached.
    """
    uv = Uv(tools.site, tools.store)
    question = Question(
        tuple(demand.line for demand in asked.requirements),
        tuple(demand.line for demand in asked.constraints),
        asked.as_of.cutoff,
        built=supplier.offered(target),
        direct=supplier.direct(target),
    )
    whole = replace(question, requirements=(*question.requirements, *_additions(target)))
    whole, younger = _with_younger(whole, asked, target)
    try:
        answer = uv.resolve(whole, target)
    except UnsatisfiableError as error:
        uv.resolve(question, target)  # raises when the repository's own set is to blame
        raise _our_fault(error, target) from error
    own = uv.resolve_again(question, target)
    additions = [name for name in _additions(target) if name not in own.packages]
    names = [d.name for d in asked.requirements if target.holds(d.requirement.marker)]
    names += [canonicalize_name(item.wheel.name) for item in question.direct]
    direct = tuple(dict.fromkeys(names))
    resolved = Resolved(whole, answer, target, asked.demands, asked.as_of.date)
    watched = (*direct, KERNEL) if KERNEL in additions else direct
    taken = _taken(answer, (*question.built, *(item.wheel for item in question.direct)), direct)
    rest = {name: found for name, found in answer.packages.items() if name not in {w.name for w in taken}}
    return Solution(
        target,
        _pin(rest, target, tools, direct, asked.demands),
        taken,
        tuple(f"{name}: {_additions(target)[name]}" for name in additions),
        find_behind(resolved, watched, uv, tools.downloader),
        (*answer.warnings, *(younger if KERNEL in additions else ())),
    )


def _with_younger(whole: Question, asked: Asking, target: Target) -> tuple[Question, tuple[str, ...]]:
    """Return the question for a Python that came after the cut-off, whose kernel has to know it, and a note.

    What the set itself asks for stays as of the cut-off.
    """
    until = _caught_up(target, asked.as_of)
    named = {demand.name for demand in asked.requirements}
    parts = [name for name in _KERNEL_PARTS if canonicalize_name(name) not in named]
    if until is None or KERNEL in named or not parts:
        return whole, ()
    note = f"{' and '.join(parts)} that the added kernel needs may be of {until:%Y-%m-%d}: Python {target.minor} came after {asked.as_of.day}"
    return replace(whole, later=tuple((name, until) for name in parts)), (note,)


def _caught_up(target: Target, as_of: AsOf) -> datetime | None:
    """Return when (UTC) packages had taken up a Python that came after the cut-off; None for one that was there."""
    released = datetime.combine(PYTHONS_ON_OFFER[target.minor].released, datetime.min.time(), UTC)
    return released + _CATCHING_UP if as_of.cutoff is not None and as_of.cutoff < released else None


def choose(
    asked: Asking, candidates: Sequence[Candidate], tools: Tools, supplier: Supplier = _WHEELS_ONLY
) -> Choice | NoChoice:
    """Return the solution for the first candidate whose whole set resolves to wheels that are not much older than they need be.

    When every candidate that resolves has such old releases, the first of these is taken. `candidates` are in order of
    preference. What has no wheel at all `supplier` builds; what has one for another candidate, only when no candidate does
    without. Raises LockError or FetchError (transient) when the index cannot be reached.
    """
    trial = _try_all(asked, candidates, tools, supplier, patient=len(candidates) > 1)
    unbuilt = any(behind.lacking for old, _ in trial.old for behind in old.behind)
    if trial.choice is None and len(candidates) > 1 and (unbuilt or not trial.old):
        trial = _try_all(asked, candidates, tools, supplier, patient=False)
    if trial.choice is not None:
        return trial.choice
    if not trial.old:
        return NoChoice(asked.demands, asked.as_of, trial.rejected, trial.failures)
    taken, candidate = trial.old[0]
    others = tuple(item for item in trial.rejected if item.python != candidate.python.version)
    return Choice(taken, candidate, (*_unreleased(others, candidate, candidates, asked.as_of), *others))


@dataclass(frozen=True, slots=True)
class _Trial:
    """What became of the candidates: a choice, or those that resolve to `old` releases, and why the others were rejected."""

    choice: Choice | None
    old: tuple[tuple[Solution, Candidate], ...]
    rejected: tuple[Rejected, ...]
    failures: tuple[BuilderError, ...]


def _try_all(
    asked: Asking, candidates: Sequence[Candidate], tools: Tools, supplier: Supplier, *, patient: bool
) -> _Trial:
    rejected: list[Rejected] = []
    old: list[tuple[Solution, Candidate]] = []
    failures: list[BuilderError] = []
    choice: Choice | None = None
    for candidate in candidates:
        others = tuple(other.python.version for other in candidates if other is not candidate)
        try:
            solution = _supplied(asked, candidate.target, tools, supplier, others if patient else ())
        except (LockError, SourceBuildError) as error:
            if error.transient:
                raise
            failures.append(error)
            reason = reason_of(error, asked.as_of)
        else:
            certain = [behind for behind in solution.behind if behind.certain]
            if not certain:
                passed = _unreleased(rejected, candidate, candidates, asked.as_of)
                choice = Choice(solution, candidate, (*passed, *rejected))
                break
            old.append((solution, candidate))
            reason = f"{certain[0].sentence}: {certain[0].cause}"
        rejected.append(Rejected(candidate.python.version, reason))
    return _Trial(choice, tuple(old), tuple(rejected), tuple(failures))


def _supplied(
    asked: Asking, target: Target, tools: Tools, supplier: Supplier, elsewhere: tuple[str, ...]
) -> Solution:
    """Return the solution for one target, with wheels built as long as they help.

    Where a package went back to an old release for want of a wheel, that is built unless there are other Pythons to try; when
    its build fails the old release stays, and its cause tells.
    """
    failed: dict[str, str] = {}  # by name, and why, "" where that was not the build's failure
    for _ in range(_MOST_BUILDS):
        try:
            solution = solve(asked, target, tools, supplier)
        except UnsatisfiableError as error:
            refusal = error.refusal
            if not supplier.supply(Lack(refusal.lacking, asked.demands, target, elsewhere, refusal.whole)):
                raise
            continue
        unbuilt = tuple(name for behind in solution.behind for name in behind.lacking if name not in failed)
        if elsewhere or not unbuilt:
            return replace(solution, behind=tuple(_with_failures(b, failed) for b in solution.behind))
        for name in unbuilt:
            failed[name] = ""
            try:
                supplier.supply(Lack((name,), asked.demands, target))
            except (LockError, SourceBuildError) as error:
                if error.transient:
                    raise
                failed[name] = reason_of(error, asked.as_of)
    raise LockError(
        f"the set needs more than {_MOST_BUILDS} packages to be built from source for Python {target.minor}",
        hint=RELAX,
    )


def _with_failures(behind: Behind, failed: Mapping[str, str]) -> Behind:
    reasons = [failed[name] for name in behind.lacking if failed.get(name)]
    return replace(behind, cause=", and ".join([behind.cause, *reasons])) if reasons else behind


@dataclass(frozen=True, slots=True)
class BuildSet:
    """What is installed for a build: wheels of the index and `built` ones. `notes` are facts for people."""

    wheels: tuple[WheelLock, ...]
    built: tuple[BuiltWheelLock, ...] = ()
    notes: tuple[str, ...] = ()


def solve_build(
    requirements: Sequence[Asked], target: Target, as_of: AsOf, tools: Tools, need: BuildNeed = _NEED
) -> BuildSet:
    """Return what builds a package.

    The wheels are of the same date, but a Python that came later needs setuptools, wheel and packaging that know it: these may
    then be up to a year younger than that Python. Raises LockError, and SourceBuildError when what the build needs is built in
    its turn and that fails.
    """
    asked = asking(requirements, (), as_of)
    names = {demand.name for demand in asked.requirements}
    lines = [demand.line for demand in asked.requirements]
    if "setuptools" in names and "wheel" not in names:
        lines.append("wheel")  # setuptools before 70.1 asks for it in get_requires_for_build_wheel
    question = Question(tuple(lines), cutoff=as_of.cutoff)
    notes: tuple[str, ...] = ()
    until = _caught_up(target, as_of)
    if until is not None:
        question = replace(question, later=tuple((name, until) for name in _BUILD_TOOLS))
        later = f"may be of {until:%Y-%m-%d}: Python {target.minor} came after {as_of.day}"
        notes = (f"setuptools, wheel and packaging that build {need.what} {later}",)
    for _ in range(_MOST_BUILDS):
        question = replace(question, built=need.supplier.offered(target))
        try:
            answer = Uv(tools.site, tools.store).resolve(question, target)
        except UnsatisfiableError as error:
            refusal = error.refusal
            if need.supplier.supply(Lack(refusal.lacking, asked.demands, target, words=refusal.whole)):
                continue
            raise LockError(
                f"what builds {need.what} cannot be had: "
                + explained(error, asked.demands, as_of, target.minor).message,
                hint=RELAX,
            ) from error
        taken = _taken(answer, question.built, ())
        rest = {name: found for name, found in answer.packages.items() if name not in {w.name for w in taken}}
        return BuildSet(_pin(rest, target, tools, (), asked.demands), taken, notes)
    raise LockError(f"{need.what} needs more than {_MOST_BUILDS} packages to be built before it", hint=RELAX)


def _taken(
    answer: Answer, built: Sequence[BuiltWheelLock], direct: Sequence[NormalizedName]
) -> tuple[BuiltWheelLock, ...]:
    """Return those of the built wheels that the answer holds, sorted by name."""
    offered = {wheel.sha256: wheel for wheel in built}
    found = [
        msgspec.structs.replace(offered[item.sha256], requested=package.name in direct)
        for package in answer.packages.values()
        for item in package.wheels
        if item.sha256 in offered
    ]
    return tuple(sorted(found, key=lambda wheel: wheel.name))


def _pin(
    packages: Mapping[NormalizedName, Found],
    target: Target,
    tools: Tools,
    direct: Sequence[NormalizedName],
    demands: Sequence[Demand],
) -> tuple[WheelLock, ...]:
    """Return the best wheel of each package, sorted by name, and keep their addresses for the build that may follow.

    Where demands name hashes, only wheels that have one of them count.
    """
    ranks = target.ranks()
    chosen: list[tuple[Found, Wheel]] = []
    for found in packages.values():
        fitting = [wheel for wheel in found.wheels if rank_of(wheel.filename, ranks) is not None]
        if not fitting:
            reason = f"{found.name} {found.version} has no wheel for Python {target.minor}"
            raise UnsatisfiableError(Refusal(reason, "", reason))
        named = hashes_of(found.name, demands, target)
        if named is not None and not (fitting := [wheel for wheel in fitting if wheel.sha256 in named]):
            where = origins_of(found.name, demands, target)
            reason = f"no wheel of {found.name} {found.version} for Python {target.minor} has a hash that {where} names"
            raise UnsatisfiableError(Refusal(reason, "", reason))
        best = max(fitting, key=lambda wheel: (rank_of(wheel.filename, ranks), wheel.filename))
        chosen.append((found, best))
    remember((wheel for _, wheel in chosen), tools.site, tools.store)
    pins = [
        WheelLock(
            name=found.name,
            version=found.version,
            filename=wheel.filename,
            size=_size(wheel, tools) if wheel.size is None else wheel.size,
            sha256=wheel.sha256,
            requested=found.name in direct,
        )
        for found, wheel in chosen
    ]
    return tuple(sorted(pins, key=lambda item: item.name))


def _size(wheel: Wheel, tools: Tools) -> int:
    """Return the size in bytes of a wheel whose index does not tell it: it is fetched, which the build needs anyway."""
    wanted = Wanted(wheel.filename, (wheel.url,), wheel.sha256, _LARGEST_WHEEL)
    tools.downloader.fetch_all([wanted], tools.store, tools.progress, f"Fetching {wheel.filename}")
    return tools.store.archive(wheel.sha256).stat().st_size


def _additions(target: Target) -> dict[NormalizedName, str]:
    """Return what is added when the set does not have it, and why."""
    venv = f"as `python{target.minor} -m venv` gave it"
    names = ("pip", "setuptools", "wheel") if target.pair < (3, 12) else ("pip",)
    return {KERNEL: "no kernel was declared"} | {canonicalize_name(name): venv for name in names}


def _our_fault(error: UnsatisfiableError, target: Target) -> UnsatisfiableError:
    names = ", ".join(_additions(target))
    ours = f"the repository's own requirements fit, but not with what Reprolake adds ({names})"
    return UnsatisfiableError(replace(error.refusal, reason=f"{ours}: {error.refusal.reason}"))


def _unreleased(
    rejected: Sequence[Rejected], taken: Candidate, candidates: Sequence[Candidate], as_of: AsOf
) -> tuple[Rejected, ...]:
    """Return the Pythons that were not tried because they did not exist yet, newest first."""
    tried = {item.python for item in rejected} | {taken.python.version}
    unreleased = [
        Rejected(
            candidate.python.version, f"it was released on {candidate.python.released}, after {as_of.day}"
        )
        for candidate in candidates
        if candidate.python.version not in tried and candidate.python.released > as_of.date.date()
    ]
    return tuple(reversed(unreleased))
