"""What ELF files ask for: read from files that anybody may have made."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.engines.libraries import needed_libraries


def test_a_real_program_names_its_libraries():
    """Every program of a Linux host with glibc is linked with its C library."""
    programs = [Path("/bin/bash"), Path(sys.executable).resolve()]
    for program in programs:
        with program.open("rb") as stream:
            assert any(name.startswith("libc.so") for name in needed_libraries(stream))


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 255))
def test_damaged_files_end_in_nothing(noise, at, value):
    """Whatever stands in the headers, reading ends without an error."""
    data = bytearray(b"\x7fELF\x02\x01" + noise)
    if at < len(data):
        data[at] = value
    for name in needed_libraries(io.BytesIO(bytes(data))):
        assert isinstance(name, str)


def test_other_files_ask_for_nothing():
    """Texts and empty files are no ELF files."""
    assert list(needed_libraries(io.BytesIO(b""))) == []
    assert list(needed_libraries(io.BytesIO(b"#!/bin/sh\n"))) == []
