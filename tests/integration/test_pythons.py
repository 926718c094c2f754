"""Each Python on offer: its byte code is the same under any circumstances, and an image of it works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reprolake.pipeline import Request, obtain_image, obtain_lock
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.interpreters import debian_program
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import ImageRoot, SandboxSpec
from reprolake_builder.solvers.debian import solve_debian
from reprolake_builder.solvers.pypi_target import TARGETS

PYTHONS = tuple(TARGETS)
PARTS = (
    "asyncio",
    "collections",
    "email",
    "importlib",
    "json",
    "xml",
)  # of the Python's own library: code of its time
COMPILE = """\
import sys
from pathlib import Path
from reprolake_builder.engines.bytecode import ByteCode
from reprolake_builder.engines.interpreters import debian_program
base, minor, root, *folders = sys.argv[1:]
with ByteCode(debian_program(Path(base), minor)) as byte_code:
    for folder in folders:
        byte_code.compile_tree(Path(root), (folder,), "/opt/env")
"""
IMPORT = "import attr, json, sys; print(json.dumps([sys.version.split()[0], attr.__version__, attr.__spec__.cached]))"
pytestmark = pytest.mark.engine("bubblewrap")


def wheel(library: Path, root: Path) -> Path:
    """Write what a wheel with real modules would hold below `root`."""
    for part in PARTS:
        target = root / "lib" / part
        shutil.copytree(library / part, target, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    return root


def byte_code_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.pyc"))}


@pytest.mark.parametrize("minor", PYTHONS)
def test_byte_code_does_not_depend_on_circumstances(session, tmp_path, minor):
    """Another order, hash seed, time zone, language, umask and number of processors give the same files, byte for byte."""
    tools = session.tools
    debian = solve_debian(minor, (), tools).debian
    fetch_debian(debian, tools)
    base = make_debian_trees(debian, tools.store, tools.progress)[0].root
    library = base / "usr/lib" / f"python{minor}"
    one, other = wheel(library, tmp_path / "one"), wheel(library, tmp_path / "quite another place")
    with ByteCode(debian_program(base, minor)) as byte_code:
        byte_code.compile_tree(one, ("lib",), "/opt/env")
    subprocess.run(
        [sys.executable, "-c", COMPILE, base, minor, other, *(f"lib/{part}" for part in reversed(PARTS))],
        env={**os.environ, "PYTHONHASHSEED": "4711", "TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8"},
        umask=0o077,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
        check=True,
    )
    first = byte_code_of(one)
    assert len(first) > 60
    assert first == byte_code_of(other)


@pytest.mark.parametrize("minor", PYTHONS)
def test_an_image_of_each_python_imports_its_packages(session, tmp_path, minor):
    """The interpreter is the one that was asked for, and it finds package and byte code."""
    (tmp_path / "requirements.txt").write_text("attrs\n")
    obtained = obtain_lock(Request(link=str(tmp_path), python=minor, as_of="2025-06-01"), session)
    store = session.tools.store
    trees = tuple(store.tree(key) for key in obtain_image(obtained, session).trees)
    with (tmp_path / "out").open("w+b") as out:
        running = Bubblewrap().start(
            SandboxSpec(
                root=ImageRoot(tuple(tree.root for tree in trees if tree is not None)),
                argv=("/opt/env/bin/python", "-c", IMPORT),
                env={"PATH": "/usr/bin"},
            ),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
        assert running.wait(60) == 0
        out.seek(0)
        version, attrs, cached = json.loads(out.read())
    assert version == obtained.lock.interpreter.version == TARGETS[minor].version
    assert attrs == next(wheel.version for wheel in obtained.lock.wheels if wheel.name == "attrs")
    assert cached.endswith(f"/attr/__pycache__/__init__.cpython-{minor.replace('.', '')}.pyc")
    assert any((tree.root / cached.lstrip("/")).is_file() for tree in trees if tree is not None)
