"""Which Python packages conda packages hold, by their own metadata, and how a resolver of Python packages hears of them.

pip knows what conda installed by the `.dist-info` that it finds, and so do we: conda's names often differ from the index's.
Source: PyPA's "Recording installed projects" and "Core metadata specifications".
"""

from __future__ import annotations

import email.parser
import io
import re
import zipfile
from collections.abc import Iterable

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, NormalizedName, canonicalize_name
from packaging.version import InvalidVersion, Version

from reprolake_builder.archives.conda import reading_conda
from reprolake_builder.archives.members import LIMITS, Member
from reprolake_builder.conda.channels import is_for_python, wanted_conda
from reprolake_builder.documents.base import Document
from reprolake_builder.documents.conda import CondaLock, CondaPackage
from reprolake_builder.errors import LockError
from reprolake_builder.git_tree import TreeError
from reprolake_builder.solvers.pypi_uv import Stand
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

LOCAL = "conda"
"""What stands behind the + of the versions that a resolver hears of: no index has such a version."""
_KIND = "conda-distributions"
_READER = 1  # raised whenever an archive would tell other distributions
_PATHS = b"info/paths.json"
_METADATA = re.compile(
    r"(?:lib/python[0-9.]+/)?site-packages/[^/]+(?:\.dist-info/METADATA|\.egg-info/PKG-INFO|\.egg-info)"
)
_LARGEST = 16 << 20  # bytes of metadata, or of the list of a package's files
_MOST = 200  # distributions in one package


class HeldDistribution(Document, frozen=True, kw_only=True):
    """A Python package in a conda package; `extras` are its Provides-Extra and Requires-Dist lines that concern extras."""

    name: str
    version: str
    extras: tuple[str, ...] = ()


class _Held(Document, frozen=True, kw_only=True):
    reader: int
    distributions: tuple[HeldDistribution, ...]


class _Paths(msgspec.Struct):
    class Entry(msgspec.Struct):
        path: str = msgspec.field(name="_path")

    paths: list[Entry]


def with_distributions(lock: CondaLock, tools: Tools) -> CondaLock:
    """Return the lock with the Python packages that its packages hold, for which these are fetched."""
    packages = [package for package in lock.packages if is_for_python(package)]
    tools.downloader.fetch_all(
        wanted_conda(packages, lock.channels, tools.site),
        tools.store,
        tools.progress,
        "Fetching conda packages",
    )
    found: dict[str, tuple[str, ...]] = {}
    for package in packages:
        held = distributions(package, tools.store)
        found[package.filename] = tuple(sorted({f"{one.name}=={one.version}" for one in held}))
    return msgspec.structs.replace(
        lock,
        packages=tuple(
            msgspec.structs.replace(package, distributions=found.get(package.filename, ()))
            for package in lock.packages
        ),
    )


def stands(lock: CondaLock, store: Store) -> tuple[Stand, ...]:
    """Return a stand-in for each Python package of a lock made by `with_distributions`; of one that lies there twice, for the last."""
    made: dict[NormalizedName, Stand] = {}
    for package in lock.packages:
        if package.distributions:
            for one in distributions(package, store):
                stand = _stand(one, store)
                made[stand.name] = stand
    return tuple(made[name] for name in sorted(made))


def distributions(package: CondaPackage, store: Store) -> tuple[HeldDistribution, ...]:
    """Return the Python packages in a conda package of the store. Raises LockError for one that cannot be read."""
    known = store.get(_KIND, package.sha256, _Held)
    if known is None or known.reader != _READER:
        archive = store.archive(package.sha256)
        try:
            with reading_conda(archive, LIMITS.allowed(archive.stat().st_size)) as members:
                known = _Held(reader=_READER, distributions=tuple(_read(members)))
        except TreeError as error:
            raise LockError(f"{package.filename} of {package.channel} cannot be read: {error}") from error
        store.put(_KIND, package.sha256, known)
    return known.distributions


def _read(members: Iterable[Member]) -> list[HeldDistribution]:
    """Return what the members say, reading no further than to the last one that the list of files promises."""
    found: dict[str, HeldDistribution] = {}
    promised: set[str] | None = None
    seen: set[str] = set()
    for member in members:
        if promised is not None and promised <= seen:
            break
        if member.kind != "file":
            continue
        if member.path == _PATHS:
            promised = _promised(_content(member))
            continue
        path = member.path.decode("utf-8", "replace")
        if _METADATA.fullmatch(path):
            seen.add(path)
            if (held := _distribution(_content(member))) is not None:
                found[held.name] = held
        if len(found) > _MOST:
            raise TreeError(f"it holds more than {_MOST} Python packages")
    return [found[name] for name in sorted(found)]


def _content(member: Member) -> bytes:
    data = bytearray()
    for piece in member.pieces():
        data += piece
        if len(data) > _LARGEST:
            raise TreeError(f"its metadata is larger than {_LARGEST >> 20} MiB")
    return bytes(data)


def _promised(data: bytes) -> set[str]:
    try:
        paths = msgspec.json.decode(data, type=_Paths).paths
    except (msgspec.DecodeError, RecursionError) as error:
        raise TreeError(f"its list of files is none: {error}") from error
    return {entry.path for entry in paths if _METADATA.fullmatch(entry.path)}


def _distribution(data: bytes) -> HeldDistribution | None:
    """Return what metadata says, None where it names nothing that a requirement could ask for."""
    fields = email.parser.HeaderParser().parsestr(data.decode("utf-8", "replace"))
    try:
        name = canonicalize_name(str(fields.get("Name", "")).strip(), validate=True)
        version = str(Version(str(fields.get("Version", ""))))
    except (InvalidName, InvalidVersion):
        return None
    extras = [f"Provides-Extra: {line.strip()}" for line in map(str, fields.get_all("Provides-Extra", []))]
    extras += [
        f"Requires-Dist: {line}" for line in filter(None, map(_of_extra, fields.get_all("Requires-Dist", [])))
    ]
    return HeldDistribution(
        name=name, version=version, extras=tuple(line for line in extras if line.isprintable())
    )


def _of_extra(line: object) -> str:
    """Return a requirement that only an extra makes, "" for others: conda has seen to those."""
    try:
        requirement = Requirement(str(line))
    except InvalidRequirement:
        return ""
    return str(requirement) if "extra" in str(requirement.marker or "") else ""


def _stand(held: HeldDistribution, store: Store) -> Stand:
    """Return the wheel that stands for a Python package: its metadata, the same bytes every time."""
    version = Version(held.version)
    told = held.version if version.local else f"{held.version}+{LOCAL}"
    name = canonicalize_name(held.name)
    stem = f"{name.replace('-', '_')}-{told}"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {told}", *held.extras, ""]
    wheel = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n"
    files = {"METADATA": "\n".join(metadata), "WHEEL": wheel, "RECORD": ""}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{file}", (1980, 1, 1, 0, 0, 0)), text)
    sha256 = store.keep_archive(iter((buffer.getvalue(),)), lambda _: None)
    return Stand(name, told, f"{stem}-py2.py3-none-any.whl", sha256)
