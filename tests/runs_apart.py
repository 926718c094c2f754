"""Runs in processes of their own, which tests can look at while they go on, signal and kill."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from notebook_runs import notebook
from waiting import until

_PROGRAM = """
import pickle, sys
sys.path[:0] = {path!r}
from pathlib import Path
from reprolake_builder.store import Store
from reprolake_runner.execute import execute
from reprolake_builder.documents.base import encode
image, store, plan = pickle.loads(Path({given!r}).read_bytes())
Path({record!r}).write_bytes(encode(execute(image, Store(store), plan).record))
"""


@dataclass(frozen=True)
class Apart:
    """A run that goes on: the process of its supervisor, and the folder of its plan."""

    child: subprocess.Popen
    folder: Path

    @property
    def record(self):
        """The run record, once the run is over."""
        return json.loads((self.folder / "record").read_bytes())

    def until(self, is_so):
        """Wait for something that happens while the run goes on."""

        def look():
            assert self.child.poll() is None
            return is_so()

        return until(look)


def run_apart(runs, *cells, **given):
    """Start a run of these cells in a process of its own."""
    files = {"analysis.ipynb": notebook(*cells)}
    image = runs.with_repository(files)
    plan = runs.plan(image, files, "analysis.ipynb", **given)
    (plan.folder / "given").write_bytes(pickle.dumps((image, runs.store.root, plan)))
    source = _PROGRAM.format(
        path=sys.path, given=str(plan.folder / "given"), record=str(plan.folder / "record")
    )
    return Apart(subprocess.Popen([sys.executable, "-c", source]), plan.folder)
