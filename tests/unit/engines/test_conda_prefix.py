"""Prefixes of conda packages: replaced as conda does it, however the file comes in pieces."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reprolake_builder.engines.conda_prefix import replaced_in_binary, replaced_in_text

OLD, NEW = "/b/_h_env_placehold_placehold", "/opt/conda"
ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
ONE_BYTE = st.lists(
    st.one_of(
        st.sampled_from([OLD.encode(), OLD[:9].encode(), b"\0", b"\0\0", b"/"]), st.binary(max_size=12)
    ),
    max_size=20,
)
PARTS = st.lists(
    st.one_of(
        st.sampled_from(
            [*(OLD.encode(encoding) for encoding in ENCODINGS), OLD[:9].encode(), b"\0", b"\0\0\0\0", b"/"]
        ),
        st.binary(max_size=12),
    ),
    max_size=20,
)


def in_pieces(data: bytes, sizes: list[int]):
    """Yield the data in pieces of these sizes, the last of which serves for all that is left."""
    at = 0
    for number in range(len(data) + 1):
        size = sizes[min(number, len(sizes) - 1)]
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def as_conda(data: bytes) -> bytes:
    """Replace as conda's binary_replace does, with the whole file in memory."""
    for encoding in ENCODINGS:
        old, new, zero = OLD.encode(encoding), NEW.encode(encoding), "\0".encode(encoding)

        def shorter(match: re.Match[bytes], old: bytes = old, new: bytes = new) -> bytes:
            count = match.group().count(old)
            return match.group().replace(old, new) + bytes((len(old) - len(new)) * count)

        pattern = re.escape(old) + b"(?:(?!(?:" + zero + b")).)*" + zero
        data = re.sub(pattern, shorter, data, flags=re.DOTALL)
    return data


@given(ONE_BYTE, st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_binary_files_come_out_as_condas(parts, sizes):
    """A binary file is what conda makes of it, and as long as before, wherever its pieces end."""
    data = b"".join(parts) + b"\0\0\0\0"
    made = b"".join(replaced_in_binary(in_pieces(data, sizes), OLD, NEW))
    assert made == as_conda(data)
    assert len(made) == len(data)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 13, 1000])
def test_wide_characters_are_replaced_too(encoding, size):
    """Strings of two and four bytes a character come out as conda's do."""
    data = (
        b"\1\2" + f"{OLD}/lib:{OLD}/bin".encode(encoding) + b"\0\0\0\0" + OLD.encode(encoding) + b"\0\0\0\0"
    )
    assert b"".join(replaced_in_binary(in_pieces(data, [size]), OLD, NEW)) == as_conda(data)


@given(PARTS, st.lists(st.integers(1, 40), min_size=1, max_size=5))
@example([b"#!", OLD.encode(), b"/bin/python\n"], [1])
def test_texts_come_out_as_condas(parts, sizes):
    """A text has the prefix wherever the placeholder was, wherever its pieces end."""
    data = b"".join(parts)
    expected = data
    for encoding in ENCODINGS:
        expected = expected.replace(OLD.encode(encoding), NEW.encode(encoding))
    assert b"".join(replaced_in_text(in_pieces(data, sizes), OLD, NEW)) == expected


def test_a_string_that_the_end_of_the_file_ends_is_changed_too():
    """The last string of a binary file needs no zero behind it to be changed."""
    made = b"".join(replaced_in_binary(iter([f"\1{OLD}/lib".encode()]), OLD, NEW))
    assert made == b"\1/opt/conda/lib".ljust(1 + len(OLD) + 4, b"\0")


@pytest.mark.parametrize(
    ("interpreter", "expected"),
    [
        ("perl5.32", "#!/usr/bin/env perl5.32 {options}"),
        ("python3.11", "#!/bin/sh\n'''exec' \"/opt/conda/bin/python3.11\" {options} \"$0\" \"$@\" #'''"),
    ],
)
def test_a_first_line_that_linux_would_cut_names_its_interpreter_otherwise(interpreter, expected):
    """A line of more than 127 bytes is replaced, one of 127 stays."""
    start = f"#!{OLD}/bin/{interpreter} "
    kept = "x" * (127 - len(start.replace(OLD, NEW)))
    for options, line in (
        (kept, start.replace(OLD, NEW) + kept),
        (kept + "x", expected.format(options=kept + "x")),
    ):
        text = f"{start}{options}\nprint('{OLD}')\n".encode()
        made = b"".join(replaced_in_text(in_pieces(text, [7]), OLD, NEW))
        assert made.decode() == f"{line}\nprint('{NEW}')\n"


def test_a_placeholder_shorter_than_the_prefix_is_an_error():
    """A binary file that was built for a short prefix cannot be changed."""
    with pytest.raises(ValueError, match="shorter than /opt/conda"):
        replaced_in_binary(iter([b"x"]), "/opt", NEW)
