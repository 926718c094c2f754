"""What the launcher is told."""

from __future__ import annotations

from typing import TypedDict


class Enclosure(TypedDict):
    """What a runtime does not do itself; see `enclosure`.

    `rooms` are sizes (bytes) and modes of folders in memory. `places` are what will be mounted, as source (host path) and
    target (sandbox path), in that order. `devices` are names in /dev beside the usual ones. `files` are names, contents and modes of our own, `over` those of them that hide
    a file of the host (host path) from the runtime.
    """

    host_name: str
    rooms: list[tuple[int, int]]
    places: list[tuple[str, str]]
    devices: list[str]
    files: list[tuple[str, bytes, int]]
    over: list[tuple[str, str]]


class Plan(TypedDict):
    """What to bring together and to become; host paths are absolute, `report` is a descriptor.

    `outer` is the user (and group) to become, or -1 to stay; `inner` the user and group seen inside. `trees` stand lowest
    first. `folders` and `files` are mount points (sandbox paths). `binds` are sources and whether they are writable.
    `doors` is a unix socket over which the sockets of a new network are handed out, -1 for none: one that listens on each of the
    ports `listen`, and `dials` more. `groups` are the files to join control groups by, `processors` those to be kept to ([] for any).
    """

    parent: int
    report: int
    program: str
    words: list[str]
    env: dict[str, str]
    enclosure: Enclosure | None
    outer: int
    inner: tuple[int, int]
    trees: list[str]
    folders: list[str]
    files: list[str]
    lower: str
    scratch: str
    binds: list[tuple[str, bool]]
    groups: list[str]
    limits: list[tuple[int, int]]
    processors: list[int]
    doors: int
    listen: list[int]
    dials: int
