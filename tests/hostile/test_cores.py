"""A crash inside starts nothing outside: Linux hands cores to a program of the host's, which root runs, in the host's own namespaces."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from sandbox_programs import HOST, SANDBOXES, output, spec
from waiting import until
from weakened import without_filter

from reprolake_builder.sandboxes import groups

PATTERN = Path("/proc/sys/kernel/core_pattern")
HANDLER = "#!/bin/sh\necho $1 >> {told}\n"
CRASH = """
import os, resource, signal
open('/proc/self/comm', 'w').write(os.environ['NAME'])
try:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
finally:
    print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(not os.access(PATTERN, os.W_OK), reason="only root can say what is done with cores"),
]


@pytest.fixture
def handled(tmp_path):
    """Names of the programs whose cores the host's program for cores was given so far; what there is of that is put back."""
    told, handler = tmp_path / "told", tmp_path / "handler"
    told.touch()
    handler.write_text(HANDLER.format(told=told))
    handler.chmod(0o755)
    before = PATTERN.read_text()
    PATTERN.write_text(f"|{handler} %e")
    try:
        yield lambda: told.read_text().split()
    finally:
        PATTERN.write_text(before)


def crash(sandbox):
    """The name under which a program crashed in a sandbox, and what limit it then had on cores."""
    name = secrets.token_hex(4)
    given = spec(HOST, 'exec python3 -c "$CODE"', env={"CODE": CRASH, "NAME": name})
    status, limit, errors = output(sandbox, given)
    assert status == 139, errors
    return name, limit.strip()


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.engine(name)) for name in SANDBOXES])
def test_no_program_of_the_host_is_started_by_a_crash(name, handled, monkeypatch):
    """Whatever the program does to its limits first; with the usual limit of 0, and none on calls, it would be started."""
    crashed, limit = crash(SANDBOXES[name]())
    assert limit == "(1, 1)"
    without_filter(monkeypatch)
    monkeypatch.setattr(groups, "NO_CORE", 0)
    control, limit = crash(SANDBOXES["bubblewrap"]())
    assert limit == "(0, 0)"
    until(lambda: control in handled())
    assert crashed not in handled()


def test_the_limit_alone_could_be_taken_away(handled, monkeypatch):
    """Without the filter a program sets its limit to 0, and its crash reaches the host: both are needed."""
    without_filter(monkeypatch)
    crashed, limit = crash(SANDBOXES["bubblewrap"]())
    assert limit == "(0, 0)"
    until(lambda: crashed in handled())
