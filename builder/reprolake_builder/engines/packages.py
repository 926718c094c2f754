"""Wheels into trees, side by side; each tree is a pure function of the wheel, the interpreter and the layout."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path

from packaging.utils import canonicalize_name

from reprolake_builder.debs.signed_base import interpreter_identity
from reprolake_builder.documents.base import Sha256, content_hash
from reprolake_builder.documents.lock import LAYOUT, BuiltWheelLock, InterpreterLock, WheelLock
from reprolake_builder.download import Wanted
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.environment import minor_of
from reprolake_builder.engines.layers import Part
from reprolake_builder.engines.wheel import Layout, unpack_wheel, write_record
from reprolake_builder.errors import BuildError
from reprolake_builder.image import PREFIX
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
    wheel: Wheel, interpreter: InterpreterLock, base: Sha256, store: Store, *, byte_code: bool = True
) -> Sha256:
    """Return the key of the wheel's tree; `base` is the key of the tree that holds the interpreter."""
    return content_hash(
        {
            "layer": "wheel",
            "layout": LAYOUT,
            "archive": wheel.sha256,
            "name": wheel.name,
            "interpreter": interpreter_identity(interpreter, base, store) if byte_code else "",
            "prefix": PREFIX,
            "python": minor_of(interpreter),
        }
    )


def make_packages(
    wheels: Sequence[Wheel], interpreter: InterpreterLock, base: Tree, tools: Tools, *, byte_code: bool = True
) -> tuple[Part, ...]:
    """Return one part for each wheel, fetched if need be; a built one must lie in the store, the interpreter in `base`."""
    layout = Layout(minor_of(interpreter))
    keys = {
        wheel.name: wheel_key(wheel, interpreter, base.key, tools.store, byte_code=byte_code)
        for wheel in wheels
    }
    missing = [wheel for wheel in wheels if tools.store.tree(keys[wheel.name]) is None]
    fetch_wheels([wheel for wheel in missing if isinstance(wheel, WheelLock)], tools)
    if missing:
        # Threads do: inflating and hashing happen outside the interpreter's lock, compiling in processes of its own. There
        # are more than processors because a thread waits while its wheel is compiled.
        with (
            tools.progress.step("Laying out packages", len(missing)) as step,
            ByteCode(base.root, layout.minor) if byte_code else nullcontext() as compiler,
            ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool,
        ):
            largest_first = sorted(missing, key=lambda wheel: -wheel.size)
            jobs = [
                pool.submit(_make, wheel, keys[wheel.name], layout, compiler, tools.store)
                for wheel in largest_first
            ]
            try:
                for job in as_completed(jobs):
                    job.result()
                    step.advance()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return tuple(Part(wheel.name, _known(tools.store, keys[wheel.name], wheel)) for wheel in wheels)


def _known(store: Store, key: Sha256, wheel: Wheel) -> Tree:
    tree = store.tree(key)
    if tree is None:
        raise BuildError(
            f"the tree of {wheel.filename} vanished from the store {store.root}", hint="run the command again"
        )
    return tree


def _make(wheel: Wheel, key: Sha256, layout: Layout, compiler: ByteCode | None, store: Store) -> None:
    def fill(root: Path) -> Filled:
        if not store.has_sound_archive(wheel.sha256):
            damaged = store.archive(wheel.sha256)
            if damaged.is_relative_to(store.root):
                store.discard(damaged)
            raise BuildError(f"{damaged} was {wheel.filename} and is damaged", transient=True)
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
