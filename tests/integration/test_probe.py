"""The probe of sandboxes: the same verdicts everywhere, and open where a wall is taken down."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_runs import Runs, notebook
from sandbox_programs import SANDBOXES
from weakened import weaken

from reprolake.cli import run
from reprolake.probe.inside import ROWS
from reprolake.probe.outside import LIMITS, probe, questions, source, verdicts
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import Bind, Limits
from reprolake_runner.execute import execute

EVERYWHERE = {"paths in mountinfo", "memory of the first process"}
ENGINES = {*EVERYWHERE, "hardware", "user"} if os.geteuid() == 0 else {*EVERYWHERE, "hardware"}
DIFFERS = {"bubblewrap": EVERYWHERE, "apptainer": EVERYWHERE, "podman": ENGINES, "docker": ENGINES}
"""The golden table: every row holds in every sandbox, but these."""

each = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.engine(name)) for name in SANDBOXES]
)


def opened(found):
    """Names of the rows that do not hold."""
    return {row.name for row in found.rows if not row.holds}


@each
def test_every_sandbox_keeps_every_promise(name):
    """All promised rows hold in each sandbox; the others are those of the table, each with its reason."""
    found = probe(name, SANDBOXES[name]())
    assert [(row.name, row.seen) for row in found.rows if not row.holds and not row.why] == []
    assert found.ok
    assert opened(found) == DIFFERS[name]
    assert {row.name for row in found.rows} == set(ROWS)


@each
def test_a_notebook_says_the_same(name, built_image, session, tmp_path):
    """As a notebook in an image, one row to a cell, the probe has the same verdicts."""
    with questions(tmp_path) as (given, _):
        begin = f"{source().rpartition('if __name__')[0]}\ngiven = {{**{given!r}, 'descriptors': []}}\nassert is_inside(given)"
        cells = [begin, *(f"print(verdict({row!r}, given))" for row in ROWS)]
        files = {"probe.ipynb": notebook(*cells)}
        runs = Runs(built_image, session.tools.store, tmp_path / "runs")
        image = runs.with_repository(files)
        env = {"PROBE_NONCE": given["nonce"]}
        plan = runs.plan(image, files, "probe.ipynb", limits=LIMITS, env=env)
        done = execute(image, session.tools.store, plan, SANDBOXES[name]())
    assert done.record.status == "succeeded"
    told = json.loads(done.notebook.read_text())["cells"][1:]
    said = {row: "".join(one["outputs"][0]["text"]).strip() for row, one in zip(ROWS, told, strict=True)}
    found = verdicts(name, said)
    assert [(row.name, row.seen) for row in found.rows if not row.holds and not row.why] == []
    assert opened(found) <= DIFFERS[name]


def test_it_refuses_to_run_outside(tmp_path):
    """On the host nothing is tried, not even with the right word."""
    with questions(tmp_path) as (given, _):
        done = subprocess.run(
            [sys.executable, "-c", source()],
            input=json.dumps(given).encode(),
            env={"PROBE_NONCE": given["nonce"]},
            capture_output=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (99, b"")
    assert b"nothing was tried" in done.stderr


WEAK = {
    "root", "environment", "descriptors", "mounts", "namespaces", "privileges", "filter", "other processes' memory", "keyrings",
    "kernel interfaces", "network", "sockets of the host", "kinds of sockets", "terminal", "names of the machine",
}  # fmt: skip
"""Rows that are open when filter, namespaces, capabilities, keyring and environment are shared with the host."""
WIDER = {"host files", "processes", "devices", "folders in memory", "kernel settings", "processes' number", "resources", "user",
         "hardware"}  # fmt: skip
"""Rows that are open when more of the host is shown, as another user, with larger limits."""


@pytest.mark.engine("bubblewrap")
def test_without_walls_the_rows_are_open(monkeypatch):
    """In a sandbox whose walls were taken down the probe finds each of them missing."""
    monkeypatch.setenv("HOST_SECRET", "a word of the host")
    weaken(monkeypatch, secret="a word of the host")
    found = probe("weakened", Bubblewrap())
    assert opened(found) >= WEAK
    assert not found.ok


class Wider:
    """Bubblewrap that is asked for more than the probe allows."""

    def __init__(self, folder):
        self._sandbox = Bubblewrap()
        self._setting = folder / "setting"
        self._setting.write_text("")
        self._setting.chmod(0o666)

    def start(self, spec, **streams):
        """Start it with files, processes and devices of the host, as another user, and with no limits to speak of."""
        shown = tuple(Bind(path, str(path)) for path in (spec.binds[0].source.parent,))
        more = (
            Bind(Path("/proc"), "/proc"),
            Bind(Path("/sys"), "/sys"),
            Bind(Path("/dev/fuse"), "/dev/fuse"),
        )
        setting = Bind(self._setting, "/proc/sys/kernel/core_pattern", writable=True)
        return self._sandbox.start(
            dataclasses.replace(spec, binds=(*spec.binds, *shown, *more, setting), uid=1234, limits=Limits()),
            **streams,
        )


@pytest.mark.engine("bubblewrap")
def test_with_more_of_the_host_the_rows_are_open(tmp_path):
    """In a sandbox that shows more, or limits less, the probe sees it."""
    assert opened(probe("wider", Wider(tmp_path))) >= WIDER
    assert set(ROWS) == WEAK | WIDER | EVERYWHERE


@pytest.mark.engine("apptainer")
def test_doctor_tells_row_by_row(reprolake):
    """`doctor --sandbox NAME` lists the rows of that sandbox, those that differ with the reason."""
    done = reprolake("doctor", "--sandbox", "apptainer")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "apptainer: keeps all that is promised"
    assert sum(line.startswith("  holds ") for line in lines) == len(ROWS) - len(EVERYWHERE)
    assert sum(line.startswith("  differs ") for line in lines) == len(EVERYWHERE)
    assert sum("not promised: " in line for line in lines) == len(EVERYWHERE)


@pytest.mark.engine("bubblewrap")
def test_doctor_ends_with_23_when_a_promise_is_broken(monkeypatch, tmp_path, capsys):
    """A promise that does not hold is named, and the exit code says so."""
    weaken(monkeypatch)
    arguments = ["doctor", "--sandbox", "bubblewrap", "--json", "--store", str(tmp_path / "store")]
    assert run(arguments) == 23
    (one,) = json.loads(capsys.readouterr().out)["sandboxes"]
    assert not one["ok"]
    assert "keyrings" in {row["name"] for row in one["rows"] if not row["holds"]}
