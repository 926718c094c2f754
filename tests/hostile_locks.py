"""A lock that is honest, for tests to make dishonest."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from python_base import MINOR

from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.lock import (
    DebianInterpreter,
    DebianLock,
    DebPackage,
    EnvironmentLock,
    SignedRelease,
    WheelLock,
)
from reprolake_builder.documents.source import GitSource

PYTHON = DebianInterpreter(
    version=f"{MINOR}.2",
    executable=f"/usr/bin/python{MINOR}",
    package=f"python{MINOR}-minimal",
    sha256="ab" * 32,
)
DEB = DebPackage(
    name=PYTHON.package,
    version=f"{MINOR}.2-6",
    architecture="amd64",
    archive="debian",
    path="pool/main/p/python/python.deb",
    size=1,
    sha256=PYTHON.sha256,
)
SOURCE = GitSource(
    url="https://example.org/lab/crab.git",
    commit="1" * 40,
    tree="2" * 40,
    date=datetime(2024, 1, 1, tzinfo=UTC),
)
LOCK = EnvironmentLock(
    source=SOURCE,
    environment=EnvironmentSpec(files=()),
    as_of=SOURCE.date,
    as_of_is="the commit",
    debian=DebianLock(
        suite="bookworm",
        releases=(
            SignedRelease(
                archive="debian", suite="bookworm", date=SOURCE.date, sha256="3" * 64, signed_by=()
            ),
        ),
        base=(DEB,),
    ),
    interpreter=PYTHON,
    wheels=(
        WheelLock(name="demo", version="1.0", filename="demo-1.0-py3-none-any.whl", size=1, sha256="4" * 64),
    ),
)


def a_lock(*wheels: WheelLock) -> EnvironmentLock:
    """Return the lock with these wheels."""
    return msgspec.structs.replace(LOCK, wheels=wheels)
