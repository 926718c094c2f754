"""Folders out of Software Heritage's vault, which packs one whenever it is asked for: other bytes each time, the same files.

Source: swh-web's API documentation, /api/1/vault/flat/ and /api/1/directory/.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from reprolake_builder.archives.formats import reading
from reprolake_builder.archives.members import LIMITS, Member
from reprolake_builder.documents.source import HeritageSource
from reprolake_builder.errors import FetchError, ResolveError
from reprolake_builder.git_tree import MOST_BYTES, TreeError, TreeWriter, folders_of, shown
from reprolake_builder.providers.answers import ask, decoded
from reprolake_builder.providers.heritage.objects import Cooking, Row
from reprolake_builder.providers.heritage.walk import API
from reprolake_builder.tools import Tools

_SMALL = 1 << 20  # bytes of an answer
_MOST_ASKED = 100  # empty folders


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds the vault may cook, and how long to wait between two questions."""

    whole: float = 3600
    between: float = 5


PATIENCE = Patience()


def write_heritage(source: HeritageSource, root: Path, tools: Tools, patience: Patience = PATIENCE) -> str:
    """Write the pinned folder's files below `root` (empty host folder) and return the hash of what was written.

    Raises FetchError when the vault does not give them, or gives others than the identifier says.
    """
    core = f"swh:1:dir:{source.tree}"
    address = f"{API}/vault/flat/{core}/"
    try:
        _cook(core, address, tools, patience)
        writer = TreeWriter(root)
        with tools.store.scratch() as scratch:
            bundle = scratch / "bundle.tar.gz"
            with tools.progress.step(f"Fetching {core}"), bundle.open("wb") as stream:
                for piece in tools.downloader.pieces(f"{address}raw/"):
                    if stream.tell() > MOST_BYTES:
                        raise TreeError(f"its bundle is larger than {MOST_BYTES >> 30} GiB")
                    stream.write(piece)
            _unpack(bundle, writer, source, tools)
    except TreeError as error:
        raise FetchError(f"{core} cannot be taken: {error}") from error
    except ResolveError as error:
        raise FetchError(error.message, hint=error.hint, transient=error.transient) from error
    if writer.tree_hash != source.tree:
        raise FetchError(
            f"the files that Software Heritage gives for {core} have the tree {writer.tree_hash}",
            hint="they may hold what no git tree can (an empty folder, a mode of old); nothing of them was kept",
        )
    return writer.tree_hash


def _cook(core: str, address: str, tools: Tools, patience: Patience) -> None:
    """Return once the vault has the bundle ready."""
    ends = time.monotonic() + patience.whole
    cooking = decoded(
        tools.downloader.post(address, accept="application/json", limit=_SMALL), address, Cooking
    )
    with tools.progress.step(f"Waiting until Software Heritage has packed {core}"):
        while cooking.status != "done":
            if cooking.status == "failed":
                raise FetchError(
                    f"Software Heritage could not pack {core}: {shown((cooking.progress_message or '').encode()[:500])}",
                    hint="try again later; the failure is kept there for a while",
                    transient=True,
                )
            if time.monotonic() + patience.between > ends:
                raise FetchError(
                    f"Software Heritage has not packed {core} within {patience.whole / 60:.0f} minutes",
                    hint="it goes on: run the command again later",
                    transient=True,
                )
            time.sleep(patience.between)
            answer = ask(tools, address, Cooking)
            cooking = answer or Cooking(status="pending")


def _unpack(bundle: Path, writer: TreeWriter, source: HeritageSource, tools: Tools) -> None:
    """Put what lies in the bundle's one folder into the writer; of a submodule the bundle has an empty folder."""
    empty: set[bytes] = set()
    with reading(bundle, LIMITS.allowed(bundle.stat().st_size)) as members:
        for member in members:
            top, _, path = member.path.removeprefix(b"./").rstrip(b"/").partition(b"/")
            if top.removeprefix(b"swh:1:dir:").decode("ascii", "replace") != source.tree:
                raise TreeError(f"its bundle holds {shown(member.path)}, which is not in the folder")
            if member.kind == "folder":
                empty.add(path)
            else:
                _take(member, path, writer)
    filled = folders_of([*writer.blobs, *empty])
    _submodules(sorted(empty - filled - {b""}), writer, source, tools)


def _take(member: Member, path: bytes, writer: TreeWriter) -> None:
    if member.kind == "link":
        writer.symlink(path, member.target)
    else:
        writer.file(path, member.size, member.pieces(), executable=member.executable)


def _submodules(empty: list[bytes], writer: TreeWriter, source: HeritageSource, tools: Tools) -> None:
    if len(empty) > _MOST_ASKED:
        raise TreeError(
            f"it holds {len(empty)} empty folders, about each of which the archive had to be asked"
        )
    for path in empty:
        row = ask(tools, f"{API}/directory/{source.tree}/{quote(path)}/", Row)
        if row is not None and row.type == "rev":
            writer.submodule(path, row.target)
            tools.progress.warn(
                f"The submodule {shown(path)} stays empty: Software Heritage keeps it elsewhere"
            )
