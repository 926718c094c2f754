"""Where locked wheels can be fetched: the lock names no host, so the index is asked again, or a remembered answer serves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from reprolake_builder.documents.base import Sha256, content_hash
from reprolake_builder.documents.lock import WheelLock
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.site import Site
from reprolake_builder.solvers.pypi_target import ELSEWHERE, TARGETS, Target, rank_of
from reprolake_builder.solvers.pypi_uv import Question, Uv, Wheel, index_identity
from reprolake_builder.store import Store

_KIND = "wheel-urls"


def wheel_urls(wheels: Sequence[WheelLock], site: Site, store: Store) -> dict[Sha256, str]:
    """Return the URL of every wheel, from the store's memory or else from the index.

    Raises FetchError when the index no longer has one of them, transient when it cannot be reached.
    """
    urls = {
        wheel.sha256: url
        for wheel in wheels
        if (url := wheel.url or remembered(wheel.sha256, site, store)) is not None
    }
    missing = [wheel for wheel in wheels if wheel.sha256 not in urls]
    if missing:
        offered = _asked(missing, Uv(site, store))
        remember(offered.values(), site, store)
        urls |= {wheel.sha256: offered[wheel.sha256].url for wheel in missing}
    return urls


def remember(wheels: Iterable[Wheel], site: Site, store: Store) -> None:
    """Keep the wheels' URLs in the store, for this site's index only; an address with credentials in it is not kept."""
    for wheel in wheels:
        if "@" not in urlsplit(wheel.url).netloc:
            store.put(_KIND, _key(wheel.sha256, site), wheel.url)


def remembered(sha256: Sha256, site: Site, store: Store) -> str | None:
    """Return the URL that is kept for an archive of that hash, if one is."""
    return store.get(_KIND, _key(sha256, site), str)


def _key(sha256: Sha256, site: Site) -> Sha256:
    return content_hash({"sha256": sha256, **index_identity(site)})


def _asked(wheels: Sequence[WheelLock], uv: Uv) -> dict[Sha256, Wheel]:
    """Return what the index offers for the wheels, asked for each Python that all of them fit until one answer is whole."""
    lines = tuple(dict.fromkeys(f"{wheel.name}=={wheel.version}" for wheel in wheels))
    failure: LockError | None = None
    lost = [wheel.filename for wheel in wheels]
    for target in _fitting(wheels):
        try:
            answer = uv.resolve(Question(lines, dependencies=False), target)
        except LockError as error:
            if error.transient:
                raise FetchError(error.message, hint=error.hint, transient=True) from error
            failure = error
            continue
        offered = {item.sha256: item for found in answer.packages.values() for item in found.wheels}
        lost = [wheel.filename for wheel in wheels if wheel.sha256 not in offered]
        if not lost:
            return offered
    raise FetchError(
        f"the package index does not have {', '.join(lost[:5])}{' and others' if len(lost) > 5 else ''} "
        "with the locked content" + (f":\n{failure.message}" if failure else ""),
        hint="they were removed there, or the lock was made with another index: configure that one (UV_DEFAULT_INDEX), "
        "or make a new lock",
    ) from failure


def _fitting(wheels: Sequence[WheelLock]) -> list[Target]:
    """Return the targets that all the wheels fit, by their names' tags, newest Python first."""
    newest_first = sorted(TARGETS.values(), key=lambda target: target.pair, reverse=True)
    return [
        target
        for target in (*newest_first, *ELSEWHERE.values())
        if (ranks := target.ranks()) and all(rank_of(wheel.filename, ranks) for wheel in wheels)
    ]
