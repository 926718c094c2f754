"""Conda packages and channels written by hand: the same bytes every time, and nothing of conda's own tools is needed.

Source: conda's package specification (`.conda` is CEP 16's zip of two tars, `.tar.bz2` one tar) and repodata's version 1.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from backports import zstd

PLACEHOLDER = ("/home/builder/work/_h_env" + "_placehold" * 24)[:255]
"""What stands for the prefix in packages: as long as conda-build makes it, for binaries are never made longer."""
EPOCH = datetime(2023, 1, 1, tzinfo=UTC)
_SUBDIRS = ("linux-64", "noarch")


@dataclass(frozen=True)
class File:
    """A file of a package, or with `target` a symbolic link; `prefix` is "text" or "binary" where PLACEHOLDER stands in it."""

    data: bytes = b""
    executable: bool = False
    target: str = ""
    prefix: str = ""

    @staticmethod
    def text(text: str, *, executable: bool = False) -> File:
        """Return a text, marked as having the prefix in it where it has."""
        return File(text.encode(), executable=executable, prefix="text" if PLACEHOLDER in text else "")


@dataclass(frozen=True)
class Package:
    """A conda package in the making; `timestamp` is when it was built (UTC), `more` further fields of its index.json."""

    name: str
    version: str
    files: Mapping[str, File]
    build: str = "h0_0"
    build_number: int = 0
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    noarch: str = ""
    timestamp: datetime = EPOCH
    entry_points: tuple[str, ...] = ()
    run_exports: tuple[str, ...] = ()
    form: str = ".conda"
    legacy: bool = False
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def subdir(self) -> str:
        """The folder of the channel that it lies in."""
        return "noarch" if self.noarch else "linux-64"

    @property
    def stem(self) -> str:
        """Its file name without the suffix."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def filename(self) -> str:
        """Its file name."""
        return self.stem + self.form


def write_channel(folder: Path, packages: Iterable[Package]) -> Path:
    """Write packages and indexes of a channel into `folder` and return that."""
    records: dict[str, dict[str, dict[str, object]]] = {
        subdir: {"packages": {}, "packages.conda": {}} for subdir in _SUBDIRS
    }
    for package in packages:
        data = package_bytes(package)
        path = folder / package.subdir / package.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        record = _index(package) | {
            "md5": hashlib.md5(data).hexdigest(),
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
        }
        kind = "packages.conda" if package.form == ".conda" else "packages"
        records[package.subdir][kind][package.filename] = record
    for subdir, found in records.items():
        (folder / subdir).mkdir(parents=True, exist_ok=True)
        repodata = {"info": {"subdir": subdir}, **found, "removed": [], "repodata_version": 1}
        (folder / subdir / "repodata.json").write_bytes(_json(repodata))
    return folder


def package_bytes(package: Package) -> bytes:
    """Return a package's archive."""
    content = {name: package.files[name] for name in sorted(package.files)}
    info = _info(package)
    if package.form == ".tar.bz2":
        return bz2.compress(_tar({**info, **content}))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            ("metadata.json", b'{"conda_pkg_format_version": 2}'),
            (f"pkg-{package.stem}.tar.zst", zstd.compress(_tar(content), 3)),
            (f"info-{package.stem}.tar.zst", zstd.compress(_tar(info), 3)),
        ):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def _index(package: Package) -> dict[str, object]:
    index: dict[str, object] = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": package.build_number,
        "depends": list(package.depends),
        "constrains": list(package.constrains),
        "subdir": package.subdir,
        "timestamp": int(package.timestamp.timestamp() * 1000),
        "license": "BSD-3-Clause",
        **package.more,
    }
    if package.noarch:
        return index | {"noarch": package.noarch}
    return index | {"arch": "x86_64", "platform": "linux"}


def _info(package: Package) -> dict[str, File]:
    info = {
        "info/index.json": File(_json(_index(package))),
        "info/about.json": File(_json({"summary": f"{package.name} of the tests"})),
        "info/files": File("".join(f"{name}\n" for name in sorted(package.files)).encode()),
    }
    if package.legacy:  # as conda-build wrote them before paths.json
        lines = [
            f"{PLACEHOLDER} {file.prefix} {name}\n"
            for name, file in sorted(package.files.items())
            if file.prefix
        ]
        info["info/has_prefix"] = File("".join(lines).encode())
    else:
        paths = [_path(name, file) for name, file in sorted(package.files.items())]
        info["info/paths.json"] = File(_json({"paths": paths, "paths_version": 1}))
    if package.noarch == "python":
        link = {"noarch": {"type": "python", "entry_points": list(package.entry_points)}}
        info["info/link.json"] = File(_json({**link, "package_metadata_version": 1}))
    if package.run_exports:
        info["info/run_exports.json"] = File(_json({"weak": list(package.run_exports)}))
    return info


def _path(name: str, file: File) -> dict[str, object]:
    if file.target:
        return {"_path": name, "path_type": "softlink"}
    entry: dict[str, object] = {
        "_path": name,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(file.data).hexdigest(),
        "size_in_bytes": len(file.data),
    }
    if file.prefix:
        entry |= {"prefix_placeholder": PLACEHOLDER, "file_mode": file.prefix}
    return entry


def _tar(files: Mapping[str, File]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, file in files.items():
            entry = tarfile.TarInfo(name)
            entry.mtime = int(EPOCH.timestamp())
            entry.mode = 0o755 if file.executable else 0o644
            if file.target:
                entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, file.target, 0o777
                archive.addfile(entry)
            else:
                entry.size = len(file.data)
                archive.addfile(entry, io.BytesIO(file.data))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
