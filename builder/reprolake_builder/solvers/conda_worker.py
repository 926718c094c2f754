"""The solver of conda packages, as a program: a question on standard input, its answer on standard output.

A process of its own because the index of a large channel takes a gigabyte of memory, because strangers wrote what is read,
and because nothing that happens to native code then ends more than this.
"""

from __future__ import annotations

import asyncio
import difflib
import gc
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import rattler
from rattler.exceptions import InvalidMatchSpecError, SolverError

from reprolake_builder.documents.base import decode, encode
from reprolake_builder.documents.conda import CondaPackage
from reprolake_builder.solvers.conda_question import Answer, Lacking, Question, Source

TIMEOUT = timedelta(minutes=10)
_PRIORITIES = {
    "strict": rattler.ChannelPriority.Strict,
    "flexible": rattler.ChannelPriority.Flexible,
    "disabled": rattler.ChannelPriority.Disabled,
}
_VERSIONS = 8  # that are told of one package
_FILENAME = re.compile(r"[0-9a-z_][0-9A-Za-z_.!+-]{0,299}\.(?:conda|tar\.bz2)")


class _Offer:
    """A channel's packages as of the date, without those that cannot be pinned. Source: rattler's RepoDataSource."""

    def __init__(self, source: Source, cutoff: datetime | None, upgraded: Collection[str]) -> None:
        channel = rattler.Channel(source.called)
        self.base = channel.base_url
        self._cutoff = cutoff
        self._upgraded = upgraded
        self._indexes = {
            subdir: rattler.SparseRepoData(channel, subdir, path) for subdir, path in source.indexes.items()
        }

    async def fetch_package_records(
        self, platform: rattler.Subdir, name: rattler.PackageName
    ) -> list[rattler.RepoDataRecord]:
        """Return what the channel's folder offers under that name."""
        index = self._indexes.get(_subdir(platform))
        return [] if index is None else [one for one in index.load_records(name) if self._counts(one)]

    def package_names(self, platform: rattler.Subdir) -> list[str]:
        """Return the names in the channel's folder."""
        index = self._indexes.get(_subdir(platform))
        return [] if index is None else list(index.package_names())

    def all_of(self, name: rattler.PackageName) -> list[tuple[bool, rattler.RepoDataRecord]]:
        """Return everything of that name, and whether it counts."""
        return [
            (self._counts(one), one) for index in self._indexes.values() for one in index.load_records(name)
        ]

    def like(self, name: str) -> list[str]:
        """Return names that are nearly that one."""
        known = {other for index in self._indexes.values() for other in index.package_names()}
        return difflib.get_close_matches(name, known, n=3)

    def _counts(self, record: rattler.RepoDataRecord) -> bool:
        # Not `indexed_timestamp`: that is when somebody made an index, and mirrors make their own.
        made = record.timestamp
        in_time = self._cutoff is None or made is None or made <= self._cutoff
        in_time = in_time or record.name.normalized in self._upgraded
        return (
            in_time
            and None not in {record.sha256, record.size}
            and bool(_FILENAME.fullmatch(record.file_name))
        )


def _subdir(platform: rattler.Subdir) -> Literal["linux-64", "noarch"]:
    return "noarch" if str(platform) == "noarch" else "linux-64"


def answer(question: Question) -> Answer:
    """Return the answer. Raises ValueError for an index that cannot be read."""
    parsed: list[rattler.MatchSpec] = []
    for place, text in enumerate((*question.specs, *question.added, *question.constraints)):
        try:
            parsed.append(rattler.MatchSpec(text))
        except (InvalidMatchSpecError, ValueError) as error:
            return Answer(misread=place, failure=str(error))
    demanded = len(question.specs) + len(question.added)
    specs, constraints = parsed[:demanded], parsed[demanded:]
    cutoff = None if question.cutoff is None else datetime.fromtimestamp(question.cutoff / 1000, UTC)
    offers = [_Offer(source, cutoff, question.upgraded) for source in question.sources]
    try:
        records = asyncio.run(_solved(offers, specs, constraints, question))
    except SolverError as error:
        return Answer(failure=str(error), lacking=tuple(_lacking(specs, offers)))
    names = {offer.base: source.name for offer, source in zip(offers, question.sources, strict=True)}
    requested = {spec.name.normalized for spec in parsed[: len(question.specs)]}
    found = [_package(record, names, requested) for record in records]
    packages = sorted(found, key=lambda package: package.name)
    undated = tuple(sorted(record.name.normalized for record in records if record.timestamp is None))
    return Answer(packages=tuple(packages), undated=undated)


def _lacking(specs: Sequence[rattler.MatchSpec], offers: Sequence[_Offer]) -> Iterator[Lacking]:
    """Yield the demands that no package meets by itself."""
    for place, spec in enumerate(specs):
        name = spec.name.normalized
        if name.startswith("__"):
            continue
        found = [one for offer in offers for one in offer.all_of(rattler.PackageName(name))]
        if any(counts and spec.matches(record) for counts, record in found):
            continue
        newest = sorted((record.version for counts, record in found if counts), reverse=True)
        later = [record.version for counts, record in found if not counts and spec.matches(record)]
        yield Lacking(
            place=place,
            versions=tuple(dict.fromkeys(map(str, newest)))[:_VERSIONS],
            later=str(max(later)) if later else "",
            near=()
            if found
            else tuple(dict.fromkeys(near for offer in offers for near in offer.like(name)))[:3],
        )


async def _solved(
    offers: Sequence[_Offer],
    specs: Sequence[rattler.MatchSpec],
    constraints: Sequence[rattler.MatchSpec],
    question: Question,
) -> list[rattler.RepoDataRecord]:
    return await rattler.solve(
        list(offers),
        list(specs),
        platforms=["linux-64", "noarch"],
        virtual_packages=[
            rattler.GenericVirtualPackage(
                rattler.PackageName(one.name), rattler.Version(one.version), rattler.BuildString(one.build)
            )
            for one in question.virtual_packages
        ],
        channel_priority=_PRIORITIES[question.priority],
        constraints=list(constraints),
        locked_packages=_kept(question.kept, offers),
        timeout=TIMEOUT,
    )


def _kept(filenames: Collection[str], offers: Sequence[_Offer]) -> list[rattler.RepoDataRecord]:
    """Return the packages of an earlier lock that are still on offer."""
    names = {filename.rsplit("-", 2)[0] for filename in filenames}
    found = [
        one for offer in offers for name in sorted(names) for one in offer.all_of(rattler.PackageName(name))
    ]
    return [record for counts, record in found if counts and record.file_name in filenames]


def _package(
    record: rattler.RepoDataRecord, names: Mapping[str, str], requested: Collection[str]
) -> CondaPackage:
    """Return the record as a lock names it. Raises ValueError for one that no lock may hold."""
    told: dict[str, Any] = {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "build_number": record.build_number,
        "subdir": record.subdir,
        "channel": names[record.channel],
        "filename": record.file_name,
        "size": record.size,
        "sha256": _hex(record.sha256),
        "md5": _hex(record.md5),
        "depends": record.depends,
        "constrains": record.constrains,
        "noarch": "python" if record.noarch.python else "generic" if record.noarch.generic else "",
        "site_packages": record.python_site_packages_path or "",
        "license": record.license or "",
        "requested": record.name.normalized in requested,
    }
    try:
        return msgspec.convert(told, CondaPackage)
    except msgspec.ValidationError as error:
        raise ValueError(
            f"{record.file_name} of {names[record.channel]} cannot be pinned: {error}"
        ) from error


def _hex(digest: bytes | None) -> str:
    return digest.hex() if digest is not None else ""


def main() -> None:
    """Answer one question."""
    gc.disable()  # it would look through a million records again and again, and none of them is in a circle
    found = answer(decode(sys.stdin.buffer.read(), Question))
    sys.stdout.buffer.write(encode(found))
    sys.stdout.buffer.flush()
    os._exit(0)  # at an ordinary end, threads of the solver that are still there may abort the interpreter


if __name__ == "__main__":
    main()
