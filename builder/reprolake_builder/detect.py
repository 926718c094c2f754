"""The detect stage: the repository's own files become an EnvironmentSpec, and no file is ignored in silence.

Precedence as in repo2docker: binder/ or .binder/ alone decides when it is there; environment.yml stands over a Pipfile, and that
over requirements.txt. The lock files of other tools stand before what they were made of (docs/reference/files.md).
"""

from __future__ import annotations

import difflib
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NoReturn

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reprolake_builder.detect_groups import default_groups, dependency_groups, tool_of
from reprolake_builder.detect_heard import ALL_DEFAULTS, Given, Heard, join
from reprolake_builder.detect_lines import read_apt, read_python_version, read_runtime
from reprolake_builder.detect_pyproject import Pyproject, build_requirements, read_project, read_pyproject
from reprolake_builder.detect_requirements import read_requirements
from reprolake_builder.detect_unheard import (
    KINDS,
    PROJECT_FILES,
    PYTHON_FILES,
    declares_package,
    find_unheard,
    is_conda_lock,
)
from reprolake_builder.documents.environment import (
    Asked,
    EnvironmentSpec,
    SpokenFile,
    UnheardFile,
)
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Selection
from reprolake_builder.process import printable
from reprolake_builder.source_tree import SourceTree

_CONDA = ("environment.yml", "environment.yaml")
_PIXI = ("pixi.toml",)
_PIXI_TABLES = "pixi's tables in it are heeded by way of a pixi.lock beside it only"
_ANEW = {
    "uv": "uv lock",
    "Poetry": "poetry lock",
    "PDM": "pdm lock",
    "Pipenv": "pipenv lock",
    "conda-lock": "conda-lock lock",
    "pixi": "pixi lock",
}
_IGNORED = "ignored by --ignore"


def detect(
    tree: SourceTree, ignore: tuple[str, ...] = (), selection: Selection = ALL_DEFAULTS
) -> EnvironmentSpec:
    """Return what the source's files ask for; files (paths from the source's root) in `ignore` have no say.

    `selection` is what is wanted of a project's extras and groups.

    Raises DetectError for a file that cannot be understood, and when `ignore` names a file that is none of the environment's.
    """
    given = Given(tree, frozenset(join("", path) for path in ignore), selection)
    folder = _folder(given)
    heard = _packages(given, folder)
    heard += read_runtime(given, join(folder, "runtime.txt"))
    heard += read_python_version(given, join(folder, ".python-version"))
    heard += read_apt(given, join(folder, "apt.txt"))
    heard += _own_package(given, folder, heard)
    heard += find_unheard(given, folder, heard)
    heard += _left_out(given, folder)
    if heard.obeyed or _obeys_pixi(heard):
        heard = replace(heard, unheard=tuple(_said_by_lock(item) for item in heard.unheard))
    unheard = tuple(_judged(item, given) for item in dict.fromkeys(heard.unheard))
    _check_ignored(given, heard.files, unheard)
    declared = bool(heard.own)
    scripts = {name: path if given.has(path := join(folder, name)) else "" for name in ("postBuild", "start")}
    spoken = dict.fromkeys((*heard.files, *filter(None, scripts.values())))
    return EnvironmentSpec(
        files=tuple(SpokenFile(path=path, sha256=tree.sha256(path)) for path in spoken),
        unheard=unheard,
        python=heard.python,
        conda=next(iter(heard.conda), None),
        variables=dict(heard.variables),
        requirements=heard.requirements,
        constraints=heard.constraints,
        sources=heard.sources,
        apt=heard.apt,
        project=given.base if declared else None,
        project_extras=tuple(sorted(_extras(heard) | (selection.extras if declared else frozenset()))),
        project_dynamic=heard.dynamic,
        build_requirements=heard.build_requirements,
        build_backend="pep517" if declared else "",
        obeyed=heard.obeyed[0] if heard.obeyed else None,
        extras=tuple(sorted(selection.extras)),
        groups=tuple(sorted(selection.groups)),
        default_groups=selection.defaults,
        post_build=scripts["postBuild"],
        start=scripts["start"],
    )


def refuse_unheard(spec: EnvironmentSpec) -> None:
    """Return when no file that would change the result goes unheard. Raises DetectError naming those that do."""
    matter = [item for item in spec.unheard if item.matters]
    if not matter:
        return
    obeyed = _obeyed(spec)
    if obeyed is not None and all("#" in item.path for item in matter):
        _refuse_stale(*obeyed, matter)
    listed = "".join(f"\n  {printable(item.path)}: {printable(item.reason)}" for item in matter)
    options = " ".join(f"--ignore {printable(path)}" for path in dict.fromkeys(item.path for item in matter))
    raise DetectError(
        f"these would change the result, and are not honoured:{listed}",
        hint=f"to go on without them: {options}",
    )


def _obeyed(spec: EnvironmentSpec) -> tuple[str, str] | None:
    """Return path and tool of the lock file that is obeyed, None without one."""
    if spec.obeyed is not None:
        return spec.obeyed.path, spec.obeyed.tool
    return (spec.conda.obeyed, spec.conda.tool) if spec.conda is not None and spec.conda.obeyed else None


def _refuse_stale(path: str, tool: str, matter: list[UnheardFile]) -> NoReturn:
    """Raise DetectError for a lock that does not meet what it was made of."""
    listed = "".join(f"\n  {printable(item.reason)}" for item in matter)
    options = " ".join(f"--ignore {printable(item.path)}" for item in matter)
    anew = f"`{_ANEW[tool]}` in the repository writes it anew; " if tool in _ANEW else ""
    raise DetectError(
        f"{path} disagrees with what it was made of:{listed}",
        hint=f"{anew}{options} takes it as it is; --ignore {path} resolves without it",
    )


def _folder(given: Given) -> str:
    """Return the folder that describes the environment: binder/, .binder/ or the source's own."""
    found = [name for name in ("binder", ".binder") if given.tree.is_folder(join(given.base, name))]
    if len(found) > 1:
        raise DetectError(
            "both binder/ and .binder/ are there, and only one can describe the environment",
            hint="remove or rename one of them",
        )
    return join(given.base, found[0]) if found else given.base


def _packages(given: Given, folder: str) -> Heard:
    """Return what a lock file of conda's says, or else environment.yml, another lock file, a Pipfile, or requirements.txt."""
    requirements = join(folder, "requirements.txt")
    conda = [path for name in _CONDA if given.has(path := join(folder, name))]
    if any(is_conda_lock(name) for name in given.tree.names(folder)):
        from reprolake_builder.detect_conda_locks import find_locks, read_locks  # with parsers that few need

        if locks := find_locks(given, folder):
            return read_locks(given, folder, locks, conda)
    conda += [path for name in _PIXI if given.has(path := join(folder, name))]
    if not conda:
        return _python_packages(given, folder)
    heard = _conda_packages(given, conda[0])
    for path in conda[1:]:
        same = given.tree.sha256(path) == given.tree.sha256(conda[0])
        reason = f"{conda[0]} says the same" if same else f"{conda[0]} stands over it, and they differ"
        heard += Heard(unheard=(UnheardFile(path=path, reason=reason, matters=not same),))
    if given.has(requirements) and requirements not in heard.files:
        heard += _beside(given, requirements, heard)
    reason = f"{conda[0]} stands over it: ignore one of the two"
    return heard + Heard(
        unheard=tuple(
            UnheardFile(path=path, reason=reason, matters=True)
            for name in PYTHON_FILES
            if given.has(path := join(folder, name))
        )
    )


def _conda_packages(given: Given, path: str) -> Heard:
    """Return what environment.yml or pixi.toml says."""
    if path.endswith(_PIXI):
        from reprolake_builder.detect_pixi import read_pixi

        return read_pixi(given, path)
    from reprolake_builder.detect_conda import read_conda  # with a parser of YAML, which few need

    return read_conda(given, path)


def _python_packages(given: Given, folder: str) -> Heard:
    """Return what a lock file of Python packages says, or else a Pipfile, or requirements.txt."""
    requirements, pipfile = join(folder, "requirements.txt"), join(folder, "Pipfile")
    if any(name in PYTHON_FILES or fnmatchcase(name, "pylock.*.toml") for name in given.tree.names(folder)):
        from reprolake_builder.detect_locked import find_locks, read_locks  # with parsers that few need

        if locks := find_locks(given, folder):
            return read_locks(given, folder, locks)
    if given.has(pipfile):
        from reprolake_builder.detect_pipfile import read_pipfile

        heard = read_pipfile(given, pipfile)
        return heard + (_beside(given, requirements, heard) if given.has(requirements) else Heard())
    return read_requirements(given, requirements) if given.has(requirements) else Heard()


def _beside(given: Given, path: str, heard: Heard) -> Heard:
    try:
        other = read_requirements(given, path)
    except DetectError as error:
        reason = f"{heard.files[0]} stands over it, and it cannot be understood: {error.message}"
        return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=True),))
    matters = any(item.matters for item in other.unheard)
    if not matters and not other.own and not other.sources and _demands(other) <= _demands(heard):
        return Heard(
            unheard=(UnheardFile(path=path, reason=f"{heard.files[0]} asks for the same", matters=False),)
        )
    reason = f"{heard.files[0]} stands over it, and they differ: ignore one of the two"
    return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=True),))


def _demands(heard: Heard) -> set[tuple[str, str]]:
    parsed = [Requirement(asked.text) for asked in (*heard.requirements, *heard.constraints)]
    return {(canonicalize_name(r.name), str(r).removeprefix(r.name)) for r in parsed}


def _own_package(given: Given, folder: str, heard: Heard) -> Heard:
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
    if unknown := sorted(given.selection.groups - groups.keys()):
        raise DetectError(
            f"{pyproject.path} has no dependency group {', '.join(map(repr, unknown))}",
            hint="its groups: " + (", ".join(sorted(groups)) or "none"),
        )
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
    if _obeys_pixi(heard):
        reason = f"{heard.files[0]} does not have this package, so pixi does not install it"
        return Heard(unheard=(UnheardFile(path=declaring[0], reason=reason, matters=False),))
    if heard.conda or any(path.endswith(_CONDA) for path in heard.files):
        add = (
            "its pypi-dependencies"
            if heard.files[0].endswith(_PIXI)
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
    from reprolake_builder.detect_poetry import read_poetry_declaration

    alone = given if not heard.files else replace(given, selection=replace(given.selection, defaults=False))
    if not pyproject.has_project:
        return read_poetry_declaration(alone, pyproject)
    own = read_project(given, pyproject, given.selection.extras, named=False)
    return own + read_poetry_declaration(alone, pyproject, main=False)


def _asked_for(given: Given, pyproject: Pyproject | None, heard: Heard) -> Heard:
    """Return what the package asks for that requirements.txt or environment.yml names as `-e .`."""
    if pyproject is not None and pyproject.has_project:
        extras = frozenset(_extras(heard)) | given.selection.extras
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


def _extras(heard: Heard) -> set[str]:
    texts: tuple[Asked, ...] = heard.own
    return {canonicalize_name(e.strip()) for asked in texts for e in asked.text.split(",") if e.strip()}


def _left_out(given: Given, folder: str) -> Heard:
    """Return the files that would have been understood, had the user not ignored them."""
    places = [(folder, name) for name in KINDS] + [(given.base, name) for name in PROJECT_FILES]
    return Heard(
        unheard=tuple(
            UnheardFile(path=path, reason="it describes the environment", matters=False)
            for place, name in places
            if (path := join(place, name)) in given.ignored and name in given.tree.names(place)
        )
    )


def _obeys_pixi(heard: Heard) -> bool:
    return any(asked.tool == "pixi" for asked in heard.conda)


def _said_by_lock(item: UnheardFile) -> UnheardFile:
    """Return settings of a tool as what does not matter: its lock was made with them."""
    if item.path.rpartition("/")[2] != "uv.toml" and "#tool.pixi." not in item.path:
        return item
    return msgspec.structs.replace(item, matters=False, reason="the lock was made with it")


def _judged(item: UnheardFile, given: Given) -> UnheardFile:
    if item.path not in given.ignored:
        return item
    return msgspec.structs.replace(item, matters=False, reason=f"{_IGNORED} ({item.reason})")


def _check_ignored(given: Given, files: tuple[str, ...], unheard: tuple[UnheardFile, ...]) -> None:
    known = {item.path for item in unheard}
    for path in sorted(given.ignored - known):
        candidates = sorted(known | set(files))
        near = difflib.get_close_matches(path, candidates, n=3) or candidates[:10]
        raise DetectError(
            f"--ignore {printable(path)} names no file about the environment",
            hint="such files here: " + (", ".join(map(printable, near)) or "none"),
        )
