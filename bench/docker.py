"""The other side: the same packages on the same base by `docker build`, with pip and with uv."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import call
from reprolake.options import load_options
from reprolake.pipeline import Session, open_session
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.build_root import Ground, build_stack
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.engines.layers import Part, make_layers
from reprolake_builder.image import PREFIX, Image
from reprolake_builder.progress import SILENT
from reprolake_builder.publish import parse_destination, publish
from reprolake_builder.store import Tree

_BASE = "reprolake-bench/base:latest"
_TOOLS = "reprolake-bench/tools:latest"
_LABEL = "reprolake-bench"
_PINS = "--no-deps --require-hashes -r /pins.txt --index-url"
_PIP = f"python /opt/tools/pip install --quiet --no-cache-dir --root-user-action=ignore {_PINS}"
_UV = f"/opt/tools/bin/uv pip install --quiet --no-cache --python {PREFIX}/bin/python {_PINS}"


def problem() -> str:
    """Return why docker cannot be compared with, "" when it can."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, check=False)
    except FileNotFoundError:
        return "docker is not installed"
    return "" if done.returncode == 0 else "docker does not answer"


def tools(work: Path) -> Path:
    """Return a folder with the newest pip and uv (host path)."""
    folder = work / "tools"
    if not folder.exists():
        call([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "pip", "uv"])
    return folder


def make_base(lock: EnvironmentLock, store: Path, work: Path) -> None:
    """Load our own base, Debian and the empty environment, into docker, and put pip and uv on it."""
    with open_session(load_options(os.environ, str(store)), SILENT, datetime.now(UTC)) as session:
        trees, _ = build_stack(Ground(lock.debian, lock.interpreter), session.tools, toolchain=False)
        _load(trees, [f"PATH={PREFIX}/bin:/usr/bin:/bin", "LANG=C.UTF-8"], session)
    context = work / "tools-context"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(tools(work), context / "tools")
    # Images that come with pip have its byte code.
    _build(context, _TOOLS, f"FROM {_BASE}\nCOPY tools /opt/tools\nRUN python -m compileall -q /opt/tools\n")


def _load(trees: Sequence[Tree], env: Sequence[str], session: Session) -> None:
    """Load trees into docker as the base."""
    layers = make_layers([(Part("base", tree),) for tree in trees], session.tools.store, SILENT)
    stack = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    settings = {"Env": list(env)}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": settings, "rootfs": stack})
    digest = "sha256:" + hashlib.sha256(config.encode()).hexdigest()
    image = Image(id=digest, config=config, layers=layers, annotations={}, lock_sha256="0" * 64)
    to = parse_destination("docker:", _BASE, session.options.engine_environment)
    publish(image, to, session.tools.store, SILENT)


def make_conda_base(lock: EnvironmentLock, store: Path, work: Path, installer: Path) -> None:
    """Load a conda lock's Debian into docker, and put `installer` (host folder) on it, with a Python of its own."""
    with open_session(load_options(os.environ, str(store)), SILENT, datetime.now(UTC)) as session:
        fetch_debian(lock.debian, session.tools)
        trees = make_debian_trees(lock.debian, session.tools.store, SILENT)
        _load(trees, ["PATH=/opt/conda/bin:/usr/bin:/bin", "LANG=C.UTF-8"], session)
    context = work / "tools-context"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(installer, context / "tools", symlinks=True)
    _build(context, _TOOLS, f"FROM {_BASE}\nCOPY tools /opt/tools\n")


def build_conda(name: str, records: str, work: Path, *, byte_code: bool) -> None:
    """Install conda packages onto the base with rattler, and compile what came without byte code if that is wanted."""
    context = work / f"context-{name}-conda"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    (context / "records.json").write_text(records)
    tag = f"reprolake-bench/{name}-conda:latest"
    install = "/opt/tools/python/bin/python /opt/tools/conda_install.py /records.json /opt/conda"
    compiled = "/opt/conda/bin/python -m compileall -q -j 0 /opt/conda/lib/python3.11"
    run = f"{install} && {f'({compiled} || true)' if byte_code else 'true'} && rm -rf /tmp/cache"
    _build(context, tag, f"FROM {_TOOLS}\nCOPY records.json /\nRUN {run}\n")


def pins(lock: EnvironmentLock) -> str:
    """Return the lock's wheels as requirements with hashes."""
    return "".join(f"{w.name}=={w.version} --hash=sha256:{w.sha256}\n" for w in lock.wheels)


def build(name: str, installer: str, lock: EnvironmentLock, index: str, work: Path) -> str:
    """Build the lock's packages onto the base with "pip" or "uv", as the lock says with byte code or without.

    Nothing is taken from docker's cache. Returns the image's name.
    """
    context = work / f"context-{name}-{installer}"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    (context / "pins.txt").write_text(pins(lock))
    install = {
        "pip": f"{_PIP} {index}{'' if lock.byte_code else ' --no-compile'}",
        "uv": f"{_UV} {index}{' --compile-bytecode' if lock.byte_code else ''}",
    }[installer]
    tag = f"reprolake-bench/{name}-{installer}:latest"
    _build(context, tag, f"FROM {_TOOLS}\nCOPY pins.txt /\nRUN {install}\n")
    return tag


def _build(context: Path, tag: str, dockerfile: str) -> None:
    (context / "Dockerfile").write_text(dockerfile)
    call(
        [
            "docker",
            "build",
            "--quiet",
            "--no-cache",
            "--network=host",
            f"--label={_LABEL}",
            "--tag",
            tag,
            context,
        ]
    )


def check(image: str, modules: tuple[str, ...]) -> None:
    """Import the modules in a container, so that nobody measures an image that does not work."""
    program = "; ".join(f"import {module}" for module in modules)
    call(["docker", "run", "--rm", "--network", "none", image, "python", "-c", program])


def remove_all() -> None:
    """Remove the images of this benchmark from docker."""
    named = ["--filter", "reference=reprolake-bench/*", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(["docker", "image", "ls", *named], capture_output=True, text=True, check=False)
    # By name, and what others were built on last: docker removes nothing that has children.
    built_on = {_TOOLS: 1, _BASE: 2}
    for name in sorted(set(listed.stdout.split()), key=lambda name: built_on.get(name, 0)):
        call(["docker", "image", "rm", "--force", name])
    # Those of earlier rounds, whose names were given to later ones.
    call(["docker", "image", "prune", "--force", "--filter", f"label={_LABEL}"])
