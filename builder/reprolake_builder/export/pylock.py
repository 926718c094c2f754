"""The Python packages of a lock as pylock.toml. Source: PyPA specifications, "pylock.toml Specification", version 1.0."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import assert_never

from reprolake_builder.credentials import without_login
from reprolake_builder.documents.lock import (
    BuiltWheelLock,
    EnvironmentLock,
    GitOrigin,
    RepositoryOrigin,
    SdistOrigin,
)
from reprolake_builder.inventory import environment_wheels
from reprolake_builder.solvers.pypi_sdists import sdist_url
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.tools import Tools

Value = str | int | Mapping[str, "Value"]


def pylock(lock: EnvironmentLock, tools: Tools) -> str:
    """Return the text; addresses are those of the site's index, without any login. Raises FetchError when it lacks a file."""
    return "\n".join(_lines(lock, tools)) + "\n"


def _lines(lock: EnvironmentLock, tools: Tools) -> Iterator[str]:
    minor = ".".join(lock.interpreter.version.split(".")[:2])
    if lock.conda is not None:
        yield f"# The other {len(lock.conda.packages)} packages are conda's: export conda-lock or explicit has them."
    yield 'lock-version = "1.0"'
    yield f'requires-python = "=={minor}.*"'
    yield 'created-by = "reprolake"'
    wheels, built = environment_wheels(lock)
    urls = wheel_urls(wheels, tools.site, tools.store)
    tables: dict[str, tuple[str, dict[str, Value]]] = {
        wheel.name: (
            wheel.version,
            {"wheels": _file(wheel.filename, urls[wheel.sha256], wheel.size, wheel.sha256)},
        )
        for wheel in wheels
    }
    tables |= {wheel.name: _built(wheel, tools) for wheel in built}
    for name in sorted(tables):
        version, table = tables[name]
        yield f'\n[[packages]]\nname = "{name}"'
        yield from [f'version = "{version}"'] if version else []
        for key, value in table.items():
            yield f"{key} = [{_inline(value)}]" if key == "wheels" else f"{key} = {_inline(value)}"


def _built(wheel: BuiltWheelLock, tools: Tools) -> tuple[str, dict[str, Value]]:
    """Return the version and where a package comes from; one from a repository has none, by the specification."""
    match wheel.origin:
        case SdistOrigin() as origin:
            url = sdist_url(wheel.name, origin, tools)
            return wheel.version, {"sdist": _file(origin.filename, url, origin.size, origin.sha256)}
        case GitOrigin(source=source):
            inside = {"subdirectory": source.subdir} if source.subdir else {}
            return "", {"vcs": {"type": "git", "url": source.url, "commit-id": source.commit, **inside}}
        case RepositoryOrigin(path=path):
            return "", {"directory": {"path": f"./{path}"}}
    assert_never(wheel.origin)


def _file(name: str, url: str, size: int, sha256: str) -> dict[str, Value]:
    return {"name": name, "url": without_login(url), "size": size, "hashes": {"sha256": sha256}}


def _inline(value: Value) -> str:
    """Return a value as TOML; a basic string is escaped as in JSON. Source: TOML 1.0, "String"."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
