"""What the launcher is told."""

from __future__ import annotations

from typing import TypedDict


class Plan(TypedDict):
    """What to bring together and to run; host paths are absolute, `arguments` and `report` are descriptors.

    `outer` is the user (and group) to become, or -1 to stay; `inner` the user and group seen inside. `trees` stand lowest
    first. `folders` and `files` are mount points (sandbox paths). `binds` are sources and whether they are writable.
    `groups` are the files to join control groups by, `processors` those to be kept to ([] for any).
    """

    parent: int
    report: int
    bwrap: str
    arguments: int
    command: list[str]
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
