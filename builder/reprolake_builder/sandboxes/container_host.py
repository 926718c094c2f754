"""What is known of a host's container engine: which one it is, and what it can do here, from what it says of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.container_arguments import Engine


@dataclass(frozen=True, slots=True)
class Kind:
    """A container engine: its client `program`, the Debian `package` with it, and whether it passes on graphics processors.

    For `whole_chains` see EngineClient.
    """

    program: str
    package: str
    whole_chains: bool
    passes_gpus: bool


DOCKER = Kind("docker", "docker.io", whole_chains=True, passes_gpus=True)
PODMAN = Kind("podman", "podman", whole_chains=False, passes_gpus=False)
_UNLABELLED = ("--security-opt", "label=disable")
"""With SELinux nothing of the host could be read otherwise, unless its files were given other labels."""


def engine_of(kind: Kind, facts: Mapping[str, Any], number: int) -> Engine:
    """Return what an engine's answer to `info` says; `number` is the user to run programs as when we are root, else negative.

    Raises ValueError, KeyError or TypeError when it is no such answer, SandboxError when it is another engine's.
    """
    return (_docker if kind is DOCKER else _podman)(facts, number)


def _docker(facts: Mapping[str, Any], number: int) -> Engine:
    if "ServerVersion" not in facts and "host" in facts:
        raise SandboxError("the program docker is podman's here", hint="choose --sandbox podman")
    options = [str(option) for option in facts.get("SecurityOptions") or ()]
    version = str(facts["ServerVersion"] or "")
    if not version:
        raise ValueError("no server answers")
    is_rootless = any("rootless" in option for option in options)
    says = {"memory": "MemoryLimit", "cpu": "CpuCfsQuota", "pids": "PidsLimit"}
    group = f"cgroup v{facts.get('CgroupVersion') or 1}, by docker"
    # the engine's root is the caller then, and nobody else can use what is the caller's
    user = (0, 0) if is_rootless else (number, number) if number >= 0 else (os.geteuid(), os.getegid())
    return Engine(
        program="docker",
        version=version,
        is_rootless=is_rootless,
        controllers={name: group for name, fact in says.items() if facts.get(fact)},
        user=user,
        more=(
            *(("--userns", "host") if any("userns" in option for option in options) else ()),
            *(_UNLABELLED if any("selinux" in option for option in options) else ()),
        ),
    )


def _podman(facts: Mapping[str, Any], number: int) -> Engine:
    host = facts["host"]
    is_rootless = bool(host["security"]["rootless"])
    if is_rootless:
        _refuse_one_number(host.get("idMappings") or {})
    group = f"cgroup {host['cgroupVersion']}, by podman"
    usable = () if is_rootless and host["cgroupVersion"] == "v1" else host["cgroupControllers"]
    return Engine(
        program="podman",
        version=str(facts["version"]["Version"]),
        is_rootless=is_rootless,
        controllers={name: group for name in ("memory", "cpu", "pids") if name in usable},
        user=(1000, 100) if is_rootless else (number, number),
        more=(
            *(("--userns", "keep-id:uid=1000,gid=100") if is_rootless else ()),
            *(_UNLABELLED if host["security"]["selinuxEnabled"] else ()),
        ),
    )


def _refuse_one_number(mappings: Mapping[str, Any]) -> None:
    """Raise SandboxError when the caller has no numbers but the own one: an image has files of several users and groups."""
    for kind, file in (("uidmap", "/etc/subuid"), ("gidmap", "/etc/subgid")):
        if (ranges := mappings.get(kind)) and sum(one["size"] for one in ranges) == 1:
            raise SandboxError(
                f"podman without root has no numbers for this user in {file}",
                hint="root gives them: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER; "
                "then `podman system migrate`",
            )
