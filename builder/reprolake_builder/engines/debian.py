"""The Debian part of an image: one tree with the base, one with what apt.txt adds and what concerns the whole set."""

from __future__ import annotations

import re
from pathlib import Path

from reprolake_builder.debs.archive import control_files
from reprolake_builder.debs.mirror import wanted_debs
from reprolake_builder.debs.signed_base import base_key
from reprolake_builder.documents.base import Sha256, content_hash
from reprolake_builder.documents.lock import LAYOUT, DebianLock, DebPackage
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.debian_setup import (
    SystemFacts,
    configure_base,
    configure_system,
    lay_foundations,
    write_listings,
)
from reprolake_builder.engines.debian_tree import TreeMaker
from reprolake_builder.engines.debian_unpack import unpack_all
from reprolake_builder.engines.interpreters import debian_program
from reprolake_builder.errors import BuildError, FetchError
from reprolake_builder.progress import Progress
from reprolake_builder.store import Store, Tree
from reprolake_builder.tools import Tools
from reprolake_builder.trees import Filled

_GONE = (
    "no place that is configured has these bytes any more: name one that keeps them (dated_archive), or lock again with "
    "`reprolake lock`, which takes the packages of today"
)
_PYTHON = re.compile(r"python(3\.\d+)-minimal")


def fetch_debian(lock: DebianLock, tools: Tools) -> None:
    """Bring the lock's packages into the store, unless all that is made of them is there. Raises FetchError."""
    if None not in (tools.store.tree(key) for key in _keys(lock)):
        return
    wanted = wanted_debs((*lock.base, *lock.extra), lock.releases, tools.site)
    try:
        tools.downloader.fetch_all(wanted, tools.store, tools.progress, "Fetching Debian packages")
    except FetchError as error:
        if error.transient or error.hint:
            raise
        raise FetchError(error.message, hint=_GONE) from error


def make_debian_trees(lock: DebianLock, store: Store, progress: Progress) -> tuple[Tree, Tree]:
    """Return the base's tree and the tree to lie on it: the extra packages, and the files about the whole set.

    Both are functions of the packages' hashes. What is to be made needs the packages in the store. Raises BuildError.
    """
    below, key = _keys(lock)

    def fill_base(root: Path) -> Filled:
        _refuse_missing(lock, store)
        return _fill_base(root, lock.base, store, progress)

    def fill_system(root: Path) -> Filled:
        _refuse_missing(lock, store)
        return _fill_system(root, lock, base, store, progress)

    base = store.make_tree(below, fill_base)
    return base, store.make_tree(key, fill_system)


def _keys(lock: DebianLock) -> tuple[Sha256, Sha256]:
    """Return the keys of the base's tree and of the one on it."""
    base = base_key(lock.base)
    return base, content_hash(
        {"layer": "debian system", "layout": LAYOUT, "base": base, "extra": base_key(lock.extra)}
    )


def _refuse_missing(lock: DebianLock, store: Store) -> None:
    missing = [deb.name for deb in (*lock.base, *lock.extra) if not store.has_archive(deb.sha256)]
    if missing:
        raise BuildError(f"the store lacks the Debian packages {', '.join(missing)}")


def _fill_base(root: Path, packages: tuple[DebPackage, ...], store: Store, progress: Progress) -> Filled:
    maker = TreeMaker(root)
    lay_foundations(maker)
    listings = unpack_all(packages, maker, store, progress)
    write_listings(maker, packages, listings, store)
    configure_base(maker)
    digests: dict[bytes, bytes] = {}
    for deb in packages:
        if python := _PYTHON.fullmatch(deb.name):
            with ByteCode(debian_program(root, python[1])) as byte_code:
                digests |= byte_code.compile_tree(root, (f"usr/lib/python{python[1]}",), "/")
    return Filled(maker.exceptions(), digests)


def _fill_system(root: Path, lock: DebianLock, base: Tree, store: Store, progress: Progress) -> Filled:
    maker = TreeMaker(root, base)
    listings = unpack_all(lock.extra, maker, store, progress)
    write_listings(maker, lock.extra, listings, store)
    controls = {
        deb.name: control_files(store.archive(deb.sha256))
        for deb in sorted((*lock.base, *lock.extra), key=lambda deb: deb.name)
    }
    configure_system(maker, SystemFacts(controls))
    return Filled(maker.exceptions())
