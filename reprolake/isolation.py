"""Flags and settings → the sandbox that a run uses, and what its record says of the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reprolake.options import Options
from reprolake_builder.sandboxes.choice import choose
from reprolake_builder.sandboxes.interface import Sandbox


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the user asked for: a sandbox by its name, "" for that of the settings, and graphics processors, "" for none.

    `network` is what --network says, "" for what the settings do.
    """

    sandbox: str = ""
    gpus: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True)
class Isolated:
    """The sandbox to use, and facts for the record."""

    sandbox: Sandbox
    facts: Mapping[str, str]


def isolated(asked: Isolation, options: Options) -> Isolated:
    """Return the sandbox that was asked for. Raises SandboxError when it cannot be used here, or none can."""
    said = options.settings["sandbox"]
    name, origin = (asked.sandbox, "--sandbox") if asked.sandbox else (said.value, said.origin)
    choice = choose(name, options.engine_environment, gpus=asked.gpus)
    return Isolated(
        choice.sandbox,
        {"chosen": choice.why or f"named by {origin}", **({"gpus": asked.gpus} if asked.gpus else {})},
    )
