"""Whether a resolution had to go back to a much older release than was current, and what forced it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from packaging.tags import Tag
from packaging.utils import NormalizedName
from packaging.version import Version

from reprolake_builder.download import Downloader
from reprolake_builder.solvers.pypi_pages import IndexFile, read_page
from reprolake_builder.solvers.pypi_requirements import Demand, allowed_versions
from reprolake_builder.solvers.pypi_target import Target, rank_of
from reprolake_builder.solvers.pypi_uv import Answer, Found, Question, Uv
from reprolake_builder.solvers.pypi_words import UnsatisfiableError, blamed_for

MUCH_OLDER = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Behind:
    """A package that is much older than need be: `sentence` says so, without full stop; `cause` is why, as far as is known.

    It is not `certain` where the index does not tell which releases there are. `lacking` are packages that have no wheel for
    the target: built from source, they may make the newest release possible.
    """

    sentence: str
    cause: str
    certain: bool = True
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A question with its answer, for a target, the demands that the question came from, and the date of it (UTC)."""

    question: Question
    answer: Answer
    target: Target
    demands: tuple[Demand, ...]
    date: datetime


@dataclass(frozen=True, slots=True)
class _Release:
    version: Version
    uploaded: datetime
    files: tuple[IndexFile, ...]


def find_behind(
    resolved: Resolved, names: Sequence[NormalizedName], uv: Uv, downloader: Downloader
) -> tuple[Behind, ...]:
    """Return those of the named packages whose release is over a year older than the newest that was allowed and uploaded.

    The index is asked about old releases only. Raises FetchError (transient) when it cannot be reached.
    """
    suspects = [
        found
        for name in names
        if (found := resolved.answer.packages.get(name)) is not None and _may_be_behind(found, resolved)
    ]
    if not suspects:
        return ()
    indexes = uv.indexes([(found.name, found.version) for found in suspects], resolved.target)
    judged = [_judge(found, indexes.get(found.name, ""), resolved, uv, downloader) for found in suspects]
    return tuple(behind for behind in judged if behind is not None)


def _may_be_behind(found: Found, resolved: Resolved) -> bool:
    """Whether the release is old enough, and was not asked for by its exact version."""
    allowed = allowed_versions(found.name, resolved.demands, resolved.target)
    if any(item.operator in {"==", "==="} and not item.version.endswith(".*") for item in allowed):
        return False
    uploaded = _uploaded(found)
    return uploaded is not None and uploaded < resolved.date - MUCH_OLDER


def _uploaded(found: Found) -> datetime | None:
    times = [wheel.uploaded for wheel in found.wheels if wheel.uploaded is not None]
    return min(times, default=None)


def _judge(found: Found, index: str, resolved: Resolved, uv: Uv, downloader: Downloader) -> Behind | None:
    releases = _releases(found.name, index, resolved.question.cutoff, downloader)
    if releases is None:
        return Behind(
            f"{found.name} {found.version} of {_uploaded(found):%Y-%m-%d} may not be the newest release",
            "its index does not tell which others there are",
            certain=False,
        )
    current = releases.get(Version(found.version))
    allowed = allowed_versions(found.name, resolved.demands, resolved.target)
    newest = max(
        (
            release
            for version, release in releases.items()
            if not version.is_prerelease and allowed.contains(version)
        ),
        key=lambda release: release.version,
        default=None,
    )
    if current is None or newest is None or newest.version <= current.version:
        return None
    if newest.uploaded - current.uploaded <= MUCH_OLDER:
        return None
    cause, lacking = _cause(found.name, newest, resolved, uv)
    return Behind(
        f"{found.name} went back to {found.version} of {current.uploaded:%Y-%m-%d}, while {newest.version} of "
        f"{newest.uploaded:%Y-%m-%d} was current",
        cause,
        lacking=lacking,
    )


def _releases(
    name: NormalizedName, index: str, cutoff: datetime | None, downloader: Downloader
) -> dict[Version, _Release] | None:
    """Return the releases that are not withdrawn and were uploaded before the cut-off; None when the index does not tell."""
    page = read_page(index, name, downloader)
    if page is None:
        return None
    files: dict[Version, list[IndexFile]] = {}
    for file in page:
        if file.version is not None and file.uploaded and (cutoff is None or file.uploaded < cutoff):
            files.setdefault(file.version, []).append(file)
    return {
        version: _Release(version, min(file.uploaded for file in group if file.uploaded), tuple(group))
        for version, group in files.items()
    }


def _cause(name: NormalizedName, newest: _Release, resolved: Resolved, uv: Uv) -> tuple[str, tuple[str, ...]]:
    """Return why the newest release was not taken, as far as is known, and the packages without a wheel behind that."""
    target = resolved.target
    closed = next((file.requires_python for file in newest.files if not file.is_open(target)), None)
    if closed is not None:
        return f"{name} {newest.version} is for Python {closed}", ()
    wheels = [file for file in newest.files if file.is_wheel]
    if not wheels:
        return f"{name} {newest.version} has no wheel at all", (name,)
    ranks: dict[Tag, int] = target.ranks()
    if all(rank_of(file.filename, ranks) is None for file in wheels):
        return f"{name} {newest.version} has no wheel for Python {target.minor}", (name,)
    question = resolved.question
    try:
        uv.resolve(
            replace(question, requirements=(*question.requirements, f"{name}=={newest.version}")), target
        )
    except UnsatisfiableError as error:
        holders = [other for other in blamed_for(error.refusal.whole, name) if other != name]
        cause = f"held back by {' and '.join(holders)}" if holders else error.refusal.reason
        return cause, error.refusal.lacking
    return "with it other packages would have to be older", ()
