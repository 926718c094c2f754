"""The tools whose lock files are obeyed, as their users call them, on an index of the tests' own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pypi_index_server import KERNEL, Index, Upload
from tools import tool_folder
from uv import find_uv_bin

UV = Path(os.fsdecode(find_uv_bin()))
DATED = "2022-06-01"


def packages(index: Index) -> Index:
    """Put on the index what the projects ask for: several versions, extras, markers, a compiled package."""
    index.uploads = KERNEL
    return index.add(
        Upload("alpha", "1.0", "2021-06-01"),
        Upload("alpha", "1.2", DATED, requires=("beta>=1", "delta>=1; extra == 'wide'"), extras=("wide",)),
        Upload("alpha", "2.0", DATED, requires=("beta>=2",)),
        Upload(
            "beta", "1.5", DATED, requires=("gamma; sys_platform == 'win32'", "old; python_version < '3.10'")
        ),
        Upload("beta", "2.0", DATED),
        Upload("gamma", "1.0", DATED),
        Upload("old", "1.0", DATED),
        Upload("delta", "1.1", DATED, tag="cp311-cp311-manylinux2014_x86_64"),
        Upload("delta", "1.1", DATED, tag="cp39-cp39-manylinux2014_x86_64"),
        Upload("delta", "1.1", DATED, tag="cp311-cp311-win_amd64"),
        Upload("plotter", "3.0", DATED),
        Upload("checker", "1.0", DATED, requires=("beta",)),
        Upload("writer", "1.0", DATED),
    )


_PROJECT = """\
[project]
name = "demo"
version = "1.0"
requires-python = ">=3.11,<3.12"
dependencies = ["alpha[wide]>=1,<2", "gamma; sys_platform == 'win32'", "beta<2"]

[project.optional-dependencies]
plot = ["plotter"]

[dependency-groups]
dev = ["checker"]
docs = ["writer"]
"""
_POETRY = """\
[tool.poetry]
package-mode = false
name = "demo"
version = "1.0"
description = ""
authors = []

[tool.poetry.dependencies]
python = ">=3.11,<3.12"
alpha = {version = "^1.0", extras = ["wide"]}
gamma = {version = "*", markers = "sys_platform == 'win32'"}
beta = "<2"
plotter = {version = "*", optional = true}

[tool.poetry.extras]
plot = ["plotter"]

[tool.poetry.group.dev.dependencies]
checker = "*"

[tool.poetry.group.docs]
optional = true

[tool.poetry.group.docs.dependencies]
writer = "*"
"""
_POETRY_INDEX = '\n[[tool.poetry.source]]\nname = "own"\nurl = "{index}/"\npriority = "primary"\n'
_PIPFILE = """\
[[source]]
name = "own"
url = "{index}"
verify_ssl = false

[packages]
alpha = {{version = ">=1,<2", extras = ["wide"]}}
beta = "<2"

[dev-packages]
checker = "*"

[requires]
python_version = "3.11"
"""


@dataclass(frozen=True)
class LockingTool:
    """A tool: its files, how it locks and installs. `chosen` are the arguments for extra `plot` and group `docs`."""

    program: Callable[[], Path]
    files: Mapping[str, str]
    lock: tuple[str, ...]
    install: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    locked: str = ""

    def write(self, folder: Path, index: Index) -> dict[str, str]:
        """Write the project, let the tool lock it, and return its files by name."""
        for name, text in self.files.items():
            filled = text.replace("{{", "{").replace("}}", "}") if name == "Pipfile" else text
            (folder / name).write_text(filled.replace("{index}", index.url))
        self.call(folder, index, *self.lock)
        return {name: (folder / name).read_text() for name in (*self.files, self.locked)}

    def installed(self, folder: Path, index: Index, *options: str) -> dict[str, str]:
        """Install as the tool does, and return versions by name."""
        venv = folder / ".venv"
        self._run(folder, index, UV, "venv", "--clear", "--python", sys.executable, venv)
        self.call(folder, index, *self.install, *options)
        done = self._run(
            folder, index, UV, "pip", "list", "--format", "json", "--python", venv / "bin/python"
        )
        found = {item["name"]: item["version"] for item in json.loads(done)}
        return {
            name: version for name, version in found.items() if name not in {"pip", "setuptools", "wheel"}
        }

    def call(self, folder: Path, index: Index, *arguments: str) -> str:
        """Return what the tool prints."""
        return self._run(folder, index, self.program(), *arguments)

    def _run(self, folder: Path, index: Index, program: Path, *arguments: str | Path) -> str:
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        environment = {
            "HOME": str(home),
            "PATH": f"{folder}/.venv/bin:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(folder / ".venv"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index.url,
            "PIPENV_VENV_IN_PROJECT": "1",
            "PIPENV_IGNORE_VIRTUALENVS": "1",
            "PDM_CHECK_UPDATE": "0",
            "PDM_PYPI_URL": index.url,
            "POETRY_VIRTUALENVS_IN_PROJECT": "true",
            "UV_DEFAULT_INDEX": index.url,
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",
        }
        done = subprocess.run(
            [program, *map(str, arguments)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{program.name} {arguments}: {done.stdout}\n{done.stderr}"
        return done.stdout


def _tool(name: str, program: str = "") -> Callable[[], Path]:
    return lambda: tool_folder(name) / (program or name)


TOOLS = {
    "uv": LockingTool(
        lambda: UV, {"pyproject.toml": _PROJECT}, ("lock",), ("sync", "--frozen"),
        ("--extra", "plot", "--group", "docs"), "uv.lock",
    ),
    "poetry": LockingTool(
        _tool("poetry"), {"pyproject.toml": _POETRY + _POETRY_INDEX}, ("lock", "-n"), ("install", "-n"),
        ("--extras", "plot", "--with", "docs"), "poetry.lock",
    ),
    "poetry1": LockingTool(
        _tool("poetry1", "poetry"), {"pyproject.toml": _POETRY + _POETRY_INDEX}, ("lock", "-n"), ("install", "-n"),
        ("--extras", "plot", "--with", "docs"), "poetry.lock",
    ),
    "pdm": LockingTool(
        _tool("pdm"), {"pyproject.toml": _PROJECT + "\n[tool.pdm]\ndistribution = false\n"}, ("lock", "-G", ":all"),
        ("sync",), ("-G", "plot"), "pdm.lock",
    ),
    "pipenv": LockingTool(
        _tool("pipenv"), {"Pipfile": _PIPFILE}, ("lock",), ("sync", "--dev"), (), "Pipfile.lock",
    ),
    "pip": LockingTool(
        _tool("pip"), {"requirements.txt": "alpha[wide]<2\nbeta<2\n"}, ("lock", "-r", "requirements.txt"),
        ("--python", ".venv/bin/python", "install", "-r", "pylock.toml"), (), "pylock.toml",
    ),
}  # fmt: skip
