"""Running git so that nothing a repository brings along is executed, whatever its configuration says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from reprolake_builder import process
from reprolake_builder.errors import ResolveError
from reprolake_builder.process import Completed
from reprolake_builder.providers.programs import Program, search_path

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
BUSY = re.compile(r"returned error: (?:429|5\d\d)")
"""What git says of a server that is there, and has no answer now."""

_GIT = Program("git", "git", "git")
_QUICK = 120  # seconds for what only reads the local disk


@dataclass(frozen=True, slots=True)
class Git:
    """git in one place: `place` is ("-C", work tree) or ("--git-dir", repository), `env` its whole environment.

    `login` is a server (https://HOST), and user and password for it. They stand in no argument, variable or file, which
    others could read or programs that git starts could pass on: git reads them from a file in memory by its number.
    Source: gitcredentials(7); memfd_create(2).
    """

    place: tuple[str, str]
    env: Mapping[str, str]
    login: tuple[str, str, str] | None = field(default=None, repr=False)

    def with_login(self, url: str, user: str, password: str) -> Git:
        """Return git that answers the server of that URL with a login when it is asked for one, and no other server."""
        return replace(self, login=("/".join(url.split("/", 3)[:3]), user, password))

    def run(self, *arguments: str, timeout: float = _QUICK, stdin: bytes = b"") -> Completed:
        """Run one git command to its end; a non-zero exit is for the caller to judge. `timeout` is in seconds."""
        with _GIT.telling(arguments[0]), self._helper() as (settings, descriptors):
            argv = self._argv((*settings, *arguments))
            return process.run(argv, env=self.env, timeout=timeout, stdin=stdin, pass_fds=descriptors)

    def converse(self, *arguments: str) -> AbstractContextManager[tuple[IO[bytes], IO[bytes]]]:
        """Yield standard input and output of a git command that runs beside the block."""
        return _GIT.converse(self._argv(arguments), self.env)

    @contextmanager
    def _helper(self) -> Iterator[tuple[tuple[str, ...], tuple[int, ...]]]:
        """Yield the settings by which git finds the login, and the descriptors that it must inherit for that."""
        if self.login is None:
            yield (), ()
            return
        server, user, password = self.login
        if {"\n", "\0"} & {*user, *password}:
            raise ResolveError("a login holds no line breaks")
        descriptor = os.memfd_create("login")
        try:
            os.write(descriptor, f"username={user}\npassword={password}\n".encode())
            helper = f'!f() {{ test "$1" = get && cat /proc/self/fd/{descriptor}; }}; f'
            # The empty one takes the user's own helpers out, which would keep the login for good.
            yield (
                (
                    *("-c", f"credential.{server}.helper="),
                    *("-c", f"credential.{server}.helper={helper}"),
                ),
                (descriptor,),
            )
        finally:
            os.close(descriptor)

    def _argv(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        return ("git", *self.place, *settings, *arguments)


def git_in(work_tree: Path, given: Mapping[str, str]) -> Git:
    """Return git for reading a folder of the user: without any transport, so that not even missing objects are fetched.

    (A work tree's own configuration may name programs for transports, and a partial clone would start them.)
    """
    return Git(("-C", str(work_tree)), _environment(given, NO_TRANSPORT))


def git_on(repository: Path, given: Mapping[str, str]) -> Git:
    """Return git for a bare repository of our own, with the transports that links may use."""
    return Git(("--git-dir", str(repository)), _environment(given, TRANSPORTS))


def _environment(given: Mapping[str, str], transports: str) -> dict[str, str]:
    passed = {name: given[name] for name in _PASSED if name in given}
    return {
        **passed,
        **_FIXED,
        "PATH": search_path(passed),
        "GIT_ALLOW_PROTOCOL": transports,
    }
