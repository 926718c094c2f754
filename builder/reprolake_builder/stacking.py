"""Recipes pinned beside an environment's lock.

A recipe is locked by the same stage as a repository: it is a set of demands, in an environment of its own or, with the
environment's pins as constraints, in that one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from reprolake_builder.documents.environment import Asked, EnvironmentSpec
from reprolake_builder.documents.lock import (
    DebianInterpreter,
    EnvironmentLock,
    ImagePath,
    RecipeFile,
    RecipeLock,
)
from reprolake_builder.engines.interpreters import layout_of
from reprolake_builder.errors import LockError
from reprolake_builder.image import RECIPES
from reprolake_builder.process import printable
from reprolake_builder.recipes import Recipe
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER


@dataclass(frozen=True, slots=True)
class Order:
    """What a recipe's demands are locked as: for a Python ("3.11"), as of a date ("" for now)."""

    spec: EnvironmentSpec
    python: str
    as_of: str


LockRecipe = Callable[[Order], EnvironmentLock]
"""Locks demands as a repository's would be, on the same state of Debian."""


def stacked(
    recipes: Sequence[Recipe], made: EnvironmentLock, now: datetime, lock: LockRecipe
) -> EnvironmentLock:
    """Return the lock with the recipes on it, pinned as of `now` (UTC) or the date that each names.

    Raises LockError when a recipe's packages and the environment's pins exclude each other, or two recipes do.
    """
    pinned = []
    for recipe in recipes:
        pinned.append(_lock_recipe(recipe, made, now, lock))
        made = _with_python(made, pinned[-1])
    _refuse_conflicts(pinned, made)
    return msgspec.structs.replace(made, recipes=tuple(pinned))


def _lock_recipe(recipe: Recipe, made: EnvironmentLock, now: datetime, lock: LockRecipe) -> RecipeLock:
    content, own = recipe.content, recipe.has_own
    prefix = f"{RECIPES}/{recipe.name}" if own else f"/{layout_of(made.interpreter).prefix}"
    pinned = RecipeLock(name=recipe.name, title=content.title, sha256=recipe.sha256, as_of=now, prefix=prefix)
    if content.requirements:
        try:
            found = lock(_order(recipe, made))
        except LockError as error:
            where = "by itself" if own else "beside the packages of the environment, which stay as they are"
            raise LockError(
                f"the recipe {recipe.name} cannot be had {where}: {error.message}",
                hint=error.hint,
                transient=error.transient,
            ) from error
        pinned = _with_packages(pinned, found, made, own=own)
    return _filled_in(pinned, recipe, made)


def _with_packages(
    pinned: RecipeLock, found: EnvironmentLock, made: EnvironmentLock, *, own: bool
) -> RecipeLock:
    held = set() if own else {wheel.name for wheel in made.wheels} | {wheel.name for wheel in made.built}
    interpreter = found.interpreter if own and isinstance(found.interpreter, DebianInterpreter) else None
    return msgspec.structs.replace(
        pinned,
        as_of=found.as_of,
        debian=found.debian if own and found.debian.base != made.debian.base else None,
        interpreter=interpreter,
        wheels=tuple(wheel for wheel in found.wheels if wheel.name not in held),
        built=tuple(wheel for wheel in found.built if wheel.name not in held),
    )


def _with_python(made: EnvironmentLock, recipe: RecipeLock) -> EnvironmentLock:
    """Return the lock with the Python that a recipe runs in among its Debian packages, where the environment's is another one."""
    if recipe.debian is None:
        return made
    here = {deb.name for deb in (*made.debian.base, *made.debian.extra)}
    more = [deb for deb in recipe.debian.base if deb.name not in here]
    extra = tuple(sorted((*made.debian.extra, *more), key=lambda deb: deb.name))
    return msgspec.structs.replace(made, debian=msgspec.structs.replace(made.debian, extra=extra))


def _order(recipe: Recipe, made: EnvironmentLock) -> Order:
    """Return what is locked: the recipe's demands and, in the environment, that everything there stays as it is."""
    own = recipe.has_own
    if not own and made.conda is not None:
        raise LockError(
            f"the recipe {recipe.name} puts packages into the environment, and that one is conda's",
            hint='give the recipe an environment of its own: prefix = "own"',
        )
    pins = [f"{wheel.name}=={wheel.version}" for wheel in made.wheels]
    pins += [f"{wheel.name}=={wheel.version}" for wheel in made.built]
    spec = EnvironmentSpec(
        files=(),
        requirements=tuple(Asked(text=text, origin=recipe.origin) for text in recipe.content.requirements),
        constraints=() if own else tuple(Asked(text=pin, origin="the environment") for pin in pins),
    )
    suite = made.debian.suite
    python = next(python.version for python in PYTHONS_ON_OFFER.values() if python.suite == suite)
    return Order(spec, python if own else made.interpreter.version, recipe.content.as_of or "now")


def _filled_in(pinned: RecipeLock, recipe: Recipe, made: EnvironmentLock) -> RecipeLock:
    """Return the recipe with the image's places in files, variables and the rest: @prefix@, @environment@, @python@ and @site@."""
    layout = layout_of(made.interpreter)
    places = {
        "@prefix@": pinned.prefix,
        "@environment@": f"/{layout.prefix}",
        "@python@": f"/{layout.prefix}/bin/python",
        "@site@": f"/{layout.site}",
    }

    def filled(text: str) -> str:
        for token, place in places.items():
            text = text.replace(token, place)
        return text

    content = recipe.content
    files = [
        {"path": filled(file.path), "text": filled(text), "executable": file.executable}
        for file, text in zip(content.file, recipe.texts, strict=True)
    ]
    try:
        return msgspec.structs.replace(
            pinned,
            files=msgspec.convert(files, tuple[RecipeFile, ...]),
            variables={name: filled(value) for name, value in content.variables.items()},
            labels=content.labels,
            path=msgspec.convert([filled(folder) for folder in content.path], tuple[ImagePath, ...]),
            writable=msgspec.convert([filled(folder) for folder in content.writable], tuple[ImagePath, ...]),
            command=tuple(filled(word) for word in content.command),
        )
    except msgspec.ValidationError as error:
        raise LockError(f"{recipe.origin}: {printable(str(error))}") from error


def _refuse_conflicts(recipes: Sequence[RecipeLock], made: EnvironmentLock) -> None:
    """Return when no two recipes, nor one and the repository, want one thing to be different. Raises LockError."""
    files: dict[str, tuple[str, str]] = {}
    variables = {name: ("the repository", value) for name, value in made.environment.variables.items()}
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise LockError(f"a recipe is named twice: {', '.join(names)}")
    for recipe in recipes:
        told = [(file.path, file.text, files, "the file") for file in recipe.files]
        told += [(name, value, variables, "the variable") for name, value in recipe.variables.items()]
        for name, value, known, what in told:
            other, before = known.setdefault(name, (f"the recipe {recipe.name}", value))
            if before != value:
                raise LockError(
                    f"{other} and the recipe {recipe.name} want {what} {printable(name)} to be different",
                    hint="leave one of them away, or make a recipe that holds both",
                )
