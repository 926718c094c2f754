"""Every way in which building can fail, each with the exit code that the command line returns for it."""

from __future__ import annotations

import re
from typing import ClassVar

# a password may hold an @ of its own: the last one counts
_LOGIN = re.compile(
    r"(?<=://)[^/@\s?#]*:[^/\s?#]*@|(?<=http://)[^/\s?#]*@|(?<=https://)[^/\s?#]*@", re.IGNORECASE
)
SIGNATURE = re.compile(
    r"(?<=[?&#;])((?:[\w.-]*(?:token|secret|signature|credential|passw(?:or)?d|api_?key|authz)|sig|key|auth|jwt|pwd)=)[^&#\s]*",
    re.IGNORECASE,
)
"""A part of a URL's query that opens doors: its name with the equals sign is group 1."""
_IN_PATH = re.compile(r"(?<=/t/)(?=[A-Za-z_-]*\d)[\w-]{12,}(?=/)", re.ASCII)  # conda's tokens


def without_logins(text: str) -> str:
    """Return text without what stands in its URLs to open doors: USER:PASSWORD@, signed queries and conda's /t/TOKEN/."""
    return _IN_PATH.sub("***", SIGNATURE.sub(r"\1***", _LOGIN.sub("***@", text)))


TEMPORARY = 75
"""Exit code of a failure after which the same call may go through."""


class ReprolakeError(Exception):
    """A failure that the user is told about: what failed and where, and what to do next.

    `transient` says that the same call may go through later (the command line then exits 75). Logins in URLs are left out of
    both texts, wherever they come from: failures end up in logs and in questions to others.
    """

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str = "", transient: bool = False) -> None:
        self.message = without_logins(message)
        self.hint = without_logins(hint)
        super().__init__(self.message)
        if self.hint:
            # for who sees a traceback: papermill's users, and those of Python
            self.add_note(f"hint: {self.hint}")
        self.transient = transient

    @property
    def exit_status(self) -> int:
        """The exit code of a call that ends with this failure."""
        return TEMPORARY if self.transient else self.exit_code


class BuilderError(ReprolakeError):
    """Root of the builder's failures."""


class ResolveError(BuilderError):
    """The link names nothing that can be pinned."""

    exit_code = 10


class FetchError(BuilderError):
    """Something pinned could not be had, or arrived with other bytes."""

    exit_code = 11


class AnswerError(FetchError):
    """A server answered, and refused; `status` is HTTP's number for why."""

    def __init__(self, message: str, *, hint: str = "", transient: bool = False, status: int = 0) -> None:
        super().__init__(message, hint=hint, transient=transient)
        self.status = status


class DetectError(BuilderError):
    """A file that describes the environment cannot be understood or honoured."""

    exit_code = 12


class LockError(BuilderError):
    """No set of packages satisfies what the repository asks for."""

    exit_code = 13


class BuildError(BuilderError):
    """The image could not be put together from its lock."""

    exit_code = 14


class SourceBuildError(BuildError):
    """A wheel could not be built from its source; `log` is what the build backend said."""

    def __init__(self, message: str, *, hint: str = "", log: str = "") -> None:
        super().__init__(message, hint=hint)
        self.log = log


class StoreError(BuildError):
    """The local store cannot be read or written."""


class PublishError(BuilderError):
    """The image could not be written to where it should go."""

    exit_code = 15


class SandboxError(BuilderError):
    """This host cannot give the promised isolation."""

    exit_code = 23


class NotStartedError(SandboxError):
    """The sandbox was there, and its root has no such program, or one that cannot be run."""
