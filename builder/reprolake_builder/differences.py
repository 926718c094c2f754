"""How two locks differ, and the files of two images: what a person asks when a result changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from reprolake_builder.documents.base import Document
from reprolake_builder.documents.lock import EnvironmentLock, ScriptLock
from reprolake_builder.documents.source import FilesSource, PinnedSource, record_of
from reprolake_builder.image import Image
from reprolake_builder.inventory import Item, build_items, image_items
from reprolake_builder.rootfs import flatten, layer_entries, shown
from reprolake_builder.store import Store
from reprolake_builder.trees import KINDS, Entry

ChangeKind = Literal["source", "setting", "debian", "conda", "standalone", "python", "build only"]


class Change(Document, frozen=True, kw_only=True):
    """One thing that differs; `before` and `after` are "" where it is not there. `direct` marks what was asked for by name."""

    kind: ChangeKind
    name: str
    before: str
    after: str
    direct: bool = False


class FileChange(Document, frozen=True, kw_only=True):
    """A path inside the image that differs, and in words how."""

    path: str
    what: str


def lock_changes(before: EnvironmentLock, after: EnvironmentLock) -> tuple[Change, ...]:
    """Return what differs between two locks, sources and settings first, then packages in the order of their names.

    A package of the same version whose file is another one differs, too: its file is named with the start of its hash.
    """
    return (
        *_plain("source", _source(before.source), _source(after.source)),
        *_plain("setting", _settings(before), _settings(after)),
        *_packages(_items(before), _items(after)),
    )


def _plain(kind: ChangeKind, before: dict[str, str], after: dict[str, str]) -> Iterator[Change]:
    for name in before | after:
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            yield Change(kind=kind, name=name, before=old, after=new)


def _source(source: PinnedSource) -> dict[str, str]:
    found = {"tree": source.tree, "subfolder": source.subdir, "date": source.date.isoformat()}
    if not isinstance(source, FilesSource) and source.commit is not None:
        found["commit"] = source.commit
    if (record := record_of(source)) is not None:
        found |= {"record": record.doi or f"{record.site} {record.id}", "proof": record.words}
    return found


def _settings(lock: EnvironmentLock) -> dict[str, str]:
    return {
        "platform": lock.platform,
        "packages as of": lock.as_of.isoformat(),
        "Debian suite": lock.debian.suite,
        "Python": f"{lock.interpreter.version} ({lock.interpreter.__struct_config__.tag})",
        "byte code": "yes" if lock.byte_code else "no",
        "overrides": ", ".join(lock.overrides),
        "added": ", ".join(lock.added),
        "start": lock.environment.start,
        "postBuild": _script(lock.post_build),
        "set-up of Debian packages": _script(lock.set_up),
        **{f"variable {name}": value for name, value in sorted(lock.environment.variables.items())},
        "recipes": ", ".join(f"{recipe.name} {recipe.sha256[:12]}" for recipe in lock.recipes),
    }


def _script(script: ScriptLock | None) -> str:
    if script is None:
        return ""
    network = "" if script.policy == "none" else f", with the network {script.policy}"
    return f"{script.script or 'run'} that left {len(script.files)} paths {script.sha256[:12]}{network}"


def _items(lock: EnvironmentLock) -> tuple[Item, ...]:
    return (*image_items(lock), *build_items(lock))


def _packages(before: Iterable[Item], after: Iterable[Item]) -> Iterator[Change]:
    old, new = _by_name(before), _by_name(after)
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        one = was or now
        if one is None or (was and now and was.sha256 == now.sha256):
            continue
        same = was is not None and now is not None and was.version == now.version
        yield Change(
            kind=one.kind if one.in_image else "build only",
            name=f"{one.name} (recipe {one.recipe})" if one.recipe else one.name,
            before=_told(was, in_full=same),
            after=_told(now, in_full=same),
            direct=any(item.requested for item in (was, now) if item is not None),
        )


def _by_name(items: Iterable[Item]) -> dict[tuple[int, str, str, str, str], Item]:
    """Return items by what makes two of them the same package; a build may need several versions of one."""
    found: dict[tuple[int, str, str, str, str], Item] = {}
    for item in items:
        version = "" if item.in_image else item.version
        found[0 if item.in_image else 1, item.kind, item.name, item.recipe, version] = item
    return found


def _told(item: Item | None, *, in_full: bool) -> str:
    if item is None:
        return ""
    built = f", built from {item.built_from}" if item.built_from else ""
    return f"{item.version} ({item.filename} {item.sha256[:12]}…{built})" if in_full else item.version + built


def file_changes(before: Image, after: Image, store: Store) -> tuple[FileChange, ...]:
    """Return every path in which the root file systems of two images differ, in order. Raises PublishError."""
    return tuple(entry_changes(_root(before, store), _root(after, store)))


def entry_changes(before: Mapping[bytes, Entry], after: Mapping[bytes, Entry]) -> Iterator[FileChange]:
    """Yield every path in which two sets of entries differ, in order."""
    for path in sorted(before.keys() | after.keys()):
        if what := _of_paths(before.get(path), after.get(path)):
            yield FileChange(path=shown(path), what=what)


def _root(image: Image, store: Store) -> dict[bytes, Entry]:
    layers = [layer_entries(image, layer, store) for layer in image.layers]
    return {item.entry.path: item.entry for item in flatten(layers)}


def _of_paths(before: Entry | None, after: Entry | None) -> str:
    if before is None or after is None:
        return "is new" if before is None else "is gone"
    told = (
        ("kind", KINDS[before.kind], KINDS[after.kind]),
        ("target", shown(before.target)[1:], shown(after.target)[1:]),
        ("bytes", str(before.size), str(after.size)),
        ("mode", f"{before.mode:04o}", f"{after.mode:04o}"),
        ("owner", f"{before.uid}:{before.gid}", f"{after.uid}:{after.gid}"),
    )
    differing = [f"{name} {old} -> {new}" for name, old, new in told if old != new]
    if not differing and before.sha256 != after.sha256:
        return "other content of the same size"
    return ", ".join(differing)
