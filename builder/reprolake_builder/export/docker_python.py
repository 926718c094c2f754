"""The Python packages of a lock as commands of a Dockerfile: pip installs them, and builds what comes as source.

Source: pip's documentation, "Secure installs" and "Build System Interface"; PyPA specifications, "Direct URL".
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.lock import (
    BuiltWheelLock,
    EnvironmentLock,
    GitOrigin,
    RepositoryOrigin,
    SdistOrigin,
    WheelLock,
)
from reprolake_builder.errors import LockError
from reprolake_builder.export.docker_words import address, fitting, written
from reprolake_builder.image import REPOSITORY
from reprolake_builder.inventory import index_wheels
from reprolake_builder.solvers.pypi_sdists import sdist_url
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.tools import Tools

WORK = "/opt/reprolake-build"
"""Where the Dockerfile keeps what is there only while it is built (path in the image)."""
_PIP = f"{WORK}/pip/pip"
_OF_THE_IMAGE = {"PATH", "HOME", "LANG"}
_GET = (
    "import hashlib, sys, urllib.request as r; d = r.urlopen(sys.argv[1]).read(); "
    'hashlib.sha256(d).hexdigest() == sys.argv[2] or sys.exit("pip arrived with other bytes"); '
    'open(sys.argv[3], "wb").write(d)'
)


@dataclass(slots=True)
class Installer:
    """What writes the commands for one lock; each list of requirements and each folder for a build gets a number."""

    lock: EnvironmentLock
    tools: Tools
    _urls: Mapping[Sha256, str] = field(init=False)
    _count: int = 0

    def __post_init__(self) -> None:
        self._urls = wheel_urls(index_wheels(self.lock), self.tools.site, self.tools.store)

    def bootstrap(self) -> Iterator[str]:
        """Yield what brings pip: the locked wheel, checked, is run before it is installed. Raises LockError without one."""
        pip = next((wheel for wheel in index_wheels(self.lock) if wheel.name == "pip"), None)
        if pip is None:
            raise LockError(
                "the lock has no pip, with which a Dockerfile would install the packages",
                hint="add pip to the repository's requirements and lock again, or export it with `--format requirements`",
            )
        python, place = self.lock.interpreter.executable, f"{WORK}/{pip.filename}"
        got = shlex.join([python, "-c", _GET, address(self._urls[pip.sha256], "pip"), pip.sha256, place])
        yield f"mkdir -p {WORK}"
        yield got
        yield shlex.join([python, "-m", "zipfile", "-e", place, f"{WORK}/pip"])

    def wheels(self, wheels: Sequence[WheelLock], python: str, target: str = "") -> Iterator[str]:
        """Yield what installs wheels for `python` (path in the image), into the folder `target` where one is given."""
        lines = [self._demand(wheel.name, self._urls[wheel.sha256], wheel.sha256) for wheel in wheels]
        if lines:
            file = f"{WORK}/{self._number()}.txt"
            yield from written(file, dict.fromkeys(lines))
            yield self._pip(python, target, "--only-binary", ":all:", "--require-hashes", "-r", file)

    def built(self, wheel: BuiltWheelLock, python: str, target: str = "") -> Iterator[str]:
        """Yield what builds a package from source as it was built for the lock, with the same build requirements, and installs it."""
        folder = f"{WORK}/{self._number()}"
        yield from self.wheels(wheel.build_requirements, python, folder)
        for needed in wheel.built_requirements:
            yield from self.built(needed, python, folder)
        variables = {name: value for name, value in wheel.variables.items() if name not in _OF_THE_IMAGE}
        environment = [f"{name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
        front = " ".join(("env", f"PYTHONPATH={folder}", f'PATH="{folder}/bin:$PATH"', *environment, ""))
        match wheel.origin:
            case SdistOrigin() as origin:
                url = sdist_url(wheel.name, origin, self.tools)
                file = f"{folder}.txt"
                yield from written(file, [self._demand(wheel.name, url, origin.sha256)])
                yield front + self._build(python, target, "--require-hashes", "-r", file)
            case GitOrigin(source=source):
                inside = fitting(source.subdir, r"(?:[\w.-]+/?)*", f"the folder of {wheel.name}")
                url = f"git+{address(source.url, wheel.name)}@{source.commit}"
                demand = f"{wheel.name} @ {url}" + (f"#subdirectory={inside}" if inside else "")
                yield front + self._build(python, target, demand)
            case RepositoryOrigin(path=path):
                copy = f"{WORK}/repository"
                yield f"cp -R {REPOSITORY} {copy}"
                inside = shlex.quote(f"{copy}/{path}")
                yield f"(cd {inside} && {front}{self._build(python, target, '.')})"
                yield f"rm -rf {copy}"
            case _:
                assert_never(wheel.origin)

    def _build(self, python: str, target: str, *what: str) -> str:
        return self._pip(python, target, "--no-build-isolation", *what)

    def _pip(self, python: str, target: str, *what: str) -> str:
        into = ("--target", target, "--upgrade") if target else ()
        compiled = () if self.lock.byte_code and not target else ("--no-compile",)
        common = ("--no-cache-dir", "--no-deps", "--no-index", "--ignore-installed")
        return shlex.join([python, _PIP, "install", *common, *compiled, *into, *what])

    @staticmethod
    def _demand(name: str, url: str, sha256: Sha256) -> str:
        return f"{name} @ {address(url, name)} --hash=sha256:{sha256}"

    def _number(self) -> int:
        self._count += 1
        return self._count
