"""All that a lock names, laid out: the parts that an image is stacked from."""

from __future__ import annotations

from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.built import ensure_built
from reprolake_builder.engines.conda import make_conda, make_history, part_name
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.environment import make_environment
from reprolake_builder.engines.interpreters import Home
from reprolake_builder.engines.layers import MAX_LAYERS, Part, order_packages
from reprolake_builder.engines.packages import Wheel, make_packages
from reprolake_builder.engines.recipes import make_recipe
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

_MOST_BESIDE_CONDA = 25
"""Layers for wheels in an image with conda packages, which have the rest."""
_MOST_OF_RECIPES = 20
"""Layers for the packages of recipes, which lie low because many images of a site share them."""
_ENTRY = "entry point"


def make_parts(
    lock: EnvironmentLock, repository: Tree, lock_tree: Tree, tools: Tools
) -> tuple[tuple[Part, ...], ...]:
    """Return the image's parts from the lowest, in the groups whose parts may share a layer; what the store lacks is made."""
    fetch_debian(lock.debian, tools)
    base, system = make_debian_trees(lock.debian, tools.store, tools.progress)
    home = Home(lock.interpreter, base)
    conda: tuple[Part, ...] = ()
    history: tuple[Part, ...] = ()
    if lock.conda is not None:
        conda, home = make_conda(lock.conda, home, tools, byte_code=lock.byte_code)
        history = (Part("conda's history", make_history(lock, lock.conda, tools.store)),)
    environment = make_environment(lock.interpreter, tools.store)
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
    return (
        (Part(f"Debian {lock.debian.suite}", base),),
        (Part("Debian packages of apt.txt and system files", system),),
        (Part(_ENTRY if conda else f"Python {lock.interpreter.version} environment", environment),),
        *order_packages(apart, (), _MOST_OF_RECIPES),
        *order_packages(conda, _requested(lock.conda), most - _MOST_BESIDE_CONDA),
        *order_packages((*packages, *beside), requested, _MOST_BESIDE_CONDA if conda else most),
        *((part,) for part in own),
        *((recipe.files,) for recipe in recipes),
        (*history, Part("lock", lock_tree), Part("repository", repository)),
    )


def _requested(conda: CondaLock | None) -> frozenset[str]:
    return (
        frozenset(part_name(package) for package in conda.packages if package.requested) if conda else frozenset()
    )
