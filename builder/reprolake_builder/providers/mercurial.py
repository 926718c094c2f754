"""Sources that are changesets of a Mercurial repository."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_builder.archives.tars import tar_members
from reprolake_builder.credentials import Credentials
from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.source import MercurialSource
from reprolake_builder.errors import BuilderError, FetchError, ResolveError, StoreError
from reprolake_builder.git_tree import MOST_BYTES, TreeError, TreeHasher, TreeWriter, shown
from reprolake_builder.progress import Progress
from reprolake_builder.providers.hg_command import Hg, settings_text
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links import GitLink, parse_git_link
from reprolake_builder.tools import Tools

_SEEN = "hg-changesets"
_ASKING = 300  # seconds for one name
_FETCHING = 6 * 3600  # seconds for a whole repository on a slow line: Mercurial has no shallow ones
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z
_NODE = re.compile(r"[0-9a-f]{40}")
_PREFIX = re.compile(r"hg(?:\+|::)")
_HOSTS = {"foss.heptapod.net", "repo.mercurial-scm.org"}
_WEB_PAGE = re.compile(
    r"(.+?)/(?:rev|changeset|file|shortlog|summary|archive)/([^/]+?)(?:\.zip|\.tar\.gz|\.tar\.bz2)?/?"
)
_NO_REPOSITORY = re.compile(
    r"not (?:found|a Mercurial)|does not appear to be an hg repository|HTTP Error 40[04]", re.IGNORECASE
)
_NO_ACCESS = re.compile(r"authorization (?:failed|required)|HTTP Error 40[13]", re.IGNORECASE)
_BROKEN = re.compile(
    r"Name or service not known|Temporary failure|timed out|refused|reset|HTTP Error (?:429|5\d\d)|stream ended|certificate",
    re.IGNORECASE,
)


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
                if not _PREFIX.match(request.link) and _NO_REPOSITORY.search(told.tail):
                    return None
                raise _explained(
                    link, told.tail, ResolveError, f"has no branch, tag, bookmark or changeset {link.ref!r}"
                )
            if not link.ref:
                tools.progress.note(f"No ref was given: the branch default is at {node}")
            date = cache.bring(node)
            hasher = TreeHasher()
            folders = _read(cache, node, hasher)
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
            _read(cache, source.node, hasher)
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
        _read(cache, source.node, writer)
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
    if plain == text and (page := _WEB_PAGE.fullmatch(plain.partition("?")[0])):
        return parse_git_link(page[1], _one(unquote(page[2]), ref), subdir)
    link = parse_git_link(plain, ref, subdir)
    if not link.url.startswith(("https://", "http://")):
        raise ResolveError(
            "a Mercurial repository is taken over https only",
            hint="write hg+https://HOST/PATH@REF; a clone on this host can be given as a folder, after `hg archive`",
        )
    return link


def _one(in_page: str, option: str) -> str:
    return option if in_page in {"", "tip", "default"} else in_page


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


@dataclass(frozen=True, slots=True)
class HgCache:
    """The repository in the store that holds what was fetched from one URL; `failure` is what the stage at work raises."""

    hg: Hg
    link: GitLink
    progress: Progress
    failure: type[ResolveError | FetchError]

    def bring(self, node: str) -> datetime:
        """Return the date of that changeset, which is fetched with all that led to it when it is not here."""
        known = self._date(node)
        if known is None:
            with self.progress.step(f"Fetching {self.link.url}"):
                done = self.hg.run("pull", "--quiet", f"--rev={node}", "--", self.link.url, timeout=_FETCHING)
            if done.returncode:
                raise _explained(self.link, done.tail, self.failure, f"has no changeset {node}")
            known = self._date(node)
        if known is None:
            raise self.failure(f"{self.link.url} gave no changeset {node}")
        return known

    def _date(self, node: str) -> datetime | None:
        told = self.hg.run("log", f"--rev={node}", "--template={node} {date|hgdate}\n")
        found, _, rest = told.stdout.decode("ascii", "replace").strip().partition(" ")
        seconds = rest.partition(" ")[0]
        if told.returncode or found != node or not seconds.isdigit() or int(seconds) > _LAST_SECOND:
            return None
        return datetime.fromtimestamp(int(seconds), UTC)


@contextlib.contextmanager
def opened(link: GitLink, tools: Tools, failure: type[ResolveError | FetchError]) -> Iterator[HgCache]:
    """Yield the cache of the link's URL, alone: another process that wants the same URL waits."""
    repository = tools.store.cache(f"hg/{hashlib.sha256(link.url.encode()).hexdigest()}")
    user, _, password = link.login.partition(":")
    login = (unquote(user), unquote(password)) if link.login else Credentials(tools.site).find(link.url)
    with _alone(repository, tools, link), tools.store.scratch() as scratch:
        settings = scratch / "hgrc"
        settings.touch(mode=0o600)
        settings.write_text(settings_text(link.url, login, tools.site))
        hg = Hg(repository, settings, _search_path(tools.git_environment))
        if not (repository / ".hg/requires").is_file():
            done = hg.run("init", "--", str(repository))
            if done.returncode:
                raise StoreError(
                    f"hg cannot make {repository}: {done.tail}", hint=f"remove {repository} and try again"
                )
        hg.run("recover", "--quiet")  # from an hg that was killed: we are alone here
        yield HgCache(hg, link, tools.progress, failure)


@contextlib.contextmanager
def _alone(repository: Path, tools: Tools, link: GitLink) -> Iterator[None]:
    try:
        repository.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(repository.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(
            f"the store {tools.store.root} cannot be written: {error.strerror}",
            hint="choose a folder of your own with --store DIR",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tools.progress.note(f"Waiting for another process that fetches {link.url}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(cache: HgCache, node: str, into: TreeHasher) -> frozenset[str]:
    """Read the changeset's files into a hasher or writer and return the folders that they lie in."""
    folders = {b""}
    arguments = ("archive", f"--rev={node}", "--no-decode", "--type=tar", "--prefix=x", "--", "-")
    try:
        with cache.progress.step("Reading the repository's files"), cache.hg.converse(*arguments) as stream:
            for member in tar_members(stream, MOST_BYTES):
                path = member.path.removeprefix(b"x/")
                if path == b".hgsubstate":
                    cache.progress.warn(f"The subrepositories of {cache.link.url} are left out")
                if member.kind == "link":
                    into.symlink(path, member.target)
                elif member.kind == "file":
                    into.file(path, member.size, member.pieces(), executable=member.executable)
                while (path := path.rpartition(b"/")[0]) not in folders:
                    folders.add(path)
    except TreeError as error:
        raise cache.failure(f"the changeset {node} cannot be taken: {error}") from error
    return frozenset(shown(folder) for folder in folders)


def _search_path(environment: Mapping[str, str]) -> str:
    # A relative entry would find programs in the folder that is looked at.
    entries = [entry for entry in environment.get("PATH", "").split(":") if entry.startswith("/")]
    return ":".join(entries) or "/usr/local/bin:/usr/bin:/bin"


def _explained(
    link: GitLink, words: str, failure: type[ResolveError | FetchError], absent: str
) -> BuilderError:
    said = link.scrub(words)
    if _NO_ACCESS.search(words):
        return failure(
            f"{link.url} asks who you are: {said}", hint="a login for the host can stand in ~/.netrc"
        )
    if _BROKEN.search(words):
        return failure(
            f"{link.url} cannot be reached: {said}",
            hint="check the network, the proxy and the CA bundle, then try again",
            transient=True,
        )
    if _NO_REPOSITORY.search(words) or "unknown revision" not in words:
        return failure(
            f"{link.url} cannot be read as a Mercurial repository: {said}",
            hint="check that the link is right",
        )
    return failure(
        f"{link.url} {absent} (hg says: {said})",
        hint="give a branch, tag, bookmark or the full id of a changeset",
    )
