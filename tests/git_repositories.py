"""Real git repositories for tests, and a server that gives them out over HTTP as git's own CGI program does."""

from __future__ import annotations

import base64
import contextlib
import http.server
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

from http_serving import http_serving
from lfs_store import LfsStore

DATE = 1_700_000_000
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


class Repository:
    """A work tree whose commits are all made by one author, a minute apart."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.clock = DATE
        folder.mkdir(parents=True)
        self.git("init", "-q", "-b", "main", *options)

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run git in the work tree and return its output without the last newline."""
        env = {
            **ENVIRONMENT,
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": f"{self.clock} +0000",
            "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_COMMITTER_DATE": f"{self.clock} +0000",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=env, input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().removesuffix("\n")

    def write(self, **files: str) -> None:
        """Write files; in names, two underscores stand for a dot and three for a slash."""
        for name, text in files.items():
            path = self.folder / name.replace("___", "/").replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, **files: str) -> str:
        """Write files, commit all there is and return the commit's id."""
        self.write(**files)
        self.clock += 60
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    @property
    def url(self) -> str:
        """The repository as a file:// URL."""
        return f"file://{self.folder}"


class _Handler(http.server.BaseHTTPRequestHandler):
    root: Path
    login: str
    environment: dict[str, str]
    watched: set[bytes]
    moved: dict[str, str]
    lfs: LfsStore | None
    sent: list[int]
    logins: list[str]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.watched |= command_lines() | environments()
        expected = "Basic " + base64.b64encode(self.login.encode()).decode()
        self.logins.append(self.headers.get("Authorization", ""))
        if self.lfs is not None and self.path.startswith("/lfs-objects/"):
            self.lfs.give(self)
            return
        if self.login and self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        if self.lfs is not None and self.path.endswith("/info/lfs/objects/batch"):
            self.lfs.answer(self)
            return
        path, _, query = self.path.partition("?")
        for old, new in self.moved.items():
            if path.startswith(old):
                self.send_response(301)
                self.send_header("Location", new + self.path.removeprefix(old))
                self.end_headers()
                return
        env = {
            **self.environment,
            "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": self.headers.get("Content-Length", "0"), "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", "") if self.environment.get("V2", "1") == "1" else "",
        }  # fmt: skip
        body = self.rfile.read(int(env["CONTENT_LENGTH"]))
        done = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.sent.append(len(content))

    def log_message(self, *arguments: object) -> None:
        del arguments


def command_lines() -> set[bytes]:
    """Return the command lines of all processes, which every user of a host can read."""
    return _of_processes("cmdline")


def environments() -> set[bytes]:
    """Return the variables of all processes that are git's or were started by it."""
    return {text for text in _of_processes("environ") if b"GIT_ALLOW_PROTOCOL=" in text}


def _of_processes(name: str) -> set[bytes]:
    found = set()
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        with contextlib.suppress(OSError):
            found.add(path.read_bytes())
    return found


@contextlib.contextmanager
def served(
    root: Path,
    login: str = "",
    *,
    version_2: bool = True,
    watched: set[bytes] | None = None,
    moved: dict[str, str] | None = None,
    lfs: LfsStore | None = None,
    sent: list[int] | None = None,
    logins: list[str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """Yield the http:// address of a server for the repositories in `root`; `login` is USER:PASSWORD.

    `moved` leads from the beginning of a path to that of another one, `lfs` is what it keeps in Git LFS. At each request the
    command lines of all processes and the variables of git are added to `watched`, the bytes of git's answer to `sent`, and what it says of who asks to `logins`. With `tls` the address is https://.
    """
    environment = {**ENVIRONMENT, "V2": "1" if version_2 else "0"}
    handler = type("Handler", (_Handler,), {
        "root": root, "login": login, "environment": environment, "watched": set() if watched is None else watched,
        "moved": {} if moved is None else moved, "lfs": lfs, "sent": [] if sent is None else sent,
        "logins": [] if logins is None else logins,
    })  # fmt: skip
    with http_serving(handler, tls) as address:
        yield address
