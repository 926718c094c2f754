"""Recipes: what a site stacks on any repository's environment, read from TOML and pinned beside the environment's lock.

A recipe is locked by the same stage as a repository: it is a set of demands, in an environment of its own or, with the
environment's pins as constraints, in that one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec
from msgspec import Meta

from reprolake_builder.documents.base import FolderInside, Sha256, content_hash
from reprolake_builder.documents.environment import Asked, EnvironmentSpec
from reprolake_builder.documents.lock import (
    DebianInterpreter,
    EnvironmentLock,
    ImagePath,
    RecipeFile,
    RecipeLock,
    RecipeName,
    VariableName,
    VariableValue,
)
from reprolake_builder.engines.interpreters import layout_of
from reprolake_builder.errors import LockError
from reprolake_builder.image import RECIPES
from reprolake_builder.plain_files import open_below, open_plain
from reprolake_builder.process import printable
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER

_LARGEST = 1 << 20  # bytes


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file: its text stands in `text`, beside the recipe as `source`, or on this host where the setting says."""

    path: str
    text: str = ""
    source: str = ""
    setting: Literal["", "ca_bundle"] = ""
    executable: bool = False


class _Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """recipe.toml."""

    version: Literal[1]
    title: str
    prefix: Literal["own", "environment"] = "own"
    as_of: Annotated[str, Meta(pattern=r"^(?:\d{4}-\d{2}-\d{2})?$(?!\n)")] = ""
    requirements: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    variables: dict[VariableName, VariableValue] = {}
    labels: dict[VariableValue, VariableValue] = {}
    path: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    command: tuple[VariableValue, ...] = ()
    file: tuple[_File, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe as it was read; `texts` are those of its files, `sha256` names all of that. `origin` is for messages."""

    name: str
    origin: str
    content: _Recipe
    texts: tuple[str, ...]
    sha256: Sha256

    @property
    def apt(self) -> tuple[Asked, ...]:
        """The Debian packages that it asks for."""
        return tuple(Asked(text=name, origin=self.origin) for name in self.content.apt)

    @property
    def has_own(self) -> bool:
        """Whether it has packages in an environment of its own."""
        return self.content.prefix == "own" and bool(self.content.requirements)


@dataclass(frozen=True, slots=True)
class Order:
    """What a recipe's demands are locked as: for a Python ("3.11"), as of a date ("" for now)."""

    spec: EnvironmentSpec
    python: str
    as_of: str


LockRecipe = Callable[[Order], EnvironmentLock]
"""Locks demands as a repository's would be, on the same state of Debian."""


def find_recipe(word: str, shipped: Path, settings: dict[str, str]) -> Recipe:
    """Return a recipe by the name of one that is `shipped` (host folder), or by the host path of its file.

    `settings` are those that files can be taken from. Raises LockError.
    """
    is_path = "/" in word or word.endswith(".toml")
    path = Path(word) if is_path else shipped / f"{word}.toml"
    names = sorted(found.stem for found in shipped.glob("*.toml"))
    if not is_path and word not in names:
        raise LockError(
            f"there is no recipe {printable(word)!r}",
            hint=f"recipes: {', '.join(names)}; or the path of a file",
        )
    try:
        name = msgspec.convert(path.stem, RecipeName)
        content = msgspec.toml.decode(_text(path, hint=f"recipes: {', '.join(names)}"), type=_Recipe)
        texts = tuple(_text_of(file, path, settings) for file in content.file)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise LockError(
            f"{printable(str(path))} is no recipe: {printable(str(error))}",
            hint="docs/how-to/recipes.md says what one holds",
        ) from error
    told = content_hash([msgspec.to_builtins(content), texts])
    return Recipe(name, f"recipe {name}" if not is_path else str(path), content, texts, told)


def _text_of(file: _File, recipe: Path, settings: dict[str, str]) -> str:
    if file.setting:
        place = settings.get(file.setting, "")
        if not place:
            raise LockError(
                f"{recipe} takes {file.path} from the setting {file.setting}, which is not set",
                hint=f"set {file.setting} in reprolake.toml",
            )
        return _text(Path(place))
    if not file.source:
        return file.text
    try:
        inside = msgspec.convert(file.source, FolderInside)
    except msgspec.ValidationError as error:
        raise LockError(
            f"{printable(str(recipe))} takes {printable(file.path)} from {printable(file.source)}, which does not lie beside it",
            hint="a recipe holds its own files: copy it there, and name it by a relative path",
        ) from error
    return _text(
        recipe.parent / inside,
        lambda: open_below(recipe.parent, inside),
        hint=f"{printable(str(recipe))} takes {printable(file.path)} from there: `source` is a file beside the recipe",
    )


def _text(path: Path, opened: Callable[[], IO[bytes]] | None = None, *, hint: str = "") -> str:
    """Return the text of a plain file (host path), which is not waited for. Raises LockError."""
    told = printable(str(path))
    try:
        with opened() if opened is not None else open_plain(path.resolve()) as stream:
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise LockError(f"{told} is larger than {_LARGEST >> 20} MiB, which no file of a recipe is")
        return data.decode()
    except (OSError, ValueError, RuntimeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or printable(str(error))
        raise LockError(f"{told} cannot be read: {why}", hint=hint) from error


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
