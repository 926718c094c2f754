"""Private repositories and records: helpers, netrc, tokens, certificates; each secret reaches its own server and nothing else."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from certificates import certificate
from git_repositories import Repository, served
from http_serving import http_serving
from lfs_store import LfsStore

from reprolake.options import load_options
from reprolake_builder.download import Downloader
from reprolake_builder.errors import AnswerError, ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SECRET = "s3cret-token"
ENCODED = ("oauth2:s3cret-token", "b2F1dGgyOnMzY3JldC10b2tlbg==")


@pytest.fixture
def lab(tmp_path):
    made = Repository(tmp_path / "lab" / "crab.git")
    made.commit(a="1")
    return made


def tools(tmp_path: Path, **variables: str) -> Tools:
    """Tools as the front door makes them of an environment with these variables."""
    options = load_options({"PATH": os.environ["PATH"], "HOME": str(tmp_path), **variables})
    store = Store(tmp_path / f"store-{len(list(tmp_path.iterdir()))}")
    return Tools(store, options.site, Downloader(options.site), git_environment=options.git_environment)


def commit(address: str, made_with: Tools) -> str:
    source = resolve(LinkRequest(link=f"{address}/crab.git", now=NOW), made_with)
    fetch(source, made_with)
    return source.commit


def host(address: str) -> str:
    return address.partition("://")[2]


def test_a_token_of_the_environment(lab, tmp_path):
    """GITLAB_TOKEN opens repositories of the hosts that `gitlab_hosts` names, when they ask for it."""
    with served(tmp_path / "lab", f"oauth2:{SECRET}") as address:
        found = tools(tmp_path, GITLAB_TOKEN=SECRET, REPROLAKE_GITLAB_HOSTS=f"gitlab.com {host(address)}")
        assert commit(address, found) == lab.git("rev-parse", "HEAD")
        job = tools(
            tmp_path,
            CI_JOB_TOKEN=SECRET,
            CI_SERVER_HOST="127.0.0.1",
            CI_SERVER_PORT=address.rpartition(":")[2],
        )
        with pytest.raises(ResolveError, match="asks who you are"):
            commit(address, job)  # the server wants another name
    with served(tmp_path / "lab", f"gitlab-ci-token:{SECRET}") as address:
        job = tools(
            tmp_path,
            CI_JOB_TOKEN=SECRET,
            CI_SERVER_HOST="127.0.0.1",
            CI_SERVER_PORT=address.rpartition(":")[2],
        )
        assert commit(address, job) == lab.git("rev-parse", "HEAD")


def test_a_token_goes_nowhere_else(lab, tmp_path):
    """Another host, and a public repository that asks for nothing, get no token."""
    for login, fails in ((f"oauth2:{SECRET}", True), ("", False)):
        seen: list[str] = []
        with served(tmp_path / "lab", login, logins=seen) as address:
            hosts = "gitlab.com" if fails else host(address)
            found = tools(
                tmp_path,
                GITLAB_TOKEN=SECRET,
                GITHUB_TOKEN=SECRET,
                ZENODO_TOKEN=SECRET,
                REPROLAKE_GITLAB_HOSTS=hosts,
            )
            with pytest.raises(ResolveError) if fails else contextlib.nullcontext():
                commit(address, found)
        assert set(seen) == {""}


def test_a_token_that_is_refused(lab, tmp_path):
    """A token that is out of date does not keep git's own helper from being asked."""
    (tmp_path / ".gitconfig").write_text(
        '[credential]\n\thelper = "!f() { echo username=jane; echo password=word; }; f"\n'
    )
    with served(tmp_path / "lab", "jane:word") as address:
        found = tools(tmp_path, GITLAB_TOKEN="old", REPROLAKE_GITLAB_HOSTS=host(address))
        assert commit(address, found) == lab.git("rev-parse", "HEAD")


def test_netrc_opens_repositories(lab, tmp_path):
    """Git takes the login that netrc has for the host, and Git LFS the same one."""
    lfs = LfsStore()
    lab.commit(__gitattributes="*.fits filter=lfs\n", b__fits=lfs.add(b"events"))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login jane password word\n")
    with served(tmp_path / "lab", "jane:word", lfs=lfs) as address:
        assert commit(address, tools(tmp_path)) == lab.git("rev-parse", "HEAD")
    assert len(lfs.given) == 1


def test_tokens_for_lfs(lab, tmp_path):
    """A token opens what Git LFS keeps as it opens the repository."""
    lfs = LfsStore()
    lab.commit(__gitattributes="*.fits filter=lfs\n", b__fits=lfs.add(b"events"))
    with served(tmp_path / "lab", f"oauth2:{SECRET}", lfs=lfs) as address:
        commit(address, tools(tmp_path, GITLAB_TOKEN=SECRET, REPROLAKE_GITLAB_HOSTS=host(address)))
    assert len(lfs.given) == 1


def test_an_authority_of_the_site(lab, tmp_path):
    """`ca_bundle` makes git, and the downloads of Git LFS, believe a private authority."""
    lfs = LfsStore()
    lab.commit(__gitattributes="*.fits filter=lfs\n", b__fits=lfs.add(b"events"))
    bundle, tls = certificate(tmp_path)
    with served(tmp_path / "lab", lfs=lfs, tls=tls) as address:
        lfs.elsewhere = address
        assert commit(address, tools(tmp_path, REPROLAKE_CA_BUNDLE=str(bundle))) == lab.git(
            "rev-parse", "HEAD"
        )
        with pytest.raises(ResolveError, match="certificate"):
            commit(address, tools(tmp_path))


def test_the_token_stands_nowhere(reprolake, lab, tmp_path):
    """After resolving, locking and failing, no output, lock, file of the store, argument or variable of git holds the token."""
    watched: set[bytes] = set()
    store = tmp_path / "kept"
    lab.commit(runtime__txt="python-3.11\n")
    with served(tmp_path / "lab", f"oauth2:{SECRET}", watched=watched) as address:
        settings = {"GITLAB_TOKEN": SECRET, "REPROLAKE_GITLAB_HOSTS": host(address), "HOME": str(tmp_path)}
        link = f"{address}/crab.git"
        with_login = link.replace("://", f"://oauth2:{SECRET}@")
        texts = []
        for arguments, code in (
            (("resolve", link, "--json", "-v"), 0),
            (("resolve", with_login, "-v"), 0),
            (("resolve", with_login, f"{with_login}@gone", "--json"), 10),
            (("resolve", f"{address}/gone.git", "-v"), 10),
            (("resolve", f"{with_login}/-/tree/gone", "-v"), 10),
            (("config", "--json"), 0),
        ):
            done = reprolake(
                *arguments, *(() if arguments[0] == "config" else ("--store", store)), **settings
            )
            assert done.returncode == code, done.stderr
            texts.append(done.stdout + done.stderr)
    assert [text for text in texts if SECRET in text or ENCODED[1] in text] == []
    assert any(b"GIT_ALLOW_PROTOCOL" in text for text in watched)
    assert any(b"credential." in text for text in watched)
    ours = [
        text for text in watched if b"/bin/reprolake" not in text
    ]  # what the user wrote there is the user's own
    assert [text for text in ours for word in (SECRET, *ENCODED) if word.encode() in text] == []
    files = [path for path in store.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


@contextlib.contextmanager
def records(wanted: str, seen: list[str], leads_to: str = ""):
    """Yield the address of a site that gives its record to who has the token, or leads on."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.send_response(302 if leads_to else 200 if seen[-1] == wanted else 403)
            if leads_to:
                self.send_header("Location", leads_to)
            self.end_headers()
            self.wfile.write(b"" if leads_to else b"{}")

        def log_message(self, *arguments: object) -> None:
            del arguments

    with http_serving(Handler) as address:
        yield address


def test_restricted_records(tmp_path):
    """ZENODO_TOKEN is sent as a bearer's to zenodo.org, not to where a file really lies, and a refusal names it."""
    seen: list[str] = []
    other: list[str] = []
    with records(f"Bearer {SECRET}", seen) as site, records("", other) as files:
        made = tools(tmp_path, ZENODO_TOKEN=SECRET, REPROLAKE_GATEWAYS=f"zenodo.org={site}")
        assert made.downloader.get("https://zenodo.org/api/records/1") == b"{}"
        assert made.downloader.get(f"{files}/x") == b"{}"
        assert (seen, other) == ([f"Bearer {SECRET}"], [""])
        without = tools(tmp_path, REPROLAKE_GATEWAYS=f"zenodo.org={site}")
        with pytest.raises(AnswerError, match="answers 403") as refused:
            without.downloader.get("https://zenodo.org/api/records/1")
        assert "ZENODO_TOKEN" in refused.value.hint
        with records("", seen, leads_to=f"{files}/content") as moved:
            made = tools(tmp_path, ZENODO_TOKEN=SECRET, REPROLAKE_GATEWAYS=f"zenodo.org={moved}")
            assert made.downloader.get("https://zenodo.org/files/x") == b"{}"
        assert set(other) == {""}


def test_no_token_travels_in_the_clear(tmp_path):
    """A gateway that is reached without encryption, or a http:// address of the host, gets no token."""
    made = tools(tmp_path, ZENODO_TOKEN=SECRET, REPROLAKE_GATEWAYS="zenodo.org=http://cache.invalid")
    assert made.site.token_for("http://zenodo.org/api/records/1") is None
    assert made.site.token_for("https://zenodo.org/api", "http://cache.invalid/api") is None
    assert made.site.token_for("https://zenodo.org/api") is not None
    assert made.site.token_for("https://zenodo.org.evil.org/api") is None
    assert made.site.token_for("https://zenodo.org:bad/api") is None
    assert SECRET not in repr(made)
