"""Recipes: what a site stacks on any repository's environment, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec
from msgspec import Meta

from reprolake_builder.documents.base import FolderInside, Sha256, content_hash
from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import RecipeName, VariableName, VariableValue
from reprolake_builder.errors import LockError
from reprolake_builder.plain_files import open_below, open_plain
from reprolake_builder.process import printable

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
