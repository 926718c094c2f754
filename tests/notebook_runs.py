"""Runs of small notebooks in a real image, for the tests of execution and of escapes."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec

from reprolake_builder.image import Image, ImageLayer
from reprolake_builder.rootfs import layer_entries
from reprolake_builder.sandboxes.interface import Limits, Sandbox
from reprolake_builder.store import Store
from reprolake_builder.trees import write_tar
from reprolake_runner.bounds import Bounds
from reprolake_runner.documents.run import Parameter, ParameterSet, RunSpec
from reprolake_runner.execute import execute
from reprolake_runner.network import Network
from reprolake_runner.plan import Execution, RunPlan
from reprolake_runner.stage_out import Outcome, Staging, stage_out
from reprolake_runner.staged import new_run_id


def cell(source, *tags):
    """A code cell."""
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "code",
        "id": f"id-{secrets.token_hex(4)}",
        "metadata": metadata,
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def notebook(*cells):
    """The JSON of a notebook whose cells are sources, or made by `cell`."""
    made = [one if isinstance(one, dict) else cell(one) for one in cells]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": made})


@dataclass(frozen=True)
class Done:
    """A run that ended."""

    execution: Execution

    @property
    def record(self):
        """The run record."""
        return self.execution.record

    @property
    def states(self):
        """States of the code cells."""
        return [one.state for one in self.record.cells]

    @property
    def notebook(self):
        """The executed notebook."""
        return json.loads(self.execution.notebook.read_text())

    def text(self, index):
        """What a cell printed, or showed as text."""
        outputs = self.notebook["cells"][index]["outputs"]
        parts = [one.get("text") or one.get("data", {}).get("text/plain", []) for one in outputs]
        return "".join("".join(part) for part in parts)

    def staged(self, folder):
        """The run as a staged result."""
        one = self.execution
        outcome = Outcome(
            one.record, one.repository, one.notebook, one.output, one.upper, one.printed, one.events
        )
        return stage_out(outcome, Staging(folder, timedelta(days=1)))

    @property
    def events(self):
        """The event log."""
        return [json.loads(line) for line in self.execution.events.read_text().splitlines()]


@dataclass(frozen=True)
class Runs:
    """Runs notebooks in the environment of `image`, each in a repository of its own; `folder` is for what they leave.

    `sandbox` isolates them, None for the one that is used when none is named.
    """

    image: Image
    store: Store
    folder: Path
    sandbox: Sandbox | None = None

    def with_repository(self, files):
        """The image with these files (path to text) as its repository."""
        key = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()

        def fill(root):
            for path, text in files.items():
                place = root / "repo" / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)

        self.store.make_tree(key, fill)
        layer = ImageLayer(diff_id=f"sha256:{key}", size=0, trees=(key,), comment="the test's repository")
        made = msgspec.structs.replace(
            self.image, id=f"sha256:{key}", layers=(*self.image.layers[:-1], layer)
        )
        content = io.BytesIO()
        write_tar(layer_entries(made, layer, self.store), content.write)
        diff_id = f"sha256:{hashlib.sha256(content.getvalue()).hexdigest()}"
        layer = msgspec.structs.replace(layer, diff_id=diff_id, size=content.tell())
        return msgspec.structs.replace(made, layers=(*made.layers[:-1], layer))

    def plan(self, image, files, path, parameters=None, **spec):
        """The plan of a run in a fresh folder."""
        folder = self.folder / secrets.token_hex(6)
        folder.mkdir(mode=0o700, parents=True)
        given = [Parameter(name=name, value=value, origin="-p") for name, value in (parameters or {}).items()]
        limits = spec.pop("limits", Limits())
        bounds = spec.pop("bounds", Bounds())
        inputs = spec.pop("inputs", None)
        env = spec.pop("env", {})
        network = spec.pop("network", Network())
        return RunPlan(
            spec=RunSpec(
                image=image.id,
                notebook=path,
                notebook_sha256=hashlib.sha256(files[path].encode()).hexdigest(),
                parameters=ParameterSet(parameters=tuple(given)),
                network=str(network.policy),
                **spec,
            ),
            id=new_run_id(),
            folder=folder,
            inputs=inputs,
            env=env,
            limits=limits,
            bounds=bounds,
            network=network,
        )

    def until_time_is_up(self, *cells, reached, **given):
        """A run whose time is up when it has `reached` (done to truth) its point; on a slow host it gets more of it for that."""
        for seconds in (4, 15, 60):
            done = self(*cells, timeout=seconds, **given)
            if reached(done):
                break
        return done

    def __call__(self, *cells, files=None, path="analysis.ipynb", **given):
        """Run a notebook of these cells."""
        everything = {path: notebook(*cells), **(files or {})}
        image = self.with_repository(everything)
        return Done(execute(image, self.store, self.plan(image, everything, path, **given), self.sandbox))
