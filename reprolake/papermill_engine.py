"""papermill's seam for engines: `papermill in.ipynb out.ipynb --engine reprolake` runs the kernel in the sandbox of an image."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.engines import NBClientEngine

_ID = re.compile(r"sha256:[0-9a-f]{64}")


def manager_of(image: str, language: str) -> type[AsyncKernelManager]:
    """Return a kernel manager for the kernels of an image: its id or the path of a lock, "" for that of REPROLAKE_IMAGE."""

    class Manager(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            """A kernel that only the provisioner knows how to start: this host's kernels are not looked at."""
            provisioner = {"provisioner_name": "reprolake", "config": {"image": image}}
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
        cls, nb_man: Any, kernel_name: str, image: str = "", **settings: Any
    ) -> Any:
        """Execute the notebook in a kernel of `image`: its id or the path of a lock. Raises ReprolakeError."""
        metadata = nb_man.nb.metadata
        known = metadata.get("reprolake")
        said = known.get("image") if isinstance(known, dict) else None
        # A notebook may be a stranger's: it may name an image, and no file of this host.
        named = said if isinstance(said, str) and _ID.fullmatch(said) else ""
        language = metadata.get("kernelspec", {}).get("language") or "python"
        manager = manager_of(image or named, language)
        execute: Callable[..., Any] = super().execute_managed_notebook
        return execute(nb_man, kernel_name, kernel_manager_class=manager, **settings)
