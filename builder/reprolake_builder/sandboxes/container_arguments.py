"""A sandbox as the arguments of `docker create` and `podman create`: pure text, so that a test can read what is promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.sandboxes import init_program
from reprolake_builder.sandboxes.arguments import FOLDERS, HOSTNAME
from reprolake_builder.sandboxes.interface import Bind, HostRoot, Limits, SandboxSpec

_PODMAN_PROCESSES = 32768  # what it limits itself to, and with it all that it starts
_ODD = frozenset(',"\n\r')


@dataclass(frozen=True, slots=True)
class Engine:
    """What an engine is and can: `controllers` are those that it limits containers by, "memory", "cpu" and "pids", in words.

    `user` are the user's and the group's number, as containers see them.
    """

    program: str
    version: str
    is_rootless: bool
    controllers: Mapping[str, str]
    user: tuple[int, int]
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """One container to be made: its image's id, its name and labels, what is bound beside the spec's own, and its streams.

    `processes` is the most that the user could have without it, `core` the size of a core (bytes) that nothing is done with.
    """

    image: str
    name: str
    labels: Mapping[str, str]
    binds: tuple[Bind, ...]
    processes: int
    core: int
    has_input: bool = False
    has_terminal: bool = False


def create_arguments(spec: SandboxSpec, engine: Engine, container: Container) -> list[str]:
    """Return what follows the engine's program."""
    words = ["create", "--name", container.name, "--pull", "never", "--log-driver", "none"]
    for name, value in container.labels.items():
        words += ["--label", f"{name}={value}"]
    words += _isolation(engine)
    words += _limits(spec.limits, engine, container)
    words += _memory_folders(spec, engine)
    for bind in (*container.binds, *host_paths(spec), *spec.binds):
        readonly = [] if bind.writable else ["readonly"]
        words += [
            "--mount",
            ",".join(["type=bind", f"source={bind.source.absolute()}", f"target={bind.target}", *readonly]),
        ]
    if spec.gpus:
        words += ["--gpus", spec.gpus]
    if container.has_input or container.has_terminal:
        words.append("--interactive")
    if container.has_terminal:
        words.append("--tty")
    words += ["--workdir", "/", "--entrypoint", init_program.PATH, container.image]
    return [*words, *init_program.words(spec)]


def odd_paths(binds: tuple[Bind, ...]) -> list[str]:
    """Return the paths that would end a field of --mount."""
    words = [word for bind in binds for word in (str(bind.source.absolute()), bind.target)]
    return [word for word in words if _ODD & set(word)]


def host_paths(spec: SandboxSpec) -> tuple[Bind, ...]:
    """Return the binds of a root of host paths; none for an image's."""
    paths: tuple[Path, ...] = spec.root.paths if isinstance(spec.root, HostRoot) else ()
    return tuple(Bind(path, str(path)) for path in paths)


def _isolation(engine: Engine) -> list[str]:
    words = ["--network", "none", "--read-only", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--user", "{}:{}".format(*engine.user)]
    words += ["--ipc", "private", "--cgroupns", "private", "--hostname", HOSTNAME]
    words += ["--restart", "no", "--no-healthcheck", *engine.more]
    if engine.program == "podman":
        # what it adds to a container by itself
        words += ["--read-only-tmpfs=false", "--no-hosts", "--stop-timeout", "0"]
    return words


def _limits(limits: Limits, engine: Engine, container: Container) -> list[str]:
    ulimits = {"core": container.core, "fsize": limits.file_bytes, "nofile": limits.open_files}
    words: list[str] = []
    if "pids" in engine.controllers:
        words += ["--pids-limit", str(limits.processes + 1)]  # the first one is ours
    if "pids" not in engine.controllers:
        ulimits["nproc"] = min(container.processes, limits.processes + 1)
    elif engine.program == "podman":
        ulimits["nproc"] = min(container.processes, _PODMAN_PROCESSES)
    for name, value in ulimits.items():
        words += ["--ulimit", f"{name}={value}:{value}"]
    if limits.memory_bytes is not None and "memory" in engine.controllers:
        words += ["--memory", f"{limits.memory_bytes}b", "--memory-swap", f"{limits.memory_bytes}b"]
    if limits.cpus is not None and "cpu" in engine.controllers:
        words += ["--cpus", f"{limits.cpus:g}"]
    if "memory" in engine.controllers:
        words += ["--oom-score-adj", "1000"]  # when the host's memory runs out, this goes first
    return words


def _memory_folders(spec: SandboxSpec, engine: Engine) -> list[str]:
    size = spec.limits.tmp_bytes
    words = ["--shm-size", f"{size}b"]
    common = ["rw", "exec", "nosuid", "nodev", f"size={size}"]
    if engine.program == "podman":
        common.append("notmpcopyup")
    for folder in FOLDERS:
        if folder != "/dev/shm":  # noqa: S108  (in the sandbox, in memory)
            words += ["--tmpfs", f"{folder}:{','.join([*common, 'mode=1777'])}"]
    if spec.home and engine.program == "podman":
        words += [
            "--mount",
            f"type=tmpfs,destination={spec.home},tmpfs-size={size},tmpfs-mode=700,chown=true,notmpcopyup",
        ]
    elif spec.home:
        owner = ["mode=0700", f"uid={engine.user[0]}", f"gid={engine.user[1]}"]
        words += ["--tmpfs", f"{spec.home}:{','.join([*common, *owner])}"]
    return words
