"""Archives in the shape of standalone Pythons: the relocatable interpreters of the tests' conda channel, packed anew."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

from conda_channel import MAIN, channels
from conda_packages import PLACEHOLDER
from python_headers import python_headers

from reprolake_builder.archives.conda import reading_conda
from reprolake_builder.tools import Tools

_CACHE = Path(__file__).parent.parent / ".cache/tests/standalone"
MADE_AT = "/install"
"""The folder that files name which tell where Python lies, as in the real ones."""
Entry = tuple[str, bytes, int, bytes]
"""Path, kind as tar has it, mode, and content or target of a link."""


def tar_gz(entries: Iterable[Entry]) -> bytes:
    """Return an archive of these entries."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, kind, mode, content in entries:
            info = tarfile.TarInfo(path)
            info.type, info.mode = kind, mode
            if kind == tarfile.REGTYPE:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.linkname = content.decode()
                tar.addfile(info)
    return gzip.compress(packed.getvalue(), 1, mtime=0)


def name_of(version: str, day: str) -> str:
    """Return the file name of a build."""
    return f"cpython-{version}+{day}-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz"


def standalone_python(minor: str, day: str, tools: Tools) -> Path:
    """Return the archive (host path) of Debian's CPython of that version as a build of a day ("20250723"), in the day's folder."""
    channel = channels(tools)
    (package,) = (channel / MAIN / "linux-64").glob(f"python-{minor}.*.conda")
    archive = _CACHE / channel.name / day / name_of(package.name.split("-")[1], day)
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        partial = archive.with_name(f"{archive.name}.{id(archive)}")
        partial.write_bytes(tar_gz((*_entries(package), *_headers(minor, tools))))
        partial.replace(archive)
    return archive


def _entries(package: Path) -> Iterable[Entry]:
    with reading_conda(package, 1 << 32) as members:
        for member in members:
            path = f"python/{member.path.decode()}"
            if member.path.startswith(b"info/") or member.kind == "folder":
                continue
            if member.kind == "link":
                yield path, tarfile.SYMTYPE, 0o777, member.target
            else:
                content = b"".join(member.pieces()).replace(PLACEHOLDER.encode(), MADE_AT.encode())
                yield path, tarfile.REGTYPE, 0o755 if member.executable else 0o644, content
    yield "python/lib/python3/__pycache__/old.cpython-39.pyc", tarfile.REGTYPE, 0o644, b"old"


def _headers(minor: str, tools: Tools) -> Iterable[Entry]:
    for path, content in python_headers(minor, tools):
        yield f"python/{path}", tarfile.REGTYPE, 0o644, content


def downloads(folder: Path, *archives: Path, base: str = "", hashes: bool = True) -> Path:
    """Write a list of builds into a folder (host path) and return it; without `base` their addresses are files."""
    rows = {}
    for archive in archives:
        place = (
            f"{base}/{archive.parent.name}/{archive.name.replace('+', '%2B')}" if base else archive.as_uri()
        )
        rows[archive.name] = {
            "name": "cpython",
            "arch": {"family": "x86_64", "variant": None},
            "os": "linux",
            "libc": "gnu",
            "url": place,
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest() if hashes else None,
        }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "downloads.json"
    path.write_text(json.dumps(rows))
    return path
