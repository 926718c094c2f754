"""What the driver's sandbox shows of this host: Python, the packages that the driver imports, and nothing else."""

from __future__ import annotations

import functools
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.interface import Bind, HostRoot, Limits, SandboxSpec

FOLDER = "/run/driver"
_OURS = ("reprolake_runner", "reprolake_builder")
_NEEDED = (
    "nbclient", "nbformat", "jupyter_client", "jupyter_core", "traitlets", "zmq", "tornado", "dateutil", "msgspec", "jsonschema",
    "jsonschema_specifications", "fastjsonschema", "referencing", "rpds", "attr", "platformdirs", "typing_extensions", "six", "PIL",
)  # fmt: skip
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_MAIN = "import sys; sys.path += {!r}; from reprolake_runner.driver.main import main; main()"


@dataclass(frozen=True, slots=True)
class _Python:
    """The interpreter (host path), what of the host it needs, and where its packages are."""

    executable: str
    shown: tuple[Path, ...]
    path: tuple[str, ...]


def driver_spec(folder: Path, sockets: Bind) -> SandboxSpec:
    """Return the sandbox for the driver: `folder` (host path) is the notebook's, `sockets` the kernel's, which it only reads.

    Raises SandboxError when a package that the driver needs cannot be found.
    """
    python = _python()
    return SandboxSpec(
        root=HostRoot(python.shown),
        argv=(python.executable, "-I", "-S", "-B", "-c", _MAIN.format(list(python.path))),
        env={"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/nonexistent"},  # noqa: S108  (in the sandbox)
        binds=(Bind(folder, FOLDER, writable=True), sockets),
        limits=Limits(processes=64, tmp_bytes=64 << 20, file_bytes=4 << 30),
    )


def python_root() -> tuple[str, HostRoot]:
    """Return this host's interpreter (host path) and a root with all that it needs. Raises SandboxError as `driver_spec` does."""
    python = _python()
    return python.executable, HostRoot(python.shown)


@functools.cache
def _python() -> _Python:
    paths = sysconfig.get_paths()
    # the interpreter below any virtual environment: its packages are named explicitly
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    library = Path(str(sysconfig.get_config_var("LIBDIR"))) / str(sysconfig.get_config_var("INSTSONAME"))
    shown = [executable, *(Path(paths[name]) for name in ("stdlib", "platstdlib")), library]
    folders: list[str] = []
    for name in (*_OURS, *_NEEDED):
        parent = _parent(name)
        if parent is None:
            continue
        shown.append(parent / name if name in _OURS else parent)
        if str(parent) not in folders:
            folders.append(str(parent))
    shown += map(Path, _LIBRARIES)
    return _Python(str(executable), _outermost(path for path in shown if path.exists()), tuple(folders))


def _parent(name: str) -> Path | None:
    """Return the folder that a top-level module is imported from; None when there is none, which some versions do without."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        if name in {*_OURS, "nbclient", "zmq", "msgspec", "PIL"}:
            raise SandboxError(f"the Python package {name} is missing", hint="install reprolake again")
        return None
    origin = Path(spec.origin)
    return origin.parent.parent if spec.submodule_search_locations else origin.parent


def _outermost(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the paths without those that lie below another one."""
    found: list[Path] = []
    for path in sorted(set(paths)):
        if not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return tuple(found)
