"""What a project's own files ask for, in the form in which a lock can be held against it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from reprolake_builder.declarations.groups import default_groups, dependency_groups
from reprolake_builder.declarations.pyproject import Pyproject, project_texts
from reprolake_builder.documents.environment import Asked, UnheardFile
from reprolake_builder.lock_files.interface import Edge, LockFile, Pin, Selection
from reprolake_builder.lock_files.poetry_project import MAIN, PoetryDemand, PoetryProject
from reprolake_builder.lock_files.reading import checked_count, edge_of
from reprolake_builder.lock_files.select import holds, select
from reprolake_builder.solvers.pypi_target import Target


@dataclass(frozen=True, slots=True)
class Declared:
    """A demand of the project's own files and where it stands."""

    edge: Edge
    origin: str


def asked_of(edge: Edge, origin: str) -> Asked:
    """Return a demand with at most one set of versions as PEP 508 writes it."""
    extras = f"[{','.join(sorted(edge.extras))}]" if edge.extras else ""
    specifier = str(edge.specifiers[0]) if edge.specifiers else ""
    marker = f"; {edge.marker}" if edge.marker else ""
    return Asked(text=f"{edge.name}{extras}{specifier}{marker}", origin=origin)


def declared_by_project(pyproject: Pyproject, selection: Selection, tool: str) -> Iterator[Declared]:
    """Yield what `[project]` and its dependency groups ask for with a selection. Raises DetectError."""
    texts = list(project_texts(pyproject, selection.extras))
    groups = dependency_groups(pyproject)
    wanted = selection.groups | (default_groups(pyproject, tool) if selection.defaults else frozenset())
    texts += [text for name in sorted(wanted) for text in groups.get(name, ())]
    checked_count(len(texts), pyproject.path)
    for text in texts:
        origin = pyproject.origin(text)
        yield Declared(edge_of(text, origin), origin)


def declared_by_poetry(
    pyproject: Pyproject, project: PoetryProject, selection: Selection, *, main: bool = True
) -> Iterator[Declared]:
    """Yield what `[tool.poetry]` asks for with a selection, with or without its main group."""
    for demand in poetry_demands(project, selection, main=main):
        yield Declared(demand.edge, pyproject.origin(demand.edge.name))


def poetry_demands(
    project: PoetryProject, selection: Selection, *, main: bool = True
) -> Iterator[PoetryDemand]:
    """Yield the demands of Poetry's groups with a selection."""
    defaults = project.groups.keys() - project.optional_groups if selection.defaults else set()
    taken = {name for extra in selection.extras for name in project.extras.get(extra, ())}
    wanted = {MAIN, *defaults, *(selection.groups & project.groups.keys())} - (set() if main else {MAIN})
    for group in sorted(wanted):
        for demand in project.groups[group]:
            if not demand.optional or demand.edge.name in taken:
                yield demand


def unmet(lock: LockFile, declared: Iterable[Declared], targets: Iterable[Target]) -> tuple[UnheardFile, ...]:
    """Return the demands that the lock does not meet on one of the targets, each with what the lock has instead."""
    demands = tuple(declared)
    found: dict[str, UnheardFile] = {}
    for target in targets:
        chosen = {pin.name: pin for pin in select(lock, target)}
        for demand in demands:
            if not holds(demand.edge.marker, target, lock.extras, lock.groups):
                continue
            instead = _instead(demand.edge, chosen.get(demand.edge.name), lock.own)
            if instead:
                path = f"{demand.origin.partition(':')[0]}#{demand.edge.name}"
                reason = f"{demand.origin} asks for {_words(demand.edge)}, and {lock.path} {instead}"
                found.setdefault(path, UnheardFile(path=path, reason=reason, matters=True))
    return tuple(found.values())


def _instead(edge: Edge, pin: Pin | None, own: str) -> str:
    """Return what the lock has in place of what is asked for, "" when it has that."""
    if edge.name == own:
        return ""
    if pin is None:
        return "does not have it"
    if pin.version and edge.specifiers and not any(_allows(one, pin.version) for one in edge.specifiers):
        return f"has {pin.version}"
    return ""


def _allows(specifier: SpecifierSet, version: str) -> bool:
    return specifier.contains(version, prereleases=True)


def _words(edge: Edge) -> str:
    return edge.name + " || ".join(str(one) for one in edge.specifiers)
