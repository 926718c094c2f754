"""What activating a conda environment sets: the scripts of its packages are run once, in the sandbox, and what they set is data.

Nothing is activated when a notebook or a container starts: what the scripts said is part of the image's configuration.
Source: conda's `activate.py`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence

from reprolake_builder.documents.conda import CONDA_PREFIX
from reprolake_builder.errors import BuildError
from reprolake_builder.image import HOME
from reprolake_builder.process import printable
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import ImageRoot, Limits, SandboxSpec
from reprolake_builder.store import Store, Tree

_FOLDER = f"{CONDA_PREFIX.lstrip('/')}/etc/conda/activate.d/".encode()
_RUN = 'for script in "$@"; do . "$script" >&2; done; exec /usr/bin/env -0'
_TIME_LIMIT = 60  # seconds
_MOST = 1 << 20  # bytes of all variables, or of what the scripts say
_LIMITS = Limits(processes=64, file_bytes=_MOST, tmp_bytes=1 << 20)
# The shell's own, and what packages keep for deactivating.
_NOT_TAKEN = re.compile(r"_|PWD|OLDPWD|SHLVL|BASH.*|_CONDA_SET_.*|CONDA_BACKUP_.*|_CE_.*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SHOWN = 400


def activated(trees: Sequence[Tree], before: Mapping[str, str], store: Store) -> dict[str, str]:
    """Return the environment variables that hold once the packages in `trees` (lowest first) are activated.

    `before` are those that hold already. Raises BuildError when a script ends the shell, and SandboxError.
    """
    scripts = sorted({entry.path for tree in trees for entry in tree.entries if _is_script(entry.path)})
    if not scripts:
        return dict(before)
    shell = ("/bin/bash", "--noprofile", "--norc", "-c", _RUN, "activate")
    spec = SandboxSpec(
        root=ImageRoot(tuple(tree.root for tree in trees)),
        argv=(*shell, *(f"/{script.decode()}" for script in scripts)),
        env=before,
        home=HOME,
        limits=_LIMITS,
    )
    with (
        store.scratch() as scratch,
        (scratch / "out").open("w+b") as out,
        (scratch / "said").open("w+b") as said,
    ):
        running = Bubblewrap().start(spec, stdin=subprocess.DEVNULL, stdout=out, stderr=said)
        try:
            status = running.wait(_TIME_LIMIT)
        except subprocess.TimeoutExpired:
            status = -1
        finally:
            running.kill()
        out.seek(0)
        said.seek(0)
        printed, words = out.read(_MOST + 1), said.read(_MOST).decode("utf-8", "replace")
    names = ", ".join(script.rpartition(b"/")[2].decode() for script in scripts)
    if status != 0 or not printed.endswith(b"\0") or len(printed) > _MOST:
        how = (
            f"did not end within {_TIME_LIMIT} seconds"
            if status < 0
            else f"ended the shell (exit status {status})"
        )
        raise BuildError(
            f"the scripts that activate the environment's conda packages ({printable(names)}) {how}:\n"
            f"{printable(words[-_SHOWN:])}",
            hint="one of them cannot be run in a sandbox without network; leave its package out",
        )
    return _after(printed, before)


def _is_script(path: bytes) -> bool:
    name = path.removeprefix(_FOLDER)
    return (
        path.startswith(_FOLDER)
        and b"/" not in name
        and name.endswith(b".sh")
        and name.isascii()
        and b"\n" not in name
    )


def _after(printed: bytes, before: Mapping[str, str]) -> dict[str, str]:
    """Return what the shell told at its end; what has control characters is left out, as are names that are none."""
    found: dict[str, str] = {}
    for item in printed[:-1].split(b"\0"):
        name, _, value = item.decode("utf-8", "replace").partition("=")
        if _NAME.fullmatch(name) and not _NOT_TAKEN.fullmatch(name) and printable(value) == value:
            found[name] = value
    kept = [name for name in before if name in found]
    return {name: found[name] for name in (*kept, *sorted(found.keys() - before.keys()))}
