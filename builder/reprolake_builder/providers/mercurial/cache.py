"""One Mercurial repository per URL in the store: what is fetched once stays there."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from reprolake_builder.archives.tars import tar_members
from reprolake_builder.credentials import Credentials
from reprolake_builder.errors import BuilderError, FetchError, ResolveError, StoreError
from reprolake_builder.git_tree import MOST_BYTES, TreeError, TreeHasher, folders_of, shown
from reprolake_builder.progress import Progress
from reprolake_builder.providers.links.git import GitLink
from reprolake_builder.providers.mercurial.command import Hg, settings_text
from reprolake_builder.providers.programs import search_path
from reprolake_builder.providers.turns import alone_in
from reprolake_builder.tools import Tools

_FETCHING = 6 * 3600  # seconds for a whole repository on a slow line: Mercurial has no shallow ones
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z
_NO_ACCESS = re.compile(r"authorization (?:failed|required)|HTTP Error 40[13]", re.IGNORECASE)
_BROKEN = re.compile(
    r"Name or service not known|Temporary failure|timed out|refused|reset|HTTP Error (?:429|5\d\d)|stream ended|certificate",
    re.IGNORECASE,
)
NO_REPOSITORY = re.compile(
    r"not (?:found|a Mercurial)|does not appear to be an hg repository|HTTP Error 40[04]", re.IGNORECASE
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
                raise explained(self.link, done.tail, self.failure, f"has no changeset {node}")
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
    with alone_in(repository, link.url, tools), tools.store.scratch() as scratch:
        settings = scratch / "hgrc"
        settings.touch(mode=0o600)
        settings.write_text(settings_text(link.url, login, tools.site))
        hg = Hg(repository, settings, search_path(tools.git_environment))
        if not (repository / ".hg/requires").is_file():
            done = hg.run("init", "--", str(repository))
            if done.returncode:
                raise StoreError(
                    f"hg cannot make {repository}: {done.tail}", hint=f"remove {repository} and try again"
                )
        if (repository / ".hg/store/journal").exists():
            hg.run("recover", "--quiet")  # from an hg that was killed: we are alone here
        yield HgCache(hg, link, tools.progress, failure)


def read_files(cache: HgCache, node: str, into: TreeHasher) -> frozenset[str]:
    """Read the changeset's files into a hasher or writer and return the folders that they lie in."""
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
    except TreeError as error:
        raise cache.failure(f"the changeset {node} cannot be taken: {error}") from error
    return frozenset(shown(folder) for folder in folders_of(into.blobs))


def explained(
    link: GitLink, words: str, failure: type[ResolveError | FetchError], absent: str
) -> BuilderError:
    """Return the error for what hg said; `absent` is what the repository lacks where it was asked for a name."""
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
    if NO_REPOSITORY.search(words) or "unknown revision" not in words:
        return failure(
            f"{link.url} cannot be read as a Mercurial repository: {said}",
            hint="check that the link is right",
        )
    return failure(
        f"{link.url} {absent} (hg says: {said})",
        hint="give a branch, tag, bookmark or the full id of a changeset",
    )
