"""A path → the root to run in instead of the store's trees: a folder as it lies there, a SIF or squashfs unpacked once.

What lies in it comes from whoever made it. That it is the image's is believed as far as it says so itself: by the lock that
every image carries.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

from reprolake.isolation import Isolated
from reprolake.options import UsageError
from reprolake.pipeline import Session
from reprolake_builder.documents.base import content_hash
from reprolake_builder.errors import SandboxError
from reprolake_builder.image import LOCK_IN_IMAGE, Image
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.handing import give
from reprolake_builder.sandboxes.interface import Bind, HostRoot, ImageRoot, Running, Sandbox, SandboxSpec
from reprolake_builder.sif import squashfs_in
from reprolake_runner.disk import lacks_room
from reprolake_runner.image_files import content
from reprolake_runner.inside import trees_of

_PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
_SHOWN = ("/usr", "/bin", "/lib", "/lib64")
_UNPACKED = "/unpacked"
_KEPT_FREE, _LOOK = 512 << 20, 0.2  # bytes; seconds
_SOME_WENT_WRONG = (
    2  # unsquashfs could not make a file as it was: in the sandbox there are no devices, nor owners
)


def with_root(chosen: Isolated, path: Path | None, image: Image, session: Session) -> Isolated:
    """Return the choice with the root at `path` (host path), and what is known of it; without a path it stays as it is.

    Raises UsageError when the root is that of another lock, SandboxError when it is none.
    """
    if path is None:
        return chosen
    shown = printable(str(path))
    folder, kind = path.resolve(), "as it lies there"
    if folder.is_file():
        folder, kind = _unpacked(folder, session, chosen.sandbox), "unpacked"
    if not (folder / "usr").is_dir():
        raise SandboxError(
            f"{shown} is no root file system: it has no /usr", hint="give the folder that holds usr"
        )
    carried = content((folder,), LOCK_IN_IMAGE)
    if carried is None:
        session.tools.progress.warn(
            f"{shown} carries no lock: whether it is the image that the lock describes is not known"
        )
        known = "unverified: it carries no lock"
    elif carried == content(trees_of(image, session.tools.store), LOCK_IN_IMAGE):
        known = "it carries the image's lock"
    else:
        raise UsageError(
            f"{shown} is the image of another lock",
            hint=f"the lock that it was made from lies in it, at {LOCK_IN_IMAGE}: give that one in place of the link",
        )
    facts = {**chosen.facts, "files": f"{shown}, {kind}; {known}"}
    return replace(chosen, root=ImageRoot((folder,)), facts=facts)


def _unpacked(file: Path, session: Session, sandbox: Sandbox) -> Path:
    """Return the host folder with the files of a SIF or squashfs, which the store keeps by the file's SHA-256."""
    offset = squashfs_in(file)
    store, progress = session.tools.store, session.tools.progress
    with file.open("rb") as stream, progress.step(f"Hashing {printable(file.name)}"):
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()

    def fill(root: Path) -> None:
        with store.scratch() as scratch, progress.step(f"Unpacking {printable(file.name)}"):
            scratch.chmod(0o711)
            for child in _unsquashed(file, offset, scratch / "out", sandbox).iterdir():
                if child.is_dir() and not child.is_symlink():
                    child.chmod(0o755)  # one that nobody may write cannot be moved
                child.rename(root / child.name)

    return store.make_tree(content_hash({"squashfs": sha256, "offset": offset}), fill).root


def _unsquashed(file: Path, offset: int, place: Path, sandbox: Sandbox) -> Path:
    """Unpack below a new host folder; the program that reads what a stranger wrote runs in the sandbox."""
    program = shutil.which("unsquashfs", path=_PROGRAMS)
    if program is None:
        raise SandboxError("unsquashfs is not installed", hint="install the package squashfs-tools")
    place.mkdir()
    spec = SandboxSpec(
        root=HostRoot(tuple(Path(one) for one in _SHOWN if Path(one).is_dir())),
        argv=(
            program,
            "-no-progress",
            "-no-xattrs",
            "-offset",
            str(offset),
            "-dest",
            f"{_UNPACKED}/root",
            "/image",
        ),
        env={"PATH": _PROGRAMS},
        binds=(Bind(file, "/image"), Bind(place, _UNPACKED, writable=True)),
    )
    with tempfile.TemporaryFile() as said:
        running = sandbox.start(spec, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            status = _watched(running, file, place)
        finally:
            running.kill()
        said.seek(0)
        words = printable(said.read(1000).decode(errors="replace").strip())
    give(place, os.geteuid())
    if status not in {0, _SOME_WENT_WRONG} or not (place / "root").is_dir():
        raise SandboxError(
            f"{printable(str(file))} cannot be unpacked: {words}", hint="see whether it is whole"
        )
    return place / "root"


def _watched(running: Running, file: Path, place: Path) -> int:
    """Wait for the end while there is room where it writes: a small file may be made to hold more than any disk."""
    while not lacks_room(place, _KEPT_FREE):
        with contextlib.suppress(subprocess.TimeoutExpired):
            return running.wait(_LOOK)
    raise SandboxError(
        f"{printable(str(file))} unpacks to more than there is room for",
        hint="choose a --store on a larger disk",
    )
