"""Real Mercurial repositories for tests, and a server that gives them out over HTTP as hg's own program does."""

from __future__ import annotations

import http.client
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from waiting import until

DATE = 1_700_000_000
ENVIRONMENT = {"PATH": os.environ["PATH"], "HGRCPATH": "", "HGPLAIN": "1", "HGUSER": "a", "LC_ALL": "C"}


class HgRepository:
    """A work folder whose changesets are all made by one author, a minute apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = DATE
        folder.mkdir(parents=True)
        self.hg("init")

    def hg(self, *arguments: str) -> str:
        """Run hg in the folder and return its output without the last newline."""
        done = subprocess.run(
            ["hg", *arguments], cwd=self.folder, env=ENVIRONMENT, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().removesuffix("\n")

    def commit(self, **files: str) -> str:
        """Write files, commit all there is and return the changeset's id; in names __ stands for a dot, ___ for a slash."""
        for name, text in files.items():
            path = self.folder / name.replace("___", "/").replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.clock += 60
        self.hg("commit", "--addremove", "--quiet", "--message", "change", "--date", f"{self.clock} 0")
        return self.node()

    def tag(self, name: str) -> None:
        """Tag the newest changeset, which makes another one."""
        self.clock += 60
        self.hg("tag", name, "--date", f"{self.clock} 0")

    def node(self) -> str:
        """Return the id of the changeset that the folder is at."""
        return self.hg("log", "--rev", ".", "--template", "{node}")


def _answers(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request("GET", "/lab/crab?cmd=capabilities")
        return bool(connection.getresponse().read())
    except OSError:
        return False
    finally:
        connection.close()


@contextmanager
def served_hg(folder: Path, *settings: str) -> Iterator[str]:
    """Yield the http:// address of a server for the repository in a folder."""
    options = [word for setting in settings for word in ("--config", setting)]
    program = subprocess.Popen(
        ["hg", "serve", "--address", "127.0.0.1", "--port", "0", "--prefix", "lab/crab", "--print-url", *options],
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert program.stdout is not None
        address = program.stdout.readline().decode().strip().rstrip("/")
        host = address.split("/")[2]
        until(lambda: _answers(host))
        yield address
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
