"""The environment variables of an image: where its programs are, what the repository sets, what its packages set."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reprolake_builder.documents.conda import CONDA_PREFIX
from reprolake_builder.documents.lock import CondaInterpreter, EnvironmentLock, StandaloneInterpreter
from reprolake_builder.engines.conda_activate import activated
from reprolake_builder.engines.debian_setup import USER_NAME
from reprolake_builder.errors import BuildError
from reprolake_builder.image import HOME, PREFIX, USER, working_folder
from reprolake_builder.process import printable
from reprolake_builder.store import Store, Tree

_SYSTEM = "/usr/local/bin:/usr/bin:/bin"
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # Debian's
_OWN_CERTIFICATES = (
    f"{CONDA_PREFIX.lstrip('/')}/ssl/cert.pem".encode()
)  # those of conda's package ca-certificates
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _names_of_repo2docker(lock: EnvironmentLock, prefix: str) -> dict[str, str]:
    """Return what scripts written for repo2docker's images look places and the user up by, and the shell of Jupyter's terminals."""
    return {
        "SHELL": "/bin/bash",
        "USER": USER_NAME,
        "NB_USER": USER_NAME,
        "NB_UID": str(USER[0]),
        "NB_PYTHON_PREFIX": prefix,
        "REPO_DIR": working_folder(lock.source.subdir),
    }


def image_variables(lock: EnvironmentLock, trees: Sequence[Tree], store: Store) -> dict[str, str]:
    """Return the variables of the image that `trees` (lowest first) make, in order. Raises BuildError and SandboxError."""
    in_conda = isinstance(lock.interpreter, CondaInterpreter)
    bins = [f"{PREFIX}/bin"] if not in_conda else []
    bins += [f"{CONDA_PREFIX}/bin"] if lock.conda is not None else []
    last = [folder for recipe in lock.recipes for folder in recipe.path]
    variables = {"PATH": ":".join((*bins, _SYSTEM, *last)), "LANG": "C.UTF-8", "HOME": HOME}
    variables |= _names_of_repo2docker(lock, CONDA_PREFIX if in_conda else PREFIX)
    if not in_conda:
        variables["VIRTUAL_ENV"] = PREFIX
    if isinstance(lock.interpreter, StandaloneInterpreter):
        variables["SSL_CERT_FILE"] = _CERTIFICATES  # its own OpenSSL looks elsewhere
    if lock.conda is not None:
        variables |= {"CONDA_PREFIX": CONDA_PREFIX, "CONDA_DEFAULT_ENV": "base", "CONDA_SHLVL": "1"}
        if not any(entry.path == _OWN_CERTIFICATES for tree in trees for entry in tree.entries):
            variables["SSL_CERT_FILE"] = _CERTIFICATES
    for recipe in lock.recipes:
        variables |= recipe.variables
    for name, value in sorted(lock.environment.variables.items()):
        if not _NAME.fullmatch(name) or printable(value) != value:
            raise BuildError(
                f"{printable(name)!r} cannot be an environment variable, or its value not be one's",
                hint="names have letters, digits and underscores; values have no control characters",
            )
        variables[name] = value
    return activated(trees, variables, store) if lock.conda is not None else variables
