"""A forge's page becomes a commit, and the folder or notebook that the page shows."""

from __future__ import annotations

from dataclasses import replace

from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.git import refs
from reprolake_builder.providers.git.cache import GitCache, opened
from reprolake_builder.providers.git.provider import pin_commit, resolve_commit
from reprolake_builder.providers.interface import LinkRequest, Resolved, checked_subdir, one_answer
from reprolake_builder.providers.links.git import GitLink, check_ref
from reprolake_builder.providers.links.web import WebLink
from reprolake_builder.tools import Tools


def resolve_page(page: WebLink, request: LinkRequest, tools: Tools) -> Resolved:
    """Return the commit that a page is of. Raises ResolveError.

    A page of a folder means that folder as the source's sub-folder; a page of a notebook names the notebook and leaves the
    repository's root, or the request's sub-folder, to hold the environment; a page of another file means the repository.
    """
    with opened(tools, GitLink(page.url, login=page.login), ResolveError) as server:
        ref, path = _parted(server, page, check_ref(request.ref))
        cache = replace(server, link=replace(server.link, ref=ref))
        facts = resolve_commit(cache)
        kind = cache.kind(facts.commit, path) if path else "tree"
        if kind not in {"tree", "blob"}:
            near = ", ".join(cache.beside(facts.commit, path)[:10])
            folders = ", ".join(cache.top_folders(facts.commit)[:10]) or "none"
            raise ResolveError(
                f"{page.url} has no {printable(path)} at {printable(ref) or facts.commit[:12]}",
                hint=f"nearest: {near}" if near else f"its folders: {folders}",
            )
        given = checked_subdir(request.subdir)
        subdir = one_answer("sub-folder", path, given, "--subdir") if path and kind == "tree" else given
        source = pin_commit(replace(cache.link, subdir=subdir), facts, cache)
    if kind == "blob" and not path.endswith(".ipynb"):
        tools.progress.note(f"{printable(path)} is no notebook: the link stands for the repository")
    return Resolved(source, path if kind == "blob" and path.endswith(".ipynb") else "")


def _parted(cache: GitCache, page: WebLink, given: str) -> tuple[str, str]:
    """Return the ref and the path that follows it in the page's address; `given` is the ref of the options."""
    if not page.rest:
        return one_answer("ref", page.ref, given, "--ref"), ""
    if given and (page.rest == given or page.rest.startswith(f"{given}/")):
        return given, page.rest.removeprefix(given).strip("/")
    found = refs.split(page.rest, advertised := cache.ask())
    if found is None:
        names = ", ".join(refs.nearest(page.rest.partition("/")[0], advertised))
        raise ResolveError(
            f"{page.url} has no branch, tag or commit that {printable(page.rest)!r} begins with",
            hint=f"nearest: {names}" if names else "it has no branches and no tags",
        )
    ref, path = found
    return one_answer("ref", ref, given, "--ref"), path
