"""What is known of a host's apptainer: where it is, which one, and what it lacks for programs that nobody trusts."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from reprolake_builder import process
from reprolake_builder.sandboxes import requirements
from reprolake_builder.sandboxes.launch import BASE

# the last is where sites without one of their own find it, mounted from CVMFS
_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/apptainer/bin:/cvmfs/oasis.opensciencegrid.org/mis/apptainer/bin"
_OLDEST = (1, 1)
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/"}


@functools.cache
def program() -> str:
    """Host path of apptainer, "" when there is none."""
    return shutil.which("apptainer", path=_PATH) or ""


@functools.cache
def _says_version() -> str:
    done = process.run([program(), "--version"], env=_ENVIRONMENT)
    return process.printable((done.stdout + done.stderr).decode(errors="replace").strip())


def version() -> tuple[int, ...]:
    """Version of apptainer, () when it does not say."""
    found = re.search(r"version (\d+(?:\.\d+)+)", _says_version())
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


@functools.cache
def built() -> Mapping[str, str]:
    """How it was built: names and values, among them the places of its files."""
    told = process.run([program(), "buildcfg"], env=_ENVIRONMENT).stdout.decode(errors="replace")
    return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


@functools.cache
def missing() -> str:
    """What this host lacks, with the remedy; "" when nothing is known to be missing."""
    if lacks := requirements.missing():
        return lacks
    if not program():
        return "apptainer is not installed; ask the site for it, or install its package of that name"
    if Path(os.path.realpath(program())).is_relative_to(BASE):
        return f"apptainer lies below {BASE}, which sandboxes do not show; install it elsewhere"
    if not version():
        return f"apptainer does not say its version, but: {_says_version()}"
    if version() < _OLDEST:
        return (
            f"apptainer {'.'.join(map(str, version()))} is too old; "
            f"version {'.'.join(map(str, _OLDEST))} or later runs without set-uid programs"
        )
    if not Path(built().get("APPTAINER_CONF_FILE", "")).is_file():
        return "apptainer has no configuration file; install it again"
    return ""
