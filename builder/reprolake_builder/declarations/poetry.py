"""Projects that speak Poetry's own words, where there is no lock of them."""

from __future__ import annotations

from reprolake_builder.declarations.demands import asked_of, poetry_demands
from reprolake_builder.declarations.heard import Given, Heard
from reprolake_builder.declarations.pyproject import Pyproject, build_requirements
from reprolake_builder.declarations.sources import ask_place
from reprolake_builder.documents.environment import Asked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.poetry_project import PoetryDemand, read_poetry_project
from reprolake_builder.lock_files.reading import checked_count, refuse_unknown
from reprolake_builder.process import printable


def read_poetry_declaration(given: Given, pyproject: Pyproject, *, main: bool = True) -> Heard:
    """Return what `[tool.poetry]` asks for, with or without its main group and the package itself. Raises DetectError."""
    project = read_poetry_project(pyproject.tables, pyproject.path)
    if main:
        refuse_unknown("group", given.selection.groups, project.groups, pyproject.path)
        refuse_unknown("extra", given.selection.extras, project.extras, pyproject.path)
    reason = "the package index comes from the site's configuration"
    heard = Heard(
        files=(pyproject.path,),
        unheard=tuple(
            UnheardFile(path=f"{pyproject.path}#tool.poetry.source", reason=f"{name}: {reason}", matters=True)
            for name in map(printable, project.indexes)
        ),
    )
    demands = tuple(poetry_demands(project, given.selection, main=main))
    checked_count(len(demands), pyproject.path)
    for demand in demands:
        heard += _heard(demand, given, pyproject)
    if not main:
        return heard
    if len(project.python) > 1:
        raise _refused(pyproject, "python", "either of several sets of versions")
    python = tuple(Asked(text=str(one), origin=pyproject.origin("python")) for one in project.python)
    own = (Asked(text="", origin=pyproject.origin("[tool.poetry]")),) if project.is_package else ()
    return heard + Heard(
        python=python, own=own, build_requirements=build_requirements(pyproject) if own else ()
    )


def _heard(demand: PoetryDemand, given: Given, pyproject: Pyproject) -> Heard:
    edge = demand.edge
    origin = pyproject.origin(edge.name)
    if demand.place is not None:
        folder = pyproject.path.rpartition("/")[0]
        return Heard(sources=(ask_place(demand.place, edge, folder, origin, given),))
    if len(edge.specifiers) > 1:
        raise _refused(pyproject, edge.name, "either of several sets of versions")
    return Heard(requirements=(asked_of(edge, origin),))


def _refused(pyproject: Pyproject, name: str, what: str) -> DetectError:
    return DetectError(
        f"{pyproject.origin(name)}: {name} may be {what} (`||`), which no resolver of pip's world is told",
        hint="write one set of versions, or commit a poetry.lock",
    )
