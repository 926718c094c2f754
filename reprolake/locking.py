"""A new lock from what a repository asks for: the lock stage, what is inferred, the recipes on top."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from reprolake.inferring import offer, with_inferred
from reprolake.keeping import kept_of
from reprolake.pipeline import Making, Request, Session
from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.documents.source import LocalSource
from reprolake_builder.engines.parts import pin_scripts
from reprolake_builder.git_tree import EMPTY_TREE
from reprolake_builder.lock import LockOptions, lock
from reprolake_builder.source_tree import INSIDE, SourceTree
from reprolake_builder.stacking import Order, stacked


def make_lock(making: Making, session: Session) -> EnvironmentLock:
    """Return a new lock, and tell the user what may make its environment other than expected."""
    tree, request, tools = making.tree, making.request, session.tools
    wanted = tuple(asked for recipe in making.recipes for asked in recipe.apt)
    spec = msgspec.structs.replace(making.spec, apt=(*making.spec.apt, *wanted))
    options = LockOptions(
        now=session.now,
        python=request.python,
        as_of=request.as_of,
        overrides=_overrides(request),
        apt=request.apt,
        byte_code=request.byte_code,
        kept=kept_of(request, session),
    )

    def again(more: EnvironmentSpec) -> EnvironmentLock:
        return lock(tree, more, options, tools)

    made = again(spec)
    if request.infer:
        made = with_inferred(made, tree, again, tools)
    elif sentence := offer(made, tree, tools.store):
        tools.progress.warn(sentence)
    if making.recipes:
        made = stacked(
            making.recipes, made, session.now, partial(_lock_demands, session=session, request=request)
        )
    for note in made.notes:
        tools.progress.warn(note)
    return pin_scripts(made, tree.tree, request.build_network or "none", tools)


def _lock_demands(order: Order, session: Session, request: Request) -> EnvironmentLock:
    """Return the lock of demands that no repository makes: an empty folder's."""
    options = LockOptions(
        now=session.now, python=order.python, as_of=order.as_of, apt=request.apt, byte_code=request.byte_code
    )
    source = LocalSource(path="", tree=EMPTY_TREE.hex(), date=session.now, date_is="now")

    def fill(root: Path) -> None:
        (root / INSIDE).mkdir()

    tree = session.tools.store.make_tree(content_hash({"layer": "empty source"}), fill)
    return lock(SourceTree(source, tree), order.spec, options, session.tools)


def _overrides(request: Request) -> tuple[str, ...]:
    """Return the options, beside those that the lock stage knows, that made this lock another one."""
    return (
        *(f"--ignore {path}" for path in request.ignore),
        *(f"--extra {name}" for name in request.extras),
        *(f"--group {name}" for name in request.groups),
        *(() if request.default_groups else ("--no-default-groups",)),
        *(("--infer",) if request.infer else ()),
        *((f"--build-network {request.build_network}",) if request.build_network else ()),
        *(f"--recipe {Path(word).name}" for word in request.recipes),
    )
