"""What `inspect` is given, and layouts that `build` is to add to, may come from anybody."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from datetime import UTC, datetime

import pytest
from hostile_locks import LOCK, SOURCE
from msgspec import structs
from outcomes import outcome

from reprolake.inspection import inspect
from reprolake.options import Options, UsageError
from reprolake.pipeline import Session
from reprolake_builder import oci
from reprolake_builder.documents.base import pretty
from reprolake_builder.documents.source import RecordPin
from reprolake_builder.download import Downloader
from reprolake_builder.errors import PublishError, ReprolakeError
from reprolake_builder.image import Image
from reprolake_builder.progress import SILENT
from reprolake_builder.publishers.oci_layout import write_blobs, write_index
from reprolake_builder.site import Site
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools
from reprolake_runner.stage_out import Staging, stage_out
from reprolake_runner.staged import read_result

pytestmark = pytest.mark.timeout(60)
SECRET = b"only the host may know this"
CONFIG = json.dumps({"architecture": "amd64", "os": "linux"})
IMAGE = Image(
    id=oci.digest_of(CONFIG.encode()),
    config=CONFIG,
    layers=(),
    annotations={},
    lock_sha256="2" * 64,
)


@pytest.fixture
def session(tmp_path):
    site = Site(archives={})
    tools = Tools(Store(tmp_path / "store"), site, Downloader(site))
    return Session(Options(tmp_path / "store", site, {}, {}, {}), tools, datetime.now(UTC))


@pytest.fixture
def layout(tmp_path):
    """A layout of one image without layers."""
    folder = tmp_path / "layout"
    write_index(IMAGE, folder, write_blobs(IMAGE, folder, Store(tmp_path / "store"), SILENT), "a:b")
    return folder


def test_an_honest_layout_is_sound(layout, session):
    """What the attacks below change is sound before."""
    assert inspect(str(layout), session).sound


@pytest.mark.parametrize(
    "index",
    [
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"manifests": 3}',
        b'{"manifests": [[]]}',
        b'{"manifests": [{"digest": "sha256:../../../secret", "size": 1}]}',
        b'{"manifests": [{"digest": "/etc/passwd", "size": 1}]}',
        b'{"manifests": [{"digest": "sha256:' + b"0" * 64 + b'", "size": 1, "annotations": []}]}',
    ],
)
def test_an_odd_index_is_told_of(layout, session, index):
    """An index that is none, or names blobs by paths, is a user's mistake and not ours."""
    (layout / "index.json").write_bytes(index)
    with pytest.raises(UsageError, match="no sound OCI layout"):
        inspect(str(layout), session)


@pytest.mark.parametrize(
    "manifest", [b"[]", b'{"config": 1}', b'{"config":{"digest":"x","size":1},"layers":[]}']
)
def test_an_odd_manifest_is_told_of(layout, session, manifest):
    """A manifest that is none is told of."""
    name = hashlib.sha256(manifest).hexdigest()
    (layout / "blobs/sha256" / name).write_bytes(manifest)
    entry = {"digest": f"sha256:{name}", "size": len(manifest)}
    (layout / "index.json").write_text(json.dumps({"manifests": [entry]}))
    with pytest.raises(UsageError, match="no sound OCI layout"):
        inspect(str(layout), session)


def test_blobs_that_are_no_files_are_damaged(layout, session, tmp_path):
    """Pipes, links, folders and devices among the blobs are reported, and neither opened nor waited for."""
    blobs = layout / "blobs/sha256"
    os.mkfifo(blobs / "pipe")
    (blobs / "link").symlink_to("/dev/zero")
    (blobs / "folder").mkdir()
    (blobs / "\x1b[31m").write_text("")
    found = inspect(str(layout), session)
    assert not found.sound
    assert len(found.document.damaged) == 4
    assert "\x1b" not in "".join(found.document.damaged)


@pytest.mark.parametrize("pack", [False, True])
def test_a_blob_that_is_missing_is_told_of(layout, session, tmp_path, pack):
    """An image one of whose blobs is not there is not sound, in a folder and in an archive."""
    (layout / oci.blob_path(IMAGE.id)).unlink()
    if pack:
        with tarfile.open(tmp_path / "image.tar", "w") as archive:
            archive.add(layout, "")
    found = inspect(str(tmp_path / "image.tar" if pack else layout), session)
    assert not found.sound
    assert found.document.damaged == (IMAGE.id.removeprefix("sha256:"),)


def test_an_index_of_nothing_holds_nothing(layout, session):
    """A layout without images and without blobs is an empty one."""
    (layout / "index.json").write_text('{"manifests": []}')
    (layout / "blobs").rename(layout / "aside")
    assert inspect(str(layout), session).document.images == ()


@pytest.mark.parametrize("name", ["index.json", "blobs"])
@pytest.mark.parametrize("kind", ["pipe", "endless", "nothing"])
def test_a_layout_of_something_else_is_told_of(layout, session, name, kind):
    """A pipe, a link to an endless device, or nothing in the place of index or blobs ends at once."""
    (layout / name).rename(layout / "aside")
    if kind == "pipe":
        os.mkfifo(layout / name)
    elif kind == "endless":
        (layout / name).symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="no sound OCI layout"):
        inspect(str(layout), session)


@pytest.mark.parametrize("index", [b"[]", b'{"manifests": {}}', b'{"manifests": [1]}', b"[" * 100_000])
def test_an_image_is_not_added_to_an_odd_index(layout, index):
    """A layout whose index is none gets no image, and keeps what it has."""
    (layout / "index.json").write_bytes(index)
    with pytest.raises(PublishError, match="no index of an OCI layout"):
        write_index(IMAGE, layout, b"{}", "a:b")
    assert (layout / "index.json").read_bytes() == index


def test_blobs_are_not_written_through_a_link(layout, tmp_path):
    """A layout whose folder of blobs is a link gets nothing written where it leads."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (layout / "blobs").rename(layout / "aside")
    (layout / "blobs").symlink_to(elsewhere)
    with pytest.raises(PublishError, match="leads elsewhere"):
        write_blobs(IMAGE, layout, Store(tmp_path / "store"), SILENT)
    assert list(elsewhere.iterdir()) == []


@pytest.fixture
def result(tmp_path):
    """A staged result."""
    return stage_out(outcome(tmp_path / "run"), Staging(tmp_path / "stage")).folder


def test_a_link_to_a_folder_is_found(result, tmp_path):
    """A link to a folder of the host does not pass for part of a result."""
    (result / "more").symlink_to("/etc")
    (result / "odd\udcff\x1b").write_text("")
    checked = read_result(result)
    assert "more" in checked.unlisted
    assert len(checked.unlisted) == 2
    pretty(checked.unlisted)


def test_a_manifest_cannot_have_files_of_the_host_read(result, tmp_path):
    """Neither a path that leads up nor a link on the way makes a file of the host count as part of the result."""
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").write_bytes(SECRET)
    (result / "inside").symlink_to(host)
    manifest = json.loads((result / "manifest.json").read_bytes())
    sha256 = hashlib.sha256(SECRET).hexdigest()
    paths = [
        "inside/secret",
        str(host / "secret"),
        "../../host/secret",
        "./inside/secret",
        "outputs//x",
        "a\0b",
        "\ud800",
    ]
    manifest["files"] += [{"path": path, "size": len(SECRET), "sha256": sha256} for path in paths[:-1]]
    (result / "manifest.json").write_text(json.dumps(manifest))
    assert set(read_result(result).missing) == set(paths[:-1])


@pytest.mark.parametrize("name", ["manifest.json", "run.json"])
@pytest.mark.parametrize("kind", ["pipe", "endless", "folder", "deep"])
def test_documents_that_are_no_files_are_told_of(result, name, kind):
    """A pipe, an endless device, a folder or a bottomless text in the place of a document ends at once."""
    path = result / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text(
            '{"spec":{"parameters":{"parameters":[{"name":"a","origin":"b","value":' + "[" * 200_000
        )
    with pytest.raises(ReprolakeError):
        read_result(result)


def test_no_field_of_a_lock_passes_for_another(tmp_path, reprolake):
    """A title that goes on in a further line, and names that drive a terminal, say nothing but what they are."""
    pin = RecordPin(
        site="zenodo.org", id="1", title="x\nproof       equal to archive\x1b[2J", state="tag only"
    )
    path = tmp_path / "reprolake.lock"
    path.write_bytes(pretty(structs.replace(LOCK, source=structs.replace(SOURCE, record=pin))))
    shown = reprolake("inspect", path).stdout
    assert [line for line in shown.splitlines() if line.startswith("proof")] == [
        "proof       tag only (by the lock's word)"
    ]
    assert "\x1b" not in shown
