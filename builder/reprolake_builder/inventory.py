"""Everything that a lock pins, as one list: for comparing locks, for bills of materials, for bringing it along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, assert_never
from urllib.parse import quote

from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.conda import CondaPackage
from reprolake_builder.documents.lock import (
    BuiltWheelLock,
    DebianLock,
    DebPackage,
    EnvironmentLock,
    GitOrigin,
    Origin,
    RecipeLock,
    RepositoryOrigin,
    SdistOrigin,
    StandaloneInterpreter,
    WheelLock,
)

Kind = Literal["debian", "conda", "standalone", "python"]


@dataclass(frozen=True, slots=True)
class Item:
    """One package. `sha256` and `size` (bytes) are those of the file `filename`, which for a built one is the wheel.

    `purl` is its package URL, the name by which databases of vulnerabilities know it. `built_from` says in words what a
    built one was made of. `in_image` is False for what is only there while others are built; `recipe` is the one in whose
    environment it lies, "" for the image's own; `license` is "" where the lock does not know it.
    """

    kind: Kind
    name: str
    version: str
    filename: str
    sha256: Sha256
    size: int
    purl: str
    in_image: bool = True
    requested: bool = False
    built_from: str = ""
    license: str = ""
    recipe: str = ""


def items_of(lock: EnvironmentLock) -> tuple[Item, ...]:
    """Return what the lock pins, the image's packages first and each file once."""
    seen: dict[Sha256, Item] = {}
    for item in (*image_items(lock), *_build_items(lock)):
        seen.setdefault(item.sha256, item)
    return tuple(seen.values())


def image_items(lock: EnvironmentLock) -> tuple[Item, ...]:
    """Return the image's packages; one that lies in several environments stands there for each."""
    debian = lock.debian
    project = (lock.project,) if lock.project is not None else ()
    wheels: tuple[WheelLock | BuiltWheelLock, ...] = (*lock.wheels, *lock.built, *project)
    return (
        *(_deb(deb, debian.suite, in_image=True) for deb in (*debian.base, *debian.extra)),
        *(_conda(package) for package in (lock.conda.packages if lock.conda else ())),
        *((_standalone(lock.interpreter),) if isinstance(lock.interpreter, StandaloneInterpreter) else ()),
        *(_wheel(wheel, in_image=True) for wheel in wheels),
        *(item for recipe in lock.recipes for item in _of_recipe(recipe)),
    )


def _of_recipe(recipe: RecipeLock) -> Iterator[Item]:
    within = recipe.name if recipe.interpreter is not None else ""
    wheels: tuple[WheelLock | BuiltWheelLock, ...] = (*recipe.wheels, *recipe.built)
    for wheel in wheels:
        yield replace(_wheel(wheel, in_image=True), recipe=within)


def _build_items(lock: EnvironmentLock) -> Iterator[Item]:
    debian = lock.debian
    yield from (_deb(deb, debian.suite, in_image=False) for deb in debian.toolchain)
    for inner in recipe_bases(lock):
        debs = (*inner.base, *inner.extra, *inner.toolchain)
        yield from (_deb(deb, inner.suite, in_image=False) for deb in debs)
    needed: tuple[WheelLock | BuiltWheelLock, ...] = (
        *build_requirements(lock),
        *_all_built(own_wheels(lock)),
    )
    yield from (_wheel(wheel, in_image=False) for wheel in needed)


def build_items(lock: EnvironmentLock) -> tuple[Item, ...]:
    """Return what is there only while the image's packages are built."""
    inside = {item.sha256 for item in image_items(lock)}
    return tuple(item for item in items_of(lock) if item.sha256 not in inside)


def own_wheels(lock: EnvironmentLock) -> tuple[BuiltWheelLock, ...]:
    """Return the image's wheels that were built from source, those of recipes first, the repository's own package last."""
    of_recipes = (wheel for recipe in lock.recipes for wheel in recipe.built)
    return (*of_recipes, *lock.built, *((lock.project,) if lock.project is not None else ()))


def environment_wheels(lock: EnvironmentLock) -> tuple[tuple[WheelLock, ...], tuple[BuiltWheelLock, ...]]:
    """Return the wheels of the repository's environment, fetched and built ones: those of recipes that lie in it among them."""
    beside = [recipe for recipe in lock.recipes if recipe.interpreter is None]
    project = (lock.project,) if lock.project is not None else ()
    return (
        (*lock.wheels, *(wheel for recipe in beside for wheel in recipe.wheels)),
        (*lock.built, *(wheel for recipe in beside for wheel in recipe.built), *project),
    )


def recipe_bases(lock: EnvironmentLock) -> tuple[DebianLock, ...]:
    """Return the Debian packages that recipes with an environment of their own were locked with, where they are not the lock's."""
    return tuple(recipe.debian for recipe in lock.recipes if recipe.debian is not None)


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that is fetched: its file name, and its size in bytes."""

    filename: str
    size: int


def fetched(lock: EnvironmentLock) -> dict[Sha256, Archive]:
    """Return every archive that an image of this lock is made from, by SHA-256, those for builds among them.

    What was built from source is not among them, the source distributions are; git repositories are no archives.
    """
    items = {item.sha256: Archive(item.filename, item.size) for item in items_of(lock) if not item.built_from}
    return items | {
        origin.sha256: Archive(origin.filename, origin.size)
        for _, origin in origins(lock)
        if isinstance(origin, SdistOrigin)
    }


def origins(lock: EnvironmentLock) -> tuple[tuple[str, Origin], ...]:
    """Return the name of every wheel that is built, for builds of others too, and what it is built from."""
    return tuple((wheel.name, wheel.origin) for wheel in _all_built(own_wheels(lock)))


def index_wheels(lock: EnvironmentLock) -> tuple[WheelLock, ...]:
    """Return every wheel of a package index that the lock names, those for builds and of recipes among them."""
    of_recipes = (wheel for recipe in lock.recipes for wheel in recipe.wheels)
    return (*lock.wheels, *of_recipes, *build_requirements(lock))


def build_requirements(lock: EnvironmentLock) -> tuple[WheelLock, ...]:
    """Return the wheels that are only installed while others are built."""
    return tuple(needed for wheel in _all_built(own_wheels(lock)) for needed in wheel.build_requirements)


def _all_built(wheels: Iterable[BuiltWheelLock]) -> Iterator[BuiltWheelLock]:
    for wheel in wheels:
        yield wheel
        yield from _all_built(wheel.built_requirements)


def _deb(deb: DebPackage, suite: str, *, in_image: bool) -> Item:
    purl = f"pkg:deb/debian/{quote(deb.name, safe='')}@{quote(deb.version, safe='')}?arch={deb.architecture}&distro={suite}"
    filename = deb.path.rpartition("/")[2]
    return Item("debian", deb.name, deb.version, filename, deb.sha256, deb.size, purl, in_image)


def _conda(package: CondaPackage) -> Item:
    told = f"build={package.build}&channel={quote(package.channel, safe='')}&subdir={package.subdir}"
    return Item(
        kind="conda",
        name=package.name,
        version=f"{package.version} {package.build}",
        filename=package.filename,
        sha256=package.sha256,
        size=package.size,
        purl=f"pkg:conda/{package.name}@{quote(package.version, safe='')}?{told}",
        requested=package.requested,
        license=package.license,
    )


def _standalone(python: StandaloneInterpreter) -> Item:
    told = f"checksum=sha256:{python.sha256}&file_name={quote(python.filename, safe='')}"
    return Item(
        kind="standalone",
        name="cpython",
        version=python.version,
        filename=python.filename,
        sha256=python.sha256,
        size=python.size,
        purl=f"pkg:generic/cpython@{python.version}?{told}",
        license="PSF-2.0",
    )


def _wheel(wheel: WheelLock | BuiltWheelLock, *, in_image: bool) -> Item:
    origin = wheel.origin if isinstance(wheel, BuiltWheelLock) else None
    return Item(
        kind="python",
        name=wheel.name,
        version=wheel.version,
        filename=wheel.filename,
        sha256=wheel.sha256,
        size=wheel.size,
        purl=f"pkg:pypi/{wheel.name}@{quote(wheel.version, safe='')}{_where_from(origin)}",
        in_image=in_image,
        requested=wheel.requested,
        built_from=origin_in_words(origin) if origin is not None else "",
    )


def _where_from(origin: Origin | None) -> str:
    if isinstance(origin, GitOrigin):
        return f"?vcs_url={quote(f'git+{origin.source.url}@{origin.source.commit}', safe='')}"
    return ""


def origin_in_words(origin: Origin) -> str:
    """Return what a wheel was built from."""
    match origin:
        case SdistOrigin():
            return origin.filename
        case RepositoryOrigin():
            return f"./{origin.path}"
        case GitOrigin():
            return f"{origin.source.url} at {origin.source.commit[:12]}"
    assert_never(origin)
