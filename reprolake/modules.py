"""Which modules an environment has: exactly where its packages are in the store, by their names where they are not."""

from __future__ import annotations

import sys
import zipfile

from reprolake.distributions import modules_of
from reprolake_builder.debs.signed_base import base_key
from reprolake_builder.documents.lock import BuiltWheelLock, EnvironmentLock, WheelLock
from reprolake_builder.engines.packages import wheel_key
from reprolake_builder.engines.wheel import telling_of
from reprolake_builder.store import Store


def provided_modules(lock: EnvironmentLock, store: Store) -> set[str]:
    """Return the names of top-level modules of the environment and of the standard library."""
    found = set(sys.stdlib_module_names) | {"__main__"}
    for wheel in (*lock.wheels, *lock.built, *((lock.project,) if lock.project else ())):
        found |= _of_wheel(wheel, lock, store)
    return found


def _of_wheel(wheel: WheelLock | BuiltWheelLock, lock: EnvironmentLock, store: Store) -> set[str]:
    tree = store.tree(wheel_key(wheel, lock.interpreter, base_key(lock.debian.base), store))
    if tree is not None:
        inside = [
            entry.path.decode("utf-8", "replace").partition("/site-packages/")[2] for entry in tree.entries
        ]
        return {_module(path) for path in inside if path}
    if store.has_archive(wheel.sha256):
        with telling_of(wheel.filename), zipfile.ZipFile(store.archive(wheel.sha256)) as archive:
            return {_module(name) for name in archive.namelist()}
    name = wheel.name.lower()
    return {*modules_of(name), name.replace("-", "_"), name.replace("-", ".").partition(".")[0]}


def _module(path: str) -> str:
    """Return the top-level module that a file belongs to: `numpy/x.py`, `six.py` and `_cffi.abi3.so` alike."""
    return path.split("/", 1)[0].split(".", 1)[0]
