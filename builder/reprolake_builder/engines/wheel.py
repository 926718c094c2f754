"""A wheel becomes the files of an environment, as pip would lay them out, without running any of it.

Source: Binary distribution format and Recording installed projects, packaging.python.org specifications.
"""

from __future__ import annotations

import base64
import configparser
import csv
import errno
import hashlib
import io
import lzma
import os
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from reprolake_builder.errors import BuildError
from reprolake_builder.image import PREFIX

_PIECE = (
    1 << 16
)  # bytes: of larger buffers each is a new mapping, whose pages cost more than what is done with them
_UNPACKED_LIMIT = 64 << 30  # bytes: a wheel that unpacks to more is a bomb
_MOST_FILES = 1_000_000
_LARGEST_ENTRY_POINTS = 1 << 20  # bytes
_LONGEST_NAME = 255  # bytes of a part of a path
_LONGEST_PATH = 2000  # characters
_INFO = re.compile(r"[A-Za-z0-9][\w.!+-]*\.dist-info", re.ASCII)
_COMMAND = re.compile(r"[^/\x00-\x1f\x7f]{1,200}")
_OBJECT = re.compile(r"^\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?\s*$")
_SCRIPT = """#!{prefix}/bin/python
import re
import sys
from {module} import {top}
if __name__ == "__main__":
    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])
    sys.exit({call}())
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things of one Python go; folders are relative to the tree's root. `minor` is "3.11".

    `prefix` is the environment's folder.
    """

    minor: str
    prefix: str = PREFIX.lstrip("/")

    @property
    def site(self) -> str:
        """The folder of importable packages."""
        return f"{self.prefix}/lib/python{self.minor}/site-packages"


@dataclass(slots=True)
class Installed:
    """The files of one wheel: `info` is its dist-info folder, `files` maps paths to (SHA-256, size).

    All paths are relative to `root` (host folder).
    """

    root: Path
    info: str
    files: dict[str, tuple[bytes, int]]
    _folders: set[str] = field(default_factory=set)

    def write(self, path: str, pieces: Iterator[bytes], *, executable: bool) -> None:
        """Write one file, new at this path, and remember its hash for RECORD."""
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(f"{self.root}/{folder}", exist_ok=True)
            self._folders.add(folder)
        digest, size = hashlib.sha256(), 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # The umask may take permissions away; the store gives them back.
        descriptor = os.open(f"{self.root}/{path}", flags, 0o755 if executable else 0o644)
        with open(descriptor, "wb", buffering=0) as stream:
            for piece in pieces:
                digest.update(piece)
                size += len(piece)
                stream.write(piece)
        self.files[path] = (digest.digest(), size)

    @property
    def digests(self) -> dict[bytes, bytes]:
        """The SHA-256 of each file, as trees.Filled wants it."""
        return {path.encode(): digest for path, (digest, _) in self.files.items()}


@contextmanager
def telling_of(name: str, failure: type[BuildError] = BuildError) -> Iterator[None]:
    """Turn what reading a hostile archive raises into `failure`; `name` is for its message."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
        ValueError,
        IndexError,
        struct.error,
    ) as error:
        raise failure(f"{name} is not a sound wheel: {error}") from error
    except OSError as error:
        # bzip2 raises one without a number for damaged data; a seek to before the beginning is "invalid".
        if error.errno not in {None, errno.EINVAL}:
            raise
        raise failure(f"{name} is not a sound wheel: {error}") from error


def unpack_wheel(wheel: Path, name: str, root: Path, layout: Layout) -> Installed:
    """Lay the wheel (host path) out below `root` (host folder) and return what was installed.

    RECORD is still missing: `write_record` adds it once byte code is there. `name` is the file name, for messages.
    Raises BuildError for a broken wheel or one with an entry that leaves its place.
    """
    try:
        with telling_of(name), zipfile.ZipFile(wheel) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if sum(member.file_size for member in members) > _UNPACKED_LIMIT or len(members) > _MOST_FILES:
                raise BuildError(
                    f"{name} would unpack to more than {_UNPACKED_LIMIT >> 30} GiB or {_MOST_FILES} files"
                )
            info = _dist_info(members, name)
            installed = Installed(root, f"{layout.site}/{info}", {})
            for member in members:
                if member.filename not in {f"{info}/RECORD", f"{info}/RECORD.jws", f"{info}/RECORD.p7s"}:
                    _unpack_member(archive, member, name, installed, layout)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise BuildError(f"{name} is not a sound wheel: two of its entries claim {error.filename}") from error
    _write_entry_points(installed, name, layout)
    installed.write(f"{installed.info}/INSTALLER", iter([b"reprolake\n"]), executable=False)
    return installed


def _dist_info(members: list[zipfile.ZipInfo], name: str) -> str:
    found = {member.filename.split("/")[0] for member in members if member.filename.count("/") == 1}
    infos = sorted(folder for folder in found if folder.endswith(".dist-info"))
    if len(infos) != 1:
        raise BuildError(f"{name} has {len(infos)} .dist-info folders, a wheel has one")
    if not _INFO.fullmatch(infos[0]):
        raise BuildError(f"{name} holds {infos[0]!r}, which does not name a package and its version")
    return infos[0]


def _unpack_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, installed: Installed, layout: Layout
) -> None:
    parts = member.filename.split("/")
    too_long = (
        any(len(part.encode()) > _LONGEST_NAME for part in parts) or len(member.filename) > _LONGEST_PATH
    )
    if "\\" in member.filename or any(part in {"", ".", ".."} for part in parts) or too_long:
        raise BuildError(f"{name} holds {member.filename!r}, a path that a wheel must not have")
    executable = bool(member.external_attr >> 16 & 0o111)
    with archive.open(member) as stream:
        pieces = iter(lambda: stream.read(_PIECE), b"")
        if len(parts) > 2 and parts[0].endswith(".data"):
            kind, rest = parts[1], "/".join(parts[2:])
            if kind == "scripts":
                script = _with_interpreter(pieces, layout)
                installed.write(f"{layout.prefix}/bin/{rest}", script, executable=True)
                return
            places = {
                "purelib": layout.site,
                "platlib": layout.site,
                "data": layout.prefix,
                "headers": f"{layout.prefix}/include/site/python{layout.minor}/{PurePosixPath(installed.info).name.split('-')[0]}",
            }
            if kind not in places:
                raise BuildError(f"{name} holds {member.filename!r}: {kind!r} is no installation scheme")
            installed.write(f"{places[kind]}/{rest}", pieces, executable=executable)
        else:
            installed.write(f"{layout.site}/{member.filename}", pieces, executable=executable)


def _with_interpreter(pieces: Iterator[bytes], layout: Layout) -> Iterator[bytes]:
    """Pass a script on with `#!python` replaced by the environment's interpreter."""
    first = next(pieces, b"")
    if first.startswith(b"#!python"):
        _, _, rest = first.partition(b"\n")
        first = f"#!/{layout.prefix}/bin/python\n".encode() + rest
    yield first
    yield from pieces


def _write_entry_points(installed: Installed, name: str, layout: Layout) -> None:
    path = f"{installed.info}/entry_points.txt"
    if path not in installed.files:
        return
    if installed.files[path][1] > _LARGEST_ENTRY_POINTS:
        raise BuildError(
            f"{name}: its entry_points.txt has {installed.files[path][1]} bytes, which none needs"
        )
    parser = configparser.ConfigParser(delimiters=("=",), strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string((installed.root / path).read_text("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise BuildError(f"{name}: its entry_points.txt cannot be read: {error}") from error
    for section in ("console_scripts", "gui_scripts"):
        for command, target in parser.items(section) if parser.has_section(section) else ():
            text = entry_point_script(command, target, name, layout)
            script = f"{layout.prefix}/bin/{command}"
            (installed.root / script).unlink(missing_ok=True)
            installed.write(script, iter([text]), executable=True)


def entry_point_script(command: str, target: str, name: str, layout: Layout) -> bytes:
    """Return the program that calls `target` (MODULE:FUNCTION). Raises BuildError, naming the package's file `name`."""
    matched = _OBJECT.match(target)
    if not matched or not _COMMAND.fullmatch(command) or command in {".", ".."}:
        raise BuildError(f"{name}: the entry point {command!r} = {target!r} names no function")
    module, call = matched.groups()
    text = _SCRIPT.format(prefix=f"/{layout.prefix}", module=module, top=call.split(".")[0], call=call)
    return text.encode()


def write_record(installed: Installed, byte_code: Collection[bytes], layout: Layout) -> None:
    """Write the wheel's RECORD; `byte_code`, paths below the root, is listed without hash, as pip does."""
    record = io.StringIO(newline="")
    rows = csv.writer(record, lineterminator="\n")
    tag = "cpython-" + layout.minor.replace(".", "")
    for path in sorted(installed.files):
        digest, size = installed.files[path]
        written = "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        rows.writerow((_relative(path, layout.site), written, size))
        folder, _, name = path.rpartition("/")
        made = f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"
        if name.endswith(".py") and made.encode() in byte_code:
            rows.writerow((_relative(made, layout.site), "", ""))
    rows.writerow((_relative(f"{installed.info}/RECORD", layout.site), "", ""))
    (installed.root / installed.info / "RECORD").write_bytes(record.getvalue().encode())


def _relative(path: str, site: str) -> str:
    """Return `path` relative to the folder of packages, as RECORD wants it."""
    if path.startswith(site + "/"):
        return path[len(site) + 1 :]
    return posixpath.relpath(path, site)
