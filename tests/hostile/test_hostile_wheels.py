"""Wheels from anybody, and what a build backend leaves in their place: broken ones are told of, and harm nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile

import pytest
from hostile_locks import a_lock
from hypothesis import given, settings
from hypothesis import strategies as st

from reprolake.modules import provided_modules
from reprolake_builder.documents.lock import WheelLock
from reprolake_builder.engines.repack import repack_wheel
from reprolake_builder.engines.wheel import Layout, unpack_wheel
from reprolake_builder.errors import BuildError
from reprolake_builder.store import Store

INFO = "demo-1.0.dist-info"
LAYOUT = Layout("3.11")
FILES = {
    f"{INFO}/METADATA": "Name: demo\nVersion: 1.0\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\n",
    f"{INFO}/RECORD": "",
    f"{INFO}/entry_points.txt": "[console_scripts]\ndemo = demo:main\n",
    "demo/__init__.py": "def main(): pass\n" * 20,
    "demo-1.0.data/scripts/tool": "#!python\n",
}


def packed(files: dict[str, str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), text, compression)
    return stream.getvalue()


SOUND = {
    kind: packed(FILES, kind)
    for kind in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
}


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_damaged_wheel_is_told_of(tmp_path_factory, data):
    """Whatever bytes of a wheel are changed, laying it out and packing it anew work or say that it is broken."""
    wheel = bytearray(SOUND[data.draw(st.sampled_from(sorted(SOUND)))])
    # The end of an archive, where its table of contents is, is more interesting than its contents.
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(
            st.one_of(st.integers(0, len(wheel) - 1), st.integers(len(wheel) - 600, len(wheel) - 1))
        )
        wheel[at] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("wheel")
    path = folder / "demo-1.0-py3-none-any.whl"
    path.write_bytes(wheel[: data.draw(st.one_of(st.just(len(wheel)), st.integers(0, len(wheel))))])
    (folder / "root").mkdir()
    for work in (
        lambda: unpack_wheel(path, path.name, folder / "root", LAYOUT),
        lambda: repack_wheel(path, folder / "packed"),
    ):
        with contextlib.suppress(BuildError):
            work()
    assert {item.name for item in folder.iterdir()} <= {path.name, "root", "packed"}


def laid_out(tmp_path, files):
    path = tmp_path / "demo.whl"
    path.write_bytes(packed({**FILES, **files}))
    (tmp_path / "root").mkdir()
    return unpack_wheel(path, path.name, tmp_path / "root", LAYOUT)


@pytest.mark.parametrize("command", [".", "..", "a\x1bb", "x" * 300])
def test_a_command_has_a_name_that_a_file_can_have(tmp_path, command):
    """Names of entry points that are no names of files are refused before anything is removed or written."""
    with pytest.raises(BuildError, match="names no function"):
        laid_out(tmp_path, {f"{INFO}/entry_points.txt": f"[console_scripts]\n{command} = a:b\n"})


def test_endless_entry_points_are_not_read(tmp_path):
    """A file of entry points that no package needs is not taken into memory."""
    with pytest.raises(BuildError, match="which none needs"):
        laid_out(tmp_path, {f"{INFO}/entry_points.txt": "#" * (2 << 20)})


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["x" * 200] * 11), "\u00e4" * 200])
def test_a_path_that_no_file_system_holds_is_refused(tmp_path, name):
    """Names beyond what a file system takes are the wheel's fault, not the store's."""
    with pytest.raises(BuildError, match="must not have"):
        laid_out(tmp_path, {name: ""})


@pytest.mark.parametrize("info", ["..-1.dist-info", "-1.dist-info", "a b-1.dist-info", "a\nb-1.dist-info"])
def test_the_name_of_a_package_cannot_lead_elsewhere(tmp_path, info):
    """The name in the .dist-info folder, which becomes part of other paths, is a name."""
    path = tmp_path / "demo.whl"
    path.write_bytes(packed({f"{info}/METADATA": "", "x.data/headers/x.h": ""}))
    (tmp_path / "root").mkdir()
    with pytest.raises(BuildError, match="does not name a package"):
        unpack_wheel(path, path.name, tmp_path / "root", LAYOUT)
    assert not os.listdir(tmp_path / "root")


def test_a_wheel_that_is_none_is_told_of_before_it_is_built(tmp_path):
    """A plan that looks for the modules of a broken wheel says which one is broken."""
    store = Store(tmp_path / "store")
    data = b"no archive"
    sha256 = hashlib.sha256(data).hexdigest()
    store.add_archive([data], sha256, "demo.whl")
    wheel = WheelLock(name="demo", version="1.0", filename="demo.whl", size=len(data), sha256=sha256)
    with pytest.raises(BuildError, match="is not a sound wheel"):
        provided_modules(a_lock(wheel), store)
