"""Which sets of packages are known to be Debian's own, with the Python in them, and what that means for what is shared.

The byte code in a wheel's tree comes from the interpreter that compiled it. A lock may come from anybody and call any
package its Python, so a tree is shared between bases only when signed indexes vouched for every package of the base on this
host; what the Python of any other base made is kept for that base alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from reprolake_builder.documents.base import Sha256, content_hash
from reprolake_builder.documents.lock import (
    LAYOUT,
    CondaInterpreter,
    DebianInterpreter,
    DebPackage,
    InterpreterLock,
    StandaloneInterpreter,
)
from reprolake_builder.store import Store

_KIND = "signed-bases"


def base_key(packages: Iterable[DebPackage]) -> Sha256:
    """Return the key of the tree that holds these packages."""
    named = sorted((deb.name, deb.architecture, deb.sha256) for deb in packages)
    return content_hash({"layer": "debian base", "layout": LAYOUT, "packages": named})


def remember(packages: Iterable[DebPackage], interpreter: DebianInterpreter, store: Store) -> None:
    """Note that signed indexes vouched for these packages, one of which is the interpreter."""
    store.put(_KIND, base_key(packages), interpreter)


def interpreter_identity(interpreter: InterpreterLock, base: Sha256, store: Store) -> Sha256:
    """Return what names the interpreter in keys: its own hash where it is Debian's or runs in a base of Debian's, else one that
    no other base shares.

    A Python of conda's, or a standalone one, is in the end what its archive holds: only who names that very archive gets what it made.
    """
    vouched = store.get(_KIND, base, DebianInterpreter)
    elsewhere = isinstance(interpreter, CondaInterpreter | StandaloneInterpreter)
    if vouched == interpreter or (vouched is not None and elsewhere):
        return interpreter.sha256
    return content_hash({"base": base, "interpreter": interpreter})
