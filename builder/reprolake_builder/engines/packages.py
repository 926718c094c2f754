"""Wheels into trees, side by side; each tree is a pure function of the wheel, the interpreter and the layout."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from packaging.utils import canonicalize_name

from reprolake_builder.debs.signed_base import interpreter_identity
from reprolake_builder.documents.base import Sha256, content_hash
from reprolake_builder.documents.lock import LAYOUT, BuiltWheelLock, InterpreterLock, WheelLock
from reprolake_builder.download import Wanted
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.interpreters import Home, layout_of
from reprolake_builder.engines.layers import Part
from reprolake_builder.engines.wheel import Layout, unpack_wheel, write_record
from reprolake_builder.errors import BuildError
from reprolake_builder.progress import Progress
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools
from reprolake_builder.trees import Filled

Wheel = WheelLock | BuiltWheelLock


def fetch_wheels(wheels: Sequence[WheelLock], tools: Tools) -> None:
    """Bring the wheels into the store, unless they are there with the right bytes."""
    missing = [wheel for wheel in wheels if not tools.store.has_sound_archive(wheel.sha256)]
    if not missing:
        return
    urls = wheel_urls(missing, tools.site, tools.store)
    wanted = [Wanted(wheel.filename, (urls[wheel.sha256],), wheel.sha256, wheel.size) for wheel in missing]
    tools.downloader.fetch_all(wanted, tools.store, tools.progress, "Fetching Python packages")


def wheel_key(
    wheel: Wheel,
    interpreter: InterpreterLock,
    base: Sha256,
    store: Store,
    *,
    byte_code: bool = True,
    prefix: str = "",
) -> Sha256:
    """Return the key of the wheel's tree in the environment at `prefix`; `base` is the key of the tree that holds the interpreter."""
    layout = layout_of(interpreter, prefix)
    return content_hash(
        {
            "layer": "wheel",
            "layout": LAYOUT,
            "archive": wheel.sha256,
            "name": wheel.name,
            "interpreter": interpreter_identity(interpreter, base, store) if byte_code else "",
            "prefix": f"/{layout.prefix}",
            "python": layout.minor,
        }
    )


def make_packages(
    wheels: Sequence[Wheel], home: Home, tools: Tools, *, byte_code: bool = True
) -> tuple[Part, ...]:
    """Return one part for each wheel, fetched if need be; a built one must lie in the store."""
    keys = {
        wheel.name: wheel_key(
            wheel, home.lock, home.base.key, tools.store, byte_code=byte_code, prefix=home.prefix
        )
        for wheel in wheels
    }
    missing = [wheel for wheel in wheels if tools.store.tree(keys[wheel.name]) is None]
    fetch_wheels([wheel for wheel in missing if isinstance(wheel, WheelLock)], tools)
    if missing:
        program = home.program if byte_code else None
        with ByteCode(program) if program else nullcontext() as compiler:
            largest_first = sorted(missing, key=lambda wheel: -wheel.size)
            side_by_side(
                [
                    partial(_make, wheel, keys[wheel.name], home.layout, compiler, tools.store)
                    for wheel in largest_first
                ],
                tools.progress,
                "Laying out packages",
            )
    return tuple(
        Part(wheel.name, known_tree(tools.store, keys[wheel.name], wheel.filename)) for wheel in wheels
    )


def side_by_side(jobs: Sequence[Callable[[], object]], progress: Progress, label: str) -> None:
    """Do all jobs; the first failure ends the call.

    Threads do: inflating and hashing happen outside the interpreter's lock, compiling in processes of its own. There are more
    than processors because a thread waits while its package is compiled.
    """
    with (
        progress.step(label, len(jobs)) as step,
        ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool,
    ):
        running = [pool.submit(job) for job in jobs]
        try:
            for job in as_completed(running):
                job.result()
                step.advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def known_tree(store: Store, key: Sha256, filename: str) -> Tree:
    """Return a tree that was there or was made just now. Raises BuildError when somebody removed it."""
    tree = store.tree(key)
    if tree is None:
        raise BuildError(
            f"the tree of {filename} vanished from the store {store.root}", hint="run the command again"
        )
    return tree


def refuse_damaged(store: Store, sha256: Sha256, filename: str) -> None:
    """Return when the archive lies in the store with the right bytes. Raises BuildError, transient, and removes another one."""
    if not store.has_sound_archive(sha256):
        damaged = store.archive(sha256)
        if damaged.is_relative_to(store.root):
            store.discard(damaged)
        raise BuildError(f"{damaged} was {filename} and is damaged", transient=True)


def _make(wheel: Wheel, key: Sha256, layout: Layout, compiler: ByteCode | None, store: Store) -> None:
    def fill(root: Path) -> Filled:
        refuse_damaged(store, wheel.sha256, wheel.filename)
        installed = unpack_wheel(store.archive(wheel.sha256), wheel.filename, root, layout)
        found = installed.info.rpartition("/")[2]
        if not canonicalize_name(found).startswith(f"{canonicalize_name(wheel.name)}-"):
            raise BuildError(
                f"the lock says that {wheel.filename} is {wheel.name}, and it holds {found}",
                hint="the lock was changed by hand; make a new one with `reprolake lock`",
            )
        compiled = compiler.compile_tree(root, (layout.site,), "/") if compiler is not None else {}
        write_record(installed, compiled, layout)
        return Filled(digests=installed.digests | compiled)

    store.make_tree(key, fill)
