"""JSON → Basket: plain lists of files and every wrapping in which the ESAP gateway hands out its shopping basket.

Only the cart is read. A saved profile also holds the user's OIDC tokens: those keys are never looked at, and what looks
like a credential inside a record is dropped, so that a Basket can be shown to a notebook and kept with its result.
Source: esap-api-gateway, accounts/models.py and serializers.py; esap-userprofile-python-client.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reprolake_builder.documents.base import encode
from reprolake_builder.process import printable
from reprolake_runner.basket_item import item_of, without_credentials
from reprolake_runner.documents.basket import Basket, BasketItem
from reprolake_runner.errors import BasketError
from reprolake_runner.json_value import NotPlain, child, parse, plain

MAX_BYTES = 16 << 20
MAX_ITEMS = 100_000
_MAX_REPR = 1 << 20

_SHAPES = (
    'a basket is a JSON list like [{"name": "events.fits", "url": "file:events.fits"}], '
    "or an ESAP shopping basket or user profile as it was saved"
)


@dataclass(frozen=True, slots=True)
class _Raw:
    """One item as it stands in the file; `trusted` when a person wrote it, not a service."""

    path: str
    value: Any
    trusted: bool


def read_basket(data: bytes, origin: str, folder: Path) -> Basket:
    """Return the basket in `data`; items without fetchable bytes stay in it, exact repetitions do not.

    `origin` names the basket in messages; relative `file:` URLs are relative to `folder` (host path).
    A `file:` URL counts only in a list that a person wrote: a service has no business naming files of this host.
    Raises BasketError, which tells the item by its path in the JSON.
    """
    if len(data) > MAX_BYTES:
        raise BasketError(
            f"the basket {origin} has {len(data)} bytes, the limit is {MAX_BYTES}", hint=_SHAPES
        )
    try:
        value = parse(data.decode("utf-8-sig"))
        raws = _items(value)
        if len(raws) > MAX_ITEMS:
            raise NotPlain("$", f"{len(raws)} items, the limit is {MAX_ITEMS}")
        found: dict[str, BasketItem] = {}
        for raw in raws:
            # not of its credentials: an id goes to the notebook, and short passwords can be guessed from their hash
            identity = hashlib.sha256(encode(without_credentials(raw.value))).hexdigest()
            if identity not in found:
                found[identity] = item_of(raw.value, raw.path, identity[:12], folder if raw.trusted else None)
    except UnicodeDecodeError as error:
        raise BasketError(
            f"the basket {origin} is no UTF-8 text (byte {error.start})", hint=_SHAPES
        ) from error
    except NotPlain as error:
        raise BasketError(printable(f"the basket {origin} cannot be used: {error}"), hint=_SHAPES) from error
    return Basket(items=tuple(found.values()))


def _items(value: Any) -> list[_Raw]:
    """Return the items of any of the wrappings."""
    if isinstance(value, list):
        return [_unwrapped(item, f"$[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, dict):
        raise NotPlain("$", "neither a list nor an object")
    if "results" in value:
        path, profile = _profile(value["results"])
        return _cart(profile, path)
    if "shopping_cart" in value:
        return _cart(value, "$")
    if isinstance(value.get("items"), list):
        return [_unwrapped(item, f"$.items[{index}]") for index, item in enumerate(value["items"])]
    raise NotPlain("$", 'an object without "shopping_cart", "results" or "items"')


def _profile(results: Any) -> tuple[str, dict[str, Any]]:
    """Return the one user profile of a page of them, and its path."""
    if not isinstance(results, list) or not results:
        raise NotPlain("$.results", "no user profile there: the service answers so without a login")
    profiles = [(f"$.results[{n}]", one) for n, one in enumerate(results) if isinstance(one, dict)]
    carts = [(path, one) for path, one in profiles if "shopping_cart" in one]
    if len(carts) != 1:
        raise NotPlain("$.results", f"{len(carts)} shopping carts; exactly one user's can be read")
    return carts[0]


def _cart(profile: dict[str, Any], path: str) -> list[_Raw]:
    cart = profile["shopping_cart"]
    here = child(path, "shopping_cart")
    if not isinstance(cart, list):
        raise NotPlain(here, "no list")
    raws = [_unwrapped(item, f"{here}[{index}]") for index, item in enumerate(cart)]
    return [_Raw(raw.path, raw.value, trusted=False) for raw in raws]


def _unwrapped(item: Any, path: str) -> _Raw:
    """Return the item itself where it is wrapped as `item_data`: an object, or JSON or a Python literal as text."""
    if isinstance(item, str):
        return _Raw(path, {"url": item}, trusted=True)
    if not isinstance(item, dict):
        raise NotPlain(path, "an item is an object or a URL")
    if "item_data" not in item:
        return _Raw(path, item, trusted=True)
    here = child(path, "item_data")
    inner = item["item_data"]
    if isinstance(inner, str):
        inner = _decoded(inner, here)
    if not isinstance(inner, dict):
        raise NotPlain(here, "no object")
    return _Raw(here, inner, trusted=False)


def _decoded(text: str, path: str) -> Any:
    try:
        return parse(text)
    except NotPlain as error:
        if text.lstrip()[:2] not in {"{'", "{}"}:
            raise NotPlain(path, error.reason if error.path == "$" else str(error)) from error
    # Old gateways stored str(dict(...)): a Python literal, which is parsed and never evaluated.
    if len(text) > _MAX_REPR:
        raise NotPlain(path, f"a Python literal of more than {_MAX_REPR} characters")
    try:
        return plain(ast.literal_eval(text), path)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        if isinstance(error, NotPlain):
            raise
        raise NotPlain(path, "neither JSON nor a Python literal") from error
