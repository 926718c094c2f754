"""One bare repository per URL in the store: what is fetched once, as little of it as will do, stays there."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from reprolake_builder.errors import BuilderError, FetchError, ResolveError, StoreError
from reprolake_builder.process import Completed
from reprolake_builder.progress import Progress
from reprolake_builder.providers.git.command import Git, git_on
from reprolake_builder.providers.git.refs import Advertised, parse_advertised
from reprolake_builder.providers.links.git import GitLink, login_of
from reprolake_builder.providers.turns import alone_in
from reprolake_builder.tools import Tools

_ASKING = 300  # seconds for a list of refs
_FETCHING = 6 * 3600  # seconds for a whole repository on a slow line
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z
_ALL = "+refs/*:refs/reprolake/all/*"
_EVERYTHING = "--depth=2147483647"  # git's own word for "no longer shallow"
_NO_CONTENTS = ("--filter=blob:none",)
_BROKEN = re.compile(
    r"Could not resolve host|Temporary failure|timed out|Connection (?:refused|reset)|Failed to connect|"
    r"Could not connect|early EOF|RPC failed|hung up|returned error: (?:429|5\d\d)|Operation too slow",
    re.IGNORECASE,
)
_STORE_FAILED = re.compile(
    r"No space left|quota exceeded|Read-only file system|unable to (?:create|write)|"
    r"\Afatal: fetch-pack: invalid index-pack output\Z",  # and no more words: it was ended by the limit of a file's size
    re.IGNORECASE,
)
_UNTRUSTED = re.compile(r"certificate|SSL", re.IGNORECASE)
_NO_ACCESS = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|Permission denied|returned error: 40[13]|"
    r"Host key verification",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """A commit: its id and its tree's (hexadecimal), and the committer's date (UTC)."""

    commit: str
    tree: str
    date: datetime


@dataclass(frozen=True, slots=True)
class GitCache:
    """The repository in the store that holds what was fetched from one URL.

    `ways` are how the server may be spoken to, with one login or another, in the order of trying. `failure` is the class of
    error that the stage at work raises; `only` limits what is fetched.
    """

    git: Git
    ways: tuple[Git, ...] = field(repr=False)
    link: GitLink
    progress: Progress
    failure: type[BuilderError]
    only: tuple[str, ...] = ()

    def ask(self) -> Advertised:
        """Return what the server advertises."""
        done = self._speak("ls-remote", "--symref", "--quiet", "--", self.link.url, timeout=_ASKING)
        if done.returncode:
            raise self._explained(done.tail)
        return parse_advertised(done.stdout, done.stderr)

    def bring(self, commit: str) -> CommitFacts:
        """Return the facts of that commit, fetched if it is not here; raises when the server does not have it.

        Nothing but this commit's files is fetched. Only a server that has the commit, and gives none by its id, makes all of
        the history come.
        """
        words = ""
        if known := self.facts(f"refs/reprolake/commits/{commit}"):
            return known
        attempts = (
            ("--depth=1", f"+{commit}:refs/reprolake/commits/{commit}"),
            (_EVERYTHING, _ALL),
            ("", _ALL),
        )
        with self.progress.step(f"Fetching {self.link.url}"):
            for depth, refspec in attempts:
                refused = self.fetch(depth, refspec)
                if not refused and (facts := self.facts(commit)):
                    self.git.run("update-ref", f"refs/reprolake/commits/{facts.commit}", facts.commit)
                    return facts
                if not words and self._lacks(commit):
                    words = refused
                    break
                words = refused or words
        said = f" (git says: {self.link.scrub(words)})" if words else ""
        raise self.failure(
            f"{self.link.url} has no commit {commit}{said}",
            hint="it was never pushed or was removed, the repository was rewritten, or the id is of something else",
        )

    def take(self, commit: str, repository: Path) -> str:
        """Take a commit, without those before it, from a repository of our own (host folder); return git's words where that fails."""
        ref = f"refs/reprolake/commits/{commit}"
        done = self.git.run(
            *("fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"),
            *("--update-shallow", "--depth=1", "--", f"file://{repository}", f"+{ref}:{ref}"),
            timeout=_FETCHING,
        )
        return "" if not done.returncode and self.facts(ref) else done.tail or "it is not there"

    def bring_history(self, commit: str) -> Git:
        """Return git on a repository with all commits and trees that led to the commit, and the repository's tags.

        It has no contents of files, unless the server makes no difference.
        """
        history = self._history()
        refspecs = (f"+{commit}:refs/reprolake/commits/{commit}", "+refs/tags/*:refs/tags/*")
        with self.progress.step(f"Fetching the history of {self.link.url}"):
            refused = history.fetch(_EVERYTHING, *refspecs)
            if refused and (refused := history.fetch_all()):
                raise self._explained(refused)
        return history.git

    def bring_by_prefix(self, prefix: str) -> tuple[str, ...]:
        """Return the ids of all commits beginning with `prefix`; for that the history is fetched, without contents of files."""
        history = self._history()
        with self.progress.step(f"Fetching the history of {self.link.url} to look for {prefix}"):
            if refused := history.fetch_all():
                raise self._explained(refused)
        ids = history.git.run("rev-parse", f"--disambiguate={prefix}").stdout.decode().split()
        facts = (history.facts(found) for found in ids)
        return tuple(sorted({known.commit for known in facts if known}))

    def _lacks(self, commit: str) -> bool:
        """Whether no ref of the server leads to the commit, as far as its history can be had."""
        history = self._history()
        return not history.fetch_all() and history.facts(commit) is None

    def _history(self) -> GitCache:
        """Return the cache's other repository: commits and trees without files would make the first one look complete."""
        repository = Path(self.git.place[1]) / "history"
        ways = tuple(replace(git, place=("--git-dir", str(repository))) for git in self.ways)
        git = replace(self.git, place=("--git-dir", str(repository)))
        _make(repository, git)
        return replace(self, git=git, ways=ways, only=_NO_CONTENTS)

    def fetch_all(self) -> str:
        """Fetch what all refs lead to, as `fetch` does."""
        return self.fetch(_EVERYTHING, _ALL) and self.fetch("", _ALL)

    def kind(self, commit: str, path: str) -> str:
        """Return what the commit has at that path: "tree", "blob", "commit" for a submodule whose commit is here, or ""."""
        return self.git.run("cat-file", "-t", f"{commit}:{path}").stdout.decode("ascii", "replace").strip()

    def has_folder(self, commit: str, path: str) -> bool:
        """Whether the commit holds that folder."""
        return self.kind(commit, path) == "tree"

    def top_folders(self, commit: str) -> tuple[str, ...]:
        """Folders at the commit's root."""
        listed = self.git.run("ls-tree", "-d", "-z", "--name-only", commit).stdout
        return tuple(name.decode("utf-8", "replace") for name in listed.split(b"\0") if name)

    def beside(self, commit: str, path: str) -> tuple[str, ...]:
        """What the commit has in the folder of a path, the likeliest that was meant first; nothing where it has no such folder."""
        folder, _, name = path.rpartition("/")
        listed = self.git.run("ls-tree", "-z", "--name-only", f"{commit}:{folder}").stdout
        names = [part.decode("utf-8", "replace") for part in listed.split(b"\0") if part]
        alike = difflib.get_close_matches(name, names, n=3)
        return tuple(f"{folder}/{one}".lstrip("/") for one in dict.fromkeys([*alike, *names]))

    def fetch(self, depth: str, *refspecs: str) -> str:
        """Return "" after success, git's words after a refusal. Raises when another attempt would fare no better."""
        done = self._speak(
            *("fetch", "--quiet", "--force", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"),
            *(["--update-shallow", depth] if depth else []),
            *self.only,
            *("--", self.link.url, *refspecs),
            timeout=_FETCHING,
        )
        if not done.returncode:
            return ""
        if _STORE_FAILED.search(done.tail):
            raise StoreError(f"what {self.link.url} gives cannot be stored: {self.link.scrub(done.tail)}")
        if _BROKEN.search(done.tail) or _NO_ACCESS.search(done.tail):
            raise self._explained(done.tail)
        return done.tail or "it refused"

    def _speak(self, *arguments: str, timeout: float) -> Completed:
        """Run git against the server: a login that is refused does not keep a user's own, or none, from being tried."""
        *first, last = self.ways
        for git in first:
            done = git.run(*arguments, timeout=timeout)
            if not done.returncode or not _NO_ACCESS.search(done.tail):
                return done
        return last.run(*arguments, timeout=timeout)

    def facts(self, name: str) -> CommitFacts | None:
        """Return the facts of the commit that a ref or id names, None when it is not here."""
        found = self.git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found.returncode:
            return None
        commit = found.stdout.decode().strip()
        told = self.git.run("rev-list", "-1", "--format=%T %ct", commit)
        tree, _, seconds = told.stdout.decode("ascii", "replace").strip().rpartition("\n")[2].partition(" ")
        if told.returncode or not seconds.isdigit() or int(seconds) > _LAST_SECOND:
            raise self.failure(f"the commit {commit} of {self.link.url} cannot be read: {told.tail}")
        return CommitFacts(commit, tree, datetime.fromtimestamp(int(seconds), UTC))

    def _explained(self, words: str) -> BuilderError:
        said = self.link.scrub(words)
        if _NO_ACCESS.search(words):
            return self.failure(
                f"{self.link.url} asks who you are: {said}",
                hint="check that the link is right; for a private repository set up git's credential helper, ~/.netrc or an ssh "
                "agent, or set GITHUB_TOKEN or GITLAB_TOKEN (`gitlab_hosts` says for which hosts)",
            )
        if _BROKEN.search(words):
            return self.failure(
                f"{self.link.url} cannot be reached: {said}",
                hint="check the network and the proxy, then try again",
                transient=True,
            )
        hint = "check that the link names a git repository"
        if _UNTRUSTED.search(words):
            hint = "for a host with certificates of its own set `ca_bundle` (`reprolake doctor` shows what is used)"
        if "/tree/" in self.link.url or "/blob/" in self.link.url:
            hint = "this looks like the address of a web page: write the repository's own address and @REF"
        return self.failure(f"{self.link.url} cannot be read as a git repository: {said}", hint=hint)


@contextlib.contextmanager
def opened(tools: Tools, link: GitLink, failure: type[ResolveError | FetchError]) -> Iterator[GitCache]:
    """Yield the cache of the link's URL, alone: another process that wants the same URL waits."""
    repository = tools.store.cache(f"git/{hashlib.sha256(link.url.encode()).hexdigest()}")
    with alone_in(repository, link.url, tools):
        git = git_on(repository, tools.git_environment)
        _make(repository, git)
        yield GitCache(git, _ways(git, link, tools), link, tools.progress, failure)


def _ways(git: Git, link: GitLink, tools: Tools) -> tuple[Git, ...]:
    if link.login:
        return (git.with_login(link.url, *login_of(link.login)),)
    token = tools.site.token_for(link.url)
    if token is None or not token.user:
        return (git,)
    return (git.with_login(link.url, token.user, token.secret), git)


def _make(repository: Path, git: Git) -> None:
    for left in (
        *repository.glob("*.lock"),
        *repository.glob("refs/**/*.lock"),
        *repository.glob("objects/pack/tmp_*"),
    ):
        left.unlink(missing_ok=True)  # from a git that was killed: we are alone here
    if (repository / "objects/info").is_dir():
        return
    # This folder is what git makes last; a repository without it is left over as well, and init mends it.
    done = git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=none")
    if done.returncode:
        raise StoreError(
            f"git cannot make {repository}: {done.tail}", hint=f"remove {repository} and try again"
        )
