"""What an earlier lock of the same environment has, which stays where nothing asks for anything else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from reprolake_builder.documents.environment import Asked, AskedSource
from reprolake_builder.documents.lock import (
    DebianInterpreter,
    DebianLock,
    EnvironmentLock,
    GitOrigin,
    SdistOrigin,
)
from reprolake_builder.documents.source import GitSource
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.pypi_uv import Answer, Question


@dataclass(frozen=True, slots=True)
class Kept:
    """An earlier lock, and the names of Python packages that are not to be kept but to be as of `now` (UTC)."""

    lock: EnvironmentLock
    upgraded: frozenset[NormalizedName]
    now: datetime

    @property
    def python(self) -> str:
        """The Python that was taken ("3.11")."""
        return ".".join(self.lock.interpreter.version.split(".")[:2])

    @property
    def pins(self) -> dict[NormalizedName, str]:
        """Versions of the packages of an index that stay."""
        of_index = [wheel for wheel in self.lock.built if isinstance(wheel.origin, SdistOrigin)]
        found = {canonicalize_name(wheel.name): wheel.version for wheel in self.lock.wheels}
        found |= {canonicalize_name(wheel.name): wheel.version for wheel in of_index}
        return {name: version for name, version in found.items() if name not in self.upgraded}

    @property
    def conda(self) -> tuple[str, ...]:
        """File names of the conda packages that stay."""
        packages = self.lock.conda.packages if self.lock.conda is not None else ()
        return tuple(one.filename for one in packages if canonicalize_name(one.name) not in self.upgraded)

    @property
    def upgraded_conda(self) -> tuple[str, ...]:
        """Names of the conda packages that do not."""
        packages = self.lock.conda.packages if self.lock.conda is not None else ()
        return tuple(one.name for one in packages if canonicalize_name(one.name) in self.upgraded)

    def cutoff(self, first: AsOf) -> AsOf:
        """Return the cut-off: that of the lock where it is the later one."""
        if self.lock.as_of <= first.date:
            return first
        return AsOf(self.lock.as_of, self.lock.as_of_is, hides=True)

    def preferred(self, question: Question) -> Question:
        """Return the question with what stays, and later dates for what does not."""
        later = tuple(item for item in question.later if canonicalize_name(item[0]) not in self.upgraded)
        if question.cutoff is not None:
            later += tuple((name, self.now) for name in sorted(self.upgraded))
        return replace(question, preferred=tuple(sorted(self.pins.items())), later=later)

    def stays(self, name: NormalizedName, answer: Answer) -> bool:
        """Whether an answer has the version of a package that was locked."""
        found, pinned = answer.packages.get(name), self.pins.get(name)
        return found is not None and pinned is not None and Version(found.version) == Version(pinned)

    def version(self, name: NormalizedName) -> Version | None:
        """Return the version that a package was locked at and stays at, if it can."""
        pinned = self.pins.get(name)
        return Version(pinned) if pinned is not None else None

    def commit(self, asked: AskedSource) -> GitSource | None:
        """Return the commit that a demand for a git repository was locked at, None where it is to be found out."""
        if asked not in self.lock.environment.sources or canonicalize_name(asked.name or "") in self.upgraded:
            return None
        for wheel in self.lock.built:
            origin = wheel.origin
            if isinstance(origin, GitOrigin) and (asked.name or wheel.name) == wheel.name:
                source = origin.source
                if (source.url, source.ref, source.subdir) == (asked.url, asked.ref, asked.folder):
                    return source
        return None

    def debian(
        self, python: str, apt: tuple[Asked, ...], *, toolchain: bool
    ) -> tuple[DebianLock, DebianInterpreter] | None:
        """Return the Debian packages for a Python and these of apt.txt, None where others are needed than were locked."""
        lock, interpreter = self.lock, self.lock.interpreter
        same = {asked.text for asked in lock.environment.apt} == {asked.text for asked in apt}
        if not same or not isinstance(interpreter, DebianInterpreter) or self.python != python:
            return None
        if not toolchain:
            return msgspec.structs.replace(lock.debian, toolchain=()), interpreter
        return (lock.debian, interpreter) if lock.debian.toolchain else None
