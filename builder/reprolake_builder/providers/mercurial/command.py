"""Running Mercurial so that nothing a repository or the user's configuration brings along is executed.

Source: hg help environment (HGRCPATH, HGRCSKIPREPO, HGPLAIN), hg help config.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reprolake_builder import process
from reprolake_builder.credentials import Login
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import Completed
from reprolake_builder.providers.programs import Program
from reprolake_builder.site import Site

_HG = Program("hg", "Mercurial (hg)", "mercurial")
_QUICK = 120  # seconds for what only reads the local disk
_SETTINGS = """\
[ui]
interactive = False
timeout = 60
ssh = false
archivemeta = False
clonebundles = False
[http]
timeout = 60
[subrepos]
allowed = False
[phases]
publish = False
[fsmonitor]
mode = off
"""


@dataclass(frozen=True, slots=True)
class Hg:
    """hg on one repository of our own (host path); `settings` is the one file that it is configured by."""

    repository: Path
    settings: Path
    path: str

    def run(self, *arguments: str, timeout: float = _QUICK) -> Completed:
        """Run one command to its end; a non-zero exit is for the caller to judge. `timeout` is in seconds."""
        with _HG.telling(arguments[0]):
            return process.run(self._argv(arguments), env=self._environment(), timeout=timeout)

    @contextmanager
    def converse(self, *arguments: str) -> Iterator[IO[bytes]]:
        """Yield standard output of a command that runs beside the block."""
        with _HG.converse(self._argv(arguments), self._environment()) as (_, output):
            yield output

    def _argv(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        return ("hg", "--repository", str(self.repository), "--noninteractive", *arguments)

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": self.path,
            "HOME": "/nonexistent",
            "HGRCPATH": str(self.settings),
            "HGRCSKIPREPO": "1",
            "HGPLAIN": "1",
            "HGENCODING": "utf-8",
            "LC_ALL": "C",
            "PYTHONSAFEPATH": "1",
        }


def settings_text(url: str, login: Login | None, site: Site) -> str:
    """Return hg's whole configuration: a file, since arguments can be read by every user of this host."""
    text = _SETTINGS
    scheme = url.partition(":")[0]
    if proxy := site.proxies.get(scheme, ""):
        text += f"[http_proxy]\nhost = {_word(proxy)}\nno = {_word(','.join(site.no_proxy))}\n"
    if site.ca_bundle:
        text += f"[web]\ncacerts = {_word(site.ca_bundle)}\n"
    if login is not None:
        server = "/".join(url.split("/", 3)[:3])
        text += f"[auth]\nit.prefix = {_word(server)}\nit.username = {_word(login[0])}\nit.password = {_word(login[1])}\n"
    return text


def _word(value: str) -> str:
    if not value.isprintable():
        raise ResolveError("an address or login for Mercurial holds control characters")
    return value
