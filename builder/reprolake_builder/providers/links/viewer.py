"""Links to services that open somebody's notebook: what they open, and the notebook.

Source: BinderHub's "Providers" and its launch links (labpath, filepath, urlpath), nbviewer's and Colab's addresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from reprolake_builder.errors import ResolveError
from reprolake_builder.inward import leads_inward
from reprolake_builder.process import printable
from reprolake_builder.providers.links.git import check_ref

_BADGE = re.compile(r"\[!\[[^\]]*\]\([^)]*\)\]\((\S+)\)|(?:\.\. image:: \S+\s+)?:target:\s*(\S+)")
_INTERFACE = re.compile(
    r"(?:lab(?:/workspaces/[^/]+)?/tree|(?:doc|nbclassic)/tree|tree|(?:nbclassic/|retro/)?notebooks|voila/render|edit)/(.+)"
)
_GIST_ID = re.compile(r"[0-9a-fA-F]{7,40}")
_REMOTE = re.compile(r"https?://|10\.\d")
_NOTEBOOK = ".ipynb"


@dataclass(frozen=True, slots=True)
class ViewerLink:
    """What a service opens: `link` and `ref` as if they had been given, `notebook` its path in the repository, "" for none."""

    link: str
    ref: str = ""
    notebook: str = ""


def parse_viewer_link(text: str) -> ViewerLink | None:
    """Return what a link to mybinder.org, nbviewer or Colab opens, or None when the text is no such link.

    A launch badge is taken for its link. Raises ResolveError when such a link opens nothing that can be pinned.
    """
    text = text.strip()
    if badge := _BADGE.fullmatch(text):
        text = badge[1] or badge[2]
    if not text.isprintable():
        return None
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    read = _HOSTS.get("mybinder.org" if host.endswith(".mybinder.org") else host)
    if read is None or parts.scheme not in {"https", "http"}:
        return None
    segments = [segment for segment in parts.path.split("/") if segment]
    found = read(parts, segments)
    if found is None:
        raise ResolveError(
            f"{printable(parts.scheme)}://{host}{printable(parts.path)} opens no notebook of a repository",
            hint="give the repository itself, or the page of the notebook in it",
        )
    if not (found.link + found.notebook).isprintable():
        raise ResolveError("an address holds no control characters")
    inward = leads_inward(f"https://{host}", found.link)
    if inward or not _REMOTE.match(found.link):  # a stranger's link must not lead to this host
        raise ResolveError(
            f"a link of {host} opens {printable(found.link)!r}, which is neither on the web nor a DOI",
            hint="give what it opens itself when that is meant",
        )
    return found


def _binder(parts: SplitResult, segments: list[str]) -> ViewerLink | None:
    if "v2" not in segments[:2]:
        return None
    kind, *spec = [*segments[segments.index("v2") + 1 :], ""]
    spec = spec[:-1]
    notebook = _opened(parts)
    words = [unquote(word) for word in spec]
    if not words:
        return None
    if kind in {"zenodo", "figshare", "dataverse"}:
        return ViewerLink("/".join(words), notebook=notebook)
    if kind == "hydroshare":
        last = words[-1].rstrip("/").rpartition("/")[2]
        return ViewerLink(f"https://www.hydroshare.org/resource/{last}", notebook=notebook)
    if kind == "ckan":
        return ViewerLink("/".join(words), notebook=notebook)
    taken = {"gh": 2, "gist": 2, "gl": 1, "git": 1}.get(kind, 0)
    if not taken or len(words) < taken:
        return None
    place, ref = words[:taken], check_ref("/".join(words[taken:]))
    start = {"gh": "https://github.com/", "gl": "https://gitlab.com/", "git": ""}.get(kind)
    if start is None:
        return ViewerLink(f"https://gist.github.com/{'/'.join(place)}", ref, notebook)
    if kind == "gl" and "/" not in place[0] and len(words) > 1:
        place, ref = words[:2], check_ref("/".join(words[2:]))  # written without %2F
    return ViewerLink(start + "/".join(place), ref, notebook)


def _opened(parts: SplitResult) -> str:
    """Return the notebook that a launch link opens; a folder, or another interface, is none."""
    asked = parse_qs(parts.query)
    for name in ("labpath", "filepath"):
        if value := asked.get(name):
            return _as_notebook(value[0])
    urlpath = asked.get("urlpath", [""])[0].strip("/")
    if urlpath.partition("?")[0].endswith("git-pull"):
        raise ResolveError(
            "the launch link takes its notebooks from another repository than its environment (nbgitpuller)",
            hint="give the repository that has both, or lock the environment's and run the notebook from a copy",
        )
    found = _INTERFACE.fullmatch(urlpath.partition("?")[0])
    return _as_notebook(found[1]) if found else ""


def _as_notebook(path: str) -> str:
    return path.strip("/") if path.endswith(_NOTEBOOK) else ""


def _nbviewer(parts: SplitResult, segments: list[str]) -> ViewerLink | None:
    if segments[:1] == ["format"]:
        segments = segments[2:]
    kind, *rest = [*segments, ""]
    rest = rest[:-1]
    if kind == "github" and len(rest) > 1:
        return ViewerLink("https://github.com/" + "/".join(rest))
    if kind == "gist" and rest:
        return _gist(rest)
    if kind in {"url", "urls"} and len(rest) > 1:
        query = f"?{parts.query}" if parts.query else ""
        return ViewerLink(f"{'https' if kind == 'urls' else 'http'}://{'/'.join(rest)}{query}")
    return None


def _colab(parts: SplitResult, segments: list[str]) -> ViewerLink | None:
    del parts
    if segments[:1] == ["github"] and len(segments) > 2:
        return ViewerLink("https://github.com/" + "/".join(segments[1:]))
    return _gist(segments[1:]) if segments[:1] == ["gist"] and len(segments) > 1 else None


def _gist(segments: list[str]) -> ViewerLink | None:
    """Return the gist of [USER/]ID[/COMMIT][/FILE]."""
    words = [unquote(segment) for segment in segments]
    notebook = words.pop() if words[-1].endswith(_NOTEBOOK) else ""
    ref = words.pop() if len(words) > 2 and _GIST_ID.fullmatch(words[-1]) else ""
    if not 1 <= len(words) <= 2:
        return None
    return ViewerLink("https://gist.github.com/" + "/".join(words), ref, notebook)


_HOSTS: Mapping[str, Callable[[SplitResult, list[str]], ViewerLink | None]] = {
    "mybinder.org": _binder,
    "notebooks.gesis.org": _binder,
    "nbviewer.org": _nbviewer,
    "nbviewer.jupyter.org": _nbviewer,
    "nbviewer.ipython.org": _nbviewer,
    "colab.research.google.com": _colab,
}
