"""Notebook's kernel → the command that starts it, from the image's own kernel specifications.

They are data from strangers: they are read as data, and their command only ever runs inside the sandbox.

They are looked for where Jupyter does: where the image's JUPYTER_PATH leads, in the notebook user's own folder, in the environment, be it one of conda's or
not, in /usr/local and in /usr. Some kernels come without one there, because they leave it to a command of theirs to make it:

| kernel | taken from |
|---|---|
| ir | `kernelspec` of the package IRkernel, in any of R's libraries |
| bash | made up when the Python package bash_kernel is there, as `python -m bash_kernel.install` would |
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from reprolake_builder.documents.conda import CONDA_PREFIX
from reprolake_builder.image import HOME, PREFIX
from reprolake_builder.process import printable
from reprolake_runner import image_files
from reprolake_runner.errors import NotebookError
from reprolake_runner.ipython_boot import boot
from reprolake_runner.languages import dialect, language_of

_ENVIRONMENTS = (PREFIX, CONDA_PREFIX)
_DATA = (
    f"{HOME}/.local/share/jupyter",
    *(f"{prefix}/share/jupyter" for prefix in (*_ENVIRONMENTS, "/usr/local", "/usr")),
)
_R_LIBRARIES = tuple(
    f"{folder}/IRkernel"
    for folder in (
        *(f"{prefix}/lib/R/library" for prefix in _ENVIRONMENTS),
        "/usr/local/lib/R/site-library",
        "/usr/lib/R/site-library",
        "/usr/lib/R/library",
    )
)
_PYTHON = "python3"
_MOST, _MOST_PATHS = 200, 20  # kernels of a folder; folders that a variable names
_SITE = re.compile(r"python[23]\.\d{1,2}")
_LAUNCHERS = {"ipykernel_launcher", "ipykernel", "ipykernel.kernelapp"}
_QUIET = "--HistoryManager.enabled=False"


class _File(msgspec.Struct):
    argv: list[str]
    language: str = ""
    display_name: str = ""
    env: dict[str, str] = {}
    metadata: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of the image: its name, its language, and how it is started (`argv` still holds {connection_file})."""

    name: str
    language: str
    argv: tuple[str, ...]
    env: dict[str, str]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ipykernel(self) -> bool:
        """Whether it is IPython's own kernel, started as it starts itself."""
        return any(pair[0] == "-m" and pair[1] in _LAUNCHERS for pair in itertools.pairwise(self.argv))

    @property
    def dialect(self) -> str:
        """The language that its parameters are written in."""
        is_old = self.argv[0].rpartition("/")[2].startswith("python2")
        return dialect(self.language, "python2" if is_old else self.name)


_BASH = Kernel("bash", "bash", ("python", "-m", "bash_kernel", "-f", "{connection_file}"), {"PS1": "$"})


@dataclass(frozen=True, slots=True)
class Command:
    """What to run inside, and in which folder (sandbox path)."""

    argv: tuple[str, ...]
    cwd: str


def choose(trees: Sequence[Path], name: str, language: str, env: Mapping[str, str]) -> Kernel:
    """Return the image's kernel of that name, else one of the notebook's language; "" for a language allows no other.

    A name of "" is that of a notebook which names none. Of several the first by name is taken, of Python's kernels python3. `trees` are host folders, lowest first,
    `env` are the image's variables. Raises NotebookError, naming the kernels that there are.
    """
    offered = _offered(trees, _folders(env))
    if name.lower() in offered:
        return offered[name.lower()]
    others = sorted(offered, key=lambda other: (other != _PYTHON, other)) if language else []
    for candidate in others:
        if _is_same(offered[candidate].language, language):
            return offered[candidate]
    near = difflib.get_close_matches(name.lower(), offered, 1)
    listed = ", ".join(f"{other} ({offered[other].language})" for other in sorted(offered))
    asked = (
        f"the notebook asks for the kernel {name!r}, which the image does not have"
        if name
        else "the notebook names no kernel, and the image has none"
    )
    joint = ", nor another one for" if name else " for"
    raise NotebookError(
        printable(f"{asked}{joint} {language}" if language else asked),
        hint=printable(
            (f"did you mean {near[0]}? " if near else "")
            + f"kernels of the image: {listed or 'none'}; -k NAME takes one of them"
        ),
    )


def _folders(env: Mapping[str, str]) -> tuple[str, ...]:
    """Return where kernels are looked for, the first to count first. Source: jupyter_core.paths, `jupyter_path`."""
    named = env.get("JUPYTER_PATH", "").split(":")
    said = [path for path in named if path.startswith("/") and path.isprintable()]
    return tuple(f"{path}/kernels" for path in (*said[:_MOST_PATHS], *_DATA))


def _offered(trees: Sequence[Path], folders: Sequence[str]) -> dict[str, Kernel]:
    """Return the kernels of the image by their names in small letters."""
    offered = {"bash": _BASH} if _has_module(trees, "bash_kernel") else {}
    for folder in reversed(_R_LIBRARIES):
        if (found := _read(trees, f"{folder}/kernelspec", "ir")) is not None:
            offered["ir"] = found
    for folder in reversed(folders):
        for name in sorted(image_files.listed(trees, folder))[:_MOST]:
            if (found := _read(trees, f"{folder}/{name}", name)) is not None:
                offered[name.lower()] = found
    return offered


def _has_module(trees: Sequence[Path], module: str) -> bool:
    """Whether the environment's Python, or Debian's, can run a package as a program."""
    sites = [
        f"{library}/{name}/site-packages"
        for library in (f"{prefix}/lib" for prefix in _ENVIRONMENTS)
        for name in image_files.listed(trees, library)
        if _SITE.fullmatch(name)
    ]
    return any(
        image_files.content(trees, f"{site}/{module}/__main__.py") is not None
        for site in (*sites, "/usr/lib/python3/dist-packages")
    )


def _is_same(one: str, other: str) -> bool:
    """Whether two names are of one language."""
    known = language_of(one)
    return one.lower() == other.lower() or (known is not None and known is language_of(other))


def command(kernel: Kernel, connection_file: str, folder: str) -> Command:
    """Return the command that starts `kernel` for a notebook in `folder`; both paths are sandbox paths."""
    argv = [word.replace("{connection_file}", connection_file) for word in kernel.argv]
    for place in range(len(argv) - 1):
        if argv[place] == "-m" and argv[place + 1] in _LAUNCHERS:
            argv[place : place + 2] = ["-c", boot(folder)]
            return Command((*argv, _QUIET), "/")
    return Command(tuple(argv), folder)


def _read(trees: Sequence[Path], folder: str, name: str) -> Kernel | None:
    """Return the kernel of that name that a folder describes; None when it does not describe one."""
    data = image_files.content(trees, f"{folder}/kernel.json")
    if data is None:
        return None
    try:
        file = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, RecursionError):
        return None
    words = [*file.argv, *file.env, *file.env.values()]
    if not file.argv or any("\0" in word for word in words) or any("=" in name for name in file.env):
        return None
    return Kernel(name, file.language or "unknown", tuple(file.argv), file.env, file.metadata)
