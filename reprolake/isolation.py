"""Flags and settings → the sandbox that a run uses, and what its record says of the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reprolake.options import Options
from reprolake.reach import network_of
from reprolake_builder.errors import SandboxError
from reprolake_builder.process import printable
from reprolake_builder.progress import SILENT
from reprolake_builder.sandboxes.choice import choose
from reprolake_builder.sandboxes.interface import ImageRoot, Sandbox

_OF_LAYERS = {"podman", "docker"}


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the user asked for: a sandbox by its name, "" for that of the settings, and graphics processors, "" for none.

    `network` is what --network says, "" for what the settings do. `root` (host path) is what to run in, None for the image as the
    store has it.
    """

    sandbox: str = ""
    gpus: str = ""
    network: str = ""
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class Isolated:
    """The sandbox to use, facts for the record, and what to run in, None for the image as the store has it."""

    sandbox: Sandbox
    facts: Mapping[str, str]
    root: ImageRoot | None = None


def isolated(asked: Isolation, options: Options) -> Isolated:
    """Return the sandbox that was asked for. Raises SandboxError when it cannot be used here, or none can."""
    said = options.settings["sandbox"]
    name, origin = (asked.sandbox, "--sandbox") if asked.sandbox else (said.value, said.origin)
    choice = choose(name, options.engine_environment, gpus=asked.gpus)
    if asked.root is not None and choice.name in _OF_LAYERS:
        raise SandboxError(
            f"{choice.name} runs images, and not the files at {printable(str(asked.root))}",
            hint="--sandbox bubblewrap or apptainer can",
        )
    return Isolated(
        choice.sandbox,
        {"chosen": choice.why or f"named by {origin}", **({"gpus": asked.gpus} if asked.gpus else {})},
    )


def refuse_early(asked: Isolation, options: Options) -> None:
    """Raise at once what is wrong with what the user named, before anything is resolved or built for it.

    Raises SandboxError for a sandbox that cannot be used here, UsageError for a network that there cannot be.
    """
    if asked.sandbox or asked.gpus:
        isolated(asked, options)
    if asked.network:
        network_of(asked.network, options, SILENT)
