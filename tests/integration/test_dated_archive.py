"""When the mirror has moved on: lists and packages come from the dated archive, as they were, with the same hashes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from reprolake.options import load_options
from reprolake_builder.documents.environment import Asked
from reprolake_builder.download import Downloader
from reprolake_builder.engines.debian import fetch_debian
from reprolake_builder.errors import FetchError
from reprolake_builder.progress import SILENT
from reprolake_builder.solvers.debian import SolvedDebian, solve_debian
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

DATED = re.compile(r"/archive/(debian(?:-security)?)/(\d{8}T\d{6}Z)/(.+)")


class Servers:
    """A mirror that holds nothing any more, and an archive that answers for any time; both on one port."""

    def __init__(self, site) -> None:
        self.files: dict[str, bytes] = {}  # by "archive/path"
        self.asked: list[str] = []
        self._behind = site
        self._downloader = Downloader(site)

    def answer(self, path: str) -> bytes | None:
        """Return the body of an answer, None for "not found"."""
        self.asked.append(path)
        found = DATED.fullmatch(path)
        if found is None:
            return None
        archive, _, below = found.groups()
        if f"{archive}/{below}" in self.files:
            return self.files[f"{archive}/{below}"]
        if below.startswith("dists/"):
            return self._downloader.get(f"{self._behind.archives[archive][0]}/{below}")
        return None


@contextmanager
def serving(servers: Servers) -> Iterator[str]:
    """Run the servers while the context lasts and yield their address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = servers.answer(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def solved(session) -> SolvedDebian:
    """Bookworm with one small package, from the mirror that has it."""
    found = solve_debian("3.11", (Asked(text="jq", origin="apt.txt:1"),), session.tools)
    fetch_debian(found.debian, session.tools)
    return found


@pytest.fixture
def servers(session) -> Servers:
    """The servers, which hold nothing but what the real mirror's signed lists say."""
    return Servers(session.tools.site)


@pytest.fixture
def tools(servers, tmp_path) -> Iterator[Tools]:
    """Tools with an empty store that know these servers, as a reprolake.toml names them."""
    with serving(servers) as url:
        (tmp_path / "reprolake.toml").write_text(
            f'debian_mirror = "{url}/debian"\ndebian_security_mirror = "{url}/debian-security/"\n'
            f'dated_archive = "{url}/archive/{{archive}}/{{date}}/"\n'
        )
        environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        site = load_options(environment, str(tmp_path / "store"), str(tmp_path / "reprolake.toml")).site
        store = Store(tmp_path / "store")
        yield Tools(store, site, Downloader(site), SILENT)
        store.close()


def only(solved, name):
    """Return the lock with that package alone, and the package."""
    deb = next(deb for deb in solved.debian.extra if deb.name == name)
    return msgspec.structs.replace(solved.debian, base=(), extra=(deb,)), deb


def test_a_package_that_left_the_mirror_comes_from_the_dated_archive(solved, servers, tools, session):
    """The mirror is asked first; then the archive, for the time after the newest release that the lock names."""
    lock, deb = only(solved, "jq")
    servers.files[f"{deb.archive}/{deb.path}"] = session.tools.store.archive(deb.sha256).read_bytes()
    fetch_debian(lock, tools)
    assert tools.store.has_sound_archive(deb.sha256)
    mirror, dated = servers.asked
    assert mirror == f"/{deb.archive}/{deb.path}"
    archive, stamp, path = DATED.fullmatch(dated).groups()
    assert (archive, path) == (deb.archive, deb.path)
    newest = max(release.date for release in lock.releases if release.archive == deb.archive)
    moment = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert timedelta(0) < moment - newest < timedelta(days=1)


def test_other_bytes_in_the_dated_archive_are_refused(solved, servers, tools):
    """The archive is believed as little as the mirror: the hash is that of the lock, or nothing is kept."""
    lock, deb = only(solved, "jq")
    servers.files[f"{deb.archive}/{deb.path}"] = bytes(deb.size)
    with pytest.raises(FetchError, match=r"jq .* could not be fetched: .*arrived with SHA-256"):
        fetch_debian(lock, tools)
    assert not tools.store.has_archive(deb.sha256)


def test_a_package_that_nobody_has_is_told_with_both_places(solved, servers, tools):
    """The message names package, version and each address; the hint says what can be done."""
    lock, deb = only(solved, "jq")
    with pytest.raises(FetchError) as raised:
        fetch_debian(lock, tools)
    message = raised.value.message
    assert message.startswith(f"the Debian package jq {deb.version} could not be fetched: ")
    where = r"http://127\.0\.0\.1:\d+/(?:archive/)?debian[a-z-]*/(?:\d{8}T\d{6}Z/)?pool/\S+ answers 404"
    assert len(re.findall(where, message)) == 2
    assert not raised.value.transient
    assert "reprolake lock" in raised.value.hint
    assert "dated_archive" in raised.value.hint


def test_a_suite_that_left_the_mirror_is_resolved_from_the_dated_archive(solved, servers, tools):
    """Signed releases and lists of an ended suite are found there, and give the same lock."""
    again = solve_debian("3.11", (), tools)
    assert again.debian.base == solved.debian.base
    assert again.debian.releases == solved.debian.releases
    dated = [DATED.fullmatch(path) for path in servers.asked]
    assert {found[1] for found in dated if found} == {"debian", "debian-security"}
    assert any(path.startswith("/debian/dists/bookworm/InRelease") for path in servers.asked)
