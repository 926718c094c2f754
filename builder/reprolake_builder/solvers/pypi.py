"""Python packages: which Python, and which wheels for it, as of a date."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import BuiltWheelLock, RejectedPython, WheelLock
from reprolake_builder.download import Wanted
from reprolake_builder.errors import BuilderError, LockError, SourceBuildError
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_index import Behind, Resolved, find_behind
from reprolake_builder.solvers.pypi_requirements import Demand, parse_all, places
from reprolake_builder.solvers.pypi_supply import Lack, Supplier, WheelsOnly
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
_RELAX = (
    "relax the requirement, choose a later date with `--as-of DATE`, or another Python with `--python X.Y`"
)
_MOST_BUILDS = 40  # wheels built for one Python
OWN_PACKAGE = "the repository's package"
_BUILD_TOOLS = ("setuptools", "wheel", "packaging")
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
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The solution that was taken, for which candidate, and the Pythons that were not."""

    solution: Solution
    candidate: Candidate
    rejected: tuple[RejectedPython, ...]


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
        _pin(rest, target, tools, direct),
        taken,
        tuple(f"{name}: {_additions(target)[name]}" for name in additions),
        find_behind(resolved, watched, uv, tools.downloader),
        answer.warnings,
    )


def choose(
    asked: Asking, candidates: Sequence[Candidate], tools: Tools, supplier: Supplier | None = None
) -> Choice:
    """Return the solution for the first candidate whose whole set resolves to wheels that are not much older than they need be.

    When every candidate that resolves has such old releases, the first of these is taken. `candidates` are in order of
    preference. What has no wheel at all `supplier` builds; what has one for another candidate, only when no candidate does
    without. Raises LockError that says for each why it does not do, SourceBuildError when a build failed.
    """
    trial = _try_all(asked, candidates, tools, supplier or _WHEELS_ONLY, patient=True)
    if trial.choice is None and supplier is not None and len(candidates) > 1:
        trial = _try_all(asked, candidates, tools, supplier, patient=False)
    if trial.choice is None:
        raise _nothing_fits(asked, trial.rejected, trial.failures)
    return trial.choice


@dataclass(frozen=True, slots=True)
class _Trial:
    """What became of the candidates: a choice, or the reasons why there is none."""

    choice: Choice | None
    rejected: list[RejectedPython]
    failures: list[BuilderError]


def _try_all(
    asked: Asking, candidates: Sequence[Candidate], tools: Tools, supplier: Supplier, *, patient: bool
) -> _Trial:
    rejected: list[RejectedPython] = []
    old: list[tuple[Solution, Candidate]] = []
    failures: list[BuilderError] = []
    for candidate in candidates:
        minor = candidate.python.version
        others = tuple(other.python.version for other in candidates if other is not candidate)
        try:
            solution = _supplied(asked, candidate.target, tools, supplier, others if patient else ())
        except UnsatisfiableError as error:
            failures.append(error)
            reason = f"{error.refusal.reason} as of {asked.as_of.day}"
        except SourceBuildError as error:
            failures.append(error)
            reason = error.message.partition("\n")[0].rstrip(":")
        else:
            certain = [behind for behind in solution.behind if behind.certain]
            if not certain:
                final = _with_unreleased(rejected, minor, candidates, asked.as_of)
                return _Trial(Choice(solution, candidate, final), rejected, failures)
            old.append((solution, candidate))
            reason = f"{certain[0].sentence}: {certain[0].cause}"
        rejected.append(RejectedPython(version=minor, reason=reason))
    if not old:
        return _Trial(None, rejected, failures)
    taken, candidate = old[0]
    minor = candidate.python.version
    final = _with_unreleased([p for p in rejected if p.version != minor], minor, candidates, asked.as_of)
    return _Trial(Choice(taken, candidate, final), rejected, failures)


def _supplied(
    asked: Asking, target: Target, tools: Tools, supplier: Supplier, elsewhere: tuple[str, ...]
) -> Solution:
    """Return the solution for one target, with wheels built as long as they help."""
    for _ in range(_MOST_BUILDS):
        try:
            return solve(asked, target, tools, supplier)
        except UnsatisfiableError as error:
            if not supplier.supply(Lack(error.refusal.whole, asked.demands, target, elsewhere)):
                raise
    raise LockError(
        f"the set needs more than {_MOST_BUILDS} packages to be built from source for Python {target.minor}",
        hint=_RELAX,
    )


def _explained(error: UnsatisfiableError, asked: Asking, minor: str) -> BuilderError:
    """Return the error for one Python: what does not fit as of which date, and where each demand stands."""
    return _nothing_fits(asked, [RejectedPython(version=minor, reason=error.refusal.reason)], [error])


def solve_build(
    requirements: Sequence[Asked], target: Target, as_of: AsOf, tools: Tools, what: str = OWN_PACKAGE
) -> tuple[tuple[WheelLock, ...], tuple[str, ...]]:
    """Return the wheels that build `what`, and notes.

    They are of the same date, but a Python that came later needs setuptools, wheel and packaging that know it: these may then
    be up to a year younger than that Python. Raises LockError.
    """
    asked = asking(requirements, (), as_of)
    names = {demand.name for demand in asked.requirements}
    lines = [demand.line for demand in asked.requirements]
    if "setuptools" in names and "wheel" not in names:
        lines.append("wheel")  # setuptools before 70.1 asks for it in get_requires_for_build_wheel
    question = Question(tuple(lines), cutoff=as_of.cutoff)
    notes: tuple[str, ...] = ()
    released = datetime.combine(PYTHONS_ON_OFFER[target.minor].released, datetime.min.time(), UTC)
    if as_of.cutoff is not None and as_of.cutoff < released:
        until = released + _CATCHING_UP
        question = replace(question, later=tuple((name, until) for name in _BUILD_TOOLS))
        later = f"may be of {until:%Y-%m-%d}: Python {target.minor} came after {as_of.day}"
        notes = (f"setuptools, wheel and packaging that build {what} {later}",)
    try:
        answer = Uv(tools.site, tools.store).resolve(question, target)
    except UnsatisfiableError as error:
        raise LockError(
            f"what builds {what} cannot be had: " + _explained(error, asked, target.minor).message,
            hint=_RELAX,
        ) from error
    return _pin(answer.packages, target, tools, ()), notes


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
) -> tuple[WheelLock, ...]:
    """Return the best wheel of each package, sorted by name, and keep their addresses for the build that may follow."""
    ranks = target.ranks()
    chosen: list[tuple[Found, Wheel]] = []
    for found in packages.values():
        fitting = [wheel for wheel in found.wheels if rank_of(wheel.filename, ranks) is not None]
        if not fitting:
            reason = f"{found.name} {found.version} has no wheel for Python {target.minor}"
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


def _with_unreleased(
    rejected: Sequence[RejectedPython], taken: str, candidates: Sequence[Candidate], as_of: AsOf
) -> tuple[RejectedPython, ...]:
    """Return the rejected Pythons and those newer than the taken one that did not exist yet, newest first."""
    tried = {python.version for python in rejected} | {taken}
    unreleased = [
        RejectedPython(
            version=candidate.python.version,
            reason=f"it was released on {candidate.python.released}, after {as_of.day}",
        )
        for candidate in candidates
        if candidate.python.version not in tried and candidate.python.released > as_of.date.date()
    ]
    return tuple(
        sorted(
            (*rejected, *unreleased),
            key=lambda python: [int(part) for part in re.findall(r"\d+", python.version)],
            reverse=True,
        )
    )


def _nothing_fits(
    asked: Asking, rejected: Sequence[RejectedPython], failures: Sequence[BuilderError]
) -> BuilderError:
    lines = "\n".join(f"  Python {python.version}: {python.reason}" for python in rejected)
    if broken := next((error for error in failures if isinstance(error, SourceBuildError)), None):
        others = f"\nno Python on offer has the whole set:\n{lines}" if len(rejected) > 1 else ""
        return SourceBuildError(broken.message + others, hint=broken.hint, log=broken.log)
    refusal = next(error.refusal for error in failures if isinstance(error, UnsatisfiableError))
    if len(rejected) == 1:
        head = f"no set of wheels fits Python {rejected[0].version} as of {asked.as_of.day}: {refusal.reason}"
    else:
        head = f"no Python on offer has wheels for the whole set as of {asked.as_of.day}:\n{lines}"
    where = places(refusal.whole, asked.demands)
    parts = [head, where, f"uv says for Python {rejected[0].version}:", refusal.words]
    return LockError("\n".join(part for part in parts if part), hint=_RELAX)
