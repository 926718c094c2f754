"""Binding → StagedInputs: the inputs as files in one host folder that the sandbox shows read-only at /data.

    in/<name>      the items' files, verified while they are copied
    basket.json    the basket as the notebook may see it: sandbox paths, no host paths, no credentials
    parameters.json  the parameters as one object

The files are copies: a link to the user's own file would let a mistake of ours reach it.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from reprolake_builder.documents.base import pretty
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress, Step
from reprolake_runner.basket_item import did
from reprolake_runner.documents.basket import Basket, BasketItem
from reprolake_runner.documents.run import ParameterSet, StagedInput
from reprolake_runner.errors import StageInError
from reprolake_runner.placement import (
    BASKET_FILE,
    BASKET_VARIABLE,
    INPUTS,
    PARAMETERS_FILE,
    PARAMETERS_VARIABLE,
)
from reprolake_runner.transports import TRANSPORTS
from reprolake_runner.transports.interface import Transport


@dataclass(frozen=True, slots=True)
class StagedInputs:
    """What lies ready for the run.

    `folder` (host path) belongs read-only at /data; `env` goes to the notebook's environment. `basket` is
    the normalised one; items that were not fetched have no path in it.
    """

    folder: Path
    inputs: tuple[StagedInput, ...]
    basket: Basket
    env: dict[str, str]


def stage_in(basket: Basket, needed: frozenset[str], folder: Path, progress: Progress) -> StagedInputs:
    """Copy the items of `basket` (with sandbox paths) below `folder` (empty host folder, made when missing) and verify them.

    All items that can be fetched are; those whose ids are in `needed` have to be. Raises StageInError.
    """
    chosen = [
        item for item in basket.items if item.path and (item.id in needed or _transport(item) is not None)
    ]
    without = [item for item in chosen if _transport(item) is None]
    if without:
        raise _no_transport(without[0])
    try:
        (folder / "in").mkdir(parents=True, exist_ok=True)
        staged = _fetch_all(chosen, folder, progress)
        normalised = _normalised(basket, {one.item for one in staged})
        (folder / "basket.json").write_bytes(pretty(normalised))
    except OSError as error:
        raise StageInError(
            f"the inputs could not be written to {folder}: {error.strerror}",
            hint="free some space, or choose another folder for temporary files (TMPDIR)",
        ) from error
    for one in (folder, folder / "in"):
        one.chmod(0o755)  # the notebook's user in the sandbox is another one
    (folder / "basket.json").chmod(0o644)
    left = [
        item for item in basket.items if item.kind == "file" and item.id not in {one.item for one in staged}
    ]
    if left:
        progress.note(
            printable(
                f"{len(left)} of the basket's {len(basket.items)} items cannot be fetched by this version; the first: {_shown(left[0])}"
            )
        )
    return StagedInputs(folder, tuple(staged), normalised, {BASKET_VARIABLE: BASKET_FILE})


def stage_parameters(staged: StagedInputs, parameters: ParameterSet) -> StagedInputs:
    """Return the inputs with the parameters beside them as one JSON object, for languages that we do not write.

    Raises StageInError.
    """
    place = staged.folder / PARAMETERS_FILE.rpartition("/")[2]
    try:
        place.write_bytes(msgspec.json.format(msgspec.json.encode(parameters.values), indent=2) + b"\n")
        place.chmod(0o644)
    except OSError as error:
        raise StageInError(f"the parameters could not be written to {place}: {error.strerror}") from error
    return replace(staged, env={**staged.env, PARAMETERS_VARIABLE: PARAMETERS_FILE})


def _transport(item: BasketItem) -> Transport | None:
    return TRANSPORTS.get(item.url.partition(":")[0].lower())


def _no_transport(item: BasketItem) -> StageInError:
    scheme = item.url.partition(":")[0].lower()
    return StageInError(
        printable(f"{_shown(item)} is needed, and {scheme}: URLs cannot be fetched in this version"),
        hint=f"download the file yourself and name it in the basket as a file: URL (known: {', '.join(TRANSPORTS)})",
    )


def _shown(item: BasketItem) -> str:
    return did(item) or item.name


def _fetch_all(items: Iterable[BasketItem], folder: Path, progress: Progress) -> list[StagedInput]:
    sized = [(item, TRANSPORTS[item.url.partition(":")[0].lower()]) for item in items]
    total = 0
    for item, transport in sized:
        size = transport.size(item.url)
        if size is not None and item.size is not None and size != item.size:
            raise _wrong(item, "size", f"{item.size} bytes", f"{size} bytes")
        total += size or 0
    with progress.step("Staging inputs", total or None) as step:
        return [_fetch(item, transport, folder, step) for item, transport in sized]


def _fetch(item: BasketItem, transport: Transport, folder: Path, step: Step) -> StagedInput:
    """Copy one item's bytes to its place, with the checksums taken on the way."""
    final = folder / "in" / item.path.removeprefix(INPUTS + "/")
    sums = {name: _summer(name) for name in {"sha256", *item.checksums}}
    size = 0
    # Exclusive: two items never share a name, and nothing else is in the folder.
    descriptor = os.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with open(descriptor, "wb") as stream:
        for piece in transport.pieces(item.url):
            stream.write(piece)
            for one in sums.values():
                one.update(piece)
            size += len(piece)
            step.advance(len(piece))
        os.fchmod(descriptor, 0o644)
    if item.size is not None and size != item.size:
        raise _wrong(item, "size", f"{item.size} bytes", f"{size} bytes")
    for name, promised in sorted(item.checksums.items()):
        if sums[name].hexdigest() != promised:
            raise _wrong(item, name, promised, sums[name].hexdigest())
    return StagedInput(
        item=item.id,
        name=item.name,
        source=_public(item.url),
        path=item.path,
        size=size,
        sha256=sums["sha256"].hexdigest(),
    )


class _Sum(Protocol):
    def update(self, data: bytes, /) -> object: ...

    def hexdigest(self) -> str: ...


class _Adler32:
    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def _summer(name: str) -> _Sum:
    # Weak ones are what services promise; they find damage, SHA-256 is what we record.
    make: Callable[[], _Sum] = (
        _Adler32 if name == "adler32" else lambda: hashlib.new(name, usedforsecurity=False)
    )
    return make()


def _wrong(item: BasketItem, what: str, promised: str, found: str) -> StageInError:
    return StageInError(
        printable(
            f"{_shown(item)} is not the file that the basket promises: {what} {found}, promised {promised}"
        ),
        hint="the file was changed or damaged, or the basket is out of date",
    )


def _public(url: str) -> str:
    """Return the URL as others may see it: a file of this host by its name only."""
    return "file:" + url[5:].rpartition("/")[2] if url[:5].lower() == "file:" else url


def _normalised(basket: Basket, fetched: set[str]) -> Basket:
    """Return the basket without host paths; items that are not there have no sandbox path."""
    return Basket(
        items=tuple(
            msgspec.structs.replace(
                item,
                url=_public(item.url),
                path=item.path if item.id in fetched else "",
                record=_without_host_paths(item.record),
            )
            for item in basket.items
        )
    )


def _without_host_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_host_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_host_paths(item) for item in value]
    return _public(value) if isinstance(value, str) else value
