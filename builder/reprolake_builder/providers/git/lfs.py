"""What Git LFS keeps of a repository, fetched into the store by the SHA-256 that its pointers name; git-lfs is not needed.

Source: the specification of Git LFS: "Server Discovery" and "Batch API", "basic" transfers.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from reprolake_builder.credentials import same_origin
from reprolake_builder.download import Wanted, make_room
from reprolake_builder.errors import AnswerError, FetchError
from reprolake_builder.git_tree import shown
from reprolake_builder.process import printable
from reprolake_builder.providers.git.command import Git
from reprolake_builder.providers.git.parts import Part
from reprolake_builder.providers.git.pointers import Pointer
from reprolake_builder.providers.links.git import login_of
from reprolake_builder.tools import Tools

_MEDIA = "application/vnd.git-lfs+json"
_AT_ONCE = (
    100  # objects of one question, so that no address given in answer is out of date when its turn comes
)
_LARGEST_ANSWER = 16 << 20  # bytes
_SSH = re.compile(r"(?:ssh://)?(?:[^@/:]+@)?([^@/:]+)(?::\d+(?=/)|:(?!\d+/))?/?(.+)")
# What says whom a request is for and where it ends is not for a stranger to say. Source: RFC 9110, 7.2 and 7.6.
_OF_THE_LINE = re.compile(
    r"host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|cookie|proxy-.*",
    re.IGNORECASE,
)
_HINT = "to go on with the pointers in place of the files: --ignore .gitattributes"


class _Download(msgspec.Struct, frozen=True):
    href: str
    header: dict[str, str] = {}


class _Actions(msgspec.Struct, frozen=True):
    download: _Download | None = None


class _Failure(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class _Object(msgspec.Struct, frozen=True):
    oid: str
    actions: _Actions = _Actions()
    error: _Failure | None = None


class _Answer(msgspec.Struct, frozen=True):
    objects: list[_Object]
    transfer: str = "basic"


@dataclass(frozen=True, slots=True)
class _Missing:
    """An object that the store lacks, and the path of a file that it is the content of."""

    pointer: Pointer
    path: bytes


def bring_objects(part: Part, tools: Tools) -> None:
    """Bring all that the part's pointers stand for into the store. Raises FetchError naming the first file that cannot be had."""
    missing = {
        pointer.sha256: _Missing(pointer, path)
        for path, pointer in part.pointers.items()
        if not tools.store.has_sound_archive(pointer.sha256)
    }
    if not missing:
        return
    link = part.cache.link
    if link.url.startswith("file://"):
        for item in missing.values():
            _copy(Path(unquote("/" + link.url.removeprefix("file://").partition("/")[2])), item, tools)
        return
    endpoint = _endpoint(part, tools)
    login = link.login if same_origin(endpoint, link.url) else ""
    server = _Server(endpoint, part.cache.git, tools, _basic(*login_of(login)) if login else {})
    items = list(missing.values())
    size = sum(item.pointer.size for item in items)
    make_room(size, f"Git LFS keeps {len(items)} files of {link.url}, which", tools.store, tools.progress)
    for first in range(0, len(items), _AT_ONCE):
        some = {item.pointer.sha256: item for item in items[first : first + _AT_ONCE]}
        server.fetch(some)


@dataclass(slots=True)
class _Server:
    endpoint: str
    git: Git
    tools: Tools
    headers: Mapping[str, str]

    def fetch(self, items: Mapping[str, _Missing]) -> None:
        wanted = list(self._wanted(items, self._ask(items)))
        try:
            self.tools.downloader.fetch_all(
                wanted, self.tools.store, self.tools.progress, f"Fetching {len(wanted)} files from Git LFS"
            )
        except FetchError as error:
            raise FetchError(error.message, hint=error.hint or _HINT, transient=error.transient) from error

    def _ask(self, items: Mapping[str, _Missing]) -> _Answer:
        asked = [{"oid": oid, "size": item.pointer.size} for oid, item in items.items()]
        body = msgspec.json.encode(
            {"operation": "download", "transfers": ["basic"], "objects": asked, "hash_algo": "sha256"}
        )
        try:
            try:
                answer = self._post(body)
            except AnswerError as error:
                if error.status not in {401, 403} or not (login := self._from_helper()):
                    raise
                self.headers = login
                answer = self._post(body)
            return msgspec.json.decode(answer, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FetchError(
                f"{self.endpoint} answers otherwise than a server of Git LFS: {error}", hint=_HINT
            ) from error
        except FetchError as error:
            first = shown(next(iter(items.values())).path)
            raise FetchError(
                f"{first} is kept in Git LFS, and its server does not answer: {error.message}",
                hint=error.hint or _HINT,
                transient=error.transient,
            ) from error

    def _post(self, body: bytes) -> bytes:
        return self.tools.downloader.post(
            f"{self.endpoint}/objects/batch",
            body,
            accept=_MEDIA,
            headers={"Content-Type": _MEDIA, **self.headers},
            limit=_LARGEST_ANSWER,
        )

    def _wanted(self, items: Mapping[str, _Missing], answer: _Answer) -> Iterator[Wanted]:
        told = {found.oid: found for found in answer.objects}
        for oid, item in items.items():
            found = told.get(oid)
            path = shown(item.path)
            download = found.actions.download if found is not None else None
            if found is None or found.error is not None or download is None or answer.transfer != "basic":
                failure = found.error if found is not None else None
                why = f": {failure.code} {printable(failure.message[:300])}" if failure is not None else ""
                raise FetchError(
                    f"{path} is kept in Git LFS, and {self.endpoint} does not give it{why}", hint=_HINT
                )
            schemes = {"https", "http"} if self.endpoint.startswith("http:") else {"https"}
            is_web = _is_web(download.href, schemes)
            if not is_web or self.tools.downloader.leads_inward(self.endpoint, download.href):
                raise FetchError(
                    f"{path} is kept in Git LFS, and {self.endpoint} gives it at {printable(download.href[:200])}, "
                    "which is not followed",
                    hint=_HINT,
                )
            headers = {
                name: value for name, value in download.header.items() if not _OF_THE_LINE.fullmatch(name)
            }
            if same_origin(download.href, self.endpoint):
                headers = {**self.headers, **headers}
            yield Wanted(path, (download.href,), oid, item.pointer.size, tuple(headers.items()))

    def _from_helper(self) -> dict[str, str]:
        """Return the login that git's credential helpers have for the server."""
        parts = urlsplit(self.endpoint)
        user, _, host = parts.netloc.rpartition("@")
        named = f"username={user.partition(':')[0]}\n" if user else ""
        asked = f"protocol={parts.scheme}\nhost={host}\npath={parts.path.lstrip('/')}\n{named}\n"
        done = self.git.run("credential", "fill", stdin=asked.encode())
        told = dict(
            line.split("=", 1) for line in done.stdout.decode("utf-8", "replace").splitlines() if "=" in line
        )
        if done.returncode or not told.get("password"):
            return {}
        return _basic(told.get("username", ""), told["password"])


def _endpoint(part: Part, tools: Tools) -> str:
    """Return the address of the part's LFS server: the one in its .lfsconfig, or the one that its URL leads to."""
    git, tree = part.cache.git, part.facts.tree
    listed = git.run("ls-tree", "--full-tree", tree, ".lfsconfig").stdout
    if listed.startswith(b"100"):
        told = git.run("config", "--no-includes", "--blob", f"{tree}:.lfsconfig", "--get", "lfs.url")
        if url := told.stdout.decode("utf-8", "replace").strip():
            schemes = {"https"} if part.cache.link.url.startswith("https:") else {"https", "http"}
            if not _is_web(url, schemes) or tools.downloader.leads_inward(part.cache.link.url, url):
                raise FetchError(
                    f"the .lfsconfig of {part.cache.link.url} names the server {printable(url[:200])!r}, which is not followed",
                    hint=_HINT,
                )
            return url.rstrip("/")
    url = part.cache.link.url.rstrip("/")
    if not url.startswith(("https://", "http://")):
        found = _SSH.fullmatch(url)
        if found is None or url.startswith("git://"):
            raise FetchError(f"{url} has no server of Git LFS that could be asked by http", hint=_HINT)
        url = f"https://{found[1]}/{found[2]}"
    return url + ("/info/lfs" if url.endswith(".git") else ".git/info/lfs")


def _copy(repository: Path, item: _Missing, tools: Tools) -> None:
    """Copy an object from a repository on this host."""
    oid = item.pointer.sha256
    inside = Path("lfs/objects") / oid[:2] / oid[2:4] / oid
    for place in (repository / ".git" / inside, repository / inside):
        if place.is_file():
            wanted = Wanted(shown(item.path), (place.as_uri(),), oid, item.pointer.size)
            tools.downloader.fetch(wanted, tools.store)
            return
    raise FetchError(f"{shown(item.path)} is kept in Git LFS, and {repository} does not hold it", hint=_HINT)


def _is_web(url: str, schemes: set[str]) -> bool:
    """Whether a stranger's text is a web address of one of the schemes."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0 and url.isprintable()
        )
    except ValueError:
        return False


def _basic(user: str, password: str) -> dict[str, str]:
    words = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {words}"}
