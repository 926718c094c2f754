"""papermill's seam for engines: `papermill in.ipynb out.ipynb --engine reprolake` runs the kernel in the sandbox of an image.

papermill itself, which speaks with the kernel and writes the notebook, is a process of the user's and not confined.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NBClientEngine
from papermill.log import logger

from reprolake.kernel_runs import Left
from reprolake_builder.errors import ReprolakeError
from reprolake_runner.record import Verdict

_ID = re.compile(r"sha256:[0-9a-f]{64}")
_BESIDE = ".staged"


def manager_of(image: str, language: str, left: Left | None = None) -> type[AsyncKernelManager]:
    """Return a kernel manager for the kernels of an image: its id or the path of a lock, "" for that of REPROLAKE_IMAGE.

    What they write is given to `left`.
    """

    class Manager(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            """A kernel that only the provisioner knows how to start: this host's kernels are not looked at."""
            provisioner = {"provisioner_name": "reprolake", "config": {"image": image, "left": left}}
            return KernelSpec(
                argv=["-"],
                display_name=self.kernel_name,
                language=language,
                interrupt_mode="message",
                metadata={"kernel_provisioner": provisioner},
            )

    return Manager


class ReprolakeEngine(NBClientEngine):
    """papermill's own engine, with kernels of an image."""

    @classmethod
    def execute_managed_notebook(  # type: ignore[override]  # papermill passes the rest by name
        cls, nb_man: Any, kernel_name: str, image: str = "", reprolake_stage: str = "", **settings: Any
    ) -> Any:
        """Execute the notebook in a kernel of `image`: its id or the path of a lock. Raises ReprolakeError.

        What the notebook writes is staged below `reprolake_stage` (host folder), else beside the output notebook.
        """
        metadata = nb_man.nb.metadata
        known = metadata.get("reprolake")
        said = known.get("image") if isinstance(known, dict) else None
        # A notebook may be a stranger's: it may name an image, and no file of this host.
        named = said if isinstance(said, str) and _ID.fullmatch(said) else ""
        language = metadata.get("kernelspec", {}).get("language") or "python"
        left = Left()
        manager = manager_of(image or named, language, left)
        execute: Callable[..., Any] = super().execute_managed_notebook
        verdict = Verdict("stopped", "papermill was stopped")
        try:
            result = execute(nb_man, kernel_name, kernel_manager_class=manager, **settings)
            verdict = _verdict(nb_man.nb)
        except DeadKernelError as error:
            verdict = left.verdict or Verdict("kernel-died", "the kernel ended before the notebook did")
            raise DeadKernelError(verdict.message) from error
        except CellTimeoutError:
            verdict = Verdict("timed-out", "a cell took longer than it may")
            raise
        finally:
            _stage(left, verdict, reprolake_stage or _beside(nb_man.output_path))
            left.belongings.close()
        return result


def _verdict(notebook: Any) -> Verdict:
    """Return how a notebook went that papermill came to the end of."""
    states = [cell.metadata.get("papermill", {}) for cell in notebook.cells]
    if any(state.get("exception") for state in states):
        return Verdict("failed", "a cell raised an error")
    return Verdict("succeeded", f"papermill ran all {len(states)} cells")


def _beside(output: Any) -> str:
    """Return the folder beside the output notebook, "" where that is on no disk of this host."""
    is_here = isinstance(output, str | Path) and "://" not in str(output) and not str(output).startswith("-")
    return f"{Path(output).with_suffix('')}{_BESIDE}" if is_here else ""


def _stage(left: Left, verdict: Verdict, folder: str) -> None:
    """Stage what the kernel wrote, and say where; that it cannot be is told, and ends nothing."""
    if left.run is None:
        return
    if not folder:
        logger.warning("what the notebook wrote is not kept: name a folder of this host with reprolake_stage")
        return
    try:
        staged = left.run.stage(Path(folder), verdict)
    except ReprolakeError as error:
        logger.error("what the notebook wrote could not be kept: %s", error.message)
    else:
        logger.info("what the notebook wrote is in %s", staged.folder)
