"""Software Heritage's identifiers, and the addresses of its archive's pages that stand for them.

Source: ISO/IEC 18670 (SWHID 1.2), "Core identifiers" and "Qualified identifiers"; the paths of the archive's pages as
swh-web documents them under "Browse" (revision, release, directory, snapshot, origin).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, unquote, urlsplit

from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.interface import checked_subdir

SITE = "archive.softwareheritage.org"
_RESOLVERS = {SITE, "identifiers.org", "n2t.net", "www.softwareheritage.org"}
_CORE = re.compile(r"swh:1:(cnt|dir|rev|rel|snp|ori):([0-9a-f]{40})")
_PAGE = re.compile(
    r"/(?:browse|api/1)/(revision|release|directory|snapshot|content)/(?:sha1_git:)?([0-9a-f]{40})\b.*"
)
_ORIGIN_PAGE = re.compile(r"/browse/origin/(?:(?:directory|log|visits|branches|releases)/)?")
_OLD_ORIGIN_PAGE = re.compile(
    r"/browse/origin/([a-z]+:/{1,2}[^?#]+?)/(?:directory|log|visits|branches|releases)(?:/.*)?"
)
_KINDS = {"revision": "rev", "release": "rel", "directory": "dir", "snapshot": "snp", "content": "cnt"}
_IN_ADDRESS = re.compile(r"/(swh:1:.*?)/?$")
_SAME_MEANING = {"lines", "bytes"}


@dataclass(frozen=True, slots=True)
class Swhid:
    """An identifier: `kind` is dir, rev, rel, snp or ori, `hash` 40 hexadecimal digits.

    `origin` is the address that the object was seen at, `visit` the snapshot (hash) of it, `anchor` the identifier of a rev,
    rel, snp or dir from whose root `path` leads to the object; "" where none is named. `branch` is the one that a page of a
    snapshot or origin shows.
    """

    kind: str
    hash: str
    origin: str = ""
    visit: str = ""
    anchor: str = ""
    path: str = ""
    branch: str = ""

    @property
    def core(self) -> str:
        """The identifier without what qualifies it."""
        return f"swh:1:{self.kind}:{self.hash}"

    @property
    def inside(self) -> str:
        """The folder or file that is meant inside the object: pages show one; of a dir `path` says where the dir itself lies."""
        return self.path if self.kind != "dir" or self.anchor == self.core else ""


def is_heritage_link(text: str) -> bool:
    """Whether the text is an identifier of Software Heritage or the address of a page of its archive."""
    return text.startswith("swh:") or _host(text) == SITE or (_host(text) in _RESOLVERS and "/swh:" in text)


def parse_heritage_link(text: str) -> Swhid:
    """Return what an identifier or a page's address stands for.

    A single notebook stands for the folder or commit that it is in, when that is named. Raises ResolveError for anything else, for
    other single files, and for identifiers with qualifiers that are not understood.
    """
    if not text.isprintable():
        raise ResolveError("a link holds no control characters")
    found = _parse_core(text) if text.startswith("swh:") else _parse_address(text)
    if found.kind == "cnt" and found.path.endswith(".ipynb") and found.anchor[6:9] in {"dir", "rev", "rel"}:
        found = replace(
            found,
            kind=found.anchor[6:9],
            hash=found.anchor[10:],
            anchor=found.anchor if found.anchor[6:9] == "dir" else "",
        )
    if found.kind == "cnt":
        raise ResolveError(
            f"{found.core} is a single file, and a notebook needs the files beside it",
            hint=f"give the folder or the commit: the part anchor=… of the full identifier"
            f"{' is ' + found.anchor if found.anchor else ''}, which the file's page shows under `Permalinks`",
        )
    return found


def _host(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        return ""
    try:
        return (urlsplit(text).hostname or "").lower()
    except ValueError:
        return ""


def _parse_core(text: str) -> Swhid:
    core, *qualifiers = text.split(";")
    found = _CORE.fullmatch(core)
    if found is None:
        raise ResolveError(
            f"{printable(core)} is no identifier of Software Heritage",
            hint="one is swh:1:rev: and 40 digits out of 0-9 and a-f (dir, rel, snp and ori in the place of rev)",
        )
    values: dict[str, str] = {}
    for qualifier in filter(None, qualifiers):
        name, equals, value = qualifier.partition("=")
        if name in _SAME_MEANING:
            continue
        if not equals or name in values or name not in {"origin", "visit", "anchor", "path"}:
            raise ResolveError(
                f"the part ;{printable(qualifier)} of the identifier is not understood",
                hint="known are, once each: origin=, visit=, anchor=, path=, lines=, bytes=",
            )
        values[name] = re.sub("%3[Bb]", ";", value).replace("%25", "%")
    return Swhid(
        found[1],
        found[2],
        origin=_checked_origin(values.get("origin", "")),
        visit=_checked_hash(values.get("visit", ""), "snp"),
        anchor=_checked_anchor(values.get("anchor", "")),
        path=checked_subdir(values.get("path", "").strip("/")),
    )


def _parse_address(text: str) -> Swhid:
    address = text.partition("#")[0].partition("?")[0]
    if at := _IN_ADDRESS.search(address) or _IN_ADDRESS.search(unquote(address)):
        return _parse_core(at[1])
    if _host(text) == SITE:
        parts = urlsplit(text)
        path = unquote(parts.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        origin = _checked_origin(asked.get("origin_url", ""))
        snapshot = asked.get("snapshot_id", asked.get("snapshot", ""))
        visit = _checked_hash(f"swh:1:snp:{snapshot}", "snp") if snapshot else ""
        inside, branch = (
            checked_subdir(asked.get("path", "").strip("/")),
            asked.get("branch", asked.get("release", "")),
        )
        if "timestamp" in asked and not visit:
            raise ResolveError(
                "the page's address names a visit by its time, which the archive moves to the nearest one it has",
                hint="give the identifier that the page shows under `Permalinks`",
            )
        if found := _PAGE.fullmatch(path):
            kind, digits = _KINDS[found[1]], found[2]
            anchor = f"swh:1:dir:{digits}" if kind == "dir" and inside else ""
            return Swhid(kind, digits, origin, visit, anchor, inside, branch if kind == "snp" else "")
        if old := _OLD_ORIGIN_PAGE.fullmatch(path):
            origin = _checked_origin(re.sub(r":/{1,2}", "://", old[1], count=1))
        if origin and (old or _ORIGIN_PAGE.fullmatch(path)):
            if revision := asked.get("revision", ""):
                return Swhid("rev", _checked_hash(f"swh:1:rev:{revision}", "rev"), origin, visit, "", inside)
            if visit:
                return Swhid("snp", visit, origin, visit, "", inside, branch)
            return Swhid("ori", origin_hash(origin), origin, "", "", inside, branch)
    raise ResolveError(
        f"{printable(text)} is no page of Software Heritage that stands for source code",
        hint="give the identifier (swh:1:…) that the page shows under `Permalinks`",
    )


def origin_hash(url: str) -> str:
    """Return the hash of an origin's identifier, which is that of its address."""
    return hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()


def _checked_origin(url: str) -> str:
    if url and (not url.isprintable() or any(character in url for character in " \\") or len(url) > 2048):
        raise ResolveError(f"{printable(url)} is no address of an origin")
    return url


def _checked_hash(core: str, kind: str) -> str:
    if not core:
        return ""
    found = _CORE.fullmatch(core)
    if found is None or found[1] != kind:
        raise ResolveError(f"{printable(core)} is no identifier of the form swh:1:{kind}: and 40 digits")
    return found[2]


def _checked_anchor(core: str) -> str:
    found = _CORE.fullmatch(core)
    if core and (found is None or found[1] in {"cnt", "ori"}):
        raise ResolveError(f"{printable(core)} cannot be an anchor", hint="a dir, rev, rel or snp can")
    return core
