"""Where a run's inputs lie in the sandbox, and under which names: known before anything is fetched."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_runner.documents.basket import Basket, BasketItem

DATA = "/data"
INPUTS = "/data/in"
BASKET_FILE = "/data/basket.json"
BASKET_VARIABLE = "REPROLAKE_BASKET"
PARAMETERS_FILE = "/data/parameters.json"
PARAMETERS_VARIABLE = "REPROLAKE_PARAMETERS"

_LONGEST = 120  # bytes: leaves room for a suffix below the 255 of common file systems
_RESERVED = '/\\<>:"|?*'


def place(basket: Basket) -> Basket:
    """Return the basket with the sandbox path of every item that has bytes to fetch.

    The paths depend on the whole basket only, not on which of its items a run needs.
    """
    names = Names()
    items = []
    for item in basket.items:
        path = f"{INPUTS}/{names.unique(_file_name(item))}" if item.url else ""
        items.append(msgspec.structs.replace(item, path=path))
    return msgspec.structs.replace(basket, items=tuple(items))


def _file_name(item: BasketItem) -> str:
    """Return the item's name, or the end of its URL when only that has a suffix: programs go by suffixes."""
    tail = url_name(item.url)
    return tail if "." in tail and "." not in item.name else item.name


def url_name(url: str) -> str:
    """Return the last part of the URL's path, "" when it has none."""
    try:
        return unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    except ValueError:
        return ""


class Names:
    """File names given out in one folder, none of them twice, also not with other capitals."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def unique(self, name: str | bytes) -> str:
        """Return a safe file name for `name` that was not given out before."""
        safe = safe_name(name)
        folded = _folded(safe)
        if folded not in self._given:
            self._given[folded] = 1
            return safe
        stem, dot, suffix = safe.partition(".") if not safe.startswith(".") else (safe, "", "")
        while True:
            self._given[folded] += 1
            candidate = f"{stem}~{self._given[folded]}{dot}{suffix}"
            if _folded(candidate) not in self._given:
                self._given[_folded(candidate)] = 1
                return candidate


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def safe_name(name: str | bytes) -> str:
    """Return `name` as one path component that any file system, shell and terminal can bear.

    What is odd (control and direction characters, separators, bytes that are no text, a leading "-") becomes %XX. A name
    that is too long is cut and gets a piece of its hash.
    """
    raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")
    text = raw.decode("utf-8", "surrogateescape")
    safe = "".join(c if _harmless(c) else _percent(c) for c in text)
    if safe[:1] in {"-", "~", " "} or safe in {".", ".."}:
        safe = _percent(safe[0]) + safe[1:]
    if safe[-1:] == " ":
        safe = safe[:-1] + "%20"
    if len(safe.encode()) > _LONGEST:
        suffix = next((s for s in _suffixes(safe) if len(s) <= 16), "")
        digest = hashlib.sha256(raw).hexdigest()[:12]
        safe = safe.encode()[: _LONGEST - 13 - len(suffix)].decode("utf-8", "ignore") + "~" + digest + suffix
    return safe or "unnamed"


def _suffixes(name: str) -> Iterable[str]:
    """Yield the name's suffixes that are plain, the longest first: .fits.gz before .gz."""
    parts = name.split(".")[1:]
    for start in range(len(parts)):
        suffix = "." + ".".join(parts[start:])
        if suffix.isascii() and "%" not in suffix:
            yield suffix


def _harmless(char: str) -> bool:
    return char.isprintable() and char not in _RESERVED


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogateescape"))
