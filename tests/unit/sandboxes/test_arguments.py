"""Bubblewrap's arguments for a sandbox."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from reprolake_builder.sandboxes.arguments import arguments, mount_points
from reprolake_builder.sandboxes.interface import (
    Bind,
    CopyOnWrite,
    Doors,
    HostRoot,
    ImageRoot,
    Limits,
    SandboxSpec,
)

SPEC = SandboxSpec(
    root=ImageRoot((Path("/store/one"), Path("/store/two"))),
    argv=("python", "-c", "pass"),
    env={"A": "1"},
    cwd="/repo",
    binds=(Bind(Path("/secret/in"), "/data"), Bind(Path("/secret/out"), "/out", writable=True)),
    copy_on_write=CopyOnWrite(Path("/store/two/repo"), Path("/secret/scratch"), "/repo"),
    home="/home/jovyan",
    limits=Limits(tmp_bytes=12345),
)


def words(spec=SPEC, *, copied=False):
    return arguments(spec, seccomp=7, report=8, copied=copied)


def follows(words, *expected):
    """Whether the words stand there in a row."""
    return any(tuple(words[n : n + len(expected)]) == expected for n in range(len(words)))


@pytest.mark.parametrize(
    "flag",
    [
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
    ],
)
def test_every_layer_is_asked_for(flag):
    """Namespaces, an end with the parent, an own session and an empty environment are always there."""
    assert flag in words()


def test_filter_capabilities_and_identity():
    """The filter is passed, capabilities are dropped, host name and user are not the host's."""
    for expected in (
        ("--seccomp", "7"),
        ("--cap-drop", "ALL"),
        ("--hostname", "reprolake"),
        ("--uid", "1000"),
        ("--gid", "100"),
    ):
        assert follows(words(), *expected)


def test_no_host_path_is_named():
    """The arguments hold no path of the host: the launcher gives everything a neutral name."""
    assert not [word for word in words() if "secret" in word or "store" in word]


def test_binds_are_read_only_unless_writable():
    """Only what was declared writable is."""
    assert follows(words(), "--ro-bind", "/tmp/b/0", "/data")
    assert follows(words(), "--bind", "/tmp/b/1", "/out")
    assert follows(words(), "--ro-bind", "/tmp/root", "/")


def test_memory_folders_have_a_size():
    """Every folder in memory is limited, and the ones without a limit end up read-only."""
    found = words()
    for place, word in enumerate(found):
        if word == "--tmpfs":
            assert found[place - 2 : place] == ["--size", "12345"]
    assert follows(found, "--remount-ro", "/dev")
    assert found.index("--remount-ro") > max(
        n for n, word in enumerate(found) if word in {"--tmpfs", "--bind"}
    )


def test_a_real_copy_replaces_the_overlay():
    """When files had to be copied the copy is what the program sees."""
    assert follows(words(), "--bind", "/tmp/repo", "/repo")
    assert follows(words(copied=True), "--bind", "/tmp/scratch/copy", "/repo")


def test_host_root_shows_the_listed_paths_only():
    """A host root is made of its paths, read-only, at the same places."""
    spec = SandboxSpec(root=HostRoot((Path("/usr/lib"),)), argv=("true",), env={})
    found = words(spec)
    assert follows(found, "--ro-bind", "/tmp/b/0", "/usr/lib")
    assert sum(word.endswith("bind") for word in found) == 1


def test_mount_points_cover_everything_mounted():
    """Whatever is mounted in a read-only root has a place there."""
    assert {"/proc", "/dev", "/tmp", "/run", "/var/tmp", "/home/jovyan", "/repo"} == set(mount_points(SPEC))


def test_the_network_is_the_launchers_only_where_there_are_doors():
    """Bubblewrap makes a network of its own, unless the launcher has made one whose sockets were handed out."""
    assert "--share-net" not in words()
    assert words(dataclasses.replace(SPEC, doors=Doors(dials=1))).count("--share-net") == 1
