"""Where control groups can be made, and what is written to them: for version 2, whose files are imitated here."""

from __future__ import annotations

import pytest

from reprolake_builder.sandboxes import cgroups
from reprolake_builder.sandboxes.interface import Limits

MOUNTS = "30 20 0:26 / {at} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.fixture
def unified(tmp_path):
    """A process in /user/job of a version 2 hierarchy; `user` hands controllers on."""
    top, process = tmp_path / "cgroup 2", tmp_path / "process"
    (top / "user/job").mkdir(parents=True)
    process.mkdir()
    for folder, controllers in ((top, "memory"), (top / "user", "cpu memory pids"), (top / "user/job", "")):
        (folder / "cgroup.subtree_control").write_text(controllers)
        (folder / "cgroup.procs").touch()
    (process / "cgroup").write_text("0::/user/job\n")
    (process / "mountinfo").write_text(MOUNTS.format(at=str(top).replace(" ", "\\040")))
    return process, top / "user"


def test_groups_of_version_2_are_made_beside_our_own(unified):
    """Ours holds processes and cannot hand controllers on: a group is made where it lies itself."""
    process, user = unified
    found = cgroups.places.__wrapped__(process)
    assert {name: (place.folder, place.version) for name, place in found.items()} == dict.fromkeys(
        ("memory", "cpu", "pids", "cpuacct"), (user, 2)
    )


def test_limits_of_version_2_are_written_and_counts_read(unified):
    """Memory without swap, processors and processes are limited in one folder, and what it counts is read back."""
    process, user = unified
    found = cgroups.places.__wrapped__(process)
    made = []

    class Imitated(cgroups.Group):
        def _limit(self, limits):
            made.append(next(folder for folder in user.iterdir() if folder.name.startswith("reprolake-")))
            (made[0] / "memory.swap.max").write_text("max")
            super()._limit(limits)

    group = Imitated(Limits(memory_bytes=1 << 30, cpus=1.5, processes=77), found)
    folder = made[0]
    assert group.procs == (str(folder / "cgroup.procs"),)
    wrote = {path.name: path.read_text() for path in folder.iterdir()}
    assert wrote == {
        "memory.max": str(1 << 30), "memory.swap.max": "0", "cpu.max": "150000 100000", "pids.max": "77"
    }  # fmt: skip
    (folder / "memory.stat").write_text("anon 100\nfile 5000\nshmem 20\n")
    (folder / "memory.events").write_text("low 0\noom_kill 2\n")
    (folder / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    (folder / "pids.current").write_text("5\n")
    (folder / "pids.events").write_text("max 3\n")
    counts = group.counts()
    assert (counts.cpu_seconds, counts.memory_bytes, counts.processes, counts.kills, counts.refused) == (
        2.5, 120, 5, 2, 3
    )  # fmt: skip


def test_a_host_without_groups_has_no_places(tmp_path):
    """Without the files of proc, or without a hierarchy that we may write to, there is nowhere to make a group."""
    assert cgroups.places.__wrapped__(tmp_path) == {}
    (tmp_path / "cgroup").write_text("0::/\n")
    (tmp_path / "mountinfo").write_text("nonsense\n" + MOUNTS.format(at="/nonexistent"))
    assert cgroups.places.__wrapped__(tmp_path) == {}
