"""Files that speak about an environment and are not understood in this version: each is named, with what it would change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from fnmatch import fnmatchcase

from reprolake_builder.declarations.heard import Given, Heard, join
from reprolake_builder.documents.environment import UnheardFile
from reprolake_builder.providers.git.pointers import ATTRIBUTES, LONGEST, START, speaks_of_lfs
from reprolake_builder.source_tree import SourceTree


class Weight(Enum):
    """When honouring a file would change the result."""

    ALWAYS = "always"
    ALONE = "when nothing else describes the environment"
    NEVER = "never"


_DOCKER = "images from a Dockerfile come in a later version"
_R = "R comes in a later version"
_JULIA = "Julia comes in a later version"
_NIX = "Nix environments are not understood"
_VARIANT = "only requirements.txt and environment.yml are read"
_EDITOR = "it describes the container of an editor"
_TABLE: tuple[tuple[str, Weight, str], ...] = (
    ("Dockerfile", Weight.ALWAYS, _DOCKER),
    ("Containerfile", Weight.ALONE, _DOCKER),
    (".devcontainer", Weight.ALONE, _EDITOR),
    (".devcontainer.json", Weight.ALONE, _EDITOR),
    ("pylock.*.toml", Weight.NEVER, "it is the lock of an environment with a name of its own"),
    ("*.conda-lock.yml", Weight.ALONE, "it is the lock of an environment with a name of its own"),
    ("conda-*.lock", Weight.ALONE, "it is for another platform than linux-64"),
    ("uv.toml", Weight.ALWAYS, "settings of uv are not read"),
    ("renv.lock", Weight.ALWAYS, _R),
    ("install.R", Weight.ALWAYS, _R),
    ("DESCRIPTION", Weight.ALWAYS, _R),
    ("Project.toml", Weight.ALWAYS, _JULIA),
    ("JuliaProject.toml", Weight.ALWAYS, _JULIA),
    ("Manifest.toml", Weight.ALWAYS, _JULIA),
    ("JuliaManifest.toml", Weight.ALWAYS, _JULIA),
    ("REQUIRE", Weight.ALWAYS, _JULIA),
    ("default.nix", Weight.ALWAYS, _NIX),
    ("shell.nix", Weight.ALONE, _NIX),
    ("flake.nix", Weight.ALONE, _NIX),
    ("spack.yaml", Weight.ALWAYS, "Spack environments are not understood"),
    ("meta.yaml", Weight.NEVER, "it is the recipe of a conda package, not an environment"),
    (".tool-versions", Weight.ALONE, "asdf's file is not read; .python-version is"),
    ("requirements*.in", Weight.ALONE, _VARIANT),
    ("*requirements*.txt", Weight.ALONE, _VARIANT),
    ("environment?*.yml", Weight.ALONE, _VARIANT),
    ("environment?*.yaml", Weight.ALONE, _VARIANT),
)
CONDA_LOCKS = (
    "conda-lock.yml",
    "pixi.lock",
    "conda-linux-64.lock",
    "conda-lock-linux-64.lock",
    "spec-file.txt",
    "explicit.txt",
)
"""Lock files of conda's tools, the one that stands over the others first; those of text only where they are such files."""
PYTHON_LOCKS = ("uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock")
"""Lock files of tools for Python packages, the one that stands over the others first."""
PYTHON_FILES = (*PYTHON_LOCKS, "Pipfile")
ENVIRONMENT_YML = ("environment.yml", "environment.yaml")
PIXI_TOML = "pixi.toml"
KINDS = (
    *CONDA_LOCKS,
    *PYTHON_FILES,
    *ENVIRONMENT_YML,
    PIXI_TOML,
    "requirements.txt",
    "runtime.txt",
    ".python-version",
    "apt.txt",
    "postBuild",
    "start",
)
"""The files that are understood, wherever the environment is described."""
PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
_SETUP = re.compile(r"^\[(metadata|options)\]", re.MULTILINE)


def find_unheard(given: Given, folder: str, heard: Heard) -> Heard:
    """Return the files in the folder that describes the environment, and beside it, that nobody understands.

    `heard` is what was understood: it decides what would change the result, and its files are not judged again.
    """
    alone = not heard.files
    judged = {*heard.files, *(item.path for item in heard.unheard)}
    found = [
        UnheardFile(
            path=join(folder, name),
            reason=reason,
            matters=weight is Weight.ALWAYS or (alone and weight is Weight.ALONE),
        )
        for name, weight, reason in _named(given, folder)
        if join(folder, name) not in judged
    ]
    if folder == given.base:
        found += _setup_files(given, heard)
    else:
        found += _outside(given, folder, heard)
    return Heard(unheard=(*found, *_incomplete(given.tree)))


def _named(given: Given, folder: str) -> Iterator[tuple[str, Weight, str]]:
    for name in given.tree.names(folder):
        for pattern, weight, reason in _TABLE:
            if fnmatchcase(name, pattern) and name not in KINDS:
                path = join(folder, name)
                if name == ".devcontainer" or path in given.ignored or given.tree.is_file(path):
                    yield name, weight, reason
                break


def is_conda_lock(name: str) -> bool:
    """Whether a file of that name may be a lock file of conda's tools."""
    return name in CONDA_LOCKS or name.endswith(".conda-lock.yml")


def declares_package(setup_cfg: str) -> bool:
    """Whether the text of a setup.cfg declares a package; most hold settings of tools only."""
    return _SETUP.search(setup_cfg) is not None


def _setup_files(given: Given, heard: Heard) -> Iterator[UnheardFile]:
    """Yield a setup.py beside a pyproject.toml that declares the package."""
    script = join(given.base, "setup.py")
    if heard.own and given.has(script) and script not in heard.files:
        reason = "it takes part in the build of the repository's package"
        yield UnheardFile(path=script, reason=reason, matters=False)


def _outside(given: Given, folder: str, heard: Heard) -> Iterator[UnheardFile]:
    """Yield what speaks beside a binder folder: as in repo2docker, the folder alone decides."""
    reason = f"{folder}/ describes the environment: as in repo2docker, files outside it have no say"
    names = [name for name, _, _ in _named(given, given.base)]
    names += [name for name in (*KINDS, *PROJECT_FILES) if given.tree.is_file(join(given.base, name))]
    for path in sorted(join(given.base, name) for name in names):
        if path not in heard.files:
            yield UnheardFile(path=path, reason=reason, matters=False)
    for name in PROJECT_FILES:
        if given.tree.is_file(join(folder, name)):
            yield UnheardFile(
                path=join(folder, name), reason="a package is looked for outside this folder", matters=False
            )


def _incomplete(tree: SourceTree) -> Iterator[UnheardFile]:
    """Yield what tells that files of the repository are not there."""
    for path in tree.submodules:
        yield UnheardFile(
            path=path,
            reason="the folder is empty, as that of a submodule whose files were left out",
            matters=True,
        )
    paths = [raw.decode("utf-8", "replace") for raw in tree.paths]
    speaking = [path for path in paths if path.rpartition("/")[2] == ATTRIBUTES]
    speaking = [path for path in speaking if speaks_of_lfs(tree.read_text(path) or "")]
    # Without git-lfs a folder on disk holds the pointers, too.
    pointers = tree.beginning_with(START, LONGEST) if speaking else ()
    for path in speaking:
        below = [pointer for pointer in pointers if pointer.startswith(path.removesuffix(ATTRIBUTES))]
        if below:
            more = f" and {len(below) - 1} more" if len(below) > 1 else ""
            yield UnheardFile(
                path=path,
                reason=f"Git LFS keeps files of it elsewhere: only a pointer is here of {below[0]}{more}",
                matters=True,
            )
