"""Projects that speak Poetry's own words, where there is no lock of them."""

from __future__ import annotations

from reprolake_builder.declarations.demands import poetry_demands
from reprolake_builder.declarations.heard import Given, Heard
from reprolake_builder.declarations.pyproject import Pyproject, build_requirements
from reprolake_builder.declarations.sources import ask_archive, ask_folder, ask_git
from reprolake_builder.documents.environment import Asked, AskedSource, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.poetry_project import PoetryDemand, read_poetry_project
from reprolake_builder.process import printable


def read_poetry_declaration(given: Given, pyproject: Pyproject, *, main: bool = True) -> Heard:
    """Return what `[tool.poetry]` asks for, with or without its main group and the package itself. Raises DetectError."""
    project = read_poetry_project(pyproject.tables, pyproject.path)
    known = set(project.groups)
    if main and (unknown := sorted(given.selection.groups - known)):
        raise DetectError(
            f"{pyproject.path} has no group {', '.join(map(repr, unknown))}",
            hint="its groups: " + (", ".join(sorted(known)) or "none"),
        )
    if main and (unknown := sorted(given.selection.extras - project.extras.keys())):
        raise DetectError(
            f"{pyproject.path} declares no extra {', '.join(map(repr, unknown))}",
            hint="its extras: " + (", ".join(sorted(project.extras)) or "none"),
        )
    reason = "the package index comes from the site's configuration"
    heard = Heard(
        files=(pyproject.path,),
        unheard=tuple(
            UnheardFile(path=f"{pyproject.path}#tool.poetry.source", reason=f"{name}: {reason}", matters=True)
            for name in map(printable, project.indexes)
        ),
    )
    for demand in poetry_demands(project, given.selection, main=main):
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
    extras = tuple(sorted(edge.extras))
    if demand.place is None:
        if len(edge.specifiers) > 1:
            raise _refused(pyproject, edge.name, "either of several sets of versions")
        shown = f"[{','.join(extras)}]" if extras else ""
        marker = f"; {edge.marker}" if edge.marker else ""
        specifier = str(edge.specifiers[0]) if edge.specifiers else ""
        return Heard(requirements=(Asked(text=f"{edge.name}{shown}{specifier}{marker}", origin=origin),))
    place = demand.place
    if place.kind == "git":
        below = f"#subdirectory={place.subdir}" if place.subdir else ""
        asked = ask_git(f"git+{place.url}" + (f"@{demand.ref}" if demand.ref else "") + below, origin, given)
    elif place.kind == "folder":
        path = place.path if place.path.startswith((".", "/", "~")) else f"./{place.path}"
        asked = ask_folder(path, pyproject.path.rpartition("/")[0], origin, given)
    else:
        named = (edge.name, extras, str(edge.marker or ""))
        return Heard(sources=(ask_archive(place.url, named, (), origin, given),))
    source = AskedSource(
        url=asked.url,
        ref=asked.ref,
        folder=asked.folder,
        name=edge.name,
        extras=extras,
        marker=str(edge.marker or ""),
        origin=origin,
    )
    return Heard(sources=(source,))


def _refused(pyproject: Pyproject, name: str, what: str) -> DetectError:
    return DetectError(
        f"{pyproject.origin(name)}: {name} may be {what} (`||`), which no resolver of pip's world is told",
        hint="write one set of versions, or commit a poetry.lock",
    )
