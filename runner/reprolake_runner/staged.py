"""The staged result as a value: its name, how long it is kept, and whether it is still what was staged."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import msgspec

from reprolake_builder.documents.base import decode
from reprolake_builder.plain_files import open_plain
from reprolake_builder.process import printable
from reprolake_runner.documents.run import Manifest, RunRecord
from reprolake_runner.errors import StageOutError

MANIFEST = "manifest.json"
RECORD = "run.json"
CRATE = "ro-crate-metadata.json"
PAGE = "index.html"

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
_RUN_ID = re.compile(f"[{_ALPHABET}]{{26}}")
_LIFETIME = re.compile(r"([1-9][0-9]{0,5})([hdw])")
_LONGEST = timedelta(days=36525)
_LARGEST_DOCUMENT = 256 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class StagedResult:
    """A result in its place: `folder` is a host path."""

    folder: Path
    record: RunRecord
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CheckedResult:
    """A staged result as found: files that are `missing`, `changed` or `unlisted` (paths relative to it)."""

    staged: StagedResult
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    unlisted: tuple[str, ...]

    @property
    def intact(self) -> bool:
        """Whether the result is what was staged, with nothing added."""
        return not (self.missing or self.changed or self.unlisted)


def new_run_id() -> str:
    """Return 26 random characters (130 bits): nobody guesses the name of another's result."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(26))


def is_run_id(text: str) -> bool:
    """Whether `text` is of the form of a run's id, and so a safe name of a folder."""
    return _RUN_ID.fullmatch(text) is not None


def parse_lifetime(text: str) -> timedelta | None:
    """Return how long a result is kept, None for "never" to expire.

    The form is a number of hours, days or weeks: 12h, 30d, 4w; at most a hundred years. Raises ValueError.
    """
    if text == "never":
        return None
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{printable(text)!r} is no lifetime: give hours, days or weeks, like 12h, 30d, 4w, or never"
        )
    unit = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[match[2]]
    lifetime = int(match[1]) * unit
    if lifetime > _LONGEST:
        raise ValueError(f"{text} is longer than a hundred years; say never")
    return lifetime


def read_result(folder: Path) -> CheckedResult:
    """Return the staged result in a host folder, every file of it compared with the manifest.

    Raises StageOutError when there is no manifest or no run record: then it is no whole result.
    """
    manifest = _document(folder, MANIFEST, Manifest)
    record = _document(folder, RECORD, RunRecord)
    missing, changed = [], []
    listed = {MANIFEST}
    for file in manifest.files:
        listed.add(file.path)
        found = _fingerprint(folder, file.path)
        if found is None:
            missing.append(file.path)
        elif found != (file.size, file.sha256):
            changed.append(file.path)
    unlisted = sorted(_present(folder) - listed)
    staged = StagedResult(folder, record, manifest)
    return CheckedResult(staged, tuple(missing), tuple(changed), tuple(unlisted))


def _document(folder: Path, name: str, kind: type[D]) -> D:
    path = folder / name
    try:
        with open_plain(path) as stream:
            if os.fstat(stream.fileno()).st_size > _LARGEST_DOCUMENT:
                raise StageOutError(f"{path} is larger than {_LARGEST_DOCUMENT} bytes, which none of ours is")
            return decode(stream.read(_LARGEST_DOCUMENT), kind)
    except FileNotFoundError as error:
        raise StageOutError(
            f"{folder} is no staged result: it has no {name}",
            hint=_nearest(folder),
        ) from error
    except (OSError, msgspec.DecodeError, RecursionError) as error:
        raise StageOutError(printable(f"{path} cannot be read: {error}")) from error


def _nearest(folder: Path) -> str:
    """Return what to give instead: the newest result in the folder when results are staged there."""
    try:
        results = [entry for entry in os.scandir(folder) if is_run_id(entry.name)]
        newest = max(results, key=lambda entry: entry.stat().st_mtime, default=None)
    except OSError:
        newest = None
    if newest is not None:
        return f"it holds staged results, the newest is {newest.path}"
    return "a staged result is the folder that `reprolake run --stage FOLDER` printed"


def _fingerprint(folder: Path, path: str) -> tuple[int, str] | None:
    """Return size and SHA-256 of a plain file below the folder; a manifest cannot make us read anything else."""
    *folders, name = path.split("/")
    if "\0" in path or {"", ".", ".."} & {*folders, name}:
        return None
    with contextlib.ExitStack() as stack:
        try:
            at = os.open(folder, _FOLDER)
            stack.callback(os.close, at)
            for part in folders:
                at = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                stack.callback(os.close, at)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            stream = stack.enter_context(open(os.open(name, flags, dir_fd=at), "rb", buffering=0))
            info = os.fstat(stream.fileno())
            if not stat.S_ISREG(info.st_mode):
                return None
            return info.st_size, hashlib.file_digest(stream, "sha256").hexdigest()
        except (OSError, ValueError):  # a name of half a surrogate pair is no file's
            return None


def _present(folder: Path) -> set[str]:
    """Return the paths of all that is there and no folder, in printable form; links to folders are not followed."""
    found = set()
    for where, folders, names in os.walk(os.fsencode(folder)):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        for name in (*names, *links):
            path = os.path.relpath(os.path.join(where, name), os.fsencode(folder))
            found.add(printable(path.decode("utf-8", "backslashreplace")))
    return found
