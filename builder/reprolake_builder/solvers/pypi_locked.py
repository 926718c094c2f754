"""Python packages as another tool's lock file pins them: nothing is resolved but what is added."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.environment import ObeyedLock
from reprolake_builder.documents.lock import BuiltWheelLock, WheelLock
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.pypi_additions import KERNEL, NO_KERNEL, with_younger
from reprolake_builder.solvers.pypi_asking import Asking, Solution
from reprolake_builder.solvers.pypi_index import Resolved, find_behind
from reprolake_builder.solvers.pypi_pins import by_name, fetched, pin, taken
from reprolake_builder.solvers.pypi_supply import Supplier
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_uv import Answer, Direct, Found, Question, Uv
from reprolake_builder.solvers.pypi_words import UnsatisfiableError
from reprolake_builder.tools import Tools

_SHOWN = 6
_KERNEL_DEMAND = f"{KERNEL}>=5"  # what came before knows none of these Pythons, and would still resolve
_FIX = {
    "uv": "uv add --dev ipykernel",
    "Poetry": "poetry add --group dev ipykernel",
    "PDM": "pdm add -d ipykernel",
    "Pipenv": "pipenv install --dev ipykernel",
}


def solve_locked(
    asked: Asking, lock: ObeyedLock, target: Target, tools: Tools, supplier: Supplier
) -> Solution:
    """Return what the lock pins for the target, and a kernel under these pins where it has none.

    Raises UnsatisfiableError when a pinned package has no file that serves, or no kernel fits; FetchError or LockError
    (transient) when the index cannot be reached.
    """
    if target.minor not in lock.pythons:
        raise LockError(
            f"{lock.path} was made for other Pythons than {target.minor}",
            hint=f"it serves Python {' and '.join(lock.pythons) or 'none that is on offer'}; --ignore {lock.path} resolves anew",
        )
    uv = Uv(tools.site, tools.store)
    demands = tuple(demand for demand in asked.requirements if target.holds(demand.requirement.marker))
    pinned = {demand.name: demand.requirement.specifier for demand in demands}
    offered = {wheel.name: wheel for wheel in supplier.offered(target) if _is_pinned(wheel, pinned)}
    placed = supplier.direct(target)
    question = Question(
        tuple(demand.line for demand in demands if demand.name not in offered),
        dependencies=False,
        direct=(*placed, *map(Direct, offered.values())),
    )
    own = uv.resolve(question, target)
    direct = tuple(name for name in own.packages if name in lock.direct)
    offers = [item.wheel for item in question.direct]
    built, given = taken(own, offers, direct), fetched(own, offers, direct)
    done = {wheel.name for wheel in built} | {wheel.name for wheel in given}
    rest = {name: found for name, found in own.packages.items() if name not in done}
    wheels = by_name((*pin(rest, target, tools, direct, demands), *given))
    if KERNEL in own.packages:
        return Solution(target, wheels, built, (), (), own.warnings)
    added, notes = _kernel(asked, own, (*built, *given), target, tools)
    more = pin(added, target, tools, (), ())
    words = f"{KERNEL}: {NO_KERNEL}"
    besides = [item.name for item in more if item.name != KERNEL]
    if besides:
        shown = ", ".join(besides[:_SHOWN]) + (" …" if len(besides) > _SHOWN else "")
        words += (
            f"; {len(besides)} packages came with it ({shown}), none of which changes a pin of {lock.path}"
        )
    return Solution(target, by_name((*wheels, *more)), built, (words,), (), (*own.warnings, *notes))


def _is_pinned(wheel: BuiltWheelLock, pinned: dict[NormalizedName, SpecifierSet]) -> bool:
    specifier = pinned.get(canonicalize_name(wheel.name))
    return specifier is not None and specifier.contains(wheel.version, prereleases=True)


def _kernel(
    asked: Asking, own: Answer, built: tuple[BuiltWheelLock | WheelLock, ...], target: Target, tools: Tools
) -> tuple[dict[NormalizedName, Found], tuple[str, ...]]:
    """Return the packages that a kernel brings along under the pins, and notes."""
    uv = Uv(tools.site, tools.store)
    cutoff = asked.as_of.cutoff
    question = Question(
        (_KERNEL_DEMAND,),
        tuple(f"{name}=={found.version}" for name, found in own.packages.items()),
        cutoff,
        built=built,
    )
    question, younger = with_younger(question, asked, target)
    if cutoff is not None:  # what the lock pins counts whatever its date
        late = {
            name: max(times) + timedelta(seconds=1)
            for name, found in own.packages.items()
            if (times := [w.uploaded for w in found.wheels if w.uploaded is not None])
            and max(times) >= cutoff
        }
        question = replace(
            question, later=(*(item for item in question.later if item[0] not in late), *late.items())
        )
    question = asked.preferring(question)
    try:
        answer = uv.resolve(question, target)
    except UnsatisfiableError as error:
        lock = asked.obeyed
        fix = f" (`{_FIX[lock.tool]}` puts one into it)" if lock is not None and lock.tool in _FIX else ""
        path = lock.path if lock is not None else ""
        reason = f"{path} has no kernel{fix}, and the one that Reprolake adds does not fit under its pins: {error.refusal.reason}"
        raise UnsatisfiableError(replace(error.refusal, reason=reason, lacking=())) from error
    resolved = Resolved(question, answer, target, (), asked.as_of.date)
    old = find_behind(resolved, (KERNEL,), uv, tools.downloader)
    notes = (*younger, *(f"{behind.sentence}: {behind.cause}" for behind in old))
    return {name: found for name, found in answer.packages.items() if name not in own.packages}, notes
