"""Git links: text becomes an address, a ref and a sub-folder at the door.

Source: pip's "VCS Support" and uv's "Git dependencies" for URL@REF and #subdirectory=; git-clone(1), "GIT URLS".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.interface import checked_subdir, one_answer

SCHEMES = ("https", "http", "ssh", "git", "file")
FULL_ID = re.compile(r"[0-9a-fA-F]{40}")
SHORT_ID = re.compile(r"[0-9a-fA-F]{7,39}")
_SCHEME = re.compile(r"(?:git\+)?([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SCP = re.compile(r"(?:git\+)?(?:([^@/:]+)@)?(\[[^\]/]+\]|[^/:@]+):(?!//|:)(.+)", re.DOTALL)
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|/$|\.$|^-|^@$|(?:^|/)\.|\.lock(?:/|$)")


@dataclass(frozen=True, slots=True)
class GitLink:
    """A git repository and what is wanted of it.

    `url` carries no credentials and is what gets recorded and shown. `login` is USER:PASSWORD as it stood in the link, ""
    where none did: it goes to git in a way that other users of this host cannot see.
    """

    url: str
    ref: str = ""
    subdir: str = ""
    login: str = field(default="", repr=False)

    def scrub(self, text: str) -> str:
        """Return a message of git without the credentials of the link and without control characters."""
        for secret in _secrets(self.login):
            text = text.replace(secret, "***")
        return printable(text)


def is_git_link(text: str) -> bool:
    """Whether the text has the form of a git URL, or of git's short form HOST:PATH."""
    return bool(_SCHEME.fullmatch(text) or _SCP.fullmatch(text))


def parse_git_link(text: str, ref: str = "", subdir: str = "") -> GitLink:
    """Return the link; `ref` and `subdir` are the options of those names.

    Raises ResolveError for another protocol than https, http, ssh, git and file, for a ref or sub-folder given twice and
    differently, and for text that git could take for an option.
    """
    if text.startswith("-") or not text.isprintable():
        raise ResolveError("a link neither begins with a dash nor holds control characters")
    body, _, fragment = text.partition("#")
    if found := _SCHEME.fullmatch(body):
        url, userinfo, ref_in_link = _parse_url(found[1].lower(), found[2])
    elif (found := _SCP.fullmatch(body)) and found[2] not in SCHEMES:
        userinfo = ""
        path, ref_in_link = _split_ref(found[3])
        user = found[1] + "@" if found[1] else ""
        if "://" in path:
            raise ResolveError(
                "a path in a link like HOST:PATH holds no ://, which git would take for a protocol"
            )
        if "@" in path:
            raise ResolveError("a path with an @ needs the form ssh://USER@HOST/PATH, with %40 in its place")
        url = f"{user}{found[2]}:{path}"
        _refuse_option(user, found[2], path)
    else:
        raise ResolveError("the link is no git URL", hint="https://HOST/PATH@REF is one")
    return GitLink(
        url,
        check_ref(one_answer("ref", ref_in_link, ref, "--ref")),
        one_answer(
            "sub-folder", checked_subdir(_parse_fragment(fragment)), checked_subdir(subdir), "--subdir"
        ),
        userinfo,
    )


def link_of_pin(url: str, parse: Callable[[str], GitLink] = parse_git_link) -> GitLink:
    """Return the link of a pin, which may come from anybody: its URL is parsed as strictly as one that was typed.

    Raises FetchError for another form than that of pins.
    """
    try:
        link = parse(url)
    except ResolveError as error:
        raise FetchError(f"the pinned source cannot be fetched: {error.message}", hint=error.hint) from error
    if (link.url, link.ref, link.subdir) != (url, "", ""):
        raise FetchError(
            f"the pinned source cannot be fetched: {url} is not the plain form {link.url}",
            hint="the lock was changed by hand; a lock names no login, ref or sub-folder in its URL",
        )
    return link


def check_ref(ref: str) -> str:
    """Return a ref unchanged. Raises ResolveError for what git allows no ref to be (git-check-ref-format(1))."""
    if _BAD_REF.search(ref) or not ref.isprintable():
        raise ResolveError(
            f"{printable(ref)!r} is no name of a branch, tag or commit",
            hint="give a branch, a tag, a full commit id or a full name like refs/pull/7/head",
        )
    return ref


def _parse_url(scheme: str, rest: str) -> tuple[str, str, str]:
    """Return the URL without credentials, the credentials (USER:PASSWORD or nothing) and the ref."""
    if scheme not in SCHEMES:
        raise ResolveError(
            f"git links with {printable(scheme)}:// are not taken", hint="taken are: " + ", ".join(SCHEMES)
        )
    authority, slash, tail = rest.partition("/")
    path, ref = _split_ref(slash + tail)
    path = path.replace("@", "%40")  # so that what is recorded reads back as it was
    userinfo, _, host = authority.rpartition("@")
    user = userinfo.partition(":")[0] + "@" if userinfo and scheme == "ssh" else ""
    _refuse_option(user, host)
    if scheme == "file":
        if authority not in {"", "localhost"} or not path.strip("/"):
            raise ResolveError(
                "a file:// link holds an absolute path on this host", hint="like file:///home/me/repository"
            )
    elif not host or not path.strip("/"):
        raise ResolveError(
            f"the link {scheme}://{printable(host)}{printable(path)} names no repository",
            hint="an address of one is like https://HOST/PATH",
        )
    elif "?" in path:
        raise ResolveError("a git URL has no part after a question mark", hint="leave it away")
    # Elsewhere a user's name is no credential (ssh), or none is asked for (file, git).
    return f"{scheme}://{user}{host}{path}", userinfo if scheme in {"https", "http"} else "", ref


def login_of(userinfo: str) -> tuple[str, str]:
    """Return user and password of USER:PASSWORD as it stands in an address."""
    user, _, password = userinfo.partition(":")
    return unquote(user), unquote(password)


def _secrets(userinfo: str) -> tuple[str, ...]:
    """Return what must not be shown of USER:PASSWORD; a token may stand in either place."""
    parts = {userinfo + "@", *userinfo.split(":", 1), *map(unquote, userinfo.split(":", 1))}
    return tuple(sorted((part for part in parts if len(part) > 3), key=len, reverse=True)) if userinfo else ()


def _split_ref(path: str) -> tuple[str, str]:
    """Return path and ref of PATH@REF: the last @ parts them, as for pip and uv; an @ of the path itself is written %40."""
    if "@" not in path:
        return path, ""
    path, _, ref = path.rpartition("@")
    if not ref:
        raise ResolveError("the link ends in @, where a branch, tag or commit is expected")
    return path, ref


def _parse_fragment(fragment: str) -> str:
    subdir = ""
    for part in filter(None, fragment.split("&")):
        key, _, value = part.partition("=")
        if key == "subdirectory":
            subdir = one_answer("sub-folder", subdir, unquote(value), "#subdirectory=")
        elif key != "egg":
            raise ResolveError(
                f"the link's part #{printable(part)} is not understood",
                hint="known are #subdirectory=FOLDER and (without meaning here) #egg=NAME",
            )
    return subdir


def _refuse_option(*parts: str) -> None:
    # ssh and other programs that git starts would take such a host for an option.
    if any(part.startswith("-") for part in parts):
        raise ResolveError("a host or path in a git link does not begin with a dash")
