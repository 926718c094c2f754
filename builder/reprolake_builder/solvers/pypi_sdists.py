"""Source distributions on an index: which one stands in for a wheel that is not there, and where a locked one is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urldefrag, urljoin, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from reprolake_builder.documents.lock import SdistOrigin
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.solvers.pypi_pages import IndexFile, read_page
from reprolake_builder.solvers.pypi_requirements import Demand, allowed_versions, hashes_of, origins_of
from reprolake_builder.solvers.pypi_target import TARGETS, Target, rank_of
from reprolake_builder.solvers.pypi_urls import remember, remembered
from reprolake_builder.solvers.pypi_uv import Uv, Wheel
from reprolake_builder.tools import Tools

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENDINGS = (".tar.gz", ".zip", ".tar.bz2", ".tar.xz", ".tgz")
_LARGEST = 8 << 30  # bytes; for an index that does not tell a size
_WELL_KNOWN = "pip"  # a package that any index has


@dataclass(frozen=True, slots=True)
class Sdist:
    """A source distribution that an index offers; `uploaded` is in UTC. `elsewhere` are Pythons that its release has wheels for."""

    name: NormalizedName
    version: Version
    origin: SdistOrigin
    url: str
    uploaded: datetime | None
    elsewhere: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: a package for a target, as of a cut-off; `words` are uv's about it, `tried` versions are not wanted.

    `withdrawn` ones count too where a lock pins them. `preferred` is taken where it is allowed.
    """

    name: NormalizedName
    target: Target
    cutoff: datetime | None
    demands: tuple[Demand, ...]
    words: str = ""
    tried: frozenset[Version] = frozenset()
    withdrawn: bool = False
    preferred: Version | None = None


def find_sdist(search: Search, tools: Tools) -> Sdist | None:
    """Return the newest source distribution that the demands allow; None when there is none, or the index tells too little.

    Raises FetchError (transient) when the index cannot be reached, LockError when it has none of the hashes that are asked for.
    """
    index, files = _page(search.name, tools, withdrawn=search.withdrawn)
    visible = [file for file in files if _is_visible(file, search.cutoff)]
    named = hashes_of(search.name, search.demands, search.target)
    fitting: dict[Version, IndexFile] = {}
    for file in visible:
        if file.version is not None and _fits(file, search):
            known = fitting.get(file.version)
            if known is None or named is None or known.hashes["sha256"] not in named:
                fitting[file.version] = file
    allowed = allowed_versions(search.name, search.demands, search.target)
    by_all = allowed & _asked_by_others(search)
    version = search.preferred
    if version is None or version not in fitting or not by_all.contains(version, prereleases=True):
        version = _best(fitting, by_all) or _best(fitting, allowed)
    if version is None:
        return None
    file = fitting[version]
    if named is not None and file.hashes["sha256"] not in named:
        where = origins_of(search.name, search.demands, search.target)
        raise LockError(
            f"{file.filename} has none of the hashes that {where} names",
            hint="it was replaced since, or the hashes are of other files: `pip hash FILE` tells what a file has",
        )
    elsewhere = tuple(
        target.minor
        for target in {**TARGETS, search.target.minor: search.target}.values()
        if any(_is_wheel_for(other, target) for other in _others(visible, version, named))
    )
    origin = SdistOrigin(
        filename=file.filename,
        size=_LARGEST if file.size is None else file.size,
        sha256=file.hashes["sha256"],
    )
    url = urldefrag(urljoin(f"{index}/{search.name}/", file.url)).url
    return Sdist(search.name, version, origin, url, file.uploaded, elsewhere)


def _others(
    files: Iterable[IndexFile], version: Version, named: frozenset[str] | None
) -> Iterator[IndexFile]:
    """Yield the files of a release that may be taken: where hashes are named, those that have one of them."""
    for file in files:
        if file.version == version and (named is None or file.hashes.get("sha256") in named):
            yield file


def keep_url(sdist: Sdist, tools: Tools) -> None:
    """Keep the address of a source distribution for the build that may follow."""
    origin = sdist.origin
    remember([Wheel(origin.filename, sdist.url, origin.sha256, origin.size, None)], tools.site, tools.store)


def sdist_url(name: str, origin: SdistOrigin, tools: Tools) -> str:
    """Return where a locked source distribution is. Raises FetchError when the index no longer has it."""
    if known := origin.url or remembered(origin.sha256, tools.site, tools.store):
        return known
    normal = canonicalize_name(name)
    index, files = _page(normal, tools, withdrawn=True)
    for file in files:
        if file.hashes.get("sha256") == origin.sha256:
            return urldefrag(urljoin(f"{index}/{normal}/", file.url)).url
    raise FetchError(
        f"the package index does not have {origin.filename} with the locked content",
        hint="it was removed there, or the lock was made with another index: configure that one, or make a new lock",
    )


def _page(name: NormalizedName, tools: Tools, *, withdrawn: bool) -> tuple[str, tuple[IndexFile, ...]]:
    """Return the first index that has the package, and the files on its page."""
    for index in _indexes(tools):
        if page := read_page(index, name, tools.downloader, withdrawn=withdrawn):
            return index, page
    return "", ()


def _indexes(tools: Tools) -> Iterator[str]:
    """Yield the site's indexes in the order in which uv asks them, without a slash at the end.

    Those that only uv's own configuration names are found by asking it for a package that any index has.
    """
    given = tools.site.uv_environment
    for text in (given.get("UV_INDEX", ""), given.get("UV_EXTRA_INDEX_URL", "")):
        for item in text.split():
            yield re.sub(r"^[\w-]+=", "", item).rstrip("/")
    default = tools.site.index_url or given.get("UV_DEFAULT_INDEX", "") or given.get("UV_INDEX_URL", "")
    if default:
        yield re.sub(r"^[\w-]+=", "", default).rstrip("/")
        return
    for target in TARGETS.values():
        if found := Uv(tools.site, tools.store).index_of(canonicalize_name(_WELL_KNOWN), target):
            yield found
            return


def _is_visible(file: IndexFile, cutoff: datetime | None) -> bool:
    return cutoff is None or (file.uploaded is not None and file.uploaded < cutoff)


def _fits(file: IndexFile, search: Search) -> bool:
    return (
        file.filename.endswith(_ENDINGS)
        and file.version not in search.tried
        and _SHA256.fullmatch(file.hashes.get("sha256", "")) is not None
        and file.is_open(search.target)
        and urlsplit(file.url).scheme in {"", "https", "http"}
    )


def _is_wheel_for(file: IndexFile, target: Target) -> bool:
    return file.is_wheel and file.is_open(target) and rank_of(file.filename, target.ranks()) is not None


def _best(versions: Iterable[Version], allowed: SpecifierSet) -> Version | None:
    return max(allowed.filter(versions), default=None)


def _asked_by_others(search: Search) -> SpecifierSet:
    """Return what, in uv's words, packages that depend on the one looked for ask of it."""
    flat = " ".join(search.words.split())
    pattern = rf"depends? on {re.escape(search.name)}((?:[=<>!~]=?[^\s,]+,?)+)"
    together = SpecifierSet()
    for found in re.findall(pattern, flat):
        try:
            together &= SpecifierSet(found.rstrip(",."))
        except InvalidSpecifier:
            continue
    return together
