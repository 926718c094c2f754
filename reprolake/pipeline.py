"""The whole line, left to right: link, lock, image, run. The only place that knows builder and runner."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from reprolake.lock_file import read_lock
from reprolake.options import Options, UsageError
from reprolake_builder import vendored
from reprolake_builder.build import build
from reprolake_builder.documents.base import Digest, Document, Sha256, content_hash
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.documents.source import FilesSource, LocalSource, PinnedSource, record_of
from reprolake_builder.download import Downloader
from reprolake_builder.errors import LockError
from reprolake_builder.fetch import fetch
from reprolake_builder.image import Image
from reprolake_builder.lock_files.interface import Selection
from reprolake_builder.process import printable
from reprolake_builder.progress import Progress
from reprolake_builder.providers.interface import LinkRequest, Resolved, Take
from reprolake_builder.publishers.interface import Publication
from reprolake_builder.recipes import Recipe, find_recipe
from reprolake_builder.source_tree import SourceTree
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

_INSTALLED = Path(__file__).parent / "recipes"
SHIPPED_RECIPES = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parent.parent / "recipes"
"""Host folder of the recipes that come along; in a clone of the repository they lie at its top."""
_FRESH = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; `link` may be the path of a lock. `source_dir` is a host path.

    Of the `earlier` lock stays what nothing asks to change, but for the packages named in `upgrade`.
    """

    link: str
    ref: str = ""
    subdir: str = ""
    take: Take = "auto"
    require_proof: bool = False
    sha256: str = ""
    as_of: str = ""
    python: str = ""
    ignore: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    default_groups: bool = True
    byte_code: bool = True
    infer: bool = False
    recipes: tuple[str, ...] = ()
    build_network: str = ""
    source_dir: Path | None = None
    locked: bool = False
    relock: bool = False
    earlier: EnvironmentLock | None = None
    upgrade: tuple[str, ...] = ()

    @property
    def selection(self) -> Selection:
        """What is wanted of a project's extras and dependency groups."""
        return Selection(
            frozenset(map(canonicalize_name, self.extras)),
            frozenset(map(canonicalize_name, self.groups)),
            self.default_groups,
        )


@dataclass(frozen=True, slots=True)
class Session:
    """One call of Reprolake: options, tools, and one `now` (UTC) for all that needs a time."""

    options: Options
    tools: Tools
    now: datetime


@dataclass(frozen=True, slots=True)
class Obtained:
    """A lock and the source that it pins, fetched. `origin` says where the lock comes from."""

    lock: EnvironmentLock
    tree: SourceTree
    origin: str


Look = Callable[[SourceTree], object]


@dataclass(frozen=True, slots=True)
class Making:
    """What a new lock is made of."""

    tree: SourceTree
    spec: EnvironmentSpec
    request: Request
    recipes: tuple[Recipe, ...]


class BuildResult(Document, frozen=True, kw_only=True):
    """What `reprolake build --json` prints."""

    image: Digest
    lock_sha256: Sha256
    layers: int
    publications: tuple[Publication, ...] = ()


class _KeptLock(Document, frozen=True, kw_only=True):
    """A lock that was made for a source, and when (UTC)."""

    made: datetime
    lock: EnvironmentLock


@contextlib.contextmanager
def open_session(options: Options, progress: Progress, now: datetime) -> Iterator[Session]:
    """Yield a session; what it left unfinished in the store is removed at its end."""
    store = Store(options.store, options.shared_stores)
    try:
        yield Session(
            options,
            Tools(store, options.site, Downloader(options.site, progress), progress, options.git_environment),
            now,
        )
    finally:
        store.close()


def pin(request: Request, session: Session) -> Resolved:
    """Return what the link stands for; a lock stands for what it was made of."""
    if request.locked and request.relock:
        raise UsageError("--locked refuses to resolve, and --relock is there to resolve")
    path = _lock_path(request)
    if os.path.isfile(path):
        refuse_changes(f"{path} is a lock", request)
        return Resolved(read_lock(path).source)
    if request.source_dir is not None:
        raise UsageError(
            f"--source-dir says where the folder of a lock is now, and {printable(request.link)} is no lock",
            hint="give the folder itself as the link",
        )
    asked = LinkRequest(
        link=request.link,
        ref=request.ref,
        subdir=request.subdir,
        now=session.now,
        take=request.take,
        require_proof=request.require_proof,
        locked=request.locked,
        sha256=request.sha256,
        ignore=request.ignore,
    )
    from reprolake_builder.resolve import resolve_link  # with every provider: a lock needs none

    return resolve_link(asked, session.tools)


def obtain_lock(
    request: Request,
    session: Session,
    *,
    fresh: bool = False,
    pinned: PinnedSource | None = None,
    look: Look | None = None,
) -> Obtained:
    """Return the lock of the request's link: read, remembered or made; `fresh` never takes a remembered one.

    `pinned` is what `pin` found the link to stand for, when it was asked before. `look` is shown the repository before
    anything is solved for it, and raises when that would be in vain.
    """
    path = _lock_path(request)
    if os.path.isfile(path):
        return _read(path, request, session)
    source = pinned or pin(request, session).source
    tree = _fetched(source, Path(source.path) if isinstance(source, LocalSource) else None, session)
    from reprolake_builder.detect import detect, refuse_unheard  # with every reader: a lock needs none

    spec = detect(tree, request.ignore, request.selection)
    recipes = read_recipes(request.recipes, session) if request.recipes else ()
    key = _lock_key(source, spec, request, tuple(recipe.sha256 for recipe in recipes))
    kept = session.tools.store.get("locks", key, _KeptLock)
    if kept is not None and not fresh and not request.relock and _still_good(kept, request, session.now):
        return Obtained(
            _here(kept.lock, source), tree, f"locked on {kept.made:%Y-%m-%d}; --relock resolves again"
        )
    if request.locked:
        raise LockError(
            f"{request.link} was not locked before on this host, and --locked refuses to resolve",
            hint=f"make a lock first: reprolake lock {request.link} -o reprolake.lock, then use that file as the link",
        )
    if look is not None:
        look(tree)
    refuse_unheard(spec)
    from reprolake.locking import make_lock  # with every solver: seldom wanted

    made = make_lock(Making(tree, spec, request, recipes), session)
    session.tools.store.put("locks", key, _KeptLock(made=session.now, lock=made))
    return Obtained(made, tree, "locked just now")


def _lock_key(
    source: PinnedSource, spec: EnvironmentSpec, request: Request, recipes: tuple[Sha256, ...]
) -> Sha256:
    """Return what a remembered lock is found by: the files, what was asked for, and where the lock says they are from.

    A folder and a repository keep locks of their own even where the files are the same.
    """
    url = source.url if not isinstance(source, LocalSource) else ""
    commit = source.commit if not isinstance(source, FilesSource) else None
    pinned = [url, source.tree, commit, source.subdir]
    if (record := record_of(source)) is not None:
        pinned += [record.site, record.id, record.words]
    asked = [request.as_of, request.python, request.apt, request.byte_code, request.infer, recipes]
    asked += [request.build_network] if request.build_network else []
    return content_hash([msgspec.to_builtins(spec), *pinned, *asked])


def obtain_image(obtained: Obtained, session: Session) -> Image:
    """Return the image of the lock, building what the store lacks."""
    return build(obtained.lock, obtained.tree.tree, session.tools)


def read_recipes(words: tuple[str, ...], session: Session) -> tuple[Recipe, ...]:
    """Return recipes by name, or by the host path of a file. Raises LockError."""
    settings = {"ca_bundle": session.tools.site.ca_bundle}
    return tuple(find_recipe(word, SHIPPED_RECIPES, settings) for word in words)


def refuse_changes(what: str, request: Request) -> None:
    """Raise UsageError when the request asks for what its link cannot change; `what` says what the link is."""
    changed = [
        option
        for option, value in (
            ("--ref", request.ref),
            ("--subdir", request.subdir),
            ("--sha256", request.sha256),
            ("--source", request.take != "auto"),
            ("--require-proof", request.require_proof),
            ("--as-of", request.as_of),
            ("--python", request.python),
            ("--ignore", request.ignore),
            ("--apt", request.apt),
            ("--upgrade", request.upgrade),
            ("--extra", request.extras),
            ("--group", request.groups),
            ("--no-default-groups", not request.default_groups),
            ("--no-byte-code", not request.byte_code),
            ("--infer", request.infer),
            ("--recipe", request.recipes),
            ("--build-network", request.build_network),
            ("--relock", request.relock),
        )
        if value
    ]
    if changed:
        raise UsageError(
            f"{what}, which decides everything: {', '.join(changed)} cannot change it",
            hint=f"give {'that' if len(changed) == 1 else 'those'} with the link that it was made of",
        )


def _lock_path(request: Request) -> Path:
    """Return the host path at which the link's lock lies, if it is one: a vendored folder stands for the lock in it.

    Raises UsageError for a notebook, which papermill would take, and for an image.
    """
    path = Path(request.link)
    if path.suffix == ".ipynb" and os.path.isfile(path):
        top = next((one for one in path.parents if os.path.lexists(one / ".git")), path.parent)
        raise UsageError(
            f"{path} is a notebook, and LINK is the repository that it is in",
            hint=f"give both, as in: reprolake run {top} {path.relative_to(top)}",
        )
    if os.path.isfile(path / "oci-layout"):
        raise UsageError(
            f"{path} is an OCI layout: an image, and no repository",
            hint="`reprolake inspect`, `diff`, `verify` and `export` take it; LINK is the repository or the lock that it was made of",
        )
    return path / vendored.LOCK if "\0" not in request.link and vendored.is_vendored(path) else path


def _read(path: Path, request: Request, session: Session) -> Obtained:
    refuse_changes(f"{path} is a lock", request)
    pinned = read_lock(path)
    if not vendored.is_vendored(path.parent) or path.name != vendored.LOCK:
        tree = _fetched(pinned.source, request.source_dir, session)
        return Obtained(pinned, tree, f"the lock {path}")
    brought = vendored.open_vendored(path.parent)
    vendored.take_vendored(brought, pinned, session.tools)
    bring = functools.partial(vendored.write_source, brought)
    has_own = os.path.isfile(brought.source) and request.source_dir is None
    tree = fetch(
        pinned.source, session.tools, source_dir=request.source_dir, bring=bring if has_own else None
    )
    return Obtained(pinned, tree, f"the vendored lock {path}")


def _fetched(source: PinnedSource, source_dir: Path | None, session: Session) -> SourceTree:
    return fetch(source, session.tools, source_dir=source_dir)


def _here(kept: EnvironmentLock, source: PinnedSource) -> EnvironmentLock:
    """Return the remembered lock with the place where the same folder is now; its date stays, for it decides the image."""
    if isinstance(kept.source, LocalSource) and isinstance(source, LocalSource):
        return msgspec.structs.replace(kept, source=msgspec.structs.replace(kept.source, path=source.path))
    return kept


def _still_good(kept: _KeptLock, request: Request, now: datetime) -> bool:
    """Whether a remembered lock answers the request: one that was made as of now does so for a day."""
    as_of_now = request.as_of == "now" or kept.lock.as_of_is.startswith("now")
    return not as_of_now or now - kept.made < _FRESH
