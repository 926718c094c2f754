"""A conda package becomes files below the prefix, as conda would lay them out, without running any of it.

The archive's members are put aside under numbers first: a package tells only at its end, or in another part of it, what is to
become of them. No name from an archive is used before it was checked, and links are made when everything else lies there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reprolake_builder.archives.conda import reading_conda
from reprolake_builder.archives.members import LIMITS, Member
from reprolake_builder.archives.plan import checked_path
from reprolake_builder.documents.conda import CondaPackage
from reprolake_builder.engines.conda_metadata import (
    LONGEST,
    NEEDED,
    Laid,
    PathEntry,
    Told,
    prefix_record,
    read_told,
)
from reprolake_builder.engines.conda_prefix import replaced_in_binary, replaced_in_text
from reprolake_builder.engines.shipped_bytecode import HEADER, lasting, python_of, source_of
from reprolake_builder.engines.wheel import Layout, entry_point_script
from reprolake_builder.errors import BuildError
from reprolake_builder.git_tree import TreeError, shown

_PIECE = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class _Aside:
    """A member that was put aside: its host path, and what it is."""

    on_disk: Path
    executable: bool
    sha256: str
    size: int


@dataclass(slots=True)
class _Held:
    """The members of an archive: those below info/ that are read, and the others by path."""

    info: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, _Aside] = field(default_factory=dict)
    links: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Installed:
    """What was laid out: the SHA-256 of files by path below the tree's root, and the package's own facts.

    `compiled` are sources that came with byte code.
    """

    root: Path
    prefix: str
    told: Told
    laid: list[Laid] = field(default_factory=list)
    digests: dict[bytes, bytes] = field(default_factory=dict)
    compiled: set[bytes] = field(default_factory=set)
    _folders: set[str] = field(default_factory=lambda: {""})

    def make_folder_of(self, path: str) -> None:
        """Make the folders above a path below the root."""
        missing: list[str] = []
        folder = path.rpartition("/")[0]
        while folder not in self._folders:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        for folder in reversed(missing):
            os.mkdir(f"{self.root}/{folder}", 0o755)
            self._folders.add(folder)


def unpack_conda(
    archive: Path, package: CondaPackage, root: Path, scratch: Path, layout: Layout
) -> Installed:
    """Lay the package (host path) out below `root` (host folder) and return what was installed.

    `scratch` is an empty host folder on the same file system. The package's own record is still missing: `write_prefix_record`
    adds it once byte code is there. Raises BuildError for a package that is damaged, not the locked one, or leads elsewhere.
    """
    try:
        held = _put_aside(archive, scratch)
        told = read_told(held.info, held.files.keys() | held.links.keys(), package)
        installed = Installed(root, layout.prefix, told)
        places = _places(told, held, package, layout)
        _write_entry_points(installed, package, layout, places)
        sources = _with_sources(places, held, package)
        for place, entry in places.items():
            if entry.path in held.files:
                _lay(held.files[entry.path], entry, place, installed)
            elif entry.path not in held.links:
                installed.make_folder_of(f"{layout.prefix}/{place}/")
            if place in sources:
                _make_last(place, *sources[place], installed, layout)
        for place, entry in places.items():
            if entry.path in held.links:
                _link(held.links[entry.path], entry, place, installed)
    except (TreeError, ValueError) as error:
        raise BuildError(f"{package.filename} is no sound conda package: {error}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BuildError(
            f"{package.filename} is no sound conda package: two of its entries claim {error.filename}"
        ) from error
    return installed


def _write_entry_points(
    installed: Installed, package: CondaPackage, layout: Layout, places: Collection[str]
) -> None:
    for command in installed.told.entry_points:
        name, _, target = (part.strip() for part in command.partition("="))
        text = entry_point_script(name, target, package.filename, layout)
        path = f"bin/{name}"
        if path in places:
            raise TreeError(f"two of its entries claim {path}")
        _write(installed, f"{layout.prefix}/{path}", iter([text]), executable=True)
        sha256 = installed.digests[f"{layout.prefix}/{path}".encode()].hex()
        installed.laid.append(Laid(path, "unix_python_entry_point", sha256, len(text)))


def write_prefix_record(
    installed: Installed, package: CondaPackage, made: Mapping[bytes, bytes]
) -> dict[bytes, bytes]:
    """Write the package's record for conda's programs, with the byte code that was `made`; return all digests."""
    inside = len(installed.prefix) + 1
    byte_code = [
        Laid(path.decode()[inside:], "pyc_file", sha256.hex(), _size(installed.root, path))
        for path, sha256 in sorted(made.items())
    ]
    record = prefix_record(package, installed.told.index, [*installed.laid, *byte_code])
    name = f"{installed.prefix}/conda-meta/{package.name}-{package.version}-{package.build}.json"
    _write(installed, name, iter([record]), executable=False)
    return {**installed.digests, **made}


def _size(root: Path, path: bytes) -> int:
    return os.lstat(os.fsencode(root) + b"/" + path).st_size


def _put_aside(archive: Path, scratch: Path) -> _Held:
    held = _Held()
    allowed = LIMITS.allowed(archive.stat().st_size)
    with reading_conda(archive, allowed) as members:
        for number, member in enumerate(members):
            if number >= LIMITS.entries:
                raise TreeError(f"it holds more than {LIMITS.entries} entries")
            path = checked_path(member.path).decode()
            if member.kind == "folder" or (path.startswith("info/") and path not in NEEDED):
                continue
            if path in held.files or path in held.links or path in held.info:
                raise TreeError(f"{shown(member.path)} stands in it twice")
            _put_one_aside(member, path, scratch / str(number), held)
    return held


def _put_one_aside(member: Member, path: str, on_disk: Path, held: _Held) -> None:
    if member.kind == "hard link":
        target = checked_path(member.target).decode()
        if target not in held.files:
            raise TreeError(f"{shown(member.path)} is a hard link to what is no file before it")
        first = held.files[target]
        with first.on_disk.open("rb") as stream:  # a copy: each may be changed by itself
            _copy(iter(lambda: stream.read(_PIECE), b""), on_disk)
        held.files[path] = _Aside(on_disk, first.executable, first.sha256, first.size)
    elif path in NEEDED:
        if member.kind != "file" or member.size > LONGEST:
            raise TreeError(f"{shown(member.path)} has {member.size} bytes, which none needs")
        held.info[path] = b"".join(member.pieces())
    elif member.kind == "link":
        if not member.target or b"\0" in member.target:
            raise TreeError(f"{shown(member.path)} is a symbolic link without a target")
        held.links[path] = member.target
    else:
        sha256 = _copy(member.pieces(), on_disk)
        held.files[path] = _Aside(on_disk, member.executable, sha256.hex(), member.size)


def _copy(pieces: Iterator[bytes], on_disk: Path | str, mode: int = 0o644) -> bytes:
    """Write a new file and return its SHA-256."""
    digest = hashlib.sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(on_disk, flags, mode), "wb", buffering=0) as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
    return digest.digest()


def _places(told: Told, held: _Held, package: CondaPackage, layout: Layout) -> dict[str, PathEntry]:
    """Return the package's files by where they go below the prefix. Raises TreeError where two go to one place."""
    found: dict[str, PathEntry] = {}
    for entry in told.paths:
        is_there = entry.path in held.files or entry.path in held.links
        if not is_there and entry.path_type != "directory":
            raise TreeError(f"it lists {shown(entry.path.encode())}, which it does not hold")
        place = entry.path if is_there else checked_path(entry.path.encode()).decode()
        if package.noarch == "python":
            top, _, rest = place.partition("/")
            if top == "site-packages" and rest:
                place = f"{layout.site.removeprefix(layout.prefix + '/')}/{rest}"
            elif top == "python-scripts" and rest:
                place = f"bin/{rest}"
        if place.startswith("conda-meta/") and place.endswith(".json"):
            raise TreeError(f"it brings a record of its own, {shown(place.encode())}")
        if place in found:
            raise TreeError(f"two of its files go to {shown(place.encode())}")
        found[place] = entry
    links = {place for place, entry in found.items() if entry.path in held.links}
    for place in found:
        above = place
        while above := above.rpartition("/")[0]:
            if above in links:
                raise TreeError(f"{shown(place.encode())} lies below a symbolic link of it")
    return found


def _with_sources(
    places: dict[str, PathEntry], held: _Held, package: CondaPackage
) -> dict[str, tuple[str, _Aside]]:
    """Return byte code that came with its source, with place and content of that; leave out what would not be its any more."""
    found: dict[str, tuple[str, _Aside]] = {}
    for place in [place for place in places if places[place].path in held.files]:
        source = places.get(source_of(place))
        if source is None or source.path not in held.files:
            continue
        if package.noarch == "python" or source.prefix_placeholder or places[place].prefix_placeholder:
            del places[place]
        else:
            found[place] = source_of(place), held.files[source.path]
    return found


def _lay(aside: _Aside, entry: PathEntry, place: str, installed: Installed) -> None:
    """Put one file where it belongs, with the image's prefix in it where it names one."""
    if entry.sha256 is not None and entry.sha256 != aside.sha256:
        raise TreeError(f"{shown(place.encode())} has other bytes than the package says")
    if entry.size is not None and entry.size != aside.size:
        raise TreeError(f"{shown(place.encode())} has {aside.size} bytes, and the package says {entry.size}")
    path = f"{installed.prefix}/{place}"
    if entry.prefix_placeholder is not None:
        replaced = replaced_in_binary if entry.file_mode == "binary" else replaced_in_text
        with aside.on_disk.open("rb") as stream:
            pieces = iter(lambda: stream.read(_PIECE), b"")
            changed = replaced(pieces, entry.prefix_placeholder, f"/{installed.prefix}")
            _write(installed, path, changed, executable=aside.executable)
        size = _size(installed.root, path.encode())
    else:
        installed.make_folder_of(path)
        os.rename(aside.on_disk, f"{installed.root}/{path}")  # no two files have one place
        if aside.executable:
            (installed.root / path).chmod(0o755)
        installed.digests[path.encode()] = bytes.fromhex(aside.sha256)
        size = aside.size
    sha256 = installed.digests[path.encode()].hex()
    installed.laid.append(Laid(place, "hardlink", sha256, size, entry))


def _make_last(place: str, source: str, aside: _Aside, installed: Installed, layout: Layout) -> None:
    """Change the header of byte code that lies at `place` already, so that it counts."""
    path = f"{installed.prefix}/{place}"
    with (installed.root / path).open("r+b") as stream:
        header = lasting(stream.read(HEADER), place, aside.sha256, aside.size)
        stream.seek(0)
        stream.write(header)
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").digest()
    installed.digests[path.encode()] = digest
    laid = installed.laid.pop()
    installed.laid.append(Laid(place, laid.kind, digest.hex(), laid.size, laid.entry))
    if python_of(place) == tuple(map(int, layout.minor.split("."))):
        installed.compiled.add(f"{installed.prefix}/{source}".encode())


def _link(target: bytes, entry: PathEntry, place: str, installed: Installed) -> None:
    path = f"{installed.prefix}/{place}"
    installed.make_folder_of(path)
    os.symlink(target, os.fsencode(installed.root / path))
    installed.laid.append(Laid(place, "softlink", entry=entry))


def _write(installed: Installed, path: str, pieces: Iterator[bytes], *, executable: bool) -> None:
    installed.make_folder_of(path)
    sha256 = _copy(pieces, installed.root / path, 0o755 if executable else 0o644)
    installed.digests[path.encode()] = sha256
