"""Demands for packages by where they are: a git repository, an archive at an address, or a folder of the repository itself.

Source: pip's documentation, "VCS Support" and "Local project installs"; PEP 508, direct references.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from reprolake_builder.declarations.heard import Given, join
from reprolake_builder.documents.environment import AskedSource
from reprolake_builder.documents.source import GitSource
from reprolake_builder.errors import DetectError, ResolveError
from reprolake_builder.lock_files.interface import Edge, Place
from reprolake_builder.lock_files.reading import requirement_of
from reprolake_builder.process import printable
from reprolake_builder.providers.links.git import parse_git_link

_GIT = "git+"
_EGG = re.compile(r"(?:^|&)egg=([^&]*)")
_NAMED = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[([^\]]*)\])?")
_LOCAL = re.compile(r"(?P<folder>[^\[\];]+?)\s*(?:\[(?P<extras>[^\]]*)\])?\s*(?:;(?P<marker>.*))?")
_DECLARES = ("pyproject.toml", "setup.py", "setup.cfg")
FILES = "package files of the repository come in a later version; name a released version for now"
_ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar.bz2", ".tar.xz")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_DIGEST = re.compile(r"sha256[=:]([0-9a-fA-F]{64})")
_LONGEST = 2000  # characters of an address


def is_git(text: str) -> bool:
    """Whether a demand, or the address in one, is for a git repository."""
    return text.lower().startswith(_GIT)


def ask_git(text: str, origin: str, given: Given) -> AskedSource:
    """Return what a bare `git+URL@REF#egg=NAME` asks for. Raises DetectError."""
    _refuse_long(text, origin)
    address, _, marker = text.partition(" ;")
    named = _EGG.search(address.partition("#")[2])
    found = _NAMED.fullmatch(unquote(named[1])) if named else None
    if named and found is None:
        raise _refused(text, origin, "names no package after egg=")
    extras = f"[{found[2]}]" if found and found[2] else ""
    return _git(address, f"{found[1] if found else ''}{extras}", marker, origin, given)


def ask_reference(
    requirement: Requirement, origin: str, given: Given, sha256: tuple[str, ...] = ()
) -> AskedSource:
    """Return what `NAME @ git+URL@REF` or `NAME @ https://HOST/ARCHIVE` asks for. Raises DetectError for another address."""
    address = requirement.url or ""
    if not is_git(address):
        named = (canonicalize_name(requirement.name), _extras(requirement), str(requirement.marker or ""))
        return ask_archive(address, named, sha256, origin, given)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return _git(address, f"{requirement.name}{extras}", str(requirement.marker or ""), origin, given)


def is_archive(text: str) -> bool:
    """Whether a demand is the address of an archive."""
    return text.lower().startswith(("https://", "http://"))


def ask_archive(
    address: str, named: tuple[str, tuple[str, ...], str], sha256: tuple[str, ...], origin: str, given: Given
) -> AskedSource:
    """Return what the address of an archive asks for; `named` are the package's name ("" where it is not told), extras and marker.

    A SHA-256 may stand in the address, as `#sha256=…`. Raises DetectError.
    """
    text = printable(address)
    if not is_archive(address):
        reason = "asks for a package from an address that is neither a git repository nor an archive"
        raise _refused(text, origin, reason, "write git+https://… or https://…/NAME-VERSION.whl")
    url, _, fragment = address.strip().partition("#")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused(text, origin, "is no address") from error
    filename = unquote(parts.path).rpartition("/")[2]
    if "@" in url or not url.isprintable() or " " in url or len(url) > _LONGEST:
        raise _refused(text, origin, "holds a login, or what no address holds", "leave it away")
    wheel = _wheel_name(filename)
    if wheel is None and not filename.lower().endswith(_ARCHIVES):
        raise _refused(
            text, origin, "is the address of no archive", "its end is that of a wheel, or .tar.gz or .zip"
        )
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z.!+_-]*", filename) or "subdirectory=" in fragment:
        raise _refused(text, origin, "is not understood", "ask for the git repository instead: git+https://…")
    name, extras, marker = named
    if wheel and name and wheel != name:
        raise _refused(text, origin, f"is the address of {wheel}, and {name} is asked for")
    digests = {*sha256, *(found.lower() for found in _DIGEST.findall(fragment))}
    here = (parts.hostname or "").lower() in _LOOPBACK
    if len(digests) > 1 or (not digests and parts.scheme == "http" and not here):
        raise _refused(
            text, origin, "needs one SHA-256", "write #sha256= and 64 hexadecimal digits at its end"
        )
    _refuse_loopback(text, origin, given, here=here)
    return AskedSource(
        url=url,
        archive=True,
        sha256=next(iter(digests), ""),
        name=wheel or name,
        extras=extras,
        marker=marker,
        origin=origin,
    )


def _wheel_name(filename: str) -> str | None:
    """Return the package whose wheel has that name, None for what is no wheel."""
    try:
        return canonicalize_name(parse_wheel_filename(filename)[0])
    except InvalidWheelFilename:
        return None


def _refuse_loopback(text: str, origin: str, given: Given, *, here: bool) -> None:
    """Return when a repository may ask for an archive of this host: a stranger's does not."""
    source = given.tree.source
    if here and isinstance(source, GitSource) and (urlsplit(source.url).hostname or "") not in _LOOPBACK:
        raise _refused(text, origin, "asks for an archive of this host, and comes from elsewhere itself")


def ask_folder(text: str, base: str, origin: str, given: Given) -> AskedSource:
    """Return what `./FOLDER[EXTRA]` asks for; `base` is the folder that it is meant from. Raises DetectError."""
    _refuse_long(text, origin)
    found = _LOCAL.fullmatch(text)
    if found is None:
        raise _refused(text, origin, "is not understood", "write it like ./folder or ./folder[extra]")
    folder = join(base, found["folder"].strip())
    outside = found["folder"].startswith(("/", "~")) or folder == ".." or folder.startswith("../")
    if outside:
        raise _refused(text, origin, "leads out of the repository", "put the package into the repository")
    if given.tree.is_file(folder):
        raise _refused(text, origin, "asks for a package file", FILES)
    if not any(given.tree.is_file(join(folder, name)) for name in _DECLARES):
        hint = f"paths in this file are meant from {printable(base)}/" if base else ""
        raise _refused(text, origin, "asks for a folder without pyproject.toml, setup.py or setup.cfg", hint)
    name = f"x[{found['extras']}]" if found["extras"] else "x"
    plain = _parsed(name, found["marker"] or "", origin)
    return AskedSource(folder=folder, extras=_extras(plain), marker=str(plain.marker or ""), origin=origin)


def _refuse_long(text: str, origin: str) -> None:
    """Return when a text is short enough to be searched for its parts, which may take the square of its length."""
    if len(text) > _LONGEST:
        raise _refused(text, origin, "is longer than what anybody asks for")


def ask_place(place: Place, edge: Edge, folder: str, origin: str, given: Given) -> AskedSource:
    """Return what a demand asks for whose package is at a place; `folder` is the one that paths are meant from.

    Raises DetectError.
    """
    extras, marker = tuple(sorted(edge.extras)), str(edge.marker or "")
    below = f"#subdirectory={place.subdir}" if place.subdir else ""
    if place.kind == "archive":
        if not place.url:
            raise _refused(place.path, origin, "asks for a package file", FILES)
        return ask_archive(place.url + below, (edge.name, extras, marker), place.sha256, origin, given)
    if place.kind == "git":
        if "@" in place.ref:  # the last one parts address and ref
            reason = "is a branch or tag with an @, which cannot be told from an address"
            raise _refused(place.ref, origin, reason, "name the commit instead")
        url = place.url if is_git(place.url) else f"{_GIT}{place.url}"
        asked = ask_git(url + (f"@{place.ref}" if place.ref else "") + below, origin, given)
    else:
        path = f"{place.path}/{place.subdir}" if place.subdir else place.path
        asked = ask_folder(path if path.startswith((".", "/", "~")) else f"./{path}", folder, origin, given)
    return msgspec.structs.replace(asked, name=edge.name, extras=extras, marker=marker)


def _git(address: str, named: str, marker: str, origin: str, given: Given) -> AskedSource:
    """Return the demand; the address is checked as a link is, and carries no login into the lock."""
    plain = _parsed(named or "x", marker, origin)
    try:
        link = parse_git_link(address.strip())
    except ResolveError as error:
        raise DetectError(f"{origin}: {error.message}", hint=error.hint) from error
    if link.login:
        raise _refused(
            link.url, origin, "carries a login", "leave it away, and set up git's credential helper for it"
        )
    source = given.tree.source
    if link.url.startswith("file:") and isinstance(source, GitSource) and not source.url.startswith("file:"):
        # A stranger's repository must not bring repositories of this host into an image.
        raise _refused(address, origin, "asks for a repository of this host, and comes from elsewhere itself")
    return AskedSource(
        url=link.url,
        ref=link.ref,
        folder=link.subdir,
        name=canonicalize_name(plain.name) if named else "",
        extras=_extras(plain),
        marker=str(plain.marker or ""),
        origin=origin,
    )


def _parsed(named: str, marker: str, origin: str) -> Requirement:
    return requirement_of(f"{named}; {marker}" if marker.strip() else named, printable(origin))


def _extras(requirement: Requirement) -> tuple[str, ...]:
    return tuple(sorted(canonicalize_name(extra) for extra in requirement.extras))


def _refused(text: str, origin: str, reason: str, hint: str = "") -> DetectError:
    shown = printable(re.sub(r"://[^/@\s]*@", "://", text))[:200]
    return DetectError(f"{printable(origin)}: {shown!r} {reason}", hint=hint)
