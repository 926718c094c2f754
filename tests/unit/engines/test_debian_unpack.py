"""Packages into a tree: what is kept, what is refused, and who owns it."""

import hashlib
import io
import tarfile

import pytest

from reprolake_builder.documents.lock import DebPackage
from reprolake_builder.engines import debian_unpack
from reprolake_builder.engines.debian_tree import TreeMaker
from reprolake_builder.engines.debian_unpack import unpack_all
from reprolake_builder.errors import BuildError
from reprolake_builder.progress import SILENT
from reprolake_builder.store import Store
from reprolake_builder.trees import Owned


def entry(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o644, gid: int = 0, link: str = ""):
    """Return a tar header."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.gid, info.linkname = kind, mode, gid, link
    return info


def make_deb(store: Store, name: str, *entries: tarfile.TarInfo) -> DebPackage:
    """Put a package whose files hold its own name into the store."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:xz") as archive:
        for info in entries:
            info.size = len(name) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(name.encode()) if info.isreg() else None)
    data = stream.getvalue()
    header = f"{'data.tar.xz':<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
    deb = b"!<arch>\n" + header + data
    sha256 = hashlib.sha256(deb).hexdigest()
    store.add_archive([deb], sha256, name)
    return DebPackage(
        name=name, version="1", architecture="all", archive="debian", path="x", size=len(deb), sha256=sha256
    )


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def maker(tmp_path):
    """An empty tree."""
    (tmp_path / "root").mkdir()
    return TreeMaker(tmp_path / "root")


def test_modes_and_owners_are_those_of_the_package(store, maker, tmp_path):
    """A set-gid bit is told to the index and never set on disk; files are writable by nobody else."""
    deb = make_deb(
        store, "mail", entry("./usr/bin/mail", mode=0o2755, gid=8), entry("./etc/secret", mode=0o640, gid=42)
    )
    unpack_all((deb,), maker, store, SILENT)
    assert maker.exceptions() == {b"usr/bin/mail": Owned(0o2755, 0, 8), b"etc/secret": Owned(0o640, 0, 42)}
    assert (tmp_path / "root/usr/bin/mail").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "root/etc/secret").stat().st_mode & 0o7777 == 0o644


def test_documentation_is_left_out_and_copyright_stays(store, maker):
    """Manuals go, licences and the links between documentation folders stay; the list of files is complete."""
    deb = make_deb(
        store,
        "a",
        entry("./usr/share/doc/a", tarfile.DIRTYPE, mode=0o755),
        entry("./usr/share/doc/a/copyright"),
        entry("./usr/share/doc/a/README"),
        entry("./usr/share/doc/b", tarfile.SYMTYPE, link="a"),
        entry("./usr/share/man/man1/a.1.gz"),
        entry("./usr/share/locale/de/a.mo"),
        entry("./usr/share/manual"),
    )
    listing = unpack_all((deb,), maker, store, SILENT)["a"]
    kept = {path for path, node in maker.nodes.items() if node.kind != "d"}
    assert kept == {b"usr/share/doc/a/copyright", b"usr/share/doc/b", b"usr/share/manual"}
    assert b"/usr/share/man/man1/a.1.gz\n" in listing


def test_the_later_name_wins_and_base_files_comes_first(store, maker, tmp_path):
    """Of two packages with one path the order of names decides, not the order in which they were given."""
    debs = [make_deb(store, name, entry("./x")) for name in ("zlib", "apt", "base-files")]
    unpack_all(debs, maker, store, SILENT)
    assert (tmp_path / "root/x").read_text() == "zlib"
    folders = [
        make_deb(store, name, entry("./var/log", tarfile.DIRTYPE, mode=mode))
        for name, mode in (("apt", 0o700), ("base-files", 0o2775))
    ]
    unpack_all(folders, maker, store, SILENT)
    assert maker.exceptions() == {b"var/log": Owned(0o2775)}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry("./../etc/passwd"), "leads out of it"),
        (entry("./dev/sda", tarfile.BLKTYPE), "neither a file, a folder nor a link"),
        (entry("./dev/null", tarfile.CHRTYPE), "neither a file, a folder nor a link"),
        (entry("./run/pipe", tarfile.FIFOTYPE), "neither a file, a folder nor a link"),
        (entry("./shadow", tarfile.LNKTYPE, link="/etc/shadow"), "is a hard link to"),
        (entry("./shadow", tarfile.LNKTYPE, link="../../etc/shadow"), "leads out of it"),
    ],
)
def test_what_an_image_cannot_hold_is_refused(store, maker, bad, message):
    """Devices, pipes, paths and hard links that lead out end the build."""
    with pytest.raises(BuildError, match=message):
        unpack_all((make_deb(store, "bad", bad),), maker, store, SILENT)


def test_a_link_of_one_package_does_not_lead_another_out(store, maker, tmp_path):
    """A file below another package's absolute link lands inside the tree."""
    outside = tmp_path / "outside"
    outside.mkdir()
    debs = (
        make_deb(store, "a", entry("./way", tarfile.SYMTYPE, link=str(outside))),
        make_deb(store, "b", entry("./way/out")),
    )
    unpack_all(debs, maker, store, SILENT)
    assert list(outside.iterdir()) == []
    assert (tmp_path / "root" / str(outside).lstrip("/") / "out").read_text() == "b"


@pytest.mark.parametrize("limit", ["_UNPACKED_LIMIT", "_MOST_ENTRIES"])
def test_a_package_that_would_fill_the_disk_is_refused(store, maker, monkeypatch, limit):
    """A lock can name packages that no index vouched for: what unpacks to more than any package needs is refused."""
    deb = make_deb(store, "bomb", *(entry(f"./usr/share/{n}") for n in range(4)))
    monkeypatch.setattr(debian_unpack, limit, 2)
    with pytest.raises(BuildError, match="bomb would unpack to more than"):
        unpack_all((deb,), maker, store, SILENT)
