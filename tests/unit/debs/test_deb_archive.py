"""A .deb is read as a stream, and what is none is refused."""

import io
import lzma
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.debs.archive import control_files, members, open_part
from reprolake_builder.errors import BuildError

MEMBER_NAMES = st.from_regex(r"\A[a-z0-9][a-z0-9.-]{0,14}\Z")


def ar(*parts: tuple[str, bytes]) -> bytes:
    """Return an ar archive of the parts."""
    out = b"!<arch>\n"
    for name, data in parts:
        out += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
            + data
            + b"\n" * (len(data) % 2)
        )
    return out


def tar(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of the files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@given(st.lists(st.tuples(MEMBER_NAMES, st.binary(max_size=50)), max_size=5), st.booleans())
def test_members_are_read_back(parts, read):
    """Names and bytes survive, whether or not a member is read before the next one."""
    found = [(member.name, member.read() if read else None) for member in members(io.BytesIO(ar(*parts)))]
    assert found == [(name, data if read else None) for name, data in parts]


@given(st.binary(max_size=200))
def test_anything_else_is_an_error_and_nothing_worse(data):
    """Random bytes, with or without the magic, either are an archive or raise ValueError."""
    for candidate in (data, b"!<arch>\n" + data):
        try:
            for member in members(io.BytesIO(candidate)):
                member.read()
        except ValueError:
            pass


@given(st.integers(min_value=0, max_value=120))
def test_an_archive_that_ends_early_is_an_error(length):
    """A truncated archive never passes for a shorter one, unless it was cut between two members."""
    whole = ar(("one", b"12345678"), ("two", b"abc"))
    cut = whole[: min(length, len(whole) - 2)]
    if len(cut) in {8, 8 + 60 + 8}:
        return
    with pytest.raises(ValueError, match=r"ends inside|damaged|no ar archive"):
        [member.read() for member in members(io.BytesIO(cut))]


def test_control_files_are_found_whatever_the_compression(tmp_path):
    """The control archive may be compressed with xz, or not at all."""
    files = {"./control": b"Package: a\n", "./postinst": b"#!/bin/sh\n"}
    for name, data in (("control.tar.xz", lzma.compress(tar(files))), ("control.tar", tar(files))):
        deb = tmp_path / name
        deb.write_bytes(ar(("debian-binary", b"2.0\n"), (name, data), ("data.tar", tar({}))))
        assert control_files(deb) == {"control": b"Package: a\n", "postinst": b"#!/bin/sh\n"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([("control.tar.zst", b"x")], r"control\.tar\.zst: the compression \.zst is not supported"),
        ([("data.tar.xz", b"")], r"it has no control\.tar"),
        ([("control.tar.xz", b"no xz")], "cannot be read"),
        ([("control.tar.xz", lzma.compress(tar({"control": b"1"}))[:-20])], "cannot be read"),
        ([("control.tar.gz", b"\x1f\x8b")], "cannot be read"),
    ],
)
def test_a_damaged_package_is_an_error_with_its_name(tmp_path, parts, message):
    """Whatever is wrong inside, the message says which package and what."""
    deb = tmp_path / "broken.deb"
    deb.write_bytes(ar(*parts))
    with pytest.raises(BuildError, match=message) as raised:
        control_files(deb)
    assert "broken.deb" in raised.value.message


def test_an_error_of_the_reader_is_not_taken_for_the_packages(tmp_path):
    """A failure while a package's entries are handled keeps its own text."""
    deb = tmp_path / "a.deb"
    deb.write_bytes(ar(("data.tar", tar({"a": b""}))))
    with pytest.raises(BuildError, match=r"^my own$"), open_part(deb, "data"):
        raise BuildError("my own")
