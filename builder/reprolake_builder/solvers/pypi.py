"""Python packages: which Python, and which wheels for it, as of a date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from packaging.utils import canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import BuiltWheelLock, WheelLock
from reprolake_builder.errors import BuilderError, LockError, SourceBuildError
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_additions import KERNEL, additions, caught_up, with_younger
from reprolake_builder.solvers.pypi_asking import Asking, Solution, asking
from reprolake_builder.solvers.pypi_beside import solve_beside
from reprolake_builder.solvers.pypi_failure import RELAX, NoChoice, Rejected, explained, reason_of
from reprolake_builder.solvers.pypi_index import Behind, Resolved, find_behind
from reprolake_builder.solvers.pypi_locked import solve_locked
from reprolake_builder.solvers.pypi_pins import by_name, fetched, pin, taken
from reprolake_builder.solvers.pypi_supply import BuildNeed, Lack, Supplier, WheelsOnly
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_uv import Question, Uv
from reprolake_builder.solvers.pypi_words import UnsatisfiableError
from reprolake_builder.solvers.python_choice import Candidate
from reprolake_builder.tools import Tools

_WHEELS_ONLY = WheelsOnly()
_NEED = BuildNeed("the repository's package", _WHEELS_ONLY)
_MOST_BUILDS = 40  # wheels built for one Python
_BUILD_TOOLS = ("setuptools", "wheel", "packaging")


@dataclass(frozen=True, slots=True)
class Choice:
    """The solution that was taken, for which candidate, and the Pythons that were not."""

    solution: Solution
    candidate: Candidate
    rejected: tuple[Rejected, ...]


def solve(asked: Asking, target: Target, tools: Tools, supplier: Supplier = _WHEELS_ONLY) -> Solution:
    """Return the wheels for one target, with what `python -m venv` gave at the date and a kernel.

    What `supplier` has built is on offer beside the wheels of the index. Raises UnsatisfiableError when no set of wheels fits; FetchError or LockError (transient) when the index cannot be reached.
    """
    if asked.obeyed is not None:
        return solve_locked(asked, asked.obeyed, target, tools, supplier)
    if asked.beside is not None:
        return solve_beside(asked, asked.beside, target, tools, supplier)
    uv = Uv(tools.site, tools.store)
    question = Question(
        tuple(demand.line for demand in asked.requirements),
        tuple(demand.line for demand in asked.constraints),
        asked.as_of.cutoff,
        built=supplier.offered(target),
        direct=supplier.direct(target),
    )
    whole = replace(question, requirements=(*question.requirements, *additions(target)))
    whole, younger = with_younger(whole, asked, target)
    question, whole = asked.preferring(question), asked.preferring(whole)
    try:
        answer = uv.resolve(whole, target)
    except UnsatisfiableError as error:
        uv.resolve(question, target)  # raises when the repository's own set is to blame
        raise _our_fault(error, target) from error
    own = uv.resolve_again(question, target)
    added = [name for name in additions(target) if name not in own.packages]
    names = [d.name for d in asked.requirements if target.holds(d.requirement.marker)]
    names += [canonicalize_name(item.wheel.name) for item in question.direct]
    direct = tuple(dict.fromkeys(names))
    resolved = Resolved(whole, answer, target, asked.demands, asked.as_of.date)
    watched = [*direct, KERNEL] if KERNEL in added else [*direct]
    if asked.kept is not None:
        watched = [name for name in watched if not asked.kept.stays(name, answer)]
    offers = (*question.built, *(item.wheel for item in question.direct))
    built, given = taken(answer, offers, direct), fetched(answer, offers, direct)
    done = {wheel.name for wheel in built} | {wheel.name for wheel in given}
    rest = {name: found for name, found in answer.packages.items() if name not in done}
    return Solution(
        target,
        by_name((*pin(rest, target, tools, direct, asked.demands), *given)),
        built,
        tuple(f"{name}: {additions(target)[name]}" for name in added),
        find_behind(resolved, watched, uv, tools.downloader),
        (*answer.warnings, *(younger if KERNEL in added else ())),
    )


def choose(
    asked: Asking, candidates: Sequence[Candidate], tools: Tools, supplier: Supplier = _WHEELS_ONLY
) -> Choice | NoChoice:
    """Return the solution for the first candidate whose whole set resolves to wheels that are not much older than they need be.

    When every candidate that resolves has such old releases, the first of these is taken. `candidates` are in order of
    preference. What has no wheel at all `supplier` builds; what has one for another candidate, only when no candidate does
    without, and none has wheels for all and finds that they contradict each other: building the same elsewhere takes long and
    mends nothing. Raises LockError or FetchError (transient) when the index cannot be reached.
    """
    trial = _try_all(asked, candidates, tools, supplier, patient=len(candidates) > 1)
    unbuilt = any(behind.lacking for old, _ in trial.old for behind in old.behind)
    if trial.choice is None and len(candidates) > 1 and (unbuilt or not (trial.old or trial.contradicts)):
        trial = _try_all(asked, candidates, tools, supplier, patient=False)
    if trial.choice is not None:
        return trial.choice
    if not trial.old:
        lock = asked.obeyed.path if asked.obeyed is not None else ""
        return NoChoice(asked.demands, asked.as_of, trial.rejected, trial.failures, lock)
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

    @property
    def contradicts(self) -> bool:
        """Whether a candidate has wheels for the whole set, and these exclude each other."""
        found = (error.refusal for error in self.failures if isinstance(error, UnsatisfiableError))
        return any(refusal.is_contradiction for refusal in found)


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
            locked = asked.obeyed is not None
            if not supplier.supply(
                Lack(refusal.lacking, asked.demands, target, elsewhere, refusal.whole, locked)
            ):
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
    until = caught_up(target, as_of)
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
        built = taken(answer, question.built, ())
        rest = {name: found for name, found in answer.packages.items() if name not in {w.name for w in built}}
        return BuildSet(pin(rest, target, tools, (), asked.demands), built, notes)
    raise LockError(f"{need.what} needs more than {_MOST_BUILDS} packages to be built before it", hint=RELAX)


def _our_fault(error: UnsatisfiableError, target: Target) -> UnsatisfiableError:
    names = ", ".join(additions(target))
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
