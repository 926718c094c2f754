"""Choosing one commit among what a server advertises: exact names only, never a name's last component."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.links.git import FULL_ID, SHORT_ID

_MOVED = re.compile(r"^warning: redirecting to (https?://\S+)$", re.MULTILINE)
_PEELED = "^{}"
_SHOWN = 8
_MOST_BYTES = 64 << 20  # of a list of refs: it is held in memory


@dataclass(frozen=True, slots=True)
class Advertised:
    """What a server says it has: full names to object ids (annotated tags already peeled), and where HEAD points.

    `moved_to` is the address that the server led on to, "" for none.
    """

    refs: Mapping[str, str]
    head: str = ""
    moved_to: str = ""


def parse_advertised(output: bytes, complaints: bytes = b"") -> Advertised:
    """Return the refs in the output of `git ls-remote --symref`, whose standard error tells of redirects. Raises ResolveError for ids that are not SHA-1."""
    if len(output) > _MOST_BYTES:
        raise ResolveError(
            f"the repository has more than {_MOST_BYTES >> 20} MiB of branches and tags",
            hint="give the full id of the commit, of which nobody has to look for a name",
        )
    refs: dict[str, str] = {}
    head = ""
    for line in output.decode("utf-8", "surrogateescape").splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            if name == "HEAD":
                head = value.removeprefix("ref: ")
            continue
        if not FULL_ID.fullmatch(value):
            raise ResolveError(
                "the repository does not use git's SHA-1 object format",
                hint="SHA-256 repositories come later",
            )
        if name.endswith(_PEELED) or name not in refs:
            refs[name.removesuffix(_PEELED)] = value
    moved = _MOVED.search(complaints.decode("utf-8", "replace"))
    return Advertised(refs, head, printable(moved[1]).rstrip("/") if moved else "")


def choose(ref: str, advertised: Advertised) -> str | None:
    """Return the id of exactly that ref, or None; "" and "HEAD" mean the server's HEAD.

    Raises ResolveError when a branch and a tag share the name and differ.
    """
    if ref in {"", "HEAD"}:
        return advertised.refs.get("HEAD")
    if ref.startswith("refs/"):
        return advertised.refs.get(ref)
    found = {
        name: advertised.refs[name]
        for name in (f"refs/heads/{ref}", f"refs/tags/{ref}")
        if name in advertised.refs
    }
    if len(set(found.values())) > 1:
        both = " and ".join(f"{name} ({commit[:12]})" for name, commit in found.items())
        raise ResolveError(
            f"{ref!r} is a branch and a tag, and they differ: {both}",
            hint="give the full name of the one that is meant",
        )
    return next(iter(found.values()), None)


def nearest(ref: str, advertised: Advertised) -> tuple[str, ...]:
    """Return names that the user may have meant, the likeliest first."""
    names = {
        name.removeprefix("refs/heads/").removeprefix("refs/tags/"): None
        for name in advertised.refs
        if name.startswith(("refs/heads/", "refs/tags/")) or ref.startswith("refs/")
    }
    last = ref.rpartition("/")[2]
    same_end = [name for name in names if last in {name, name.rpartition("/")[2]}]
    alike = difflib.get_close_matches(ref, names, n=_SHOWN, cutoff=0.6)
    return tuple(dict.fromkeys([*alike, *same_end]))[:_SHOWN] or tuple(names)[:_SHOWN]


def split(rest: str, advertised: Advertised) -> tuple[str, str] | None:
    """Return ref and path of a page's REF/PATH, or None when it begins with no ref of the server.

    A commit's full id comes first; then the branch or tag that is there; then the beginning of an id, which only the
    repository's objects can decide. Raises ResolveError when the address can be parted in two ways: where a branch `a` and a
    tag `a/b` are both there.
    """
    parts = rest.strip("/").split("/")
    if FULL_ID.fullmatch(parts[0]):
        return parts[0], "/".join(parts[1:])
    found = []
    for count in range(len(parts), 0, -1):
        ref = "/".join(parts[:count])
        if choose(ref, advertised) is not None:
            found.append((ref, "/".join(parts[count:])))
    if len(found) > 1:
        raise ResolveError(
            f"{printable(rest)!r} can be read in {len(found)} ways, with the ref "
            + " or ".join(repr(ref) for ref, _ in found),
            hint="give the repository's own address with the ref, URL@REF, and the rest as --subdir or notebook",
        )
    if not found and SHORT_ID.fullmatch(parts[0]):
        return parts[0], "/".join(parts[1:])
    return found[0] if found else None
