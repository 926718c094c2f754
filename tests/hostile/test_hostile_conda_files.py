"""Files about conda environments may come from anybody: whatever they hold, they are understood or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_trees import source_tree

from reprolake_builder.conda.lock_formats import read_conda_lock, read_explicit, read_pixi_lock
from reprolake_builder.detect import detect
from reprolake_builder.documents.base import decode, encode
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.errors import DetectError, LockError

SHA = "ab" * 32
FILES = {
    "environment.yml": "channels: [a, https://h.example/c]\ndependencies:\n- python=3.11\n- a::x[version='>=1']\n"
    "- pip:\n  - six==1.0\n  - -e .\nvariables: {A: b}\nplatforms: [linux-64]\n",
    "pixi.toml": '[workspace]\nchannels = ["a"]\n[dependencies]\nx = {version = "1", build = "b"}\n'
    '[pypi-dependencies]\ny = {version = "*", extras = ["z"]}\n[activation.env]\nA = "b"\n',
    "conda-lock.yml": "version: 1\nmetadata:\n  channels:\n  - url: a\npackage:\n- name: x\n  version: '1'\n  manager: conda\n"
    f"  platform: linux-64\n  url: https://h.example/a/noarch/x-1-0.conda\n  hash:\n    sha256: {SHA}\n  category: main\n",
    "pixi.lock": "version: 6\nenvironments:\n  default:\n    channels:\n    - url: a\n    packages:\n      linux-64:\n"
    f"      - conda: https://h.example/a/noarch/x-1-0.conda\npackages:\n- conda: https://h.example/a/noarch/x-1-0.conda\n  sha256: {SHA}\n",
    "spec-file.txt": f"@EXPLICIT\nhttps://h.example/a/noarch/x-1-0.conda#{SHA}\n",
}
NAMES = st.sampled_from(sorted(FILES))
ODD = st.sampled_from(
    ["\n", " ", "- ", "[", "{", "'", '"', "\0", "\x1b", "\u2028", "\ufeff", "&a ", "*a", "!!x ", "~", "::", "../", "%", "9" * 50, "=" * 9, "#"]
)  # fmt: skip


def judged(folder: Path, files: dict[str, str]) -> None:
    """Detect, and see that what was understood is a document that can be written and read."""
    try:
        spec = detect(source_tree(folder, files))
    except (DetectError, LockError):
        return
    assert decode(encode(spec), EnvironmentSpec) == spec


@settings(max_examples=80)
@given(NAMES, st.lists(st.tuples(st.integers(0, 400), ODD | st.text(max_size=3)), min_size=1, max_size=4))
def test_a_file_that_was_changed_is_understood_or_refused(tmp_path_factory, name, changes):
    """Characters put in anywhere end in a specification that is a sound document, or in an error of ours."""
    text = FILES[name]
    for place, odd in changes:
        at = place % (len(text) + 1)
        text = text[:at] + odd + text[at:]
    judged(tmp_path_factory.mktemp("changed"), {name: text.replace("\ud800", "?")})


@settings(max_examples=60)
@given(NAMES, st.text(max_size=200))
def test_any_text_is_understood_or_refused(tmp_path_factory, name, text):
    """A file of any content ends in the same ways."""
    judged(tmp_path_factory.mktemp("any"), {name: text})


@pytest.mark.parametrize("reader", [read_conda_lock, read_pixi_lock, read_explicit])
def test_lines_without_end_take_no_time(reader):
    """Long runs of what the readers look for are read in time that grows with their length, not with its square."""
    for piece in ("- ", " ", "  dependencies:\n", "package:\n", "packages:\n", "#", "[", "a: "):
        with pytest.raises(DetectError):
            reader(piece * 4_000, "the.file")
