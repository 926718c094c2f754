"""The repository's own package: whether it gets installed, and what it asks for with the extras and groups that are chosen."""

from __future__ import annotations

from dataclasses import replace

from reprolake_builder.declarations.groups import default_groups, dependency_groups, tool_of
from reprolake_builder.declarations.heard import Given, Heard, join
from reprolake_builder.declarations.pyproject import (
    Pyproject,
    build_requirements,
    read_project,
    read_pyproject,
)
from reprolake_builder.declarations.unheard import ENVIRONMENT_YML, PIXI_TOML, declares_package
from reprolake_builder.documents.environment import Asked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.reading import refuse_unknown

_PIXI_TABLES = "pixi's tables in it are heeded by way of a pixi.lock beside it only"


def own_package(given: Given, folder: str, heard: Heard) -> Heard:
    """Return what the repository's own package asks for, when it is one that gets installed, and the groups that are chosen."""
    if heard.obeyed:
        return Heard()  # the lock has all of it
    pyproject = read_pyproject(given)
    beside = bool(heard.files)
    own = _own_demands(given, folder, pyproject, heard)
    if own.files and pyproject is not None and not pyproject.is_poetry:
        return own + _groups(given, pyproject, defaults=given.selection.defaults and not beside)
    chosen = [*(f"--extra {name}" for name in sorted(given.selection.extras))]
    chosen += [f"--group {name}" for name in sorted(given.selection.groups)]
    if chosen and not own.files and not any(path.endswith("Pipfile") for path in heard.files):
        raise DetectError(
            f"nothing here declares extras or groups, and {chosen[0]} asks for one",
            hint="they are declared in pyproject.toml or in a Pipfile",
        )
    return own


def _groups(given: Given, pyproject: Pyproject, *, defaults: bool) -> Heard:
    """Return what the chosen dependency groups of a project ask for."""
    groups = dependency_groups(pyproject)
    refuse_unknown("group", given.selection.groups, groups, pyproject.path)
    wanted = given.selection.groups | (
        default_groups(pyproject, tool_of(pyproject)) if defaults else frozenset()
    )
    texts = [text for name in sorted(wanted) for text in groups.get(name, ())]
    asked, sources = pyproject.demands(texts, given)
    return Heard(requirements=asked, sources=sources)


def _own_demands(given: Given, folder: str, pyproject: Pyproject | None, heard: Heard) -> Heard:
    """Return what the repository's own package asks for, when it is one that gets installed."""
    if heard.own:
        return _asked_for(given, pyproject, heard)
    if folder != given.base:
        return Heard()
    declaring = _declaring(given, pyproject)
    if not declaring:
        return Heard(unheard=(_unread(pyproject),)) if pyproject is not None else Heard()
    if heard.obeys_pixi:
        reason = f"{heard.files[0]} does not have this package, so pixi does not install it"
        return Heard(unheard=(UnheardFile(path=declaring[0], reason=reason, matters=False),))
    if heard.conda or any(path.endswith(ENVIRONMENT_YML) for path in heard.files):
        add = (
            "its pypi-dependencies"
            if heard.files[0].endswith(PIXI_TOML)
            else "the pip packages of environment.yml"
        )
        reason = f"{heard.files[0]} describes the environment without this package: add it to {add} (`-e .`)"
        return Heard(unheard=(UnheardFile(path=declaring[0], reason=reason, matters=True),))
    if pyproject is not None and pyproject.is_poetry:
        return _poetry(given, pyproject, heard)
    if pyproject is not None and pyproject.has_project:
        return read_project(given, pyproject, given.selection.extras, named=False)
    beside = Heard()
    if pyproject is not None and not pyproject.has_build_system:
        beside = Heard(unheard=(_unread(pyproject),))
    return beside + _scripted(declaring, pyproject, Asked(text="", origin=declaring[0]))


def _poetry(given: Given, pyproject: Pyproject, heard: Heard) -> Heard:
    """Return what a project asks for that speaks Poetry's words, alone or beside [project]."""
    from reprolake_builder.declarations.poetry import read_poetry_declaration

    alone = given if not heard.files else replace(given, selection=replace(given.selection, defaults=False))
    if not pyproject.has_project:
        return read_poetry_declaration(alone, pyproject)
    own = read_project(given, pyproject, given.selection.extras, named=False)
    return own + read_poetry_declaration(alone, pyproject, main=False)


def _asked_for(given: Given, pyproject: Pyproject | None, heard: Heard) -> Heard:
    """Return what the package asks for that requirements.txt or environment.yml names as `-e .`."""
    if pyproject is not None and pyproject.has_project:
        extras = heard.own_extras | given.selection.extras
        return read_project(given, pyproject, extras, named=True)
    declaring = _declaring(given, pyproject)
    if declaring or (pyproject is not None and pyproject.has_build_system):
        return _scripted(declaring, pyproject)
    raise DetectError(
        f"{heard.own[0].origin} asks for the repository's own package, and nothing declares one",
        hint="a package is declared by a [project] table in pyproject.toml, or by a setup.py",
    )


def _declaring(given: Given, pyproject: Pyproject | None) -> tuple[str, ...]:
    """Return the files that declare the repository's own package."""
    if pyproject is not None and (pyproject.has_project or pyproject.is_poetry):
        return (pyproject.path,)
    if pyproject is not None and pyproject.has_build_system and "metadata" in pyproject.tool.get("flit", {}):
        return (pyproject.path,)
    script, settings = join(given.base, "setup.py"), join(given.base, "setup.cfg")
    found = [script] if given.has(script) else []
    if given.has(settings) and (found or declares_package(given.read(settings) or "")):
        found.append(settings)
    return tuple(found)


def _scripted(declaring: tuple[str, ...], pyproject: Pyproject | None, *own: Asked) -> Heard:
    """Return what is known of a package that only its build describes in full."""
    system = (pyproject.path,) if pyproject is not None and pyproject.has_build_system else ()
    return Heard(
        files=(*system, *declaring),
        own=own,
        build_requirements=build_requirements(pyproject),
        dynamic=True,
    )


def _unread(pyproject: Pyproject) -> UnheardFile:
    if "pixi" in pyproject.tool:
        return UnheardFile(path=pyproject.path, reason=_PIXI_TABLES, matters=True)
    if pyproject.has_build_system:
        return UnheardFile(
            path=pyproject.path, reason="it says how to build a package, and none is declared", matters=True
        )
    return UnheardFile(path=pyproject.path, reason="it holds settings of tools only", matters=False)
