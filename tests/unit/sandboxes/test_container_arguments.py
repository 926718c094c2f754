"""Arguments for a container of docker or podman."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from reprolake_builder.sandboxes import init_program
from reprolake_builder.sandboxes.container_arguments import Container, Engine, create_arguments, odd_paths
from reprolake_builder.sandboxes.interface import Bind, HostRoot, ImageRoot, Limits, SandboxSpec

SPEC = SandboxSpec(
    root=ImageRoot((Path("/store/one"),)),
    argv=("python", "-c", "pass"),
    env={"A": "1", "PATH": "/opt/bin:/bin"},
    cwd="/repo",
    binds=(Bind(Path("/secret/in"), "/data"), Bind(Path("/secret/out"), "/out", writable=True)),
    home="/home/jovyan",
    limits=Limits(tmp_bytes=12345, memory_bytes=1 << 30, cpus=1.5, processes=99),
)
GROUPS = dict.fromkeys(("memory", "cpu", "pids"), "cgroup v2")
DOCKER = Engine("docker", "28", is_rootless=False, controllers=GROUPS, user=(7000, 7000))
PODMAN = Engine(
    "podman", "5", is_rootless=True, controllers={}, user=(1000, 100), more=("--userns", "keep-id")
)
CONTAINER = Container(
    image="sha256:00",
    name="reprolake-1",
    labels={"reprolake.owner": "1-2-3"},
    binds=(Bind(Path("/own/report"), init_program.REPORT, writable=True),),
    processes=500,
    core=1,
)


def words(spec=SPEC, engine=DOCKER, **more):
    return create_arguments(spec, engine, replace(CONTAINER, **more))


def follows(words, *expected):
    """Whether the words stand there in a row."""
    return any(tuple(words[n : n + len(expected)]) == expected for n in range(len(words)))


@pytest.mark.parametrize("engine", [DOCKER, PODMAN], ids=["docker", "podman"])
@pytest.mark.parametrize(
    "expected",
    [
        ("--network", "none"),
        ("--read-only",),
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--ipc", "private"),
        ("--cgroupns", "private"),
        ("--hostname", "reprolake"),
        ("--log-driver", "none"),
        ("--pull", "never"),
        ("--restart", "no"),
        ("--no-healthcheck",),
        ("--workdir", "/"),
        ("--label", "reprolake.owner=1-2-3"),
        ("--entrypoint", init_program.PATH, "sha256:00"),
        ("--ulimit", "core=1:1"),
    ],
    ids=lambda words: words[0],
)
def test_every_layer_is_asked_for(engine, expected):
    """Isolation is named, never left to the engine's or the image's configuration; the image is named by its id."""
    assert follows(words(engine=engine), *expected)


def test_nothing_is_granted():
    """No privilege, no network, no device and no volume is asked for, unless the specification does."""
    flags = {word.split("=")[0] for word in words()}
    assert not flags & {"--privileged", "--cap-add", "--device", "--volume", "--publish", "--gpus", "--init"}


def test_limits_are_the_engines_where_it_has_groups():
    """Memory leaves no swap, the first process is ours and does not count, and without groups resource limits hold what they can."""
    for expected in (
        ("--memory", f"{1 << 30}b", "--memory-swap", f"{1 << 30}b"),
        ("--cpus", "1.5"),
        ("--pids-limit", "100"),
        ("--tmpfs", "/tmp:rw,exec,nosuid,nodev,size=12345,mode=1777"),
        ("--tmpfs", "/home/jovyan:rw,exec,nosuid,nodev,size=12345,mode=0700,uid=7000,gid=7000"),
    ):
        assert follows(words(), *expected)
    without = words(engine=PODMAN)
    assert not {"--memory", "--cpus", "--pids-limit", "--oom-score-adj"} & set(without)
    assert follows(without, "--ulimit", "nproc=100:100")
    assert any("destination=/home/jovyan" in word and "chown=true" in word for word in without)


def test_binds_are_read_only_unless_writable():
    """What comes from the host is bound by its path, at its place, read-only unless it is to be written."""
    assert "type=bind,source=/secret/in,target=/data,readonly" in words()
    assert "type=bind,source=/secret/out,target=/out" in words()
    shown = words(replace(SPEC, root=HostRoot((Path("/usr"),))))
    assert "type=bind,source=/usr,target=/usr,readonly" in shown


@pytest.mark.parametrize("name", ["a,b", 'a"b', "a\nb"])
def test_names_that_would_add_options_are_odd(name):
    """A comma or a quote in a path would end a field of --mount."""
    assert odd_paths((Bind(Path("/in") / name, "/data"),)) == [f"/in/{name}"]
    assert odd_paths((Bind(Path("/in"), f"/{name}"),)) == [f"/{name}"]
    assert odd_paths(SPEC.binds) == []


@pytest.mark.parametrize(("gpus", "expected"), [("all", ("--gpus", "all")), ("2", ("--gpus", "2"))])
def test_graphics_processors_are_passed_on(gpus, expected):
    """They are docker's own option."""
    assert follows(words(replace(SPEC, gpus=gpus)), *expected)


def test_streams_decide_on_input_and_terminal():
    """A program without an input gets none, and a terminal only when there is one."""
    assert "--interactive" not in words()
    assert "--interactive" in words(has_input=True)
    assert "--tty" not in words(has_input=True)
    assert {"--interactive", "--tty"} <= set(words(has_terminal=True))


def test_the_command_is_all_words_of_the_first_process():
    """After the image stand variables, folder, where the program may lie and its arguments; the engine adds no variable to them."""
    found = words()
    command = found[found.index("sha256:00") + 1 :]
    assert command == [
        "A=1", "PATH=/opt/bin:/bin", "", "/repo", "/opt/bin/python", "/bin/python", "", "python", "-c", "pass"
    ]  # fmt: skip
    bare = replace(SPEC, env={}, cwd="/", argv=("./x", ""))
    assert init_program.words(bare) == ["", "/", "./x", "", "./x", ""]
