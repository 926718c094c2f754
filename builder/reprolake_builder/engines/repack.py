"""One wheel, one sequence of bytes: a built wheel is packed anew in order, without dates and without compression.

Backends write entries in the order of a directory listing and with the date of the build; both say nothing.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path

from reprolake_builder.documents.base import Sha256, file_sha256
from reprolake_builder.engines.wheel import telling_of
from reprolake_builder.errors import SourceBuildError

_DATE = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20
_UNPACKED_LIMIT = 16 << 30  # bytes


def repack_wheel(wheel: Path, packed: Path) -> Sha256:
    """Write the wheel (host path) to `packed` in its one form and return that file's SHA-256."""
    with (
        telling_of(wheel.name, SourceBuildError),
        zipfile.ZipFile(wheel) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as new,
    ):
        members = {member.filename: member for member in old.infolist() if not member.is_dir()}
        if sum(member.file_size for member in members.values()) > _UNPACKED_LIMIT:
            raise SourceBuildError(f"{wheel.name} would unpack to more than {_UNPACKED_LIMIT >> 30} GiB")
        info = {name.split("/")[0] for name in members if name.split("/")[0].endswith(".dist-info")}
        if len(info) != 1 or not any(name.endswith(".dist-info/METADATA") for name in members):
            raise SourceBuildError(f"{wheel.name} has no metadata of its own")
        record_name = f"{info.pop()}/RECORD"
        rows = [_copy(old, members[name], new) for name in sorted(members) if name != record_name]
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([*rows, (record_name, "", "")])
        new.writestr(_entry(record_name, executable=False), text.getvalue())
    return file_sha256(packed)


def _copy(old: zipfile.ZipFile, member: zipfile.ZipInfo, new: zipfile.ZipFile) -> tuple[str, str, int]:
    digest, size = hashlib.sha256(), 0
    entry = _entry(member.filename, executable=bool(member.external_attr >> 16 & 0o111))
    entry.file_size = member.file_size
    with old.open(member) as source, new.open(entry, "w") as target:
        while piece := source.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            target.write(piece)
    return (
        member.filename,
        "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode(),
        size,
    )


def _entry(name: str, *, executable: bool) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = (0o100755 if executable else 0o100644) << 16
    entry.create_system = 3  # Unix: the mode counts
    return entry
