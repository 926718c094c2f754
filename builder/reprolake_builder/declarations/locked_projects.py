"""A lock of Python packages, read together with the project that it was made of."""

from __future__ import annotations

from dataclasses import dataclass, replace

from packaging.specifiers import SpecifierSet

from reprolake_builder.declarations.demands import Declared, declared_by_poetry, declared_by_project, unmet
from reprolake_builder.declarations.groups import default_groups, dependency_groups
from reprolake_builder.declarations.heard import Given, join
from reprolake_builder.declarations.pipfile import declared_by_pipfile, pipfile_python, read_pipfile_tables
from reprolake_builder.declarations.pyproject import Pyproject, project_texts, requires_python
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import LockFile, Selection
from reprolake_builder.lock_files.pdm import PdmProject, read_pdm
from reprolake_builder.lock_files.pipfile import read_meta, read_pipfile_lock
from reprolake_builder.lock_files.poetry import read_poetry
from reprolake_builder.lock_files.poetry_project import read_poetry_project
from reprolake_builder.lock_files.pylock import read_pylock
from reprolake_builder.lock_files.reading import instead
from reprolake_builder.lock_files.select import holds
from reprolake_builder.lock_files.uv import read_uv
from reprolake_builder.solvers.pypi_target import ELSEWHERE, TARGETS, Target


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock file with the demands that it was made of, and whether the project gets installed itself."""

    lock: LockFile
    declared: tuple[Declared, ...]
    is_package: bool
    targets: tuple[Target, ...]


def read_locked(given: Given, folder: str, path: str, pyproject: Pyproject | None) -> Locked:
    """Return the lock with the demands that it was made of, as far as they are there. Raises DetectError."""
    name = path.rpartition("/")[2]
    if name == "Pipfile.lock":
        lock, declared, is_package = _pipenv(given, folder, path)
    elif name.startswith("pylock."):
        lock, declared, is_package = _pylock(given, path, pyproject)
    elif pyproject is None:
        raise DetectError(
            f"{path} is the lock of a project, and {join(folder, 'pyproject.toml')} is not there",
            hint=f"go on without the lock: --ignore {path}",
        )
    else:
        read = {"poetry.lock": _poetry, "pdm.lock": _pdm}.get(name, _uv)
        lock, declared, is_package = read(given, path, pyproject)
    with instead(path):
        targets = _targets(lock)
        if pyproject is not None and _is_of_project(lock, pyproject):
            targets = _allowed(targets, lock, pyproject)
        return Locked(lock, declared, is_package, _serving(lock, declared, targets))


def _is_of_project(lock: LockFile, pyproject: Pyproject) -> bool:
    """Whether the lock was made of what the pyproject.toml beside it says."""
    return lock.tool != "Pipenv" and (lock.tool != "pylock" or declares_packages(pyproject))


_Parts = tuple[LockFile, tuple[Declared, ...], bool]


def _uv(given: Given, path: str, pyproject: Pyproject) -> _Parts:
    defaults = default_groups(pyproject, "uv")
    with instead(path):
        lock = read_uv(given.read_lock(path), path, given.selection, defaults)
    demands = pyproject.has_project or lock.own == ""
    declared = tuple(declared_by_project(pyproject, given.selection, "uv")) if demands else ()
    return lock, declared, lock.has_own


def _pylock(given: Given, path: str, pyproject: Pyproject | None) -> _Parts:
    with instead(path):
        lock = read_pylock(given.read_lock(path), path, given.selection)
    if pyproject is None:
        return lock, (), False
    demands = declares_packages(pyproject)
    declared = tuple(declared_by_project(pyproject, given.selection, "")) if demands else ()
    return lock, declared, pyproject.has_build_system


def _pdm(given: Given, path: str, pyproject: Pyproject) -> _Parts:
    project = _pdm_project(pyproject, given.selection.extras)
    with instead(path):
        lock = read_pdm(given.read_lock(path), path, given.selection, project)
    declared = tuple(declared_by_project(pyproject, given.selection, "PDM"))
    is_package = pyproject.tool.get("pdm", {}).get("distribution") is not False
    return lock, declared, is_package and pyproject.has_build_system


def _pipenv(given: Given, folder: str, path: str) -> _Parts:
    pipfile = join(folder, "Pipfile")
    tables = read_pipfile_tables(given, pipfile)
    with instead(path):
        text = given.read_lock(path)
        lock = read_pipfile_lock(text, path, given.selection, tables)
        requires = tables if tables is not None else {"requires": read_meta(text, path).requires}
    declared = tuple(declared_by_pipfile(tables, pipfile, given.selection)) if tables is not None else ()
    is_own = any(pin.place is not None and pin.place.is_own for pin in lock.pins)
    return replace(lock, python=pipfile_python(requires, pipfile)), declared, is_own


def _poetry(given: Given, path: str, pyproject: Pyproject) -> _Parts:
    project = read_poetry_project(pyproject.tables, pyproject.path)
    with instead(path):
        lock = read_poetry(given.read_lock(path), path, given.selection, project, pyproject.tables)
    own = declares_packages(pyproject)
    standard = dependency_groups(pyproject)
    groups = given.selection.groups & standard.keys()
    if given.selection.defaults:
        groups |= standard.keys() - project.optional_groups
    selection = Selection(given.selection.extras, frozenset(groups), defaults=False)
    declared = tuple(declared_by_project(pyproject, selection, "")) if own else ()
    return (
        lock,
        (*declared, *declared_by_poetry(pyproject, project, given.selection, main=not own)),
        project.is_package,
    )


def declares_packages(pyproject: Pyproject) -> bool:
    """Whether [project] itself says what is needed."""
    return pyproject.has_project and "dependencies" in pyproject.table("project")


def _pdm_project(pyproject: Pyproject, extras: frozenset[str]) -> PdmProject:
    groups: dict[str, tuple[str, ...]] = {"default": project_texts(pyproject, frozenset())}
    groups |= {extra: project_texts(pyproject, frozenset({extra})) for extra in extras}
    groups |= {str(name): texts for name, texts in dependency_groups(pyproject).items()}
    return PdmProject(groups, default_groups(pyproject, "PDM"))


def _targets(lock: LockFile) -> tuple[Target, ...]:
    """Return the Pythons of Debian that the lock was made for, others where there is none of these.

    Raises DetectError when it is for another machine.
    """
    sets = [SpecifierSet(asked.text) for asked in lock.python]
    found = [t for t in TARGETS.values() if all(one.contains(t.version, prereleases=True) for one in sets)]
    if not found and not any(_accepts_any(sets, minor) for minor in TARGETS):
        found = [target for minor, target in ELSEWHERE.items() if _accepts_any(sets, minor)]
    fitting = [t for t in found if not lock.environments or any(holds(m, t) for m in lock.environments)]
    if found and not fitting:
        raise DetectError(
            f"{lock.path} was made for other machines only: {str(lock.environments[0])[:200]}",
            hint=f"go on without it: --ignore {lock.path}",
        )
    return tuple(fitting)


def _allowed(targets: tuple[Target, ...], lock: LockFile, pyproject: Pyproject) -> tuple[Target, ...]:
    """Return the targets that the project is for. Raises DetectError for a lock that was made for none of these."""
    declared = requires_python(pyproject)
    sets = [SpecifierSet(asked.text) for asked in declared]
    allowed = tuple(target for target in targets if _accepts_any(sets, target.minor))
    if targets and not allowed:
        raise DetectError(
            f"{declared[0].origin} asks for Python {declared[0].text}, and {lock.path} was made for "
            + (", ".join(asked.text for asked in lock.python) or ", ".join(one.minor for one in targets)),
            hint=f"have its tool write it anew, or go on without it: --ignore {lock.path}",
        )
    return allowed


def _accepts_any(sets: list[SpecifierSet], minor: str) -> bool:
    return any(all(one.contains(f"{minor}.{patch}") for one in sets) for patch in range(100))


def _serving(
    lock: LockFile, declared: tuple[Declared, ...], targets: tuple[Target, ...]
) -> tuple[Target, ...]:
    """Return the Pythons for which the lock meets the demands: all of them where it does so for none.

    A lock that was made for one Python does not always say so.
    """
    return tuple(target for target in targets if not unmet(lock, declared, (target,))) or targets
