"""A build backend at work in the sandbox: without network, with a fixed environment, in folders that are called the same everywhere.

Source: PEP 517 (build_wheel and get_requires_for_build_wheel), PEP 518 (build-system table).
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from reprolake_builder.documents.lock import InterpreterLock, StandaloneInterpreter
from reprolake_builder.engines.apt_hints import apt_hint
from reprolake_builder.engines.attending import Work, attend, last_words
from reprolake_builder.engines.interpreters import layout_of
from reprolake_builder.errors import SourceBuildError
from reprolake_builder.image import HOME
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, CopyOnWrite, ImageRoot, SandboxSpec
from reprolake_builder.store import Tree

_LOG_SHOWN = 3000
_SMALL = 4 << 20  # bytes of a file that is read whole
_ASKED = "asked.json"
_DEFAULT: dict[str, Any] = {
    "requires": ["setuptools>=40.8.0", "wheel"],
    "build-backend": "setuptools.build_meta:__legacy__",
}
# Runs inside the sandbox: argv is the build-system table and the demands that were met already (null: all), as JSON.
_SCRIPT = f"""
import importlib, json, os, re, sys
from importlib.metadata import PackageNotFoundError, version
table, met = json.loads(sys.argv[1]), json.loads(sys.argv[2])
sys.path[:0] = [os.path.abspath(folder) for folder in table.get("backend-path", [])]
if "SETUPTOOLS_SCM_PRETEND_VERSION" in os.environ and not os.path.exists(".git"):
    # Tells setuptools_scm that all files here are git's, so that data files are packed as from a checkout.
    with open(".git_archival.txt", "w") as stream:
        stream.write("node: " + 40 * "0" + "\\n")

def load():
    module, _, attribute = table["build-backend"].partition(":")
    backend = importlib.import_module(module)
    for name in filter(None, attribute.split(".")):
        backend = getattr(backend, name)
    return backend

def ask():
    missing = []
    for asked in getattr(load(), "get_requires_for_build_wheel", lambda settings: [])({{}}):
        try:
            version(re.match(r"[\\w.-]+", asked).group())
        except PackageNotFoundError:
            if met is not None and asked not in met:
                missing.append(asked)
    if missing:
        with open("/out/{_ASKED}", "w") as stream:
            json.dump(missing, stream)

# Each call has a process of its own, as PEP 517 wants it: distutils keeps what a first one has left.
child = os.fork()
if child == 0:
    ask()
    sys.exit()
if os.waitpid(child, 0)[1]:
    sys.exit(1)
if not os.path.lexists("/out/{_ASKED}"):
    load().build_wheel("/out", {{}}, None)
"""


class MoreAskedError(SourceBuildError):
    """The backend asks for more build requirements than its build-system table names: PEP 508 lines."""

    def __init__(self, message: str, asked: tuple[str, ...]) -> None:
        super().__init__(message, hint="name them in [build-system] requires of pyproject.toml")
        self.asked = asked


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a backend works: the host folder `lower` appears at `place`, the package lies in its `folder` (both sandbox paths)."""

    lower: Path
    place: str
    folder: str

    @property
    def cwd(self) -> str:
        """The package's folder (sandbox path)."""
        return "/".join(filter(None, [self.place, self.folder]))


@dataclass(frozen=True, slots=True)
class BackendCall:
    """What is run: `trees` make the root, lowest first; `variables` are the whole environment.

    `met` are demands of the backend that were met; None tells not to ask for them.
    """

    what: str
    table: Mapping[str, Any]
    workplace: Workplace
    trees: tuple[Tree, ...]
    interpreter: InterpreterLock
    variables: Mapping[str, str]
    met: tuple[str, ...] | None = ()


def environment(epoch: int, interpreter: InterpreterLock, more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every build, for a SOURCE_DATE_EPOCH in seconds, and what this one needs beside it."""
    # Standalone builds name the compiler that they were made with themselves.
    own = isinstance(interpreter, StandaloneInterpreter)
    compilers = {"CC": "gcc", "CXX": "g++", "AR": "ar"} if own else {}
    return {
        "PATH": f"/{layout_of(interpreter).prefix}/bin:/usr/bin:/bin",
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": str(epoch),
        **compilers,
        **more,
    }


def build_system(source: Tree, folder: str) -> dict[str, Any]:
    """Return the build-system table of the package in `folder` of the tree, with the defaults of PEP 518 where it is silent."""
    path = "/".join(filter(None, [folder, "pyproject.toml"])).encode()
    # The index says that the path is a plain file below plain folders: reading it cannot leave the tree.
    if not any(entry.path == path and entry.kind == "f" and entry.size < _SMALL for entry in source.entries):
        return dict(_DEFAULT)
    shown = printable(path.decode("utf-8", "replace"))
    try:
        table = tomllib.loads((source.root / path.decode()).read_text("utf-8")).get("build-system", {})
        known = msgspec.convert(table, _BuildSystem)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise SourceBuildError(f"{shown} cannot be understood: {printable(str(error))[:200]}") from error
    if known.build_backend is None:
        return {**_DEFAULT, "requires": list(known.requires or _DEFAULT["requires"])}
    return {
        "requires": list(known.requires),
        "build-backend": known.build_backend,
        "backend-path": list(known.backend_path),
    }


def run_backend(call: BackendCall, scratch: Path) -> Path:
    """Return the folder (host path, below the empty folder `scratch`) that the backend has put its wheel in.

    Raises MoreAskedError, or SourceBuildError with the backend's own words.
    """
    out, upper = scratch / "out", scratch / "upper"
    out.mkdir()
    upper.mkdir()
    with (scratch / "log").open("w+b") as log:
        status = _run(call, out, upper, log)
        said = last_words(log)
    if status != 0:
        raise SourceBuildError(
            f"{call.table['build-backend']} could not build {call.what} (exit status {status}):\n{said[-_LOG_SHOWN:]}",
            log=said,
            hint=apt_hint(said)
            or "the build runs in the sandbox without network, with the pinned build requirements only",
        )
    if (out / _ASKED).is_file() and not (out / _ASKED).is_symlink():
        raise _more_asked(call, out / _ASKED)
    return out


def _run(call: BackendCall, out: Path, upper: Path, log: IO[bytes]) -> int:
    work = Work(f"the build of {call.what}", out)
    running = Bubblewrap().start(
        SandboxSpec(
            root=ImageRoot(tuple(tree.root for tree in call.trees)),
            argv=(
                f"/{layout_of(call.interpreter).prefix}/bin/python",
                "-P" if _has_safe_path(call.interpreter) else "-s",
                "-c",
                _SCRIPT,
                json.dumps(dict(call.table)),
                json.dumps(call.met),
            ),
            env=call.variables,
            cwd=call.workplace.cwd,
            binds=(Bind(out, "/out", writable=True),),
            copy_on_write=CopyOnWrite(call.workplace.lower, upper, call.workplace.place),
            home=HOME,
            limits=work.limits,
        ),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    return attend(running, work, SourceBuildError)


def _more_asked(call: BackendCall, path: Path) -> SourceBuildError:
    """Return the error with what the backend asks for; the sandboxed code wrote that file."""
    # No pipe and no link took its place: who wrote there has ended.
    with path.open("rb") as stream:
        text = stream.read(_SMALL)
    try:
        asked = msgspec.json.decode(text, type=tuple[str, ...])
    except msgspec.DecodeError as error:
        return SourceBuildError(f"the build of {call.what} left a file of ours that cannot be read: {error}")
    shown = printable(", ".join(map(repr, asked)))[:500]
    return MoreAskedError(f"the backend of {call.what} also asks for {shown}", asked)


class _BuildSystem(msgspec.Struct, rename="kebab"):
    requires: Sequence[str] = ()
    build_backend: str | None = None
    backend_path: Sequence[str] = ()


def _has_safe_path(interpreter: InterpreterLock) -> bool:
    return tuple(int(part) for part in interpreter.version.split(".")[:2]) >= (3, 11)
