"""Where a commit's submodules come from: .gitmodules, read as what a stranger wrote.

Nothing of it is acted upon but the URL that stands beside a path which the tree itself has as a submodule.
Source: gitmodules(5); git-submodule(1), "add", for relative URLs.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from reprolake_builder.errors import ResolveError
from reprolake_builder.git_tree import shown
from reprolake_builder.inward import leads_inward
from reprolake_builder.process import printable
from reprolake_builder.providers.git.command import Git
from reprolake_builder.providers.links.git import GitLink, parse_git_link
from reprolake_builder.providers.links.web import FORGES

_LARGEST = 1 << 20  # bytes
_KEPT = "/%~!$&'()*+,;=:?"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)(/.*|)", re.DOTALL)
_SCP = re.compile(r"(?:[^@/:]+@)?([^@/:]+):(?!/)(.+)")
_SSH = re.compile(r"ssh://(?:[^@/:]+@)?([^@/:]+)(?::22)?/(.+)")


def declared_urls(git: Git, tree: str) -> dict[bytes, str]:
    """Return the URLs in a tree's .gitmodules by the paths of the submodules. Raises ResolveError when it cannot be read."""
    listed = git.run("ls-tree", "--long", "--full-tree", "-z", tree, ".gitmodules").stdout.rstrip(b"\0")
    if not listed:
        return {}
    mode, _, _, size = listed.partition(b"\t")[0].split()
    if not mode.startswith(b"100") or int(size) > _LARGEST:
        raise ResolveError(".gitmodules is no file of at most 1 MiB")
    done = git.run("config", "--no-includes", "--blob", f"{tree}:.gitmodules", "--null", "--list")
    if done.returncode:
        raise ResolveError(f".gitmodules cannot be read: {done.tail}")
    told: dict[bytes, dict[bytes, bytes]] = {}
    for entry in filter(None, done.stdout.split(b"\0")):
        key, _, value = entry.partition(b"\n")
        section, _, rest = key.partition(b".")
        name, _, what = rest.rpartition(b".")
        if section == b"submodule" and what in {b"path", b"url"}:
            told.setdefault(name, {})[what] = value
    return {
        about[b"path"]: about[b"url"].decode("utf-8", "replace") for about in told.values() if len(about) == 2
    }


def submodule_links(parent: GitLink, path: bytes, url: str) -> tuple[GitLink, ...]:
    """Return where a submodule may be had, in the order of trying. Raises ResolveError for a URL that is not to be followed.

    A login of the parent's goes along to the same server. For a well-known host https comes before ssh, where the parent is
    had by https: the commit's id makes sure of the content, and not everybody has a key there.
    """
    try:
        link = _link(_absolute(parent.url, url))
    except ResolveError as error:
        raise ResolveError(
            f"the submodule {shown(path)} of {parent.url} has the URL {printable(url)!r}, which is not followed: {error.message}",
            hint=error.hint,
        ) from error
    if link.url.startswith("file:") and not parent.url.startswith("file:"):
        raise ResolveError(
            f"the submodule {shown(path)} of {parent.url} is a folder of this host, {printable(url)!r}, which a repository "
            "from elsewhere must not name"
        )
    if leads_inward(parent.url, link.url):
        raise ResolveError(
            f"the submodule {shown(path)} of {parent.url} is at {printable(url)!r}, an address of this host or its network, "
            "which a repository from elsewhere must not name"
        )
    if not link.login and _server(link.url) == _server(parent.url):
        link = GitLink(link.url, login=parent.login)
    found = _SSH.fullmatch(link.url) or _SCP.fullmatch(link.url)
    if found and found[1].lower() in FORGES and parent.url.startswith("https:"):
        return GitLink(f"https://{found[1].lower()}/{found[2]}"), link
    return (link,)


def _absolute(parent: str, url: str) -> str:
    if not url.startswith(("./", "../")):
        return url
    base = parent.rstrip("/")
    scheme = _SCHEME.fullmatch(base)
    start, path = (f"{scheme[1]}://{scheme[2]}/", scheme[3].lstrip("/")) if scheme else _parted(base)
    parts = path.split("/")
    rest = url
    while rest.startswith(("./", "../")):
        if rest.startswith("../"):
            if not parts:
                raise ResolveError("it leads above the server's root")
            parts.pop()
        rest = rest.partition("/")[2].lstrip("/")
    return start + "/".join([*parts, rest.rstrip("/")])


def _parted(scp: str) -> tuple[str, str]:
    host, _, path = scp.partition(":")
    return f"{host}:", path


def _link(url: str) -> GitLink:
    """Return a submodule's URL as a link; in it @ and # have no meaning of their own."""
    if url.startswith("/"):
        url = f"file://{url}"
    if found := _SCHEME.fullmatch(url):
        path = quote(found[3], safe=_KEPT) if found[1].lower() != "file" else found[3].replace("@", "%40")
        return parse_git_link(f"{found[1]}://{found[2]}{path}")
    return parse_git_link(url)


def _server(url: str) -> str:
    return "/".join(url.split("/", 3)[:3]) if "://" in url else url
