"""Groups that systemd makes for us: how they are asked for, and how their counts are found."""

from __future__ import annotations

import os

from reprolake_builder.sandboxes import scope
from reprolake_builder.sandboxes.interface import Limits


def test_the_limits_are_asked_for_in_systemds_words():
    """Each limit that is set is a property of the scope; those that are not are left out."""
    words = scope.prefix(Limits(processes=77, memory_bytes=1 << 30, cpus=1.5))
    assert words[:5] == ("/usr/bin/systemd-run", "--user", "--scope", "--quiet", "--collect")
    assert set(words[6:-1:2]) == {
        "TasksMax=77", "MemoryAccounting=yes", "CPUAccounting=yes", "MemoryMax=1073741824", "MemorySwapMax=0", "CPUQuota=150%"
    }  # fmt: skip
    assert words[-1] == "--"
    assert not [word for word in scope.prefix(Limits()) if word.startswith(("MemoryMax", "CPUQuota"))]


def test_it_is_not_there_without_a_manager():
    """For root, and where no service manager of the user answers, nothing is started by systemd."""
    assert not (scope.is_there() and os.geteuid() == 0)


def test_counts_are_those_of_the_group_that_the_process_is_in(tmp_path):
    """The group's folder is taken from the process, and its files are read as for any group of version 2."""
    with open("/proc/self/cgroup") as stream:
        path = next((line[3:].strip() for line in stream if line.startswith("0::")), None)
    if path is None:
        return
    folder = tmp_path / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {
        "memory.stat": "anon 10\nshmem 1\n", "memory.events": "oom_kill 1\n", "cpu.stat": "usage_usec 5000000\n",
        "pids.current": "3\n", "pids.events": "max 0\n",
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    group = scope.Scope(tmp_path)
    group.joined(os.getpid())
    counts = group.counts()
    assert (counts.cpu_seconds, counts.memory_bytes, counts.processes, counts.kills) == (5.0, 11, 3, 1)
