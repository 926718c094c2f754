"""The repository's own package: built to a wheel in the sandbox, without network, and pinned by its content.

Source: PEP 517 (build_wheel and get_requires_for_build_wheel), PEP 518 (build-system table).
"""

from __future__ import annotations

import email.parser
import json
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from reprolake_builder.documents.lock import BuiltWheelLock, InterpreterLock, WheelLock
from reprolake_builder.engines.packages import fetch_wheels, make_packages
from reprolake_builder.engines.repack import repack_wheel
from reprolake_builder.errors import BuildError
from reprolake_builder.image import HOME, PREFIX, REPOSITORY
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, CopyOnWrite, ImageRoot, SandboxSpec
from reprolake_builder.store import Tree
from reprolake_builder.tools import Tools

_MINUTES = 30
_LOG_SHOWN = 3000
_METADATA_LIMIT = 4 << 20
_DEFAULT = {"requires": ["setuptools", "wheel"], "build-backend": "setuptools.build_meta:__legacy__"}
# Runs inside the sandbox: argv is the build-system table as JSON.
_SCRIPT = """
import importlib, json, os, sys
table = json.loads(sys.argv[1])
sys.path[:0] = [os.path.abspath(folder) for folder in table.get("backend-path", [])]
module, _, attribute = table["build-backend"].partition(":")
backend = importlib.import_module(module)
for name in filter(None, attribute.split(".")):
    backend = getattr(backend, name)
from importlib.metadata import PackageNotFoundError, version
import re
for asked in getattr(backend, "get_requires_for_build_wheel", lambda settings: [])({}):
    try:
        version(re.match(r"[\\w.-]+", asked).group())
    except PackageNotFoundError:
        sys.exit(f"the build backend also asks for {asked!r}: add it to [build-system] requires in pyproject.toml")
backend.build_wheel("/out", {}, None)
"""


@dataclass(frozen=True, slots=True)
class ProjectInput:
    """What a build of the repository's package starts from.

    `project` is the package's folder relative to the repository, `epoch` (seconds) is SOURCE_DATE_EPOCH. `stack` are the
    trees of base, system and environment, lowest first.
    """

    project: str
    epoch: int
    interpreter: InterpreterLock
    stack: tuple[Tree, ...]
    repository: Tree
    build_wheels: tuple[WheelLock, ...]


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel that was built: its pin, and what its metadata requires."""

    lock: BuiltWheelLock
    requires: tuple[str, ...]


def build_project(given: ProjectInput, tools: Tools) -> BuiltWheel:
    """Return the repository's package, built in the sandbox and put into the store. Raises BuildError with the backend's words."""
    fetch_wheels(given.build_wheels, tools)
    parts = make_packages(given.build_wheels, given.interpreter, given.stack[0], tools)
    with tools.store.scratch() as scratch, tools.progress.step("Building the repository's package"):
        out = scratch / "out"
        upper = scratch / "upper"
        out.mkdir()
        upper.mkdir()
        with (scratch / "log").open("w+b") as log:
            _run_backend(given, (*given.stack, *(part.tree for part in parts)), (out, upper), log)
        wheel = _only_wheel(out, given.project)
        packed = scratch / wheel.name
        sha256 = repack_wheel(wheel, packed)
        with packed.open("rb") as stream:
            tools.store.add_archive(iter(lambda: stream.read(1 << 20), b""), sha256, wheel.name)
        size = packed.stat().st_size
        metadata = _metadata(packed)
    lock = BuiltWheelLock(
        name=canonicalize_name(str(metadata["Name"])),
        version=str(metadata["Version"]),
        filename=wheel.name,
        size=size,
        sha256=sha256,
        project=given.project,
        source_date_epoch=given.epoch,
        build_requirements=given.build_wheels,
    )
    return BuiltWheel(lock, tuple(str(line) for line in metadata.get_all("Requires-Dist", [])))


def ensure_project(
    lock: BuiltWheelLock,
    interpreter: InterpreterLock,
    stack: tuple[Tree, ...],
    repository: Tree,
    tools: Tools,
) -> None:
    """See to it that the locked wheel of the repository's package lies in the store: build it again when it does not."""
    if tools.store.has_archive(lock.sha256):
        return
    given = ProjectInput(
        lock.project, lock.source_date_epoch, interpreter, stack, repository, lock.build_requirements
    )
    built = build_project(given, tools)
    if built.lock.sha256 != lock.sha256:
        raise BuildError(
            f"the repository's package was built to other bytes than the lock has: {lock.filename} is "
            f"{built.lock.sha256[:16]}…, locked is {lock.sha256[:16]}…",
            hint="its build depends on something that the lock does not pin; `reprolake lock` makes a new lock",
        )


def build_system(repository: Tree, project: str) -> dict[str, Any]:
    """Return the build-system table of the project, with the defaults of PEP 518 where it is silent."""
    path = "/".join(filter(None, [REPOSITORY.lstrip("/"), project, "pyproject.toml"])).encode()
    # The index says that the path is a plain file below plain folders: reading it cannot leave the tree.
    if not any(
        entry.path == path and entry.kind == "f" and entry.size < _METADATA_LIMIT
        for entry in repository.entries
    ):
        return dict(_DEFAULT)
    table = tomllib.loads((repository.root / path.decode()).read_text("utf-8")).get("build-system", {})
    return (
        {**_DEFAULT, **table}
        if "build-backend" in table
        else {**_DEFAULT, "requires": table.get("requires", [])}
    )


def _run_backend(
    given: ProjectInput, trees: Sequence[Tree], folders: tuple[Path, Path], log: IO[bytes]
) -> None:
    out, upper = folders
    table = build_system(given.repository, given.project)
    sandbox = Bubblewrap()
    running = sandbox.start(
        SandboxSpec(
            root=ImageRoot(tuple(tree.root for tree in trees)),
            argv=(
                f"{PREFIX}/bin/python",
                "-P" if _has_safe_path(given.interpreter) else "-s",
                "-c",
                _SCRIPT,
                json.dumps(table),
            ),
            env={
                "PATH": f"{PREFIX}/bin:/usr/bin:/bin",
                "HOME": HOME,
                "LANG": "C.UTF-8",
                "PYTHONHASHSEED": "0",
                "SOURCE_DATE_EPOCH": str(given.epoch),
            },
            cwd="/".join(filter(None, [REPOSITORY, given.project])),
            binds=(Bind(out, "/out", writable=True),),
            copy_on_write=CopyOnWrite(given.repository.root / REPOSITORY.lstrip("/"), upper, REPOSITORY),
            home=HOME,
        ),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        status = running.wait(_MINUTES * 60)
    except subprocess.TimeoutExpired:
        raise BuildError(f"the build of the repository's package took more than {_MINUTES} minutes") from None
    finally:
        running.kill()
    if status != 0:
        raise BuildError(
            f"{table['build-backend']} could not build the repository's package (exit status {status}):\n{_tail(log)}",
            hint="the build runs in the sandbox without network, with the build requirements of pyproject.toml only",
        )


def _has_safe_path(interpreter: InterpreterLock) -> bool:
    return tuple(int(part) for part in interpreter.version.split(".")[:2]) >= (3, 11)


def _tail(log: IO[bytes]) -> str:
    log.seek(0, 2)
    log.seek(max(0, log.tell() - _LOG_SHOWN))
    return printable(log.read().decode("utf-8", "replace").strip())


def _only_wheel(out: Path, project: str) -> Path:
    """Return the one wheel in the folder, which the backend could fill as it liked."""
    wheels = [
        path for path in out.iterdir() if path.suffix == ".whl" and path.is_file() and not path.is_symlink()
    ]
    if len(wheels) != 1:
        raise BuildError(
            f"the build of {project or 'the repository'} left {len(wheels)} wheels where one was expected"
        )
    try:
        parse_wheel_filename(wheels[0].name)
    except InvalidWheelFilename as error:
        raise BuildError(f"the build left {printable(wheels[0].name)!r}, which is no wheel's name") from error
    return wheels[0]


def _metadata(wheel: Path) -> email.message.Message:
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.open(name).read(_METADATA_LIMIT).decode("utf-8", "replace")
    return email.parser.Parser().parsestr(text)
