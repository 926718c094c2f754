"""Wheels that are built from source, in the sandbox: each is pinned by its content and by what made it."""

from __future__ import annotations

import csv
import email.message
import email.parser
import io
import zipfile
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from reprolake_builder.debs.signed_base import base_key
from reprolake_builder.documents.base import Document, Sha256, content_hash
from reprolake_builder.documents.lock import (
    LAYOUT,
    BuiltWheelLock,
    EnvironmentLock,
    GitOrigin,
    Origin,
    WheelLock,
)
from reprolake_builder.documents.source import GitSource
from reprolake_builder.engines.backend import BackendCall, build_system, run_backend
from reprolake_builder.engines.build_root import Ground, build_stack, for_builds
from reprolake_builder.engines.packages import make_packages, wheel_key
from reprolake_builder.engines.repack import repack_wheel
from reprolake_builder.engines.sources import Source, find_source
from reprolake_builder.errors import BuildError, SourceBuildError
from reprolake_builder.process import printable
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

_KIND = "built-wheels"
_METADATA_LIMIT = 4 << 20
_RECORD_LIMIT = 256 << 20


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """What a wheel is built from and with: `variables` is the whole environment, `met` as in BackendCall.

    `built_wheels` are build requirements that were built themselves.
    """

    origin: Origin
    source: Source
    ground: Ground
    build_wheels: tuple[WheelLock, ...]
    variables: Mapping[str, str]
    toolchain: bool = False
    met: tuple[str, ...] | None = ()
    built_wheels: tuple[BuiltWheelLock, ...] = ()


class BuiltWheel(Document, frozen=True, kw_only=True):
    """A wheel that was built: its pin, and the `Requires-Dist` lines and `Requires-Python` of its metadata."""

    lock: BuiltWheelLock
    requires: tuple[str, ...] = ()
    requires_python: str = ""


def build_wheel(order: BuildOrder, tools: Tools) -> BuiltWheel:
    """Return the wheel, which lies in the store then; what was built from the same with the same is not built again.

    Raises SourceBuildError with the backend's words, MoreAskedError when it needs more build requirements.
    """
    key = _key(order)
    known = tools.store.get(_KIND, key, BuiltWheel)
    if known is not None and tools.store.has_sound_archive(known.lock.sha256):
        return known
    stack, home = build_stack(for_builds(order.ground), tools, toolchain=order.toolchain)
    parts = make_packages((*order.build_wheels, *order.built_wheels), home, tools)
    source = order.source
    call = BackendCall(
        what=source.what,
        table=build_system(source.tree, source.path),
        workplace=source.workplace,
        trees=(*stack, *(part.tree for part in parts)),
        interpreter=order.ground.interpreter,
        variables=order.variables,
        met=order.met,
    )
    tools.progress.note(
        f"{source.what} is built from source for Python {order.ground.interpreter.version}: minutes, for large packages"
    )
    with tools.store.scratch() as scratch, tools.progress.step(f"Building {source.what}"):
        wheel = _only_wheel(run_backend(call, scratch), source.what)
        packed = scratch / wheel.name
        sha256 = repack_wheel(wheel, packed)
        with packed.open("rb") as stream:
            tools.store.add_archive(iter(lambda: stream.read(1 << 20), b""), sha256, wheel.name)
        built = _described(order, packed, sha256)
    tools.store.put(_KIND, key, built)
    return built


def ensure_built(
    wheel: BuiltWheelLock, lock: EnvironmentLock, repository: Tree, tools: Tools, prefix: str = ""
) -> None:
    """See to it that a locked wheel lies in the store, or what is made of it: build it again when it does not.

    What is installed for its build, and was built itself, is seen to before. `prefix` as in wheel_key. Raises BuildError naming the first file in it that
    came out other than it is locked.
    """
    key = wheel_key(
        wheel,
        lock.interpreter,
        base_key(lock.debian.base),
        tools.store,
        byte_code=lock.byte_code,
        prefix=prefix,
    )
    if tools.store.tree(key) is not None or tools.store.has_sound_archive(wheel.sha256):
        return
    _build_again(wheel, lock, repository, tools)


def _build_again(wheel: BuiltWheelLock, lock: EnvironmentLock, repository: Tree, tools: Tools) -> None:
    _refuse_this_host(wheel, lock)
    for needed in wheel.built_requirements:
        if not tools.store.has_sound_archive(needed.sha256):
            _build_again(needed, lock, repository, tools)
    order = BuildOrder(
        origin=wheel.origin,
        source=find_source(wheel, repository, tools),
        ground=Ground(lock.debian, lock.interpreter, lock.conda),
        build_wheels=wheel.build_requirements,
        variables=wheel.variables,
        toolchain=wheel.toolchain,
        met=None,
        built_wheels=wheel.built_requirements,
    )
    built = build_wheel(order, tools).lock
    if built.sha256 != wheel.sha256:
        raise BuildError(
            f"{wheel.filename} was built to other bytes than the lock has (SHA-256 {built.sha256[:16]}…, "
            f"locked is {wheel.sha256[:16]}…): {first_difference(built.files, wheel.files)}",
            hint="its build depends on something that the lock does not pin; `reprolake lock` makes a new lock",
        )


def _refuse_this_host(wheel: BuiltWheelLock, lock: EnvironmentLock) -> None:
    """Return when the lock may name the place that the wheel comes from: a stranger's names no repository of this host."""
    if not isinstance(wheel.origin, GitOrigin) or not wheel.origin.source.url.startswith("file:"):
        return
    if isinstance(lock.source, GitSource) and not lock.source.url.startswith("file:"):
        raise BuildError(
            f"the lock takes {wheel.name} from {wheel.origin.source.url}, a repository of this host, and is itself of {lock.source.url}",
            hint="the lock was changed by hand; make a new one with `reprolake lock`",
        )


def first_difference(built: Mapping[str, str], locked: Mapping[str, str]) -> str:
    """Return in words which is the first file that two builds of a wheel differ in."""
    for path in sorted(built.keys() | locked.keys()):
        if path not in locked:
            return f"it now holds {printable(path)}"
        if path not in built:
            return f"it no longer holds {printable(path)}"
        if built[path] != locked[path]:
            return f"the first file that differs is {printable(path)}"
    return "its files are the same, their modes or its name differ"


def _key(order: BuildOrder) -> Sha256:
    ground = for_builds(order.ground)
    debian = ground.debian
    debs = (*debian.base, *debian.extra, *(debian.toolchain if order.toolchain else ()))
    conda = {"conda": [package.sha256 for package in ground.conda.packages]} if ground.conda else {}
    return content_hash(
        {
            **conda,
            "layout": LAYOUT,
            "source": (order.source.tree.key, order.source.top, order.source.folder),
            "origin": order.origin,
            "debian": sorted(deb.sha256 for deb in debs),
            "interpreter": ground.interpreter,
            "build": [*(w.sha256 for w in order.build_wheels), *(w.sha256 for w in order.built_wheels)],
            "variables": dict(order.variables),
            "toolchain": order.toolchain,
        }
    )


def _described(order: BuildOrder, packed: Path, sha256: Sha256) -> BuiltWheel:
    metadata = _metadata(packed)
    name, version, *_ = parse_wheel_filename(packed.name)
    if (canonicalize_name(str(metadata["Name"])), _version(str(metadata["Version"]))) != (name, version):
        raise SourceBuildError(
            f"the build left {packed.name}, whose metadata is of {printable(str(metadata['Name']))[:100]} "
            f"{printable(str(metadata['Version']))[:100]}"
        )
    lock = BuiltWheelLock(
        name=name,
        version=str(version),
        filename=packed.name,
        size=packed.stat().st_size,
        sha256=sha256,
        origin=order.origin,
        build_requirements=order.build_wheels,
        built_requirements=order.built_wheels,
        toolchain=order.toolchain,
        variables=dict(order.variables),
        files=_files(packed),
    )
    return BuiltWheel(
        lock=lock,
        requires=tuple(str(line) for line in metadata.get_all("Requires-Dist", [])),
        requires_python=str(metadata.get("Requires-Python", "")),
    )


def _only_wheel(out: Path, what: str) -> Path:
    """Return the one wheel in the folder, which the backend could fill as it liked."""
    wheels = [
        path for path in out.iterdir() if path.suffix == ".whl" and path.is_file() and not path.is_symlink()
    ]
    if len(wheels) != 1:
        raise SourceBuildError(f"the build of {what} left {len(wheels)} wheels where one was expected")
    try:
        parse_wheel_filename(wheels[0].name)
    except InvalidWheelFilename as error:
        raise SourceBuildError(
            f"the build left {printable(wheels[0].name)!r}, which is no wheel's name"
        ) from error
    return wheels[0]


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _metadata(wheel: Path) -> email.message.Message:
    text = _member(wheel, ".dist-info/METADATA", _METADATA_LIMIT)
    return email.parser.Parser().parsestr(text)


def _files(wheel: Path) -> dict[str, str]:
    """Return the files that the RECORD of a wheel of our own packing lists, each with the start of its SHA-256."""
    rows = csv.reader(io.StringIO(_member(wheel, ".dist-info/RECORD", _RECORD_LIMIT)))
    return {
        path: urlsafe_b64decode(digest.removeprefix("sha256=") + "=").hex()[:16]
        for path, digest, _ in rows
        if digest
    }


def _member(wheel: Path, ending: str, limit: int) -> str:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(ending))
        with archive.open(name) as stream:
            return stream.read(limit).decode("utf-8", "replace")
