"""The user's own files, brought along into the working folder of a run, where the repository has nothing of that name."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from reprolake_builder.process import printable
from reprolake_builder.sandboxes.interface import CopyOnWrite
from reprolake_runner.documents.run import AddedFile
from reprolake_runner.errors import StageInError
from reprolake_runner.json_value import is_text

_PIECE = 1 << 20


def add_files(files: Iterable[Path], repository: Path, folder: str, place: Path) -> tuple[AddedFile, ...]:
    """Copy `files` (host paths) below `place` (host folder, made when missing), laid out as the repository is; say what they are.

    `folder` is the working folder, relative to the repository's root. Raises StageInError.
    """
    root = os.path.realpath(repository)
    inside = os.path.relpath(os.path.realpath(os.path.join(root, folder)), root)
    made: list[AddedFile] = []
    for file in files:
        if inside.split("/")[0] == "..":
            raise StageInError(
                f"{printable(str(file))} cannot be added: the working folder {printable(folder)} leads out of the repository",
                hint="give a working folder that lies in the repository, and not behind a link",
            )
        path = os.path.normpath(os.path.join(inside, file.name))
        shown = printable(str(file))
        if not is_text(path):
            raise StageInError(f"{shown} cannot be added: its name is no UTF-8", hint="give it another name")
        if os.path.lexists(os.path.join(root, path)):
            raise StageInError(
                f"{shown} cannot be added: the repository has {printable(path)} already",
                hint="give it a name of its own",
            )
        if path in {one.path for one in made}:
            raise StageInError(f"{shown} cannot be added: another file of that name was")
        made.append(_copied(file, path, place))
    return tuple(made)


def bring(place: Path | None, view: CopyOnWrite) -> None:
    """Have the program find what lies below `place` (host folder) in its view of the repository, as its own."""
    if place is not None:
        shutil.copytree(place, view.scratch / "upper")


def _copied(file: Path, path: str, place: Path) -> AddedFile:
    target, digest, size = place / path, hashlib.sha256(), 0
    try:
        # a pipe would be waited for, a device may act
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as source:
            mode = os.fstat(source.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise StageInError(f"{printable(str(file))} is no file; --add takes files")
            for parent in reversed(target.relative_to(place).parents):
                (place / parent).mkdir(mode=0o755, exist_ok=True)
            with target.open("xb") as copy:
                while piece := source.read(_PIECE):
                    copy.write(piece)
                    digest.update(piece)
                    size += len(piece)
            target.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
    except OSError as error:
        raise StageInError(f"{printable(str(file))} cannot be added: {error.strerror}") from error
    return AddedFile(path=path, size=size, sha256=digest.hexdigest())
