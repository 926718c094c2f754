"""Sources that are changesets of a Mercurial repository."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.source import MercurialSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.git_tree import TreeHasher, TreeWriter
from reprolake_builder.providers.interface import LinkRequest, checked_subdir, one_answer
from reprolake_builder.providers.links.git import GitLink, link_of_pin, parse_git_link
from reprolake_builder.providers.mercurial.cache import NO_REPOSITORY, explained, opened, read_files
from reprolake_builder.tools import Tools

_SEEN = "hg-changesets"
_ASKING = 300  # seconds for one name
_NODE = re.compile(r"[0-9a-f]{40}")
_PREFIX = re.compile(r"hg(?:\+|::)")
_HOSTS = {"foss.heptapod.net", "repo.mercurial-scm.org"}
_WEB_PAGE = re.compile(
    r"(?P<url>.+?)/(?:rev|changeset|shortlog|summary|archive)/(?P<ref>[^/]+?)(?:\.zip|\.tar\.gz|\.tar\.bz2)?/?"
)
_FILE_PAGE = re.compile(r"(?P<url>.+?)/(?:file|raw-file)/(?P<ref>[^/]+)(?:/(?P<path>.*))?")
_HEPTAPOD_PAGE = re.compile(
    r"(?P<url>.+?)/-/(?P<kind>tree|blob|raw|blame|commits?|tags)/(?:branch/|topic/[^/]+/)?(?P<ref>[^/]+)(?:/(?P<path>.*))?"
)


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page of hgweb or Heptapod shows; "" for what it does not name."""

    url: str
    ref: str
    folder: str
    notebook: str


class MercurialProvider:
    """Any repository that hg reaches over http: by hg+https://, by hg::https://, or at a host that is known to serve it."""

    def recognises(self, link: str) -> bool:
        """Whether the link says that it is Mercurial's, or its host does."""
        return bool(_PREFIX.match(link)) or _is_known(link)

    def notebook_in(self, link: str) -> str:
        """Return the notebook that a page shows, by its path in the repository, "" for none."""
        page = _read_page(link)
        return page.notebook if page else ""

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
    return link_of_pin(source.url, lambda url: parse_hg_link(f"hg+{url}"))


def _remember(seen: MercurialSource, tools: Tools) -> None:
    tools.store.put(_SEEN, _seen_key(seen), msgspec.structs.replace(seen, ref="", subdir=""))


def _seen_key(source: MercurialSource) -> str:
    return content_hash([source.url, source.node])


def parse_hg_link(text: str, ref: str = "", subdir: str = "") -> GitLink:
    """Return the repository, ref and sub-folder of a link; git's grammar serves, hgweb's pages at known hosts, and Heptapod's.

    Raises ResolveError, also for another transport than http(s): hg would run what a local repository configures, or ssh.
    """
    if (page := _read_page(text)) is not None:
        ref = one_answer("ref", page.ref, ref, "--ref")
        subdir = one_answer("sub-folder", page.folder, checked_subdir(subdir), "--subdir")
    link = parse_git_link(page.url if page else _PREFIX.sub("", text, count=1), ref, subdir)
    if not link.url.startswith(("https://", "http://")):
        raise ResolveError(
            "a Mercurial repository is taken over https only",
            hint="write hg+https://HOST/PATH@REF; a clone on this host can be given as a folder, after `hg archive`",
        )
    return link


def _read_page(text: str) -> _Page | None:
    """Return what a page shows, None for another address; after hg+ only one that cannot be a repository's is a page."""
    plain = _PREFIX.sub("", text, count=1)
    address = plain.partition("#")[0].partition("?")[0]
    found = _HEPTAPOD_PAGE.fullmatch(address)
    if found is None and plain == text:
        found = _WEB_PAGE.fullmatch(address) or _FILE_PAGE.fullmatch(address)
    if found is None:
        return None
    told = found.groupdict()
    ref, path = unquote(told["ref"]), checked_subdir(unquote(told.get("path") or "").strip("/"))
    is_file = path.endswith(".ipynb") or told.get("kind") in {"blob", "raw", "blame"}
    return _Page(
        told["url"],
        "" if ref in {"tip", "default"} else ref,  # what a page shows of the newest is no name
        folder="" if is_file else path,
        notebook=path if path.endswith(".ipynb") else "",
    )


def _is_known(link: str) -> bool:
    try:
        parts = urlsplit(link)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    return parts.scheme in {"https", "http"} and (host in _HOSTS or host.startswith("hg."))
