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

from reprolake_builder.declarations.heard import ALL_DEFAULTS, Given, Heard, join
from reprolake_builder.declarations.lines import read_apt, read_python_version, read_runtime, read_script
from reprolake_builder.declarations.own_package import own_package
from reprolake_builder.declarations.precedence import misunderstood, one_of_two
from reprolake_builder.declarations.requirements import read_requirements
from reprolake_builder.declarations.unheard import (
    ENVIRONMENT_YML,
    KINDS,
    PIXI_TOML,
    PROJECT_FILES,
    PYTHON_FILES,
    find_unheard,
    is_conda_lock,
)
from reprolake_builder.documents.environment import (
    EnvironmentSpec,
    SpokenFile,
    UnheardFile,
)
from reprolake_builder.errors import DetectError, without_logins
from reprolake_builder.lock_files.interface import Selection
from reprolake_builder.process import printable
from reprolake_builder.source_tree import SourceTree

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
    heard += own_package(given, folder, heard)
    heard += find_unheard(given, folder, heard)
    heard += _left_out(given, folder)
    if heard.obeyed or heard.obeys_pixi:
        heard = replace(heard, unheard=tuple(_said_by_lock(item) for item in heard.unheard))
    unheard = tuple(_judged(item, given) for item in dict.fromkeys(heard.unheard))
    _check_ignored(given, heard.files, unheard)
    declared = bool(heard.own)
    scripts = {name: read_script(given, join(folder, name)) for name in ("postBuild", "start")}
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
        project_extras=tuple(sorted(heard.own_extras | (selection.extras if declared else frozenset()))),
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
    if spec.lock_file is not None and all("#" in item.path for item in matter):
        _refuse_stale(*spec.lock_file, matter)
    listed = "".join(f"\n  {printable(item.path)}: {printable(item.reason)}" for item in matter)
    options = " ".join(f"--ignore {printable(path)}" for path in dict.fromkeys(item.path for item in matter))
    raise DetectError(
        f"these would change the result, and are not honoured:{listed}",
        hint=f"to go on without them: {options}",
    )


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
    conda = [path for name in ENVIRONMENT_YML if given.has(path := join(folder, name))]
    heard = _locked_by_conda(given, folder, conda)
    if heard is None:
        conda += [path] if given.has(path := join(folder, PIXI_TOML)) else []
        if not conda:
            return _python_packages(given, folder)
        heard = _conda_packages(given, conda[0])
        for path in conda[1:]:
            same = given.tree.sha256(path) == given.tree.sha256(conda[0])
            heard += Heard(unheard=(one_of_two(path, conda[0], same=same),))
        if given.has(requirements) and requirements not in heard.files:
            heard += _beside(given, requirements, heard)
    reason = f"{heard.files[0]} stands over it: ignore one of the two"
    return heard + Heard(
        unheard=tuple(
            UnheardFile(path=path, reason=reason, matters=True)
            for name in PYTHON_FILES
            if given.has(path := join(folder, name))
        )
    )


def _locked_by_conda(given: Given, folder: str, declared_in: list[str]) -> Heard | None:
    """Return what a lock file of conda's tools says, None without one."""
    if not any(is_conda_lock(name) for name in given.tree.names(folder)):
        return None
    from reprolake_builder.declarations.conda_locks import (  # with parsers that few need
        find_locks,
        read_locks,
    )

    locks = find_locks(given, folder)
    return read_locks(given, folder, locks, declared_in) if locks else None


def _conda_packages(given: Given, path: str) -> Heard:
    """Return what environment.yml or pixi.toml says."""
    if path.endswith(PIXI_TOML):
        from reprolake_builder.declarations.pixi import read_pixi

        return read_pixi(given, path)
    from reprolake_builder.declarations.environment_yml import (
        read_conda,  # with a parser of YAML, which few need
    )

    return read_conda(given, path)


def _python_packages(given: Given, folder: str) -> Heard:
    """Return what a lock file of Python packages says, or else a Pipfile, or requirements.txt."""
    requirements, pipfile = join(folder, "requirements.txt"), join(folder, "Pipfile")
    if any(name in PYTHON_FILES or fnmatchcase(name, "pylock.*.toml") for name in given.tree.names(folder)):
        from reprolake_builder.declarations.python_locks import (  # with parsers that few need
            find_locks,
            read_locks,
        )

        if locks := find_locks(given, folder):
            return read_locks(given, folder, locks)
    if given.has(pipfile):
        from reprolake_builder.declarations.pipfile import read_pipfile

        heard = read_pipfile(given, pipfile)
        return heard + (_beside(given, requirements, heard) if given.has(requirements) else Heard())
    return read_requirements(given, requirements) if given.has(requirements) else Heard()


def _beside(given: Given, path: str, heard: Heard) -> Heard:
    try:
        other = read_requirements(given, path)
    except DetectError as error:
        return Heard(unheard=(misunderstood(path, heard.files[0], error),))
    same = not other.own and not other.sources and _demands(other) <= _demands(heard)
    same = same and not any(item.matters for item in other.unheard)
    return Heard(unheard=(one_of_two(path, heard.files[0], same=same),))


def _demands(heard: Heard) -> set[tuple[str, str]]:
    parsed = [Requirement(asked.text) for asked in (*heard.requirements, *heard.constraints)]
    return {(canonicalize_name(r.name), str(r).removeprefix(r.name)) for r in parsed}


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


def _said_by_lock(item: UnheardFile) -> UnheardFile:
    """Return settings of a tool as what does not matter: its lock was made with them."""
    if item.path.rpartition("/")[2] != "uv.toml" and "#tool.pixi." not in item.path:
        return item
    return msgspec.structs.replace(item, matters=False, reason="the lock was made with it")


def _judged(item: UnheardFile, given: Given) -> UnheardFile:
    """Return what is told of a file, without logins: it ends up in locks and on terminals."""
    reason = printable(without_logins(item.reason))
    if item.path not in given.ignored:
        return msgspec.structs.replace(item, reason=reason)
    return msgspec.structs.replace(item, matters=False, reason=f"{_IGNORED} ({reason})")


def _check_ignored(given: Given, files: tuple[str, ...], unheard: tuple[UnheardFile, ...]) -> None:
    known = {item.path for item in unheard}
    for path in sorted(given.ignored - known):
        candidates = sorted(known | set(files))
        near = difflib.get_close_matches(path, candidates, n=3) or candidates[:10]
        raise DetectError(
            f"--ignore {printable(path)} names no file about the environment",
            hint="such files here: " + (", ".join(map(printable, near)) or "none"),
        )
