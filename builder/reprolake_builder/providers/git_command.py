"""Running git so that nothing a repository brings along is executed, whatever its configuration says."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from reprolake_builder import process
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import Completed
from reprolake_builder.providers.links import GitLink

# What git and its helpers need to reach a server as the user would; everything else stays outside (GIT_DIR of a hook …).
_PASSED = [
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "USER",
    "LOGNAME",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
]
_FIXED = {
    "LC_ALL": "C",  # messages are read to tell a refusal from a broken connection
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",  # refs/replace would give a commit other content than its id names
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_LITERAL_PATHSPECS": "1",
}
_SETTINGS = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.bigFileThreshold=16m",  # larger blobs are streamed
    "core.packedGitWindowSize=8m",
    "core.packedGitLimit=64m",
    "core.deltaBaseCacheLimit=16m",
    "fetch.unpackLimit=1",  # a pack is kept as it came: read in windows, where a loose object is mapped whole
    "gc.auto=0",
    "maintenance.auto=false",
    "log.showSignature=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "protocol.version=2",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)
NO_TRANSPORT = "none"
TRANSPORTS = "https:http:ssh:git:file"
_QUICK = 120  # seconds for what only reads the local disk


@dataclass(frozen=True, slots=True)
class Git:
    """git in one place: `place` is ("-C", work tree) or ("--git-dir", repository), `env` its whole environment."""

    place: tuple[str, str]
    env: Mapping[str, str]

    def run(self, *arguments: str, timeout: float = _QUICK) -> Completed:
        """Run one git command to its end; a non-zero exit is for the caller to judge. `timeout` is in seconds."""
        try:
            return process.run(self._argv(arguments), env=self.env, timeout=timeout)
        except FileNotFoundError as error:
            raise _missing() from error
        except subprocess.TimeoutExpired as error:
            raise ResolveError(
                f"git {arguments[0]} did not end within {timeout:.0f} seconds", transient=True
            ) from error

    @contextmanager
    def converse(self, *arguments: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """Yield standard input and output of a git command that runs beside the block."""
        try:
            with process.converse(self._argv(arguments), env=self.env) as pipes:
                yield pipes
        except FileNotFoundError as error:
            raise _missing() from error

    def _argv(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        return ("git", *self.place, *settings, *arguments)


def git_in(work_tree: Path, given: Mapping[str, str]) -> Git:
    """Return git for reading a folder of the user: without any transport, so that not even missing objects are fetched.

    (A work tree's own configuration may name programs for transports, and a partial clone would start them.)
    """
    return Git(("-C", str(work_tree)), _environment(given, NO_TRANSPORT))


def git_on(repository: Path, given: Mapping[str, str], link: GitLink) -> Git:
    """Return git for a bare repository of our own, with the transports that links may use, and the login of one link."""
    return Git(("--git-dir", str(repository)), {**_environment(given, TRANSPORTS), **_login(link)})


def _login(link: GitLink) -> dict[str, str]:
    """Return variables that carry a link's login: arguments, and so URLs, can be read by every user of this host.

    Source: git-config(1), GIT_CONFIG_COUNT and http.<url>.extraHeader; RFC 7617.
    """
    if not link.login:
        return {}
    user, _, password = link.login.partition(":")
    words = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    server = "/".join(link.url.split("/", 3)[:3])
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server}/.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {words}",
    }


def _environment(given: Mapping[str, str], transports: str) -> dict[str, str]:
    passed = {name: given[name] for name in _PASSED if name in given}
    # A relative entry would find programs in the folder that is looked at.
    path = ":".join(entry for entry in passed.get("PATH", "").split(":") if entry.startswith("/"))
    return {
        **passed,
        **_FIXED,
        "PATH": path or "/usr/local/bin:/usr/bin:/bin",
        "GIT_ALLOW_PROTOCOL": transports,
    }


def _missing() -> ResolveError:
    return ResolveError("git is not installed", hint="install it: apt install git")
