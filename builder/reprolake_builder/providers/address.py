"""An archive behind a bare address: what is there may change any day, so that only its SHA-256 says what is meant.

Source: pip's documentation, "Direct URLs" and "Hash-checking Mode", for URL#sha256=….
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urldefrag, urlsplit

from reprolake_builder.archives.formats import is_archive
from reprolake_builder.documents.source import FilesSource
from reprolake_builder.download import Offer
from reprolake_builder.errors import AnswerError, FetchError, ResolveError, without_logins
from reprolake_builder.process import printable
from reprolake_builder.providers.files import Offering, pin_files
from reprolake_builder.providers.interface import LinkRequest, checked_subdir, one_answer
from reprolake_builder.tools import Tools

_UNREAD = (".rar", ".7z")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ArchiveLink:
    """An archive's address without its fragment, the file's name, and what the fragment says ("" for nothing)."""

    url: str
    name: str
    sha256: str = ""
    subdir: str = ""


class AddressProvider:
    """Archives on any web server."""

    def recognises(self, link: str) -> bool:
        """Whether the link is a web address whose path ends as archives' names do."""
        try:
            parts = urlsplit(link)
        except ValueError:
            return False
        is_file = is_archive(parts.path) or parts.path.lower().endswith(_UNREAD)
        return parts.scheme.lower() in {"https", "http"} and bool(parts.netloc) and is_file

    def resolve(self, request: LinkRequest, tools: Tools) -> FilesSource:
        """Return the archive's files as a source. Raises ResolveError without a SHA-256, FetchError for another file."""
        link = parse_archive_link(request.link)
        if not is_archive(link.name):
            raise ResolveError(
                f"{printable(link.url)} is an archive of a kind that is not read",
                hint="taken are zip and tar, with gzip, bzip2, xz or Zstandard",
            )
        if request.ref:
            raise ResolveError(
                f"{printable(link.url)} is a file, in which --ref {printable(request.ref)} has no meaning"
            )
        sha256 = one_answer("SHA-256", link.sha256, request.sha256, "--sha256").lower()
        if not sha256:
            raise self._unpinned(link, request, tools)
        if not _SHA256.fullmatch(sha256):
            raise ResolveError(
                f"{printable(sha256[:80])!r} is no SHA-256",
                hint="it has 64 digits: `sha256sum FILE` prints it",
            )
        subdir = one_answer("sub-folder", link.subdir, checked_subdir(request.subdir), "--subdir")
        offer = Offer(link.name, link.url, sha256=sha256)
        with _as_spelt():
            return pin_files(Offering(link.url, (offer,), subdir=subdir), request.now, tools)

    def _unpinned(self, link: ArchiveLink, request: LinkRequest, tools: Tools) -> ResolveError:
        """Return the failure, which tells what the address holds now unless nothing may be asked."""
        message = f"{printable(link.url)} may be another file tomorrow: an address is taken with the file's SHA-256 only"
        if request.locked:
            return ResolveError(message, hint="add --sha256, or give a lock")
        with _as_spelt():
            found = tools.downloader.receive(Offer(link.name, link.url), tools.store, tools.progress)
        return ResolveError(
            message, hint=f"if what is there now is what you mean, add --sha256 {found.sha256}"
        )


@contextlib.contextmanager
def _as_spelt() -> Iterator[None]:
    """Say of an address with nothing behind it what is most often wrong."""
    try:
        yield
    except AnswerError as error:
        if error.status not in {404, 410}:
            raise
        raise FetchError(
            error.message, hint="nothing is at that address, or not any more: check how it is spelt"
        ) from error


def parse_archive_link(text: str) -> ArchiveLink:
    """Return the parts of an archive's address. Raises ResolveError for one that no lock may hold."""
    if not text.isprintable() or " " in text:
        raise ResolveError("a link holds neither spaces nor control characters", hint="write %20 for a space")
    url, fragment = urldefrag(text)
    if "@" in urlsplit(url).netloc or without_logins(url) != url:
        raise ResolveError(
            f"{without_logins(url)} carries a login, which would end up in the lock",
            hint="put it in ~/.netrc, and leave it out of the link",
        )
    told = {"sha256": "", "subdirectory": ""}
    for part in filter(None, fragment.split("&")):
        key, _, value = part.partition("=")
        if key not in told:
            raise ResolveError(
                f"the link's part #{printable(part)} is not understood",
                hint="known are #sha256=DIGITS and #subdirectory=FOLDER",
            )
        told[key] = unquote(value)
    name = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return ArchiveLink(url, name, told["sha256"], checked_subdir(told["subdirectory"]))
