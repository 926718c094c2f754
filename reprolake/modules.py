"""Which modules an environment has: exactly where its packages are in the store, by their names where they are not."""

from __future__ import annotations

import sys
import zipfile

from reprolake.distributions import modules_of
from reprolake_builder.debs.signed_base import base_key
from reprolake_builder.documents.conda import CondaPackage
from reprolake_builder.documents.lock import BuiltWheelLock, EnvironmentLock, WheelLock
from reprolake_builder.engines.conda import conda_key, is_of_python
from reprolake_builder.engines.packages import wheel_key
from reprolake_builder.engines.wheel import telling_of
from reprolake_builder.store import Store, Tree


def provided_modules(lock: EnvironmentLock, store: Store) -> set[str]:
    """Return the names of top-level modules of the environment and of the standard library."""
    found = set(sys.stdlib_module_names) | {"__main__"}
    for wheel in (*lock.wheels, *lock.built, *((lock.project,) if lock.project else ())):
        found |= _of_wheel(wheel, lock, store)
    for package in lock.conda.packages if lock.conda is not None else ():
        found |= _of_conda(package, lock, store)
    return found


def _of_conda(package: CondaPackage, lock: EnvironmentLock, store: Store) -> set[str]:
    base = base_key(lock.debian.base)
    tree = store.tree(conda_key(package, lock.interpreter, base, store, byte_code=lock.byte_code))
    if tree is not None:
        return _in_tree(tree)
    # Not every package of conda's is one of Python: `graphviz` has a program, and no module.
    return _called(package.name) if is_of_python(package) else set()


def _of_wheel(wheel: WheelLock | BuiltWheelLock, lock: EnvironmentLock, store: Store) -> set[str]:
    base = base_key(lock.debian.base)
    tree = store.tree(wheel_key(wheel, lock.interpreter, base, store, byte_code=lock.byte_code))
    if tree is not None:
        return _in_tree(tree)
    if store.has_archive(wheel.sha256):
        with telling_of(wheel.filename), zipfile.ZipFile(store.archive(wheel.sha256)) as archive:
            return {_module(name) for name in archive.namelist()}
    return _called(wheel.name.lower())


def _called(name: str) -> set[str]:
    return {*modules_of(name), name.replace("-", "_"), name.replace("-", ".").partition(".")[0]}


def _in_tree(tree: Tree) -> set[str]:
    inside = [entry.path.decode("utf-8", "replace").partition("/site-packages/")[2] for entry in tree.entries]
    return {_module(path) for path in inside if path}


def _module(path: str) -> str:
    """Return the top-level module that a file belongs to: `numpy/x.py`, `six.py` and `_cffi.abi3.so` alike."""
    return path.split("/", 1)[0].split(".", 1)[0]
