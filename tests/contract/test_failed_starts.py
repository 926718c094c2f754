"""A start that fails leaves nothing behind: no control group, no descriptor, no process."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from sandbox_programs import HOST, SANDBOXES, spec, start

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes import cgroups, requirements
from reprolake_builder.sandboxes.interface import Bind, ImageRoot
from reprolake_builder.sandboxes.trial import trial

LAUNCHED = [pytest.param(name, marks=pytest.mark.engine(name)) for name in ("bubblewrap", "apptainer")]


def groups():
    """Control groups of this process's."""
    own = f"reprolake-{os.getpid()}-*"
    return [path for place in cgroups.places().values() for path in place.folder.glob(own)]


def held():
    """Numbers of the descriptors that are open here, and of the children."""
    gc.collect()  # an error holds on to those whom it passed
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return sorted(os.listdir("/proc/self/fd")), children


@pytest.mark.parametrize("name", LAUNCHED)
@pytest.mark.parametrize("why", ["too many trees", "no such folder", "no descriptors"])
def test_a_start_that_fails_leaves_nothing(name, why, tmp_path, monkeypatch):
    """Before the launcher runs, in the launcher, and when no more files can be opened: what was made is given up again."""
    if not cgroups.places():
        pytest.skip("this host has no control groups for us")
    sandbox = SANDBOXES[name]()
    start(sandbox, spec(HOST, "true")).wait(60)
    given = {
        "too many trees": spec(ImageRoot((tmp_path,) * 500), "true"),
        "no such folder": spec(HOST, "true", binds=(Bind(tmp_path / "absent", "/in"),)),
        "no descriptors": spec(HOST, "true"),
    }[why]
    before = held()
    if why == "no descriptors":

        def refuse(*_):
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises((SandboxError, OSError)):
        start(sandbox, given)
    assert groups() == []
    assert held() == before


@pytest.mark.engine("bubblewrap")
def test_why_a_sandbox_does_not_work_is_told_in_its_own_words(monkeypatch):
    """Whoever asks whether a sandbox works reads what its program said, and nothing when it does."""
    sandbox = SANDBOXES["bubblewrap"]()
    assert sandbox.problem() == ""
    monkeypatch.setattr(requirements, "bwrap", lambda: "/bin/ls")
    found = trial(sandbox, "bubblewrap")
    assert found.startswith("the sandbox cannot be set up: the launcher ended with 2")
    assert "unrecognized option '--args'" in found
