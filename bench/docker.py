"""The other side: the same packages on the same base by `docker build`, with pip and with uv."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import call
from reprolake.options import load_options
from reprolake.pipeline import open_session
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.engines.build_root import Ground, build_stack
from reprolake_builder.engines.layers import Part, make_layers
from reprolake_builder.image import PREFIX, Image
from reprolake_builder.progress import SILENT
from reprolake_builder.publish import parse_destination, publish

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
        layers = make_layers([(Part("base", tree),) for tree in trees], session.tools.store, SILENT)
        settings = {"Env": [f"PATH={PREFIX}/bin:/usr/bin:/bin", "LANG=C.UTF-8"]}
        stack = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": settings, "rootfs": stack})
        digest = "sha256:" + hashlib.sha256(config.encode()).hexdigest()
        image = Image(id=digest, config=config, layers=layers, annotations={}, lock_sha256="0" * 64)
        to = parse_destination("docker:", _BASE, session.options.engine_environment)
        publish(image, to, session.tools.store, SILENT)
    context = work / "tools-context"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(tools(work), context / "tools")
    # Images that come with pip have its byte code.
    _build(context, _TOOLS, f"FROM {_BASE}\nCOPY tools /opt/tools\nRUN python -m compileall -q /opt/tools\n")


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
    listed = subprocess.run(
        ["docker", "image", "ls", "--quiet", "--filter", "reference=reprolake-bench/*"],
        capture_output=True,
        text=True,
        check=False,
    )
    if names := sorted(set(listed.stdout.split())):
        call(["docker", "image", "rm", "--force", *names])
    # Those of earlier rounds, whose names were given to later ones.
    call(["docker", "image", "prune", "--force", "--filter", f"label={_LABEL}"])
