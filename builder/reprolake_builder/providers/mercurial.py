"""Sources that are changesets of a Mercurial repository."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.source import MercurialSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.git_tree import TreeHasher, TreeWriter
from reprolake_builder.providers.hg_cache import NO_REPOSITORY, explained, opened, read_files
from reprolake_builder.providers.interface import LinkRequest, checked_subdir, one_answer
from reprolake_builder.providers.links import GitLink, parse_git_link
from reprolake_builder.tools import Tools

_SEEN = "hg-changesets"
_ASKING = 300  # seconds for one name
_NODE = re.compile(r"[0-9a-f]{40}")
_PREFIX = re.compile(r"hg(?:\+|::)")
_HOSTS = {"foss.heptapod.net", "repo.mercurial-scm.org"}
_WEB_PAGE = re.compile(
    r"(.+?)/(?:rev|changeset|shortlog|summary|archive)/([^/]+?)(?:\.zip|\.tar\.gz|\.tar\.bz2)?/?"
)
_FILE_PAGE = re.compile(r"(.+?)/(?:file|raw-file)/([^/]+)(?:/(.*))?")


class MercurialProvider:
    """Any repository that hg reaches over http: by hg+https://, by hg::https://, or at a host that is known to serve it."""

    def recognises(self, link: str) -> bool:
        """Whether the link says that it is Mercurial's, or its host does."""
        return bool(_PREFIX.match(link)) or _is_known(link)

    def resolve(self, request: LinkRequest, tools: Tools) -> MercurialSource | None:
        """Return the changeset that the link's ref names. Raises ResolveError.

        None when a host serves other kinds as well and this is one of them.
        """
        link = parse_hg_link(request.link, request.ref, request.subdir)
        with opened(link, tools, ResolveError) as cache:
            told = cache.hg.run(
                "identify",
                "--template={node}",
                f"--rev={link.ref or 'default'}",
                "--",
                link.url,
                timeout=_ASKING,
            )
            node = told.stdout.decode("ascii", "replace").strip()
            if told.returncode or not _NODE.fullmatch(node):
                if not _PREFIX.match(request.link) and NO_REPOSITORY.search(told.tail):
                    return None
                raise explained(
                    link, told.tail, ResolveError, f"has no branch, tag, bookmark or changeset {link.ref!r}"
                )
            if not link.ref:
                tools.progress.note(f"No ref was given: the branch default is at {node}")
            date = cache.bring(node)
            hasher = TreeHasher()
            folders = read_files(cache, node, hasher)
        if link.subdir and link.subdir not in folders:
            top = sorted(folder for folder in folders if "/" not in folder)
            raise ResolveError(
                f"{link.url} has no folder {link.subdir!r} at {node[:12]}",
                hint="its folders: " + (", ".join(top[:10]) or "none"),
            )
        source = MercurialSource(
            url=link.url, node=node, tree=hasher.tree_hash, date=date, ref=link.ref, subdir=link.subdir
        )
        _remember(source, tools)
        return source


def prove_mercurial(source: MercurialSource, tools: Tools) -> None:
    """Return when the repository has that changeset, with that tree and date; what was seen once is remembered.

    Raises FetchError otherwise: a lock could claim the changeset of one repository for the files of another.
    """
    seen = tools.store.get(_SEEN, _seen_key(source), MercurialSource)
    if seen is None:
        with opened(_link_of(source), tools, FetchError) as cache:
            date = cache.bring(source.node)
            hasher = TreeHasher()
            read_files(cache, source.node, hasher)
        seen = msgspec.structs.replace(source, tree=hasher.tree_hash, date=date)
        _remember(seen, tools)
    for what, found, pinned in (("tree", seen.tree, source.tree), ("date", seen.date, source.date)):
        if found != pinned:
            raise FetchError(
                f"the changeset {source.node} of {source.url} has the {what} {found}, pinned is {pinned}",
                hint="the lock was changed by hand; make a new one with `reprolake lock`",
            )


def write_mercurial(source: MercurialSource, root: Path, tools: Tools) -> str:
    """Write the files of the pinned changeset below `root` (empty host folder) and return the hash of what was written.

    Raises FetchError when it cannot be had.
    """
    writer = TreeWriter(root)
    with opened(_link_of(source), tools, FetchError) as cache:
        cache.bring(source.node)
        read_files(cache, source.node, writer)
    return writer.tree_hash


def _link_of(source: MercurialSource) -> GitLink:
    """Return the link of a pin, which may come from anybody: its URL is parsed as strictly as one that was typed."""
    try:
        link = parse_hg_link(f"hg+{source.url}")
    except ResolveError as error:
        raise FetchError(f"the pinned source cannot be fetched: {error.message}", hint=error.hint) from error
    if (link.url, link.ref, link.subdir) != (source.url, "", ""):
        raise FetchError(
            f"the pinned source cannot be fetched: {source.url} is not the plain form {link.url}",
            hint="the lock was changed by hand; a lock names no login, ref or sub-folder in its URL",
        )
    return link


def _remember(seen: MercurialSource, tools: Tools) -> None:
    tools.store.put(_SEEN, _seen_key(seen), msgspec.structs.replace(seen, ref="", subdir=""))


def _seen_key(source: MercurialSource) -> str:
    return content_hash([source.url, source.node])


def parse_hg_link(text: str, ref: str = "", subdir: str = "") -> GitLink:
    """Return the repository, ref and sub-folder of a link; git's grammar serves, and hgweb's pages at known hosts.

    Raises ResolveError, also for another transport than http(s): hg would run what a local repository configures, or ssh.
    """
    plain = _PREFIX.sub("", text, count=1)
    if plain == text:
        address = plain.partition("?")[0]
        if page := _WEB_PAGE.fullmatch(address):
            return parse_git_link(page[1], _named(page[2], ref), subdir)
        if page := _FILE_PAGE.fullmatch(address):
            inside = unquote(page[3] or "").strip("/")
            inside = "" if inside.endswith(".ipynb") else checked_subdir(inside)
            inside = one_answer("sub-folder", inside, checked_subdir(subdir), "--subdir")
            return parse_git_link(page[1], _named(page[2], ref), inside)
    link = parse_git_link(plain, ref, subdir)
    if not link.url.startswith(("https://", "http://")):
        raise ResolveError(
            "a Mercurial repository is taken over https only",
            hint="write hg+https://HOST/PATH@REF; a clone on this host can be given as a folder, after `hg archive`",
        )
    return link


def _named(in_page: str, option: str) -> str:
    """Return the ref that a page shows, or the option's; what a page shows of the newest is no name."""
    named = unquote(in_page)
    return one_answer("ref", "" if named in {"tip", "default"} else named, option, "--ref")


def _is_known(link: str) -> bool:
    try:
        parts = urlsplit(link)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    return (
        parts.scheme in {"https", "http"}
        and (host in _HOSTS or host.startswith("hg."))
        and "/-/" not in parts.path
    )
