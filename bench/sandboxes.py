"""What each sandbox costs beside bubblewrap: a trivial notebook from the command line, and loading an image into an engine."""

from __future__ import annotations

import functools
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.measure import call, pair
from bench.places import REPROLAKE, ROOT, STORE, WORK, Line, locked
from reprolake_builder.sandboxes.choice import every

_SAMPLE = ROOT / "sample-repos" / "no-parameters"
_ENGINES = {"docker", "podman"}
_ROUNDS = 11


def overheads() -> Iterator[Line]:
    """Every sandbox that works here; engines forget all images of sandboxes before the first load."""
    lock = locked(_SAMPLE)
    results = WORK / "sandboxes"
    usual = functools.partial(_run, lock, "bubblewrap", results)
    usual()
    for name, sandbox in every(os.environ):
        if name == "bubblewrap":
            continue
        if problem := sandbox.problem():
            yield f"trivial notebook, {name}", f"not here: {problem}", "-"
            continue
        one = functools.partial(_run, lock, name, results)
        if name in _ENGINES:
            _forget(name)
            for what in ("first", "second"):
                yield f"loading, {what} run, {name}", f"{_loading(one, results):.2f} s", "-"
        pairing = pair(one, usual, _ROUNDS)
        ours, theirs = statistics.median(pairing.ours), statistics.median(pairing.theirs)
        more = statistics.median(a - b for a, b in zip(pairing.ours, pairing.theirs, strict=True))
        told = f"{ours:.2f} s, bubblewrap {theirs:.2f} s: {more:+.2f} s, {pairing.ratio:.2f}x"
        yield f"trivial notebook, {name}", told, "-"
    shutil.rmtree(results)


def _run(lock: Path, sandbox: str, results: Path) -> None:
    shutil.rmtree(results, ignore_errors=True)
    call(
        [
            REPROLAKE,
            "run",
            lock,
            "sum.ipynb",
            "--sandbox",
            sandbox,
            "--stage",
            results,
            "--store",
            STORE,
            "-q",
        ]
    )


def _loading(run: functools.partial[None], results: Path) -> float:
    """Return how long a run took to load, in seconds, by its record."""
    run()
    (record,) = results.glob("*/run.json")
    return float(json.loads(record.read_text())["seconds"]["loading"])


def _forget(engine: str) -> None:
    label = ["--filter", "label=reprolake.sandbox"]
    listed = subprocess.run(
        [engine, "image", "ls", "--quiet", *label], capture_output=True, text=True, check=True
    )
    if names := sorted(set(listed.stdout.split())):
        call([engine, "image", "rm", "--force", *names])
