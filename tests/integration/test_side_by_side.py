"""Files of a record that come side by side: in order, a few at a time, and none goes on when one cannot be had."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

import pytest
from http_serving import http_serving
from source_tools import source_tools

from reprolake_builder.download import Offer
from reprolake_builder.errors import FetchError
from reprolake_builder.progress import SILENT, Progress
from reprolake_builder.store import Store

SLOW = 1 << 30  # bytes that nobody waits for


@dataclass
class Archive:
    """`most` is how many were waited for at one time, which is until `together` is full where there is one.

    A path that begins with /slow never ends, /gone is not there.
    """

    address: str = ""
    now: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    together: threading.Barrier | None = None
    pair: threading.Barrier = field(default_factory=lambda: threading.Barrier(2))


def _handler(archive: Archive) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                self._give()
            except ConnectionError:
                self.close_connection = True

        def _give(self) -> None:
            if self.path == "/gone":
                archive.pair.wait(60)  # until the slow one has begun
                self.send_error(404)
                return
            slow = self.path.startswith("/slow")
            self.send_response(200)
            self.send_header("Content-Length", str(SLOW if slow else len(self.path)))
            self.end_headers()
            if slow:
                archive.pair.wait(60)
                for _ in range(20_000):
                    self.wfile.write(b"x" * (1 << 18))
                    time.sleep(0.01)
            else:
                with archive.lock:
                    archive.now += 1
                    archive.most = max(archive.most, archive.now)
                if archive.together:
                    archive.together.wait(60)
                # who has the last byte may ask for the next file before this handler has returned
                with archive.lock:
                    archive.now -= 1
                self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[Archive]:
    archive = Archive()
    with http_serving(_handler(archive)) as archive.address:
        yield archive


@pytest.fixture
def archive():
    with serving() as running:
        yield running


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "store")
    yield made
    made.close()


def offer(archive: Archive, path: str, **told: object) -> Offer:
    return Offer(path[1:], f"{archive.address}{path}", **told)


def test_files_come_side_by_side_and_stay_in_order(archive, store):
    """Up to four at once, and each arrival is that of its offer; what came before is not fetched again."""
    paths = [f"/{number}" for number in range(12)]
    offers = [offer(archive, path, md5=hashlib.md5(path.encode()).hexdigest()) for path in paths]
    tools, archive.together = source_tools(store), threading.Barrier(4)
    arrived = tools.downloader.receive_all(offers, store, SILENT, "Fetching")
    assert [file.sha256 for file in arrived] == [hashlib.sha256(path.encode()).hexdigest() for path in paths]
    assert archive.most == 4
    archive.most = 0
    assert tools.downloader.receive_all(offers, store, SILENT, "Fetching") == arrived
    assert archive.most == 0


def test_one_bar_for_all_of_them(archive, store):
    """The step's total is the sum of what is told, and all of it is reported."""

    class Bar(Progress):
        def __init__(self) -> None:
            self.steps: list[tuple[str, int | None]] = []
            self.done = 0

        @contextmanager
        def step(self, label, total=None):
            self.steps.append((label, total))
            yield self

        def advance(self, amount: int = 1) -> None:
            self.done += amount

    bar = Bar()
    offers = [offer(archive, path, size=len(path)) for path in ("/a", "/bb", "/ccc")]
    source_tools(store).downloader.receive_all(offers, store, bar, "Fetching 3 files")
    assert (bar.steps, bar.done) == ([("Fetching 3 files", 9)], 9)


def test_the_first_failure_ends_the_others(archive, store):
    """A file that is not there is told at once, not when the large one beside it has come; nothing of that one is kept."""
    offers = [offer(archive, "/slow", size=SLOW), offer(archive, "/gone", size=1)]
    started = time.monotonic()
    with pytest.raises(FetchError, match="answers 404"):
        source_tools(store).downloader.receive_all(offers, store, SILENT, "Fetching")
    assert time.monotonic() - started < 100
    assert not [path for path in (store.root / "archives").rglob("*") if path.is_file()]
