"""Isolation by bubblewrap over an overlay: no daemon, no root, about 25 ms.

What a program can still see of the host: paths in /proc/self/mountinfo, the kernel's version, the machine's processors and load.
"""

from __future__ import annotations

import contextlib
import os

from reprolake_builder.sandboxes import launched, requirements
from reprolake_builder.sandboxes.arguments import arguments
from reprolake_builder.sandboxes.groups import Grouped, resource_limits
from reprolake_builder.sandboxes.interface import SandboxSpec
from reprolake_builder.sandboxes.launched import Launched, Runtime, in_memory
from reprolake_builder.sandboxes.reports import PipeReport, Report


class Bubblewrap(Launched):
    """Runs programs in bubblewrap; all that one object starts share one user number outside."""

    name = "bubblewrap"

    def missing(self) -> str:
        """What this host lacks, with the remedy; "" when nothing is known to be missing."""
        return requirements.missing() or requirements.bwrap_missing()

    @property
    def _version(self) -> tuple[int, ...]:
        return requirements.version()

    def _report(self, spec: SandboxSpec, group: Grouped) -> Report:
        del spec, group  # the launcher joins it
        return PipeReport()

    def _runtime(
        self, spec: SandboxSpec, stack: contextlib.ExitStack, report: int, *, copied: bool
    ) -> Runtime:
        rules = in_memory(stack, launched.rules())
        words = arguments(spec, seccomp=rules, report=report, copied=copied)
        listed = in_memory(stack, b"".join(os.fsencode(word) + b"\0" for word in words))
        return Runtime(
            program=requirements.bwrap(),
            words=("bwrap", "--args", str(listed), "--", *spec.argv),
            descriptors=(rules, listed),
            limits=resource_limits(spec.limits),
        )
