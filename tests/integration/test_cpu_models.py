"""What the store hashes and what leaves it compressed does not depend on the processor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
MODELS = ("qemu64", "Nehalem", "Haswell", "max")
# Sixteen pieces of text, which compress, and of noise, which does not: both go through every branch of a compressor.
PROGRAM = """
import hashlib, json, random, sys
from pathlib import Path
from small_image import base, small_image, top
from reprolake_builder.progress import SILENT
from reprolake_builder.publish import parse_destination, publish
from reprolake_builder.store import Store

def large(root):
    (root / "text").write_bytes(b"".join(b"%d squared is %d\\n" % (i, i * i) for i in range(150_000)))
    (root / "noise").write_bytes(random.Random(1).randbytes(3 << 20))

folder = Path(sys.argv[1])
store = Store(folder / "store")
image = small_image(store, base, top, large)
publication = publish(image, parse_destination(f"oci:{folder}/layout", "lab/x:1", {}), store, SILENT)
indexes = [(store.tree(key).folder / "index").read_bytes() for layer in image.layers for key in layer.trees]
blobs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "layout/blobs/sha256").iterdir()}
print(json.dumps([image.id, publication.manifest, [hashlib.sha256(index).hexdigest() for index in indexes], blobs]))
"""


def on(model: str, *argv: str | Path) -> str:
    """Return what a program prints on another processor."""
    done = subprocess.run(
        ["qemu-x86_64", "-cpu", model, *map(str, argv)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.engine("qemu")
def test_an_exported_image_is_the_same_on_every_processor(tmp_path):
    """Trees, their indexes, layers and the compressed layout have the same bytes on processors of four generations."""
    answers = {}
    for model in MODELS:
        answers[model] = json.loads(on(model, sys.executable, "-c", PROGRAM, tmp_path / model))
        shutil.rmtree(tmp_path / model)
    here = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "here"],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        check=True,
    )
    assert set(map(str, answers.values())) == {str(json.loads(here.stdout))}
    assert len(answers["max"][3]) == 5  # three layers, configuration and manifest


@pytest.mark.engine("qemu")
def test_the_processors_differ_in_what_they_can(tmp_path):
    """The models are no mere names: the C library counts other levels of instructions on each generation."""
    loader = tmp_path / "ld.so"
    loader.symlink_to("/lib64/ld-linux-x86-64.so.2")
    levels = [on(model, loader, "--help").count("(supported, searched)") for model in MODELS]
    assert levels[0] < levels[1] < levels[2]
