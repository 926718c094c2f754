"""Repositories behind a real OpenSSH server: every form of their links, and what is said when it does not let us in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from git_repositories import ENVIRONMENT, Repository
from source_tools import source_tools
from ssh_server import ssh_serving

from reprolake_builder.errors import ResolveError
from reprolake_builder.fetch import fetch
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.resolve import resolve
from reprolake_builder.store import Store

pytestmark = pytest.mark.engine("sshd")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A repository with a submodule by a relative URL, and the server that gives them out."""
    root = tmp_path_factory.mktemp("ssh")
    inner = Repository(root / "inner.git")
    commit = inner.commit(a="1")
    outer = Repository(root / "outer.git")
    outer.commit(__gitmodules='[submodule "x"]\n\tpath = lib\n\turl = ../inner.git\n')
    outer.git("update-index", "--add", "--cacheinfo", f"160000,{commit},lib")
    outer.git("commit", "-q", "-m", "module")
    with ssh_serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server, outer


@pytest.mark.parametrize(
    "form",
    [
        "{user}@lab.example:{path}",
        "{user}@lab.example:{path}@main",
        "lab.example:{path}",
        "git+{user}@lab.example:{path}",
        "ssh://{user}@lab.example{path}",
        "ssh://lab.example:{port}{path}@main",
        "git+ssh://{user}@lab.example{path}@main#subdirectory=lib",
    ],
)
def test_forms_of_links(lab, tmp_path, form):
    """URLs with ssh:// and git+ssh://, and git's short form, all reach the repository and its submodule."""
    server, outer = lab
    store = Store(tmp_path / "store")
    tools = source_tools(store, environment={**ENVIRONMENT, "GIT_SSH_COMMAND": server.command})
    link = form.format(user=server.user, path=outer.folder, port=server.port)
    if form.endswith("=lib"):
        with pytest.raises(ResolveError, match="has no folder 'lib'"):
            resolve(LinkRequest(link=link, now=NOW), tools)
        return
    source = resolve(LinkRequest(link=link, now=NOW), tools)
    assert source.commit == outer.git("rev-parse", "HEAD")
    assert fetch(source, tools).is_file("lib/a")
    assert source.submodules[0].url == source.url.replace("outer", "inner")
    store.close()


def test_a_server_that_does_not_let_us_in(lab, tmp_path):
    """Without a key, and with an unknown host key, the error says so and nobody is asked on the terminal."""
    server, outer = lab
    store = Store(tmp_path / "store")
    link = f"{server.user}@lab.example:{outer.folder}"
    for command in (
        f"{server.command} -o PubkeyAuthentication=no",
        f"{server.command} -o UserKnownHostsFile=/dev/null",
    ):
        tools = source_tools(store, environment={**ENVIRONMENT, "GIT_SSH_COMMAND": command})
        with pytest.raises(ResolveError, match="asks who you are"):
            resolve(LinkRequest(link=link, now=NOW), tools)
    store.close()
