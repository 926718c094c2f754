"""Python packages beside those of conda, under what conda has chosen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from packaging.utils import canonicalize_name

from reprolake_builder.errors import LockError
from reprolake_builder.solvers.conda_python import LOCAL
from reprolake_builder.solvers.pypi_additions import KERNEL, NO_KERNEL, with_younger
from reprolake_builder.solvers.pypi_asking import Asking, Beside, Solution
from reprolake_builder.solvers.pypi_index import Resolved, find_behind
from reprolake_builder.solvers.pypi_pins import by_name, fetched, pin, taken
from reprolake_builder.solvers.pypi_requirements import Demand
from reprolake_builder.solvers.pypi_supply import Supplier
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_uv import Question, Uv
from reprolake_builder.solvers.pypi_words import UnsatisfiableError
from reprolake_builder.tools import Tools

_OLDEST = (3, 6)
"""The first Python that the resolver of Python packages knows."""
_CONDAS = f"+{LOCAL}"
_ANY_DAY = datetime(2999, 1, 1, tzinfo=UTC)


def _is_pinned(demand: Demand) -> bool:
    """Whether a lock names that very file: then it counts whatever its date."""
    return bool(demand.sha256) and any(one.operator == "==" for one in demand.requirement.specifier)


def solve_beside(asked: Asking, beside: Beside, target: Target, tools: Tools, supplier: Supplier) -> Solution:
    """Return what pip's part asks for and conda does not hold, and a kernel where conda has none.

    Raises UnsatisfiableError when that does not fit beside conda's packages, LockError for a Python that is too old;
    FetchError or LockError (transient) when the index cannot be reached.
    """
    question = Question(
        tuple(demand.line for demand in asked.requirements),
        tuple(demand.line for demand in asked.constraints),
        asked.as_of.cutoff,
        built=supplier.offered(target),
        direct=supplier.direct(target),
        stands=beside.stands,
        later=tuple((demand.name, _ANY_DAY) for demand in asked.requirements if _is_pinned(demand)),
    )
    held = {stand.name for stand in beside.stands}
    needs_kernel = not beside.has_kernel and KERNEL not in held
    if not (question.requirements or question.direct or needs_kernel):
        return Solution(target, (), (), (), ())
    if target.pair < _OLDEST:
        raise LockError(
            f"packages of the index cannot be chosen for Python {target.minor}"
            + (", and the channels have no ipykernel for it" if needs_kernel else ""),
            hint="ask for them, and for ipykernel, among the conda packages",
        )
    uv = Uv(tools.site, tools.store)
    whole = replace(question, requirements=(*question.requirements, KERNEL)) if needs_kernel else question
    later = whole.later
    whole, younger = with_younger(whole, asked, target) if needs_kernel else (whole, ())
    whole = replace(whole, later=tuple({**dict(whole.later), **dict(later)}.items()))
    question, whole = asked.preferring(question), asked.preferring(whole)
    try:
        answer = uv.resolve(whole, target)
    except UnsatisfiableError as error:
        if needs_kernel:
            try:
                uv.resolve(question, target)
            except UnsatisfiableError as own:
                raise _beside_condas(own) from own
            reason = f"the kernel that Reprolake adds does not fit beside the conda packages: {error.refusal.reason}"
            raise UnsatisfiableError(replace(error.refusal, reason=reason)) from error
        raise _beside_condas(error) from error
    named = [d.name for d in asked.requirements if target.holds(d.requirement.marker)]
    named += [canonicalize_name(item.wheel.name) for item in question.direct]
    direct = tuple(dict.fromkeys(named))
    offers = (*question.built, *(item.wheel for item in question.direct))
    built, given = taken(answer, offers, direct), fetched(answer, offers, direct)
    done = held | {wheel.name for wheel in built} | {wheel.name for wheel in given}
    rest = {name: found for name, found in answer.packages.items() if name not in done}
    added = needs_kernel and KERNEL not in direct
    watched = tuple(name for name in ((*direct, KERNEL) if added else direct) if name not in held)
    resolved = Resolved(whole, answer, target, asked.demands, asked.as_of.date)
    return Solution(
        target,
        by_name((*pin(rest, target, tools, direct, asked.demands), *given)),
        built,
        (f"{KERNEL}: {NO_KERNEL}, and conda has none that fits",) if added else (),
        find_behind(resolved, watched, uv, tools.downloader),
        (*answer.warnings, *(younger if added else ())),
    )


def _beside_condas(error: UnsatisfiableError) -> UnsatisfiableError:
    """Return the error for the repository's own set: a version that conda has chosen can be changed there only."""
    if not (error.refusal.is_contradiction and _CONDAS in error.refusal.whole):
        return error
    refusal = replace(
        error.refusal,
        reason=f"what is asked for below `pip:` does not fit conda's packages, whose versions end with {_CONDAS}",
        hint="ask for another version below `pip:`, or among conda's packages",
    )
    return UnsatisfiableError(refusal)
