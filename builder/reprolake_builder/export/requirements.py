"""The Python packages of a lock as requirements.txt, with hashes. Source: pip's documentation, "Requirements File Format"."""

from __future__ import annotations

from collections.abc import Iterator

from reprolake_builder.documents.lock import BuiltWheelLock, EnvironmentLock, GitOrigin, SdistOrigin
from reprolake_builder.inventory import environment_wheels, origin_in_words
from reprolake_builder.process import one_line
from reprolake_builder.tools import Tools


def requirements(lock: EnvironmentLock, tools: Tools) -> str:
    """Return what `pip install --no-deps -r` installs as the image has it; what has no hash stands at the end with the reason."""
    del tools
    return "\n".join(_lines(lock)) + "\n"


def _lines(lock: EnvironmentLock) -> Iterator[str]:
    yield f"# Python {lock.interpreter.version}, packages as of {lock.as_of.isoformat()}"
    yield "# pip install --no-deps --require-hashes -r THIS-FILE"
    if lock.conda is not None:
        yield f"# The other {len(lock.conda.packages)} packages are conda's: export conda-lock or explicit has them."
    wheels, built = environment_wheels(lock)
    hashed = [(_demand(wheel.name, wheel.version, wheel.url), wheel.sha256) for wheel in wheels]
    loose = []
    for wheel in built:
        if isinstance(wheel.origin, SdistOrigin):
            demand = _demand(wheel.name, wheel.version, wheel.origin.url)
            hashed.append((demand, wheel.origin.sha256))
        else:
            loose.append(wheel)
    for demand, sha256 in sorted(hashed):
        yield f"{demand} \\\n    --hash=sha256:{sha256}"
    if loose:
        yield "# pip takes no hash of these: install the above first, then these with --no-deps"
    yield from (one_line(_without_hash(wheel)) for wheel in loose)


def _demand(name: str, version: str, url: str) -> str:
    return f"{name} @ {url}" if url else f"{name}=={version}"


def _without_hash(wheel: BuiltWheelLock) -> str:
    if isinstance(wheel.origin, GitOrigin):
        source = wheel.origin.source
        inside = f"#subdirectory={source.subdir}" if source.subdir else ""
        return f"# {wheel.name} @ git+{source.url}@{source.commit}{inside}"
    return f"# {origin_in_words(wheel.origin)} ({wheel.name} {wheel.version}, a package of the repository itself)"
