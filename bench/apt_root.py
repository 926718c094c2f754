"""A real apt that looks at a folder of ours instead of this host: no root, no network, nothing installed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from reprolake_builder.solvers.debian_archive import ARCHITECTURE, Package
from reprolake_builder.solvers.debian_signatures import KEYRING

_INSTALLED = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) ", re.MULTILINE)
_NOT_IN_STATUS = re.compile(rb"^(?:Filename|Size|MD5sum|SHA256|Description-md5):.*\n?", re.MULTILINE)


class Refused(Exception):  # noqa: N818 - apt's answer, not an error of ours
    """What apt says when it finds no way."""


class AptRoot:
    """A scratch folder that apt takes for the system.

    `sources` are lines of sources.list, whose repositories may be folders (`file:`); signatures are checked against the
    keys that we ship, unless a line says `[trusted=yes]`.
    """

    def __init__(self, folder: Path, sources: Iterable[str]) -> None:
        self._folder = folder
        for below in ("etc/apt", "state/lists/partial", "cache/archives/partial"):
            (folder / below).mkdir(parents=True)
        (folder / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in sources))
        (folder / "status").touch()
        self._call("apt-get", "update", "--error-on=any")

    def installs(self, *names: str, installed: Mapping[str, Package] | None = None) -> dict[str, str]:
        """Return what apt would add, names and versions, to a system where `installed` are installed.

        Recommended packages are left out. Raises Refused.
        """
        status = [
            re.sub(_NOT_IN_STATUS, b"", package.stanza).rstrip(b"\n") + b"\nStatus: install ok installed\n"
            for package in (installed or {}).values()
        ]
        (self._folder / "status").write_bytes(b"\n".join(status))
        answer = self._call("apt-get", "install", "--simulate", "--no-install-recommends", *names)
        return dict(_INSTALLED.findall(answer))

    @staticmethod
    def version() -> str:
        """Return which apt it is ("apt 2.6.1")."""
        said = subprocess.run(["apt-get", "--version"], capture_output=True, text=True, check=True).stdout
        return " ".join(said.split()[:2])

    def _call(self, *argv: str) -> str:
        settings = {
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Dir::Etc": self._folder / "etc/apt",
            "Dir::Etc::Parts": "/dev/null",
            "Dir::Etc::TrustedParts": "/dev/null",
            "Dir::Etc::Trusted": KEYRING,
            "Dir::State": self._folder / "state",
            "Dir::State::Status": self._folder / "status",
            "Dir::Cache": self._folder / "cache",
        }
        options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        environment = {**os.environ, "APT_CONFIG": "/dev/null", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*argv, *options], capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise Refused(f"{done.stdout}\n{done.stderr}")
        return done.stdout
