"""Image + plan → what every run stands on: the root, the image's copy of the repository, and limits that are known to hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reprolake_builder.image import Image
from reprolake_builder.sandboxes.interface import ImageRoot, Limits, Sandbox
from reprolake_builder.store import Store
from reprolake_runner.bounds import held_limits, with_disk
from reprolake_runner.documents.run import CommandSpec, LimitRecord, RunSpec
from reprolake_runner.inside import repository_of, root_of, trees_of
from reprolake_runner.notebook import check_cwd
from reprolake_runner.plan import RunPlan


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a run stands on: `repository` is a host folder of the store, `held` says what holds each limit."""

    root: ImageRoot
    repository: Path
    limits: Limits
    held: tuple[LimitRecord, ...]


def grounds_of(
    image: Image, store: Store, plan: RunPlan[RunSpec] | RunPlan[CommandSpec], sandbox: Sandbox
) -> Grounds:
    """Return what the run of a plan stands on.

    Raises NotebookError for a working folder that the repository does not have, SandboxError for a limit that cannot be held, and
    BuildError when the image is not whole in the store.
    """
    root = plan.root or root_of(image, store)
    repository = repository_of(image, trees_of(image, store))
    spec = plan.spec
    check_cwd(repository, spec.cwd)
    limits = with_disk(plan.limits, plan.bounds)
    of_cells = {"execution_timeout": spec.execution_timeout} if isinstance(spec, RunSpec) else {}
    held = held_limits(limits, plan.bounds, {"timeout": spec.timeout, **of_cells}, sandbox)
    return Grounds(root, repository, limits, held)
