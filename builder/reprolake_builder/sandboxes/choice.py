"""Name → sandbox: the one that is named, or the first that works here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.apptainer import Apptainer
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.container_host import DOCKER, PODMAN, Kind
from reprolake_builder.sandboxes.interface import Sandbox
from reprolake_builder.sandboxes.names import AUTO


def _containers(kind: Kind) -> Callable[[Mapping[str, str]], Sandbox]:
    def make(environment: Mapping[str, str]) -> Sandbox:
        # with all that images take: seldom wanted
        from reprolake_builder.sandboxes.containers import Containers

        return Containers(kind, environment)

    return make


_MAKERS: Mapping[str, Callable[[Mapping[str, str]], Sandbox]] = {
    "bubblewrap": lambda _: Bubblewrap(),
    "podman": _containers(PODMAN),
    "docker": _containers(DOCKER),
    "apptainer": lambda _: Apptainer(),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A sandbox by its name, and in words why it was taken and others were not, "" when it was named."""

    name: str
    sandbox: Sandbox
    why: str = ""


def choose(name: str, environment: Mapping[str, str], *, gpus: str = "") -> Choice:
    """Return the sandbox of that name; `environment` is what the clients of container engines are started with.

    `gpus` are those of the programs, as in SandboxSpec. Raises SandboxError when it cannot be used here, or none can.
    """
    if name != AUTO:
        sandbox = _MAKERS[name](environment)
        # whether it works is seen when it is used, which is soon
        if problem := _no_gpus(sandbox, gpus) or sandbox.missing():
            raise SandboxError(
                f"the sandbox {name} cannot be used here: {problem}",
                hint="`reprolake doctor` says what this host lacks; --sandbox auto takes one that works",
            )
        return Choice(name, sandbox)
    passed_over: list[str] = []
    for found, make in _MAKERS.items():
        sandbox = make(environment)
        if not (problem := _no_gpus(sandbox, gpus) or sandbox.problem()):
            return Choice(found, sandbox, "; ".join(["the first that works here", *passed_over]))
        passed_over.append(f"not {found}: {problem}")
    raise SandboxError(
        f"this host has no sandbox that can be used: {'; '.join(passed_over)}",
        hint="`reprolake doctor` says what this host lacks",
    )


def every(environment: Mapping[str, str]) -> Iterator[tuple[str, Sandbox]]:
    """Yield each sandbox with its name, whether it can be used here or not, in the order in which one is looked for."""
    for name, make in _MAKERS.items():
        yield name, make(environment)


def _no_gpus(sandbox: Sandbox, gpus: str) -> str:
    return "it passes on no graphics processors" if gpus and not sandbox.passes_gpus else ""
