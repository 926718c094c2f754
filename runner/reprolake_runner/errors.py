"""Every way in which a run can fail, each with the exit code that the command line returns for it."""

from __future__ import annotations

from reprolake_builder.errors import ReprolakeError


class RunnerError(ReprolakeError):
    """Root of the runner's failures."""


class BasketError(RunnerError):
    """The basket cannot be read, or its items do not fit the parameters."""

    exit_code = 20


class NotebookError(RunnerError):
    """The notebook cannot be read, or the parameters do not fit it."""

    exit_code = 21


class StageInError(RunnerError):
    """An input could not be had, or arrived with other bytes than promised."""

    exit_code = 22


class StageOutError(RunnerError):
    """The result could not be staged."""

    exit_code = 27
