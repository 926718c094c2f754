"""All that a lock names, laid out: the parts that an image is stacked from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.built import ensure_built
from reprolake_builder.engines.conda import make_conda, make_history, part_name
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.environment import make_environment, script_at, starter
from reprolake_builder.engines.interpreters import Home, layout_of
from reprolake_builder.engines.layers import MAX_LAYERS, Part, order_packages
from reprolake_builder.engines.packages import Wheel, make_packages
from reprolake_builder.engines.recipes import make_recipe
from reprolake_builder.engines.standalone import make_standalone
from reprolake_builder.errors import BuildError
from reprolake_builder.image import working_folder
from reprolake_builder.process import printable
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

if TYPE_CHECKING:
    from reprolake_builder.engines.script_trees import PostBuild

_MOST_BESIDE_CONDA = 25
"""Layers for wheels in an image with conda packages, which have the rest."""
_MOST_OF_RECIPES = 20
"""Layers for the packages of recipes, which lie low because many images of a site share them."""
_ENTRY = "entry point"


@dataclass(frozen=True, slots=True)
class _Below:
    """What lies below the lock and the repository: the groups, and what goes with those two into one layer."""

    groups: tuple[tuple[Part, ...], ...]
    beside: tuple[Part, ...]

    def trees(self, repository: Tree) -> tuple[Tree, ...]:
        """Return all trees but the lock's, lowest first."""
        parts = (*(part for group in self.groups for part in group), *self.beside)
        return (*(part.tree for part in parts), repository)


def make_parts(
    lock: EnvironmentLock, repository: Tree, lock_tree: Tree, tools: Tools
) -> tuple[tuple[Part, ...], ...]:
    """Return the image's parts from the lowest, in the groups whose parts may share a layer; what the store lacks is made."""
    below = _below(lock, repository, tools)
    groups = (*below.groups, (*below.beside, Part("lock", lock_tree), Part("repository", repository)))
    if lock.post_build is None:
        return groups
    from reprolake_builder.engines.script_trees import post_build, refuse_other  # with the sandbox's proxy

    script = _post_build(lock, lock.post_build.script, below.trees(repository), lock.post_build.policy, tools)
    tree, found = post_build(script, repository, tools)
    refuse_other(lock.post_build, found)
    return (*groups, (Part("postBuild", tree),))


def pin_scripts(lock: EnvironmentLock, repository: Tree, policy: str, tools: Tools) -> EnvironmentLock:
    """Return the lock with what the scripts leave that it needs: they are run, over an image laid out for that.

    `policy` is the network of the repository's own, as `--build-network` takes it. Raises BuildError when one fails.
    """
    from reprolake_builder.engines.script_trees import home_note, post_build, set_up

    if lock.debian.unconfigured:
        fetch_debian(lock.debian, tools)
        _, pin = set_up(lock.debian, make_debian_trees(lock.debian, tools.store, tools.progress), tools)
        lock = msgspec.structs.replace(lock, set_up=pin)
    if lock.environment.post_build:
        trees = _below(lock, repository, tools).trees(repository)
        script = _post_build(lock, lock.environment.post_build, trees, policy, tools)
        _, pin = post_build(script, repository, tools)
        lock = msgspec.structs.replace(lock, post_build=pin)
        if note := home_note(pin):
            tools.progress.warn(note)
            lock = msgspec.structs.replace(lock, notes=(*lock.notes, note))
    return lock


def _post_build(
    lock: EnvironmentLock, path: str, trees: tuple[Tree, ...], policy: str, tools: Tools
) -> PostBuild:
    """Return the script at a path of the source, whose tree is the uppermost."""
    from reprolake_builder.engines.image_environment import image_variables
    from reprolake_builder.engines.script_trees import PostBuild
    from reprolake_builder.network.policy import parse

    file = script_at(path, SourceTree(lock.source, trees[-1]))
    prefix = f"/{layout_of(lock.interpreter).prefix}"
    try:
        network = parse(policy, tools.site.network_inward) if policy != "none" else None
    except ValueError as error:
        raise BuildError(
            f"{printable(path)} cannot have the network that was chosen for it: {error}",
            hint="choose one with --build-network when you lock",
        ) from error
    variables = image_variables(lock, trees, tools.store)
    return PostBuild(path, file, trees, variables, prefix, working_folder(lock.source.subdir), network)


def _below(lock: EnvironmentLock, repository: Tree, tools: Tools) -> _Below:
    fetch_debian(lock.debian, tools)
    base, system = make_debian_trees(lock.debian, tools.store, tools.progress)
    standalone, home = make_standalone(Home(lock.interpreter, base), tools)
    conda: tuple[Part, ...] = ()
    history: tuple[Part, ...] = ()
    if lock.conda is not None:
        conda, home = make_conda(lock.conda, home, tools, byte_code=lock.byte_code)
        history = (Part("conda's history", make_history(lock, lock.conda, tools.store)),)
    start = starter(lock.environment.start, SourceTree(lock.source, repository))
    environment = make_environment(lock.interpreter, tools.store, start)
    project = (lock.project,) if lock.project is not None else ()
    for wheel in (*lock.built, *project):
        ensure_built(wheel, lock, repository, tools)
    wheels: tuple[Wheel, ...] = (*lock.wheels, *lock.built)
    packages = make_packages(wheels, home, tools, byte_code=lock.byte_code)
    own = make_packages(project, home, tools, byte_code=lock.byte_code)
    requested = frozenset(wheel.name for wheel in wheels if wheel.requested)
    recipes = [make_recipe(recipe, lock, home, repository, tools) for recipe in lock.recipes]
    apart = tuple(part for recipe in recipes if recipe.is_own for part in recipe.packages)
    beside = tuple(part for recipe in recipes if not recipe.is_own for part in recipe.packages)
    most = MAX_LAYERS - (_MOST_OF_RECIPES if apart else 0)
    groups = (
        (Part(f"Debian {lock.debian.suite}", base),),
        (Part("Debian packages of apt.txt and system files", system),),
        *_set_up(lock, (base, system), tools),
        *((part,) for part in standalone),
        (Part(_ENTRY if conda else f"Python {lock.interpreter.version} environment", environment),),
        *order_packages(apart, (), _MOST_OF_RECIPES),
        *order_packages(conda, _requested(lock.conda), most - _MOST_BESIDE_CONDA),
        *order_packages((*packages, *beside), requested, _MOST_BESIDE_CONDA if conda else most),
        *((part,) for part in own),
        *((recipe.files,) for recipe in recipes),
    )
    return _Below(groups, history)


def _set_up(lock: EnvironmentLock, trees: tuple[Tree, Tree], tools: Tools) -> tuple[tuple[Part, ...], ...]:
    if lock.set_up is None:
        return ()
    from reprolake_builder.engines.script_trees import refuse_other, set_up

    tree, found = set_up(lock.debian, trees, tools)
    refuse_other(lock.set_up, found)
    return ((Part("set-up of Debian packages", tree),),)


def _requested(conda: CondaLock | None) -> frozenset[str]:
    return (
        frozenset(part_name(package) for package in conda.packages if package.requested)
        if conda
        else frozenset()
    )
