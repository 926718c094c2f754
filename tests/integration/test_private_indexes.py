"""Indexes behind logins, proxies and certificates of a site's own: everything that fetches gets there, and tells no secret."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from certificates import certificate
from git_repositories import Repository, command_lines, served
from loopback_proxy import proxying
from pypi_index_server import KERNEL, Index, Upload, serving
from source_tools import source_tools

from reprolake.options import load_options
from reprolake_builder.credentials import Credentials
from reprolake_builder.download import Downloader, Wanted
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.solvers.pypi_target import TARGETS
from reprolake_builder.solvers.pypi_uv import Question, Uv
from reprolake_builder.store import Store

CACHE = Path(__file__).parent.parent.parent / ".cache" / "tests"
LOGIN = "jane:s3cret-word"
SECRET = "s3cret-word"
DEMO = Upload("demo", "1.0", "2022-01-01")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def options(tmp_path: Path, **settings: str):
    """Options as the front door makes them, of these settings and an environment with nothing but the search path."""
    variables = {f"REPROLAKE_{name.upper()}": value for name, value in settings.items() if name.islower()}
    variables |= {name: value for name, value in settings.items() if name.isupper()}
    return load_options(
        {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_HTTP_RETRIES": "0", **variables}
    )


def obtain(site, store: Store) -> bytes:
    """Resolve `demo` with uv and fetch its wheel as a build does."""
    answer = Uv(site, store).resolve(Question(("demo",)), TARGETS["3.11"])
    (wheel,) = answer.packages["demo"].wheels
    assert SECRET not in repr(answer)
    path = Downloader(site).fetch(Wanted(wheel.filename, (wheel.url,), wheel.sha256, wheel.size or 0), store)
    return path.read_bytes()


def with_login(url: str, login: str) -> str:
    return url.replace("://", f"://{login}@")


def test_a_login_in_netrc(tmp_path, store):
    """Both uv and downloads take the login that netrc has for the host."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login jane password s3cret-word\n")
    with serving(Index().add(DEMO), LOGIN) as index:
        assert obtain(options(tmp_path, index_url=index.url).site, store) == DEMO.content()


def test_a_login_in_the_address_of_an_extra_index(tmp_path, store):
    """A login in a configured address is used for the files of that server, too; the extra index comes first."""
    with (
        serving(Index().add(Upload("demo", "2.0", "2022-01-01"))) as public,
        serving(Index().add(DEMO), LOGIN) as own,
    ):
        site = options(tmp_path, index_url=public.url, extra_index_urls=with_login(own.url, LOGIN)).site
        assert obtain(site, store) == DEMO.content()


def test_a_token_alone_as_the_user(tmp_path, store):
    """Servers that take a token for the user's name get it."""
    with serving(Index().add(DEMO), f"{SECRET}:") as index:
        assert (
            obtain(options(tmp_path, index_url=with_login(index.url, f"{SECRET}:")).site, store)
            == DEMO.content()
        )


def test_a_password_in_a_keyring(tmp_path, store):
    """With `keyring = "subprocess"` the program `keyring` is asked for the password of the configured user."""
    program = tmp_path / "bin" / "keyring"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ "$1 $3" = "get jane" ] && echo {SECRET}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{program.parent}:{os.environ['PATH']}"
    with serving(Index().add(DEMO), LOGIN) as index:
        url = with_login(index.url, "jane")
        found = options(tmp_path, index_url=url, keyring="subprocess", PATH=path)
        assert obtain(found.site, store) == DEMO.content()


def test_a_missing_login_is_told_with_the_remedy(tmp_path, store):
    """A server that wants a login is no network failure: the message says where a login can stand."""
    with serving(Index().add(DEMO), LOGIN) as index:
        site = options(tmp_path, index_url=index.url).site
        with pytest.raises(FetchError, match="answers 401") as refused:
            Downloader(site).get(f"{index.url}/demo/")
        assert "netrc" in refused.value.hint
        assert not refused.value.transient
        with pytest.raises(LockError):
            obtain(site, store)


def test_a_login_goes_to_its_own_server_only(tmp_path):
    """A file that an index names on another server is asked for without the index's login."""
    with serving(Index(), LOGIN) as own, serving(Index().add(DEMO)) as other:
        logins = Credentials(options(tmp_path, index_url=with_login(own.url, LOGIN)).site)
        assert logins.find(f"{own.url}/demo/") == ("jane", SECRET)
        assert logins.find(f"{other.url}/demo/") is None
        (tmp_path / ".netrc").write_text("default login jane password s3cret-word\n")
        assert Credentials(options(tmp_path).site).find(other.url) is None


def test_the_secret_stands_nowhere(reprolake, tmp_path):
    """After locking and building with a private index its login is in no output, lock, document or list of processes."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "requirements.txt").write_text("demo==1.0\n")
    (repository / "runtime.txt").write_text("python-3.11\n")
    watched: set[bytes] = set()
    index = Index(uploads=(*KERNEL, DEMO), watch=lambda: watched.update(command_lines()))
    with serving(index, LOGIN):
        settings = {"REPROLAKE_INDEX_URL": with_login(index.url, LOGIN), "UV_HTTP_RETRIES": "0"}
        texts = []
        for arguments in (
            ("lock", repository, "-o", tmp_path / "a.lock", "-v"),
            ("build", tmp_path / "a.lock", "-v"),
            ("config",),
            ("config", "--json"),
            ("doctor", "--json"),
        ):
            done = reprolake(*arguments, **settings)
            assert done.returncode == 0, done.stderr
            texts.append(done.stdout + done.stderr)
        (repository / "requirements.txt").write_text("absent==1.0\n")
        failed = reprolake("lock", repository, "-v", **settings)
    assert failed.returncode == 13
    wrong = reprolake("lock", repository, REPROLAKE_INDEX_URL=with_login("http://127.0.0.1:9/simple", LOGIN))
    assert wrong.returncode == 75
    texts += [failed.stdout + failed.stderr, wrong.stdout + wrong.stderr, (tmp_path / "a.lock").read_text()]
    assert [text for text in texts if SECRET in text] == []
    assert any(b"uv" in line for line in watched)
    assert [line for line in watched if SECRET.encode() in line] == []
    documents = CACHE / "store" / "documents"
    assert [
        path for path in documents.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ] == []


def test_proxies_are_used_by_everything_that_fetches(tmp_path, store):
    """Downloads, uv and git go through the proxy of the settings, whatever the host, and past it where no_proxy says."""
    repository = Repository(tmp_path / "repositories" / "lab.git")
    commit = repository.commit(a="1")
    repository.git("update-server-info")
    with serving(Index().add(DEMO)) as index, proxying(urlsplit(index.url).port or 0) as proxy:
        settings = {
            "http_proxy": proxy.url.removeprefix("http://"),
            "index_url": "http://index.invalid/simple",
        }
        assert obtain(options(tmp_path, **settings).site, store) == DEMO.content()
        assert set(proxy.hosts) == {"index.invalid"}
        direct = options(tmp_path, **settings, no_proxy="other.example, .invalid").site
        with pytest.raises(FetchError, match=r"index\.invalid/simple/demo/ cannot be reached"):
            Downloader(direct).get("http://index.invalid/simple/demo/")
        with pytest.raises(LockError):
            obtain(direct, Store(tmp_path / "another"))
        proxy.hosts.clear()
        with served(tmp_path / "repositories") as address:
            proxy.server = urlsplit(address).port or 0
            request = LinkRequest(
                link="http://git.invalid/lab.git",
                ref="main",
                subdir="",
                now=datetime.now(UTC),
            )
            tools = source_tools(store, environment=options(tmp_path, **settings).git_environment)
            assert resolve(request, tools).commit == commit
        assert set(proxy.hosts) == {"git.invalid"}


def test_an_authority_of_the_site_is_trusted_when_it_is_configured(tmp_path, store):
    """With `ca_bundle` uv and downloads believe a private authority, also through a proxy; without it they do not."""
    bundle, tls = certificate(tmp_path)
    with serving(Index().add(DEMO), tls=tls) as index, proxying(urlsplit(index.url).port or 0) as proxy:
        assert (
            obtain(options(tmp_path, index_url=index.url, ca_bundle=str(bundle)).site, store)
            == DEMO.content()
        )
        proxied = options(
            tmp_path,
            index_url="https://index.invalid/simple",
            https_proxy=proxy.url,
            ca_bundle=str(bundle),
            REQUESTS_CA_BUNDLE="/nonexistent",
        )
        assert obtain(proxied.site, Store(tmp_path / "proxied")) == DEMO.content()
        assert set(proxy.hosts) == {"index.invalid"}
        assert proxied.git_environment["GIT_SSL_CAINFO"] == str(bundle)
        unknown = options(tmp_path, index_url=index.url).site
        with pytest.raises(FetchError, match="certificate verify failed"):
            Downloader(unknown).get(f"{index.url}/demo/")
        with pytest.raises(LockError):
            obtain(unknown, Store(tmp_path / "another"))
