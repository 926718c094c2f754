"""Recipes, laid out: each is packages in an environment of its own, or in the repository's, and small files above them."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import LAYOUT, EnvironmentLock, RecipeLock
from reprolake_builder.engines.built import ensure_built
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.environment import make_venv
from reprolake_builder.engines.interpreters import Home
from reprolake_builder.engines.layers import Part
from reprolake_builder.engines.packages import Wheel, make_packages
from reprolake_builder.errors import BuildError
from reprolake_builder.image import HOME, LOCK_IN_IMAGE, RECIPES, REPOSITORY, USER
from reprolake_builder.process import printable
from reprolake_builder.rootfs import shown
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools
from reprolake_builder.trees import Filled, Owned

_NOT_THEIRS = ("/proc", "/sys", "/dev", "/run", "/tmp", HOME, REPOSITORY, LOCK_IN_IMAGE)  # noqa: S108


_EXCLUSIVE = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


@dataclass(frozen=True, slots=True)
class RecipeParts:
    """A recipe's packages, and its files, which lie above the environment's."""

    packages: tuple[Part, ...]
    files: Part
    is_own: bool


def make_recipe(
    recipe: RecipeLock, lock: EnvironmentLock, home: Home, repository: Tree, tools: Tools
) -> RecipeParts:
    """Return the recipe's parts; `home` is the environment's Python. What the store lacks is made."""
    packages: tuple[Part, ...] = ()
    _refuse_places(recipe, home.base)
    if recipe.interpreter is not None:
        debian = recipe.debian or lock.debian
        fetch_debian(debian, tools)
        base, _ = make_debian_trees(debian, tools.store, tools.progress)
        home = Home(recipe.interpreter, base, prefix=recipe.prefix)
        skeleton = _skeleton(recipe, tools.store)
        packages = (Part(f"recipe {recipe.name}", skeleton),)
        lock = msgspec.structs.replace(lock, interpreter=recipe.interpreter, debian=debian)
    for wheel in recipe.built:
        ensure_built(wheel, lock, repository, tools, home.prefix)
    wheels: tuple[Wheel, ...] = (*recipe.wheels, *recipe.built)
    packages += make_packages(wheels, home, tools, byte_code=lock.byte_code)
    files = Part(f"files of recipe {recipe.name}", _files(recipe, tools.store))
    return RecipeParts(packages, files, is_own=recipe.interpreter is not None)


def _skeleton(recipe: RecipeLock, store: Store) -> Tree:
    key = content_hash(
        {"layer": "recipe", "layout": LAYOUT, "prefix": recipe.prefix, "python": recipe.interpreter}
    )

    def fill(root: Path) -> None:
        if recipe.interpreter is not None:
            make_venv(root, recipe.interpreter, recipe.prefix)

    return store.make_tree(key, fill)


def _refuse_places(recipe: RecipeLock, base: Tree) -> None:
    """Return when everything lies where a recipe's things may. Raises BuildError."""
    if recipe.interpreter is not None and recipe.prefix != f"{RECIPES}/{recipe.name}":
        raise BuildError(
            f"the recipe {recipe.name} has its environment at {printable(recipe.prefix)}, and not at {RECIPES}/{recipe.name}",
            hint="the lock was changed by hand; make a new one with `reprolake lock`",
        )
    links = {entry.path: entry.target for entry in base.entries if entry.kind == "l"}
    for path in (*(file.path for file in recipe.files), *recipe.writable):
        if any(f"{path}/".startswith(f"{place}/") for place in _NOT_THEIRS):
            raise BuildError(
                f"the recipe {recipe.name} has {printable(path)}, and that place is not a recipe's",
                hint="what a recipe has lies outside of the home folder, the repository and what is made when a container starts",
            )
        parts = path.strip("/").encode().split(b"/")
        for end in range(1, len(parts) + (path in recipe.writable)):
            place = b"/".join(parts[:end])
            if place in links:
                raise BuildError(
                    f"the recipe {recipe.name} has {printable(path)}, and in the image {shown(place)} is a link to "
                    f"{shown(links[place])[1:]}, which a folder there would hide from all programs",
                    hint="name the place that the link leads to",
                )


def _files(recipe: RecipeLock, store: Store) -> Tree:
    key = content_hash(
        {"layer": "recipe files", "layout": LAYOUT, "files": recipe.files, "writable": recipe.writable}
    )

    def fill(root: Path) -> Filled:
        try:
            for file in recipe.files:
                path = root / file.path.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.text.encode())
                path.chmod(0o755 if file.executable else 0o644)
            for folder in recipe.writable:
                (root / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in _EXCLUSIVE:
                raise
            place = os.fsencode(error.filename or b"").removeprefix(os.fsencode(root) + b"/")
            raise BuildError(
                f"the recipe {recipe.name} cannot have {shown(place)}: {error.strerror}",
                hint="one of its files stands where another one needs a folder, or a name is longer than 255 bytes",
            ) from error
        return Filled({folder.lstrip("/").encode(): Owned(0o755, *USER) for folder in recipe.writable})

    return store.make_tree(key, fill)
