"""What Software Heritage's archive answers about its objects, and their identifiers computed anew from it.

Source: swh-web's API documentation, /api/1/revision/, /release/, /snapshot/, /origin/…/visit/latest/ and /vault/flat/; ISO/IEC
18670, 5.4 and 5.5: a revision and a release are hashed as git hashes commits and tags.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")]


class Person(msgspec.Struct, frozen=True):
    """Who made an object; `fullname` is as git has it: NAME <ADDRESS>."""

    fullname: str | None = None


class Parent(msgspec.Struct, frozen=True):
    """One of a revision's parents."""

    id: Hash


class Revision(msgspec.Struct, frozen=True):
    """A commit, of git (`type`) or made like one."""

    id: Hash
    directory: Hash
    type: str = ""
    date: str | None = None
    committer_date: str | None = None
    author: Person | None = None
    committer: Person | None = None
    message: str | None = None
    parents: tuple[Parent, ...] = ()
    extra_headers: tuple[tuple[str, str], ...] = ()

    @property
    def moment(self) -> datetime | None:
        """When it was committed."""
        return _moment(self.committer_date or self.date)

    @property
    def is_proven(self) -> bool:
        """Whether the identifier, computed from this answer, is the one asked for: then its directory is beyond doubt.

        False says nothing: an answer in JSON leaves out what is no text.
        """
        author, committer = _line(self.author, self.date), _line(self.committer, self.committer_date)
        lines = [f"tree {self.directory}", *(f"parent {parent.id}" for parent in self.parents)]
        lines += [f"author {author}", f"committer {committer}"]
        lines += [f"{name} {value}".replace("\n", "\n ") for name, value in self.extra_headers]
        return _is_hashed("commit", lines, self.message, self.id)


class Release(msgspec.Struct, frozen=True):
    """An annotated tag: `target` is what it names."""

    id: Hash
    target: Hash
    target_type: str
    name: str = ""
    date: str | None = None
    author: Person | None = None
    message: str | None = None

    @property
    def is_proven(self) -> bool:
        """Whether the identifier, computed from this answer, is the one asked for."""
        kind = {"revision": "commit", "release": "tag", "directory": "tree"}.get(self.target_type, "blob")
        lines = [f"object {self.target}", f"type {kind}", f"tag {self.name}"]
        lines += [f"tagger {_line(self.author, self.date)}"] if self.author else []
        return _is_hashed("tag", lines, self.message, self.id)


class Branch(msgspec.Struct, frozen=True):
    """What a name in a snapshot stands for; `target` of an alias is another name."""

    target: str
    target_type: str


class Snapshot(msgspec.Struct, frozen=True):
    """The branches of an origin as one visit found them; an answer may hold some of them."""

    id: Hash
    branches: dict[str, Branch | None]


class Visit(msgspec.Struct, frozen=True):
    """A visit to an origin."""

    origin: str
    date: str
    snapshot: Hash | None = None


class Cooking(msgspec.Struct, frozen=True):
    """How far the vault is with a bundle."""

    status: Literal["new", "pending", "done", "failed"]
    progress_message: str | None = None


class Row(msgspec.Struct, frozen=True):
    """An entry of a directory; `target` of a revision is a submodule's commit."""

    name: str
    type: str
    target: Hash


def _is_hashed(kind: str, lines: list[str], message: str | None, expected: str) -> bool:
    text = "\n".join(lines) + "\n" + ("" if message is None else f"\n{message}")
    content = text.encode("utf-8", "surrogatepass")
    found = hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(content), content), usedforsecurity=False)
    return found.hexdigest() == expected


def _line(person: Person | None, date: str | None) -> str:
    moment = _moment(date)
    if person is None or moment is None:
        return (person and person.fullname) or ""
    return f"{person.fullname or ''} {int(moment.timestamp())} {moment:%z}"


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
