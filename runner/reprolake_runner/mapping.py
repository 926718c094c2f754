"""Which basket items feed which parameter: globs that the user gives, and one rule that needs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from reprolake_builder.process import printable
from reprolake_runner.basket_item import did
from reprolake_runner.declared import DeclaredParameter
from reprolake_runner.documents.basket import Basket, BasketItem
from reprolake_runner.errors import BasketError, NotebookError
from reprolake_runner.notebook import Notebook
from reprolake_runner.placement import BASKET_FILE, url_name

BASKET_PARAMETERS = ("basket", "shopping_basket")
FILES_PARAMETER = "input_files"
_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class Mapped:
    """A parameter, its value, and the items that it was made from; `by_rule` when the user did not ask for it."""

    parameter: str
    value: Any
    items: tuple[BasketItem, ...]
    origin: str
    by_rule: bool = False


def map_items(
    notebook: Notebook,
    declared: Mapping[str, DeclaredParameter],
    basket: Basket | None,
    maps: tuple[str, ...],
) -> tuple[Mapped, ...]:
    """Return what the basket (with sandbox paths) gives to parameters. Raises BasketError and NotebookError."""
    asked: dict[str, Mapped] = {}
    for text in maps:
        name, pattern = parse_map(text)
        if basket is None:
            raise BasketError(f"--map {printable(text)} needs a basket", hint="add --basket FILE")
        if name in asked:
            raise NotebookError(f"--map names the parameter {printable(name)} twice")
        if notebook.parameters_cell is not None and name not in declared:
            asked[name] = Mapped(name, None, (), f"--map {text}")  # bind says which names there are
            continue
        asked[name] = _mapped(declared.get(name), name, pattern, basket)
    if basket is None:
        return ()
    by_rule = [_by_rule(declared[name], basket) for name in declared if name not in asked]
    return (*asked.values(), *(one for one in by_rule if one is not None))


def parse_map(text: str) -> tuple[str, str]:
    """Return the parameter and the pattern of a mapping as typed. Raises NotebookError when it is none."""
    name, _, pattern = text.partition("=")
    if not name or not pattern:
        raise NotebookError(
            printable(f"--map {text!r} is not of the form NAME=GLOB or NAME=ARCHIVE:GLOB"),
            hint='for example --map irf="*irf*.fits"',
        )
    return name, pattern


def _mapped(declared: DeclaredParameter | None, name: str, pattern: str, basket: Basket) -> Mapped:
    origin = f"--map {name}={pattern}"
    kind = declared.kind if declared is not None else ""
    if kind not in {"", "str", "list"}:
        raise NotebookError(
            f"{origin}: a file's path is text, and {name} takes {declared.shown if declared else kind}"
        )
    found = tuple(sorted(_matching(pattern, basket), key=lambda item: (item.name, item.path)))
    if not found or (kind != "list" and len(found) > 1):
        raise _no_match(origin, pattern, found, basket)
    bare = [item for item in found if not item.path]
    if bare:
        raise BasketError(printable(f"{origin}: {_shown(bare[0])} has no bytes that could be fetched"))
    paths = [item.path for item in found]
    return Mapped(name, paths if kind == "list" else paths[0], found, origin)


def _matching(pattern: str, basket: Basket) -> list[BasketItem]:
    """Return the items whose name, DID or file name matches; "ARCHIVE:" in front chooses among services."""
    archive, separator, rest = pattern.partition(":")
    if separator and any(item.archive == archive for item in basket.items):
        return [item for item in basket.items if item.archive == archive and _matches(rest, item)]
    return [item for item in basket.items if _matches(pattern, item)]


def _matches(pattern: str, item: BasketItem) -> bool:
    return any(fnmatchcase(name, pattern) for name in (item.name, did(item), url_name(item.url)) if name)


def _no_match(origin: str, pattern: str, found: tuple[BasketItem, ...], basket: Basket) -> BasketError:
    if found:
        return BasketError(
            printable(f"{origin}: {len(found)} items match, the parameter takes one: {_listed(found)}"),
            hint="make the pattern narrower, or give the parameter a list as its default in the notebook",
        )
    return BasketError(
        printable(f"{origin}: no item of the basket matches {pattern!r}"),
        hint=printable(f"items there: {_listed(basket.items)}"),
    )


def _listed(items: tuple[BasketItem, ...]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return (", ".join(_shown(item) for item in items[:_MAX_LISTED]) or "none") + more


def _shown(item: BasketItem) -> str:
    return did(item) or (f"{item.archive}:{item.name}" if item.archive else item.name)


def _by_rule(parameter: DeclaredParameter, basket: Basket) -> Mapped | None:
    """Fill the parameters whose names say that they want the basket; roles like "irf" are never guessed."""
    if parameter.name in BASKET_PARAMETERS:
        if parameter.kind == "list":
            return Mapped(
                parameter.name, msgspec.to_builtins(basket.items), basket.items, "basket", by_rule=True
            )
        return Mapped(parameter.name, BASKET_FILE, basket.items, "basket", by_rule=True)
    if parameter.name != FILES_PARAMETER:
        return None
    items = tuple(item for item in basket.items if item.path)
    if parameter.kind == "list":
        return Mapped(parameter.name, [item.path for item in items], items, "basket", by_rule=True)
    if len(items) != 1:
        raise BasketError(
            printable(
                f"the parameter {parameter.name} takes one file, the basket has {len(items)}: {_listed(items)}"
            ),
            hint=f"choose with --map {parameter.name}=GLOB, or make its default a list in the notebook",
        )
    return Mapped(parameter.name, items[0].path, items, "basket", by_rule=True)
