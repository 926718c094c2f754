"""From an identifier of Software Heritage to the folder that it stands for, step by step, each of them told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from reprolake_builder.errors import ResolveError
from reprolake_builder.process import printable
from reprolake_builder.providers.answers import ask
from reprolake_builder.providers.heritage.objects import Branch, Release, Revision, Snapshot, Visit
from reprolake_builder.providers.links.heritage import SITE, Swhid, origin_hash
from reprolake_builder.tools import Tools

API = f"https://{SITE}/api/1"
_MOST_STEPS = 8  # aliases and tags of tags


@dataclass(frozen=True, slots=True)
class Named:
    """The folder (`directory`, its hash) that an identifier stands for, and the commit whose root it is, when one is known.

    `origin` is where the archive saw it, `anchored` the commit below whose root the folder lies; `chain` tells the steps.
    """

    directory: str
    revision: Revision | None = None
    anchored: Revision | None = None
    origin: str = ""
    chain: tuple[str, ...] = ()


@dataclass
class Walk:
    """One way through the archive; `name` is the branch or tag that is wanted of a snapshot ("" for its HEAD)."""

    tools: Tools
    name: str = ""
    locked: bool = False
    chain: list[str] = field(default_factory=list)

    def follow(self, swhid: Swhid) -> Named:
        """Return what the identifier stands for. Raises ResolveError when the archive has no such thing."""
        steps: dict[str, Callable[[str], Named]] = {
            "snp": self._snapshot, "rel": self._release, "rev": self._revision, "dir": self._directory
        }  # fmt: skip
        is_origin = swhid.kind == "ori"
        named = self._snapshot(self._visited(swhid)) if is_origin else steps[swhid.kind](swhid.hash)
        if swhid.kind == "dir" and swhid.anchor.startswith(("swh:1:rev:", "swh:1:rel:")):
            at = steps[swhid.anchor[6:9]](swhid.anchor[10:])
            is_root = at.directory == swhid.hash
            named = replace(
                named, revision=at.revision if is_root else None, anchored=None if is_root else at.revision
            )
        return replace(named, origin=swhid.origin, chain=tuple(self.chain))

    def tagged(self, origin: str, tags: Iterable[str]) -> Named | None:
        """Return what the first of the tags was that the latest visit to an origin found, None when it found none of them.

        Raises ResolveError when there was no visit.
        """
        snapshot = self._visited(Swhid("ori", origin_hash(origin), origin))
        for name in (f"refs/tags/{tag}" for tag in tags):
            if (branch := self._branch(snapshot, name)) is not None:
                return replace(self._target(name, branch, snapshot), origin=origin, chain=tuple(self.chain))
        return None

    def _visited(self, swhid: Swhid) -> str:
        if not swhid.origin:
            raise ResolveError(
                f"{swhid.core} is the fingerprint of an origin's address, which cannot be told from it",
                hint=f"add the address: {swhid.core};origin=https://…",
            )
        if swhid.hash != origin_hash(swhid.origin):
            raise ResolveError(
                f"{swhid.core} is not the identifier of {swhid.origin}, which is swh:1:ori:{origin_hash(swhid.origin)}",
                hint="the two are of different links",
            )
        visit = ask(
            self.tools,
            f"{API}/origin/{quote(swhid.origin, safe=':/@+~')}/visit/latest/?require_snapshot=true",
            Visit,
        )
        if visit is None or visit.snapshot is None:
            raise ResolveError(
                f"Software Heritage has no visit to {swhid.origin}",
                hint=f"ask for one at https://{SITE}/save/, or give the git repository itself",
            )
        core = f"swh:1:snp:{visit.snapshot}"
        if self.locked:
            raise ResolveError(
                f"{swhid.origin} at Software Heritage stands for its latest visit: --locked follows no such name",
                hint=f"today that is {core};origin={swhid.origin}",
            )
        self.chain.append(f"the latest visit to {swhid.origin}, of {printable(visit.date)[:32]}, is {core}")
        return visit.snapshot

    def _snapshot(self, digits: str) -> Named:
        names = (self.name, f"refs/heads/{self.name}", f"refs/tags/{self.name}") if self.name else ("HEAD",)
        found = {name: branch for name in names if (branch := self._branch(digits, name)) is not None}
        if len({branch.target for branch in found.values()}) > 1:
            raise ResolveError(
                f"{self.name!r} is more than one branch or tag of swh:1:snp:{digits}, and they differ: {', '.join(found)}",
                hint="give the full name of the one that is meant",
            )
        for name, branch in found.items():
            return self._target(name, branch, digits)
        raise ResolveError(
            f"swh:1:snp:{digits} has no {'branch or tag ' + repr(self.name) if self.name else 'HEAD'}",
            hint=f"give one with --ref: its names are at https://{SITE}/swh:1:snp:{digits}/branches/",
        )

    def _branch(self, digits: str, name: str) -> Branch | None:
        answer = ask(
            self.tools,
            f"{API}/snapshot/{digits}/?branches_count=1&branches_from={quote(name, safe='')}",
            Snapshot,
        )
        if answer is None:
            raise _absent(f"swh:1:snp:{digits}")
        return answer.branches.get(name)

    def _target(self, name: str, branch: Branch, digits: str) -> Named:
        shown = printable(name)
        for _ in range(_MOST_STEPS):
            if branch.target_type != "alias":
                break
            self.chain.append(f"{shown} of swh:1:snp:{digits} is {printable(branch.target)}")
            shown, found = printable(branch.target), self._branch(digits, branch.target)
            if found is None:
                raise ResolveError(
                    f"swh:1:snp:{digits} has no {shown}, which its {printable(name)} stands for"
                )
            branch = found
        return self._object(f"{shown} of swh:1:snp:{digits}", branch.target_type, branch.target)

    def _object(self, what: str, kind: str, target: str) -> Named:
        steps = {"revision": self._revision, "release": self._release, "directory": self._directory}
        if kind not in steps or len(target) != 40 or target.strip("0123456789abcdef"):
            raise ResolveError(
                f"{what} is {printable(kind)} {printable(target)}, and no source code in folders"
            )
        short = {"revision": "rev", "release": "rel", "directory": "dir"}[kind]
        self.chain.append(f"{what} is swh:1:{short}:{target}")
        if len(self.chain) > 2 * _MOST_STEPS:
            raise ResolveError(f"{what} leads from one object to the next without end")
        return steps[kind](target)

    def _release(self, digits: str) -> Named:
        release = ask(self.tools, f"{API}/release/{digits}/", Release)
        if release is None or release.id != digits:
            raise _absent(f"swh:1:rel:{digits}")
        said = "computed anew" if release.is_proven else "as the archive says"
        return self._object(
            f"swh:1:rel:{digits} ({printable(release.name)[:64]}, {said})",
            release.target_type,
            release.target,
        )

    def _revision(self, digits: str) -> Named:
        revision = ask(self.tools, f"{API}/revision/{digits}/", Revision)
        if revision is None or revision.id != digits:
            raise _absent(f"swh:1:rev:{digits}")
        said = "computed anew from its metadata" if revision.is_proven else "as the archive says"
        self.chain.append(f"swh:1:rev:{digits} has the folder swh:1:dir:{revision.directory}, {said}")
        return Named(revision.directory, revision)

    def _directory(self, digits: str) -> Named:
        return Named(digits)


def _absent(core: str) -> ResolveError:
    return ResolveError(
        f"Software Heritage has no {core}",
        hint=f"check the 40 digits; what is not kept yet can be asked for at https://{SITE}/save/",
    )
