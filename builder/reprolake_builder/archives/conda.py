"""Conda packages as archives: a zip that holds two tars compressed by zstd, or one tar compressed by bzip2.

Source: conda-package-handling's formats, ".conda" (version 2 of the package format, CEP 16) and ".tar.bz2".
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

from reprolake_builder.archives.formats import plain, telling_damage
from reprolake_builder.archives.members import Member
from reprolake_builder.archives.tars import tar_members
from reprolake_builder.archives.zips import is_readable, opened
from reprolake_builder.git_tree import TreeError


@contextlib.contextmanager
def reading_conda(archive: Path, allowed: int) -> Iterator[Iterator[Member]]:
    """Yield the members of a conda package (host path), those below info/ first where it is of the newer kind.

    Of each tar stream no more than `allowed` bytes are read. Raises TreeError for what is no such package or is damaged.
    """
    with archive.open("rb") as stream, telling_damage():
        if stream.read(2) == b"PK":
            with opened(stream) as outer:
                yield _members_of_both(outer, allowed)
        else:
            yield tar_members(plain(stream), allowed, hard_links=True)


def _members_of_both(outer: zipfile.ZipFile, allowed: int) -> Iterator[Member]:
    for start in ("info-", "pkg-"):
        found = [
            item
            for item in outer.infolist()
            if item.filename.startswith(start) and item.filename.endswith(".tar.zst")
        ]
        if len(found) != 1 or not is_readable(found[0]):
            raise TreeError(f"it has {len(found)} readable parts {start}*.tar.zst, a conda package has one")
        with outer.open(found[0]) as part:
            yield from tar_members(plain(part), allowed, hard_links=True)
