"""A lock whose repository holds a 2 GB file and whose environment has an 800 MB wheel."""

from __future__ import annotations

import hashlib
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from reprolake.lock_file import write_lock
from reprolake.options import load_options
from reprolake.pipeline import Request, obtain_lock, open_session
from reprolake_builder.documents.lock import WheelLock
from reprolake_builder.progress import SILENT

FILE = 2 << 30
WHEEL = 800 << 20
_PIECE = 1 << 20


def large_lock(work: Path, store: Path) -> tuple[Path, Path]:
    """Return the lock and the repository's folder (host paths); the wheel's archive is put into the store already."""
    folder = work / "large"
    folder.mkdir()
    _random_file(folder / "events.dat", FILE)
    wheel = work / "bulky-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("bulky-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: bulky\nVersion: 1.0\n")
        archive.writestr("bulky-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("bulky-1.0.dist-info/RECORD", "")
        with archive.open("bulky/data.bin", "w", force_zip64=True) as stream:
            for _ in range(WHEEL // _PIECE):
                stream.write(os.urandom(_PIECE))
    with wheel.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    with open_session(load_options(os.environ, str(store)), SILENT, datetime.now(UTC)) as session:
        with wheel.open("rb") as stream:
            session.tools.store.add_archive(iter(lambda: stream.read(_PIECE), b""), sha256, wheel.name)
        lock = obtain_lock(Request(link=str(folder)), session).lock
        bulky = WheelLock(
            name="bulky", version="1.0", filename=wheel.name, size=wheel.stat().st_size, sha256=sha256
        )
        path = work / "large.lock"
        write_lock(
            msgspec.structs.replace(lock, wheels=tuple(sorted((*lock.wheels, bulky), key=lambda w: w.name))),
            path,
        )
    wheel.unlink()
    return path, folder


def _random_file(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        for _ in range(size // _PIECE):
            stream.write(os.urandom(_PIECE))
