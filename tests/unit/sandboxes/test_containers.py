"""What is concluded from what an engine says of itself, and of containers."""

from __future__ import annotations

import os

import pytest

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.container_host import DOCKER, PODMAN, engine_of
from reprolake_builder.sandboxes.containers import Containers
from reprolake_builder.sandboxes.interface import Limits


def docker(**more):
    limits = {"MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": True}
    return {
        "ServerVersion": "28.1",
        "CgroupVersion": "2",
        "SecurityOptions": ["name=seccomp"],
        **limits,
        **more,
    }


def podman(*, rootless, version="v2", selinux=False):
    security = {"rootless": rootless, "selinuxEnabled": selinux}
    host = {"security": security, "cgroupVersion": version, "cgroupControllers": ["cpu", "memory", "pids"]}
    return {"host": host, "version": {"Version": "5.0"}}


def test_root_of_a_daemon_is_given_a_number_of_its_own():
    """A daemon of root's runs programs as the number; a caller who is not root stays who they are."""
    assert engine_of(DOCKER, docker(), 7000).user == (7000, 7000)
    assert engine_of(DOCKER, docker(), -1).user == (os.geteuid(), os.getegid())


def test_the_callers_own_daemon_has_the_caller_as_root():
    """Without root the engine's user 0 is the caller, and the only one who can use the caller's files."""
    found = engine_of(DOCKER, docker(SecurityOptions=["name=seccomp", "name=rootless"]), -1)
    assert (found.user, found.is_rootless) == ((0, 0), True)


def test_users_of_containers_are_not_mapped_away():
    """Where a daemon maps users the number would be another one outside, and what is written nobody's."""
    assert engine_of(DOCKER, docker(SecurityOptions=["name=userns"]), 7000).more == ("--userns", "host")
    assert engine_of(DOCKER, docker(), 7000).more == ()


def test_labels_of_selinux_do_not_hide_what_is_bound():
    """With SELinux binds are read without other labels; without it nothing is said of them."""
    unlabelled = ("--security-opt", "label=disable")
    assert engine_of(DOCKER, docker(SecurityOptions=["name=selinux"]), 7000).more == unlabelled
    assert engine_of(PODMAN, podman(rootless=False, selinux=True), 7000).more == unlabelled


def test_only_limits_that_the_engine_has_are_its_own():
    """What an engine says it cannot limit is not promised."""
    assert set(engine_of(DOCKER, docker(), 1).controllers) == {"memory", "cpu", "pids"}
    assert set(engine_of(DOCKER, docker(CpuCfsQuota=False), 1).controllers) == {"memory", "pids"}
    assert set(engine_of(PODMAN, podman(rootless=True), -1).controllers) == {"memory", "cpu", "pids"}
    assert not engine_of(PODMAN, podman(rootless=True, version="v1"), -1).controllers


def test_podman_without_root_maps_the_caller_to_the_images_user():
    """The program is 1000 inside and the caller outside; root's is a number of its own."""
    found = engine_of(PODMAN, podman(rootless=True), -1)
    assert (found.user, found.more) == ((1000, 100), ("--userns", "keep-id:uid=1000,gid=100"))
    assert engine_of(PODMAN, podman(rootless=False), 7000).user == (7000, 7000)


@pytest.mark.parametrize(("lacks", "file"), [("uidmap", "/etc/subuid"), ("gidmap", "/etc/subgid")])
def test_podman_without_numbers_for_its_user_is_refused_at_once(lacks, file):
    """Where the caller has one number only no image can be loaded: that is said before it is tried, with the remedy."""
    own = {"container_id": 0, "host_id": 1500, "size": 1}
    more = {"container_id": 1, "host_id": 100000, "size": 65536}
    facts = podman(rootless=True)
    facts["host"]["idMappings"] = {"uidmap": [own, more], "gidmap": [own, more]}
    assert engine_of(PODMAN, facts, -1).is_rootless
    facts["host"]["idMappings"][lacks] = [own]
    with pytest.raises(SandboxError, match=file) as caught:
        engine_of(PODMAN, facts, -1)
    assert "usermod --add-subuids" in caught.value.hint


def test_a_processor_limit_that_nothing_holds_is_weaker():
    """Without control groups memory is watched, and processors are not promised."""
    sandbox = Containers(PODMAN, {})
    vars(sandbox)["_engine"] = engine_of(PODMAN, podman(rootless=True, version="v1"), -1)
    held = sandbox.holds(Limits(memory_bytes=1, cpus=1))
    assert held["memory_bytes"].watched
    assert held["cpus"].weaker
    assert not held["processes"].weaker


def test_a_podman_that_answers_to_docker_is_told():
    """Some systems install podman under docker's name; the error names the sandbox to choose."""
    with pytest.raises(SandboxError, match="docker is podman's here") as caught:
        engine_of(DOCKER, podman(rootless=True), -1)
    assert caught.value.hint == "choose --sandbox podman"


@pytest.mark.parametrize("kind", [DOCKER, PODMAN])
def test_an_engine_that_is_not_there_is_missing(kind):
    """It says so, with the package that has it, and does not fail."""
    assert (
        f"{kind.program} is not installed here; install the Debian package"
        in Containers(kind, {"PATH": "/nonexistent"}).missing()
    )
