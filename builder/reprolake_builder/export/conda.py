"""The packages of a conda environment's lock in the formats of conda's tools.

Source: conda-lock's documentation, "Output" (version 1); conda's, "Building identical conda environments"; pixi's, "The lock
file" (version 6).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from reprolake_builder.conda.channels import channel_bases
from reprolake_builder.credentials import without_login
from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.conda import CondaChannel, CondaLock
from reprolake_builder.documents.lock import BuiltWheelLock, EnvironmentLock, SdistOrigin
from reprolake_builder.engines.conda import fetch_conda
from reprolake_builder.errors import LockError
from reprolake_builder.inventory import environment_wheels
from reprolake_builder.process import one_line
from reprolake_builder.solvers.pypi_sdists import sdist_url
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.tools import Tools

PLATFORM = "linux-64"
_TOKEN = re.compile(r"/t/[^/]+(?=/)")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./:@-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True, slots=True)
class _FromIndex:
    """A package for pip: its address at this site's index, and the SHA-256 behind it."""

    name: str
    version: str
    url: str
    sha256: str


def conda_lock(lock: EnvironmentLock, tools: Tools) -> str:
    """Return conda-lock.yml: conda's packages with addresses of this site, without logins, and pip's.

    Raises LockError for a lock without conda packages, FetchError where an address is not known.
    """
    conda = _conda(lock)
    urls, sums = _urls(conda, tools), _md5(conda, tools)
    lines = [*_heading(lock), "version: 1", "metadata:", "  content_hash:"]
    lines += [
        f"    {PLATFORM}: {_text(content_hash([package.sha256 for package in conda.packages]))}",
        "  channels:",
    ]
    for channel in conda.channels:
        lines += [f"  - url: {_text(_base(channel, tools))}", "    used_env_vars: []"]
    lines += ["  platforms:", f"  - {PLATFORM}", "  sources:"]
    lines += [f"  - {_text(file.path)}" for file in lock.environment.files] or ["  - reprolake.lock"]
    lines.append("package:")
    for package in conda.packages:
        hashes = {"md5": sums[package.filename], "sha256": package.sha256}
        depends = dict(_split(text) for text in package.depends if not text.startswith("__"))
        lines += _start("conda", package.name, package.version, depends)
        lines += _end(urls[package.filename], hashes)
    for item in _index(lock, tools):
        lines += _start("pip", item.name, item.version, {})
        lines += _end(item.url, {"sha256": item.sha256})
    return "\n".join(lines) + "\n"


def explicit(lock: EnvironmentLock, tools: Tools) -> str:
    """Return an @EXPLICIT list for `conda create --file`; pip's packages stand in comments, as conda-lock has it. Raises as above."""
    conda = _conda(lock)
    urls, sums = _urls(conda, tools), _md5(conda, tools)
    lines = [*_heading(lock), f"# platform: {PLATFORM}", "@EXPLICIT"]
    lines += [f"{urls[package.filename]}#{sums[package.filename]}" for package in conda.packages]
    lines += [f"# pip {item.name} @ {item.url} --hash=sha256:{item.sha256}" for item in _index(lock, tools)]
    return "\n".join(lines) + "\n"


def pixi(lock: EnvironmentLock, tools: Tools) -> str:
    """Return pixi.lock, with one environment `default`. Raises as above."""
    conda = _conda(lock)
    urls = _urls(conda, tools)
    index = _index(lock, tools)
    lines = [*_heading(lock), "version: 6", "environments:", "  default:", "    channels:"]
    lines += [f"    - url: {_text(_base(channel, tools))}/" for channel in conda.channels]
    lines += ["    packages:", f"      {PLATFORM}:"]
    lines += [f"      - conda: {_text(urls[package.filename])}" for package in conda.packages]
    lines += [f"      - pypi: {_text(item.url)}" for item in index]
    lines.append("packages:")
    for package in sorted(conda.packages, key=lambda one: urls[one.filename]):
        lines.append(f"- conda: {_text(urls[package.filename])}")
        lines += [f"  name: {_text(package.name)}", f"  version: {_text(package.version)}"]
        lines += [f"  build: {_text(package.build)}", f"  build_number: {package.build_number}"]
        lines.append(f"  subdir: {package.subdir}")
        lines += [f"  noarch: {package.noarch}"] if package.noarch else []
        lines.append(f"  sha256: {_text(package.sha256)}")
        lines += [f"  md5: {_text(package.md5)}"] if package.md5 else []
        lines += _listed("depends", package.depends) + _listed("constrains", package.constrains)
        lines += [f"  python_site_packages_path: {package.site_packages}"] if package.site_packages else []
        lines += [f"  license: {_text(package.license)}"] if package.license else []
        lines.append(f"  size: {package.size}")
    for item in index:
        lines += [f"- pypi: {_text(item.url)}", f"  name: {_text(item.name)}"]
        lines += [f"  version: {_text(item.version)}", f"  sha256: {_text(item.sha256)}"]
    return "\n".join(lines) + "\n"


def _conda(lock: EnvironmentLock) -> CondaLock:
    if lock.conda is None:
        raise LockError(
            "the lock holds no conda packages, so it has no form of conda's tools",
            hint="export it with `--format pylock` or `--format requirements`",
        )
    return lock.conda


def _heading(lock: EnvironmentLock) -> Iterator[str]:
    yield f"# Written by reprolake: packages as of {lock.as_of:%Y-%m-%d} ({one_line(lock.as_of_is)})."
    for wheel in environment_wheels(lock)[1]:
        if not isinstance(wheel.origin, SdistOrigin):
            yield f"# {wheel.name} {wheel.version} was built from a repository and stands in no index: it is not in this file."


def _base(channel: CondaChannel, tools: Tools) -> str:
    """Return the first address of a channel at this site, without a login."""
    parts = urlsplit(without_login(channel_bases(channel, tools.site)[0]))
    return urlunsplit(parts._replace(path=_TOKEN.sub("", parts.path)))


def _urls(conda: CondaLock, tools: Tools) -> Mapping[str, str]:
    bases = {channel.name: _base(channel, tools) for channel in conda.channels}
    return {
        package.filename: f"{bases[package.channel]}/{package.subdir}/{package.filename}"
        for package in conda.packages
    }


def _md5(conda: CondaLock, tools: Tools) -> Mapping[str, str]:
    """Return the MD5 of each package, which these formats want; where the lock does not have it the package is fetched."""
    lacking = [package for package in conda.packages if not package.md5]
    fetch_conda(conda, lacking, tools)
    found = {package.filename: package.md5 for package in conda.packages}
    for package in lacking:
        with tools.store.archive(package.sha256).open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
        found[package.filename] = digest.hexdigest()
    return found


def _index(lock: EnvironmentLock, tools: Tools) -> tuple[_FromIndex, ...]:
    """Return what pip installs: wheels, and source distributions of the index."""
    wheels, built = environment_wheels(lock)
    urls = wheel_urls(wheels, tools.site, tools.store)
    found = [
        _FromIndex(wheel.name, wheel.version, without_login(urls[wheel.sha256]), wheel.sha256)
        for wheel in wheels
    ]
    found += [item for wheel in built if (item := _sdist(wheel, tools)) is not None]
    return tuple(sorted(found, key=lambda item: item.name))


def _sdist(wheel: BuiltWheelLock, tools: Tools) -> _FromIndex | None:
    if not isinstance(wheel.origin, SdistOrigin):
        return None
    url = without_login(sdist_url(wheel.name, wheel.origin, tools))
    return _FromIndex(wheel.name, wheel.version, url, wheel.origin.sha256)


def _start(manager: str, name: str, version: str, depends: Mapping[str, str]) -> Iterator[str]:
    yield f"- name: {_text(name)}"
    yield f"  version: {_text(version)}"
    yield f"  manager: {manager}"
    yield f"  platform: {PLATFORM}"
    yield "  dependencies:" if depends else "  dependencies: {}"
    for needed in sorted(depends):
        yield f"    {_text(needed)}: {_text(depends[needed])}"


def _end(url: str, hashes: Mapping[str, str]) -> Iterator[str]:
    yield f"  url: {_text(url)}"
    yield "  hash:"
    for kind, digest in hashes.items():
        yield f"    {kind}: {_text(digest)}"
    yield "  category: main"
    yield "  optional: false"


def _split(text: str) -> tuple[str, str]:
    name, _, rest = text.rpartition("::")[2].partition(" ")
    return name, rest.strip()


def _listed(key: str, texts: tuple[str, ...]) -> list[str]:
    return [f"  {key}:", *(f"  - {_text(text)}" for text in texts)] if texts else []


def _text(text: str) -> str:
    """Return a text as YAML: as it is where that can mean nothing else, else as in JSON."""
    plain = (
        _PLAIN.fullmatch(text) and text.lower() not in _WORDS and ": " not in text and not text.endswith(":")
    )
    return text if plain else json.dumps(text)
