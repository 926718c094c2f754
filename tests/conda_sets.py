"""Conda packages and sets of them as a lock names them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from conda_channel import MAIN, OTHER, channels
from conda_packages import Package, package_bytes
from own_index import as_of, asked

from reprolake_builder.documents.conda import CondaLock, CondaPackage
from reprolake_builder.documents.lock import CondaInterpreter
from reprolake_builder.download import Downloader
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.interpreters import Home
from reprolake_builder.site import CondaSite
from reprolake_builder.solvers.conda import CondaAsking, solve_conda
from reprolake_builder.solvers.debian import solve_debian
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

GLIBC = "2.36"
DATE = "2024-01-01"


def pinned(package: Package, channel: str = MAIN) -> tuple[bytes, CondaPackage]:
    """Return a package's archive and what a lock says of it."""
    data = package_bytes(package)
    return data, CondaPackage(
        name=package.name,
        version=package.version,
        build=package.build,
        build_number=package.build_number,
        subdir=package.subdir,
        channel=channel,
        filename=package.filename,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data).hexdigest(),
        depends=package.depends,
        noarch=package.noarch,
    )


def with_channels(tools: Tools, **more: tuple[str, ...]) -> Tools:
    """Return tools of a site that has the tests' channels, and more."""
    folder = channels(tools)
    known = {name: ((folder / name).as_uri(),) for name in (MAIN, OTHER)}
    site = dataclasses.replace(tools.site, conda=CondaSite(channels=known | more))
    return dataclasses.replace(tools, site=site, downloader=Downloader(site, tools.progress))


def solved(tools: Tools, *specs: str, glibc: str = GLIBC) -> CondaLock:
    """Return a set of packages of the channel MAIN."""
    question = CondaAsking(asked(MAIN), asked(*specs), (), (), as_of(DATE), glibc)
    return solve_conda(question, tools)[0]


def debian_base(tools: Tools, python: str = "3.11") -> Tree:
    """Return the base that the packages of a set run on."""
    debian = solve_debian(python, (), tools).debian
    fetch_debian(debian, tools)
    return make_debian_trees(debian, tools.store, tools.progress)[0]


def home_of(lock: CondaLock, base: Tree) -> Home:
    """Return where the set's Python lives."""
    python = next(package for package in lock.packages if package.name == "python")
    minor = ".".join(python.version.split(".")[:2])
    executable = f"/opt/conda/bin/python{minor}"
    return Home(CondaInterpreter(version=python.version, executable=executable, sha256=python.sha256), base)


def unite(trees: list[Path], into: Path) -> dict[str, tuple[str, bool] | str]:
    """Return what lies in the folders, by path: SHA-256 and whether it can be executed, or where a link leads."""
    found: dict[str, tuple[str, bool] | str] = {}
    for tree in trees:
        for path in sorted((tree / into).rglob("*")):
            inside = path.relative_to(tree / into).as_posix()
            if path.is_symlink():
                found[inside] = str(path.readlink())
            elif path.is_file():
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                found[inside] = (sha256, bool(path.stat().st_mode & 0o100))
    return found
