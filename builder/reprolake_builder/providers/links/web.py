"""Addresses of a forge's pages, as people copy them from a browser: a repository, and what follows it in the address.

Which part of `main/figures/plot.ipynb` is the ref is not in the address; only the server's refs decide it (`git.refs.split`).

Source: the address forms of GitHub, GitLab (before and since 12.5, which put `/-/` before its own words), Bitbucket Cloud and
Gitea/Forgejo.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.links.git import FULL_ID, check_ref, parse_git_link

Forge = Literal["github", "gitlab", "gitea", "bitbucket", "codeload", "raw", "api", "gist"]
Field = Literal["ref", "rest", "latest", "file"]

FORGES: Mapping[str, Forge] = {
    "github.com": "github",
    "www.github.com": "github",
    "codeload.github.com": "codeload",
    "raw.githubusercontent.com": "raw",
    "api.github.com": "api",
    "gist.github.com": "gist",
    "gitlab.com": "gitlab",
    "gitlab.in2p3.fr": "gitlab",
    "gitlab.lapp.in2p3.fr": "gitlab",
    "git.astron.nl": "gitlab",
    "gitlab.cern.ch": "gitlab",
    "renkulab.io": "gitlab",
    "gitlab.renkulab.io": "gitlab",
    "bitbucket.org": "bitbucket",
    "codeberg.org": "gitea",
    "gitea.com": "gitea",
}
"""Hosts whose every page is a forge's; on others only an unmistakable form is read as a page."""

_ENDING = r"\.(?:zip|tar\.gz|tgz|tar\.bz2|tbz2|tar|tar\.xz)"
_ID = r"([0-9a-fA-F]{7,40})"
_GITHUB: tuple[tuple[str, Field, str], ...] = (
    (r"(?:tree|blob|raw|blame|commits)/(.+)", "rest", r"\1"),
    (rf"commit/{_ID}", "ref", r"\1"),
    (r"releases/latest(?:/.*)?", "latest", ""),
    (r"releases/tag/(.+)", "ref", r"refs/tags/\1"),
    (r"releases/download/.+", "file", ""),
    (rf"archive/(.+?){_ENDING}", "ref", r"\1"),
    (r"(?:zip|tar)ball/(.+)", "ref", r"\1"),
    (rf"pull/\d+/(?:commits|files|changes)/{_ID}", "ref", r"\1"),
    (r"pull/(\d+)(?:/.*)?", "ref", r"refs/pull/\1/head"),
)
_GITLAB: tuple[tuple[str, Field, str], ...] = (
    (r"(?:tree|blob|raw|blame|commits)/(.+)", "rest", r"\1"),
    (rf"commit/{_ID}", "ref", r"\1"),
    (r"tags/(.+)", "ref", r"refs/tags/\1"),
    (r"releases/permalink/latest(?:/.*)?", "latest", ""),
    (r"releases/.+/downloads/.+", "file", ""),
    (r"releases/(.+)", "ref", r"refs/tags/\1"),
    (rf"archive/(.+)/[^/]+{_ENDING}", "ref", r"\1"),
    (rf"repository/(.+)/archive{_ENDING}", "ref", r"\1"),
    (r"merge_requests/(\d+)(?:/.*)?", "ref", r"refs/merge-requests/\1/head"),
)
_GITEA: tuple[tuple[str, Field, str], ...] = (
    (r"(?:src|raw|media|commits|blame)/branch/(.+)", "rest", r"refs/heads/\1"),
    (r"(?:src|raw|media|commits|blame)/tag/(.+)", "rest", r"refs/tags/\1"),
    (rf"(?:src|raw|media|commits|blame)/commit/{_ID}(/.*)?", "rest", r"\1\2"),
    (rf"commit/{_ID}", "ref", r"\1"),
    (r"releases/latest(?:/.*)?", "latest", ""),
    (r"releases/tag/(.+)", "ref", r"refs/tags/\1"),
    (r"releases/download/.+", "file", ""),
    (rf"archive/(.+?){_ENDING}", "ref", r"\1"),
    (r"pulls/(\d+)(?:/.*)?", "ref", r"refs/pull/\1/head"),
)
_RULES: Mapping[Forge, tuple[tuple[str, Field, str], ...]] = {
    "github": _GITHUB,
    "gitlab": _GITLAB,
    "gitea": _GITEA,
    "bitbucket": (
        (r"(?:src|raw|annotate)/(.+)", "rest", r"\1"),
        (r"commits/tag/(.+)", "ref", r"refs/tags/\1"),
        (r"(?:commits/)?branch/(.+)", "ref", r"refs/heads/\1"),
        (rf"commits/{_ID}", "ref", r"\1"),
        (rf"get/(.+?){_ENDING}", "ref", r"\1"),
        (r"downloads/.+", "file", ""),
    ),
    "codeload": ((r"(?:legacy\.)?(?:zip|tar\.gz)/(.+)", "ref", r"\1"),),
    "raw": ((r"(.+)", "rest", r"\1"),),
    "api": ((r"(?:zip|tar)ball/(.+)", "ref", r"\1"),),
    "gist": (
        (rf"raw/{_ID}(/.*)?", "rest", r"\1\2"),
        (rf"{_ID}", "ref", r"\1"),
    ),
}
# The words of GitHub's own host and of GitLab's old addresses, on a host that could be either (or a plain git server).
_ANYWHERE = {"tree", "blob", "raw", "commit", "commits"}
_GITEA_ANYWHERE = re.compile(r"[^/]+/[^/]+/(?:src|raw)/(?:branch|tag|commit)/.+")
_OLD_GITLAB = _ANYWHERE | {"tags", "blame", "merge_requests", "repository"}
_BARE = re.compile(r"(?:www\.)?([a-z0-9.-]+)/.+", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class WebLink:
    """A page of a repository.

    `url` is the repository's address for git. Of `ref` and `rest` one at most is there: `ref` is a branch, tag, commit id or
    full name, and all of it; `rest` a ref, with slashes maybe, and maybe a path after it, still to be parted. `login` is
    USER:PASSWORD as it stood in the address.
    """

    url: str
    ref: str = ""
    rest: str = ""
    login: str = field(default="", repr=False)

    @property
    def commit(self) -> str:
        """The full commit id that the address names, or ""."""
        first = self.ref or self.rest.partition("/")[0]
        return first.lower() if FULL_ID.fullmatch(first) else ""


def parse_web_link(text: str) -> WebLink | None:
    """Return what a forge's page stands for, or None when the text is no such page; it may be a git URL then.

    The plain address of a repository on a known host counts as a page, unless it is followed by @REF or a #fragment with a
    meaning for git. Raises ResolveError for a page that names no commit: the latest release, an issue, an owner.
    """
    found = _split(text)
    if found is None:
        return None
    parts, forge = found
    inside = [unquote(segment) for segment in parts.path.split("/") if segment]
    if not all(map(str.isprintable, inside)):
        raise ResolveError("an address holds no control characters")
    if forge is None:
        return _elsewhere(parts, inside)
    if parts.hostname == "renkulab.io" and inside[:1] != ["gitlab"]:
        return None
    if forge == "api":
        inside = inside[1:] if inside[:1] == ["repos"] else []
    if forge == "gist":
        return _gist(parts, inside)
    known = _boundary(inside, forge)
    if len(inside) < 2:
        raise ResolveError(
            f"{_shown(parts)} names no repository",
            hint=f"an address is like https://{parts.hostname}/OWNER/NAME",
        )
    if not inside[known:] and ("@" in parts.path or "subdirectory=" in parts.fragment):
        return None
    return _page(parts, forge, inside[:known], "/".join(_after(inside[known:], forge)))


def login_in(text: str) -> str:
    """Return USER:PASSWORD as it stands in a page's address or a git URL, "" for none."""
    try:
        return (parse_web_link(text) or parse_git_link(text)).login
    except ResolveError:
        return ""


def _split(text: str) -> tuple[SplitResult, Forge | None] | None:
    """Return the address in its parts and the forge of its host, None for a host that is not in the table."""
    if not text.isprintable():
        return None
    if "://" not in text and (bare := _BARE.fullmatch(text)) and bare[1].lower() in FORGES:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").rstrip(".")
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"https", "http"} or not host:
        return None
    return parts, FORGES.get(host)


def _elsewhere(parts: SplitResult, inside: list[str]) -> WebLink | None:
    """Return the page of a host that is not in the table, where its form leaves no doubt."""
    if "-" in inside[1:]:
        known = inside.index("-", 1)
        return _page(parts, "gitlab", inside[:known], "/".join(inside[known + 1 :]))
    if _GITEA_ANYWHERE.fullmatch("/".join(inside)):
        return _page(parts, "gitea", inside[:2], "/".join(inside[2:]))
    known = next((at for at, word in enumerate(inside) if at >= 2 and word in _ANYWHERE), 0)
    if not known or not inside[known + 1 :] or inside[-1].endswith(".git"):
        return None
    return _page(parts, "gitlab", inside[:known], "/".join(inside[known:]), suffix="")


def _boundary(inside: list[str], forge: Forge) -> int:
    """Return how many parts of the path name the repository."""
    if forge != "gitlab":
        return 2
    least = 3 if inside[:1] == ["gitlab"] else 2
    words = {"-"} if "-" in inside[least:] else _OLD_GITLAB
    return next((at for at, word in enumerate(inside) if at >= least and word in words), len(inside))


def _after(tail: list[str], forge: Forge) -> list[str]:
    return tail[1:] if forge == "gitlab" and tail[:1] == ["-"] else tail


def _page(
    parts: SplitResult, forge: Forge, project: list[str], tail: str, suffix: str = ".git"
) -> WebLink | None:
    if {".", ".."} & {*project, *tail.split("/")}:
        raise ResolveError(f"{_shown(parts)} has a path with dots that lead elsewhere")
    url, login = _repository(parts, forge, project, suffix if tail else "")
    parse_git_link(url)  # a lock is read back by that grammar
    if not tail:
        return WebLink(url, login=login)
    for pattern, what, template in _RULES[forge]:
        found = re.fullmatch(pattern, tail)
        if found is None:
            continue
        if what == "file":
            return None
        if what == "latest":
            raise ResolveError(
                f"{_shown(parts)} is another release tomorrow: nothing can be pinned by that word",
                hint=f"open it in a browser and give the address that it leads to, or {url}@TAG",
            )
        value = found.expand(template)
        if what == "rest":
            kind = {"heads": "refs/heads/", "tags": "refs/tags/"}
            asked = parse_qs(parts.query).get("ref_type", [""])[0]
            return WebLink(url, rest=kind.get(asked, "") + value, login=login)
        return WebLink(url, ref=check_ref(value), login=login)
    if (
        forge == "gitlab"
        and (named := parse_qs(parts.query).get("ref"))
        and tail.startswith("repository/archive")
    ):
        return WebLink(url, ref=check_ref(named[0]), login=login)
    raise ResolveError(
        f"{_shown(parts)} is a page that names no commit and no file of one",
        hint=f"give the repository, {url}@REF, or the page of a file, folder, tag or commit in it",
    )


def _gist(parts: SplitResult, inside: list[str]) -> WebLink | None:
    at = next(
        (at for at, word in enumerate(inside[:2]) if re.fullmatch(r"[0-9a-fA-F]{7,40}(?:\.git)?", word)), None
    )
    if at is None:
        raise ResolveError(
            f"{_shown(parts)} names no gist", hint="it is like https://gist.github.com/USER/ID"
        )
    # An id of digits only could be a user's name as well: then the second part is the id.
    at = (
        1
        if at == 0
        and len(inside) > 1
        and re.fullmatch(r"[0-9a-fA-F]{20,40}", inside[1])
        and len(inside[0]) < 20
        else at
    )
    return _page(parts, "gist", [inside[at].removesuffix(".git")], "/".join(inside[at + 1 :]))


def _repository(parts: SplitResult, forge: Forge, project: list[str], suffix: str) -> tuple[str, str]:
    """Return the repository's address for git, and the login in the page's address."""
    userinfo, _, host = parts.netloc.rpartition("@")
    host = host.lower()
    path = "/".join(quote(part, safe="~") for part in project)
    if forge in {"github", "codeload", "raw", "api"}:
        return f"https://github.com/{path}", userinfo
    if forge == "gist":
        return f"https://gist.github.com/{path}.git", userinfo
    scheme = "https" if host in FORGES else parts.scheme
    ending = "" if path.endswith(".git") or forge != "gitlab" else suffix
    return f"{scheme}://{host}/{path}{ending}", userinfo


def _shown(parts: SplitResult) -> str:
    return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
