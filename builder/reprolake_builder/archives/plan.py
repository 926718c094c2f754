"""Where an archive's members go, decided and checked before the first byte is written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reprolake_builder.archives.members import Limits, Member
from reprolake_builder.git_tree import TreeError, folders_of, shown

_LONGEST_NAME = 255  # bytes: no Linux file system takes more
_LONGEST_PATH = 3000  # bytes: there has to be room for the folder that all lies in
_APPLE = b"__MACOSX"  # what Apple's Finder adds: each file's attributes
_LITTER = {b".DS_Store", b"Thumbs.db", b"desktop.ini"}
_MOST_LINKS = 40  # as Linux has it
_MOST_STEPS = 2_000_000  # of work along all links: a few of them can stand for a very long way
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """The path of each member in the tree, None for one that is left out; `top` is the folder that held all, "" for none.

    `notes` tell people what was left out.
    """

    paths: tuple[bytes | None, ...]
    top: bytes
    notes: tuple[str, ...]

    @property
    def kept(self) -> tuple[bytes, ...]:
        """Paths of the files and links that are taken."""
        return tuple(path for path in self.paths if path is not None)


def plan(members: Sequence[Member], limits: Limits, allowed: int) -> Plan:
    """Return where the members go: without the single folder at the top, what is git's or Apple's own, and empty folders.

    Raises TreeError, which names the member, for one that would lead out of the tree, for two of one name, for two whose
    names differ only in case, and for more than `allowed` bytes or the limits' entries.
    """
    if len(members) > limits.entries:
        raise TreeError(f"it holds more than {limits.entries} entries")
    if (size := sum(member.size for member in members)) > allowed:
        raise TreeError(
            f"it would unpack to {size} bytes, more than the {allowed} that are taken of an archive of its size"
        )
    names = [checked_path(member.path) for member in members]
    wanted = [_is_wanted(member, name) for member, name in zip(members, names, strict=True)]
    held = [name for name, keep in zip(names, wanted, strict=True) if keep]
    top, litter = _top(held)
    paths = tuple(
        name[len(top) + 1 if top else 0 :] if keep and name not in litter else None
        for name, keep in zip(names, wanted, strict=True)
    )
    _refuse_conflicts([path for path in paths if path is not None])
    refuse_leading_out(
        {
            path: member.target
            for path, member in zip(paths, members, strict=True)
            if path is not None and member.kind == "link"
        }
    )
    return Plan(paths, top, _notes(members, names, held, litter))


def checked_path(path: bytes) -> bytes:
    """Return a member's path in its normal form, empty for the root itself. Raises TreeError for one that no tree may have."""
    try:
        text = path.decode()
    except UnicodeDecodeError as error:
        raise TreeError(f"the name {shown(path)} is no UTF-8") from error
    if not text.isprintable() and any(unicodedata.category(one) in {"Cc", "Cs"} for one in text):
        raise TreeError(f"the name {shown(path)} holds control characters")
    parts = [part for part in path.split(b"/") if part not in {b"", b"."}]
    if path.startswith(b"/") or b".." in parts:
        raise TreeError(f"{shown(path)} leads out of the archive's folder")
    if len(path) > _LONGEST_PATH or any(len(part) > _LONGEST_NAME for part in parts):
        raise TreeError(f"the name {shown(path[:80])}... is too long for a file system")
    return b"/".join(parts)


def _is_wanted(member: Member, name: bytes) -> bool:
    parts = name.lower().split(b"/")
    return bool(name) and member.kind != "folder" and b".git" not in parts and not _is_apple(name)


def _is_apple(name: bytes) -> bool:
    return name.partition(b"/")[0] == _APPLE


def _top(held: Sequence[bytes]) -> tuple[bytes, frozenset[bytes]]:
    """Return the one folder that holds all, empty for none, and what beside it is no part of anybody's work."""
    litter = frozenset(
        name for name in held if b"/" not in name and (name in _LITTER or name.startswith(b"._"))
    )
    tops = {name.partition(b"/")[0] for name in held if name not in litter}
    if len(tops) != 1 or any(b"/" not in name for name in held if name not in litter):
        return b"", frozenset()
    return tops.pop(), litter


def _refuse_conflicts(paths: Sequence[bytes]) -> None:
    files: set[bytes] = set()
    for path in paths:
        if path in files:
            raise TreeError(f"{shown(path)} stands in it twice")
        files.add(path)
    folders = folders_of(paths)
    if both := files & folders:
        raise TreeError(f"{shown(min(both))} is a file and a folder in it")
    known: dict[str, bytes] = {}
    for path in sorted(files | folders):
        folded = unicodedata.normalize("NFC", path.decode()).casefold()
        if (other := known.setdefault(folded, path)) != path:
            raise TreeError(
                f"{shown(other)} and {shown(path)} differ only in case or in how their accents are written"
            )


def refuse_leading_out(links: dict[bytes, bytes]) -> None:
    """Raise TreeError for a link that leads out of the tree, followed step by step as Linux would."""
    steps = 0
    for path in links:
        for work in _followed(path, links):
            steps += work
            if steps > _MOST_STEPS:
                raise TreeError("its symbolic links lead through each other without end")


def _followed(path: bytes, links: dict[bytes, bytes]) -> Iterator[int]:
    """Follow a link, and yield how much work each step was. Raises TreeError where the way leads out of the tree."""
    out = TreeError(f"the symbolic link {shown(path)} leads out of the archive, to {shown(links[path])}")
    reached = path.split(b"/")[:-1]
    pending = _parts(links[path], out)
    followed = 0
    while pending and followed <= _MOST_LINKS:  # nobody follows any further
        part = pending.pop()
        yield 1 + len(reached) // 8
        if part == b"..":
            if not reached:
                raise out
            reached.pop()
            continue
        here = b"/".join([*reached, part])
        if here in links:
            pending += (parts := _parts(links[here], out))
            followed += 1
            yield len(parts) // 8
        else:
            reached.append(part)


def _parts(target: bytes, out: TreeError) -> list[bytes]:
    """Return the parts of a link's target, the last one first. Raises `out` for one that begins at the root."""
    if target.startswith(b"/"):
        raise out
    if not target or b"\0" in target:
        raise TreeError("it holds a symbolic link without a target")
    return [part for part in reversed(target.split(b"/")) if part not in {b"", b"."}]


def _notes(
    members: Sequence[Member], names: Sequence[bytes], held: Sequence[bytes], litter: frozenset[bytes]
) -> tuple[str, ...]:
    notes = []
    if any(_is_apple(name) for name in names) or litter:
        notes.append("what Apple's or Windows's file manager left in the archive is not taken")
    if any(b".git" in name.lower().split(b"/") for name in names):
        notes.append("the archive carries git's own folder .git, which is not taken")
    if empty := _empty(members, names, held):
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        listed = ", ".join(map(shown, empty[:_SHOWN]))
        notes.append(f"folders without files are not taken: {listed}{more}; a submodule looks like that")
    return tuple(notes)


def _empty(members: Sequence[Member], names: Sequence[bytes], held: Sequence[bytes]) -> list[bytes]:
    """Return the folders in which nothing lies that is taken."""
    used = folders_of(held)
    return sorted(
        name
        for name, member in zip(names, members, strict=True)
        if member.kind == "folder"
        and name
        and name not in used
        and not _is_apple(name)
        and b".git" not in name.lower().split(b"/")
    )
