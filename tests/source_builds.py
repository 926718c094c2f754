"""Locking what has to be built from source, against an index of a test's own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from pypi_index_server import Index

from reprolake.options import load_options
from reprolake.pipeline import Request, Session, obtain_image, obtain_lock, open_session
from reprolake_builder.debs.signed_base import base_key
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.packages import wheel_key
from reprolake_builder.image import HOME
from reprolake_builder.progress import SILENT
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import ImageRoot, SandboxSpec

CACHE = Path(__file__).parent.parent / ".cache" / "tests"
AS_OF = "2024-06-01"


def session_on(store: Path, index: Index | None = None):
    options = load_options(os.environ, str(store))
    if index is not None:
        uv = {**options.site.uv_environment, "UV_INDEX": index.url}
        options = dataclasses.replace(options, site=dataclasses.replace(options.site, uv_environment=uv))
    return open_session(options, SILENT, datetime.now(UTC))


def folder(path: Path, **files: str) -> str:
    """Write files; in names two underscores stand for a dot, three for a slash."""
    for name, text in files.items():
        target = path / name.replace("___", "/").replace("__", ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return str(path)


def locked(link: str, session: Session, python: str = "3.11", **rest) -> EnvironmentLock:
    request = Request(link=link, as_of=AS_OF, python=python, **rest)
    return obtain_lock(request, session, fresh=True).lock


def built(lock: EnvironmentLock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in lock.built}


def second_store(session: Session, path: Path) -> Path:
    """Return a store with what was fetched and laid out, and without anything that was built."""
    path.mkdir()
    for part in ("archives", "trees", "uv"):
        (path / part).symlink_to(session.tools.store.root / part)
    return path


def forget(lock: EnvironmentLock, session: Session) -> None:
    """Remove the built wheels, and what was made of them, from the store."""
    store = session.tools.store
    for wheel in (*lock.built, *((lock.project,) if lock.project else ())):
        tree = store.tree(wheel_key(wheel, lock.interpreter, base_key(lock.debian.base), store))
        for path in (store.archive(wheel.sha256), *((tree.folder,) if tree else ())):
            assert store.discard(path)


def run_python(obtained, session: Session, code: str) -> str:
    """Return what a Python program puts out in the image."""
    image = obtain_image(obtained, session)
    store = session.tools.store
    with store.scratch() as scratch, (scratch / "out").open("w+b") as out:
        running = Bubblewrap().start(
            SandboxSpec(
                root=ImageRoot(tuple(store.tree(key).root for key in image.trees)),
                argv=("/opt/env/bin/python", "-c", code),
                env=image.env,
                home=HOME,
            ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        status = running.wait(60)
        out.seek(0)
        text = out.read().decode()
    assert status == 0, text
    return text
