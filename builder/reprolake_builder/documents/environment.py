"""EnvironmentSpec: what the repository's own files say about the environment that it needs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from reprolake_builder.documents.base import Document, FolderInside, Sha256, Size
from reprolake_builder.documents.conda import CondaFilename, Md5, Subdir


class SpokenFile(Document, frozen=True, kw_only=True):
    """A file that was understood; `path` is relative to the source's root."""

    path: str
    sha256: Sha256


class UnheardFile(Document, frozen=True, kw_only=True):
    """A file about the environment that has no say in the result.

    `matters` tells that honouring it would change the result: the build stops unless the user ignores the file by name.
    """

    path: str
    reason: str
    matters: bool


class Asked(Document, frozen=True, kw_only=True):
    """Text of one demand and where it stands, as `file:line` relative to the source's root (or "--python" and the like).

    Where `sha256` is not empty, the archive that meets the demand has to have one of these.
    """

    text: str
    origin: str
    sha256: tuple[Sha256, ...] = ()


class AskedSource(Document, frozen=True, kw_only=True):
    """A package that is asked for by where it is.

    With a `url` that is the folder `folder` of a git repository at `ref` ("" for its HEAD), or, where `archive` says so, a wheel or
    source distribution that has to have the `sha256` if there is one; without a `url`, the folder `folder`
    of the locked source itself, relative to its root. `name` is "" where only its build tells it; `marker` as in PEP 508.
    """

    url: str = ""
    archive: bool = False
    sha256: Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{64})?$(?!\n)")] = ""
    ref: str = ""
    folder: FolderInside = ""
    name: str = ""
    extras: tuple[str, ...] = ()
    marker: str = ""
    origin: str


class ObeyedLock(Document, frozen=True, kw_only=True):
    """A lock file of another tool that decides which Python packages there are; `path` is relative to the source's root.

    `pins` hold every package at one version, for each Python on offer, with the SHA-256 of the files that may serve where the
    lock has them. `direct` are the names of those that the project itself asks for, `pythons` the Pythons on offer that it serves.
    """

    path: str
    tool: Literal["uv", "pylock", "Poetry", "PDM", "Pipenv"]
    pins: tuple[Asked, ...]
    direct: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()


class CondaPin(Document, frozen=True, kw_only=True):
    """A conda package as a lock file of conda's tools names it: `channel` by name or address, `size` in bytes where it is told."""

    channel: Annotated[str, Meta(pattern=r"^[^\x00-\x20\x7f]+$(?!\n)", max_length=500)]
    subdir: Subdir
    filename: CondaFilename
    sha256: Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{64})?$(?!\n)")] = ""
    md5: Md5 = ""
    size: Size | None = None


class CondaAsked(Document, frozen=True, kw_only=True):
    """What is asked of conda's channels: these, in order of priority, for packages in conda's words (`numpy>=1.24,<2`).

    With `obeyed`, the path of a lock file in the source, its `pins` are the packages, and nothing is solved.
    """

    channels: tuple[Asked, ...]
    specs: tuple[Asked, ...]
    obeyed: str = ""
    tool: Literal["conda-lock", "pixi", "explicit", ""] = ""
    pins: tuple[CondaPin, ...] = ()


class EnvironmentSpec(Document, frozen=True, kw_only=True):
    """What was asked for.

    `python` holds PEP 440 specifier sets ("==3.11.*", ">=3.9"), all of which must hold. `requirements` and
    `constraints` are PEP 508 lines without direct references, `sources` are packages asked for by where they are. `apt` are Debian package names. `conda` is
    asked where the environment is one of conda's, whose Python it then has; `variables` are set in the image. `project` is the folder of
    the repository's own package, relative to the source's root, or None; its build requirements are `build_requirements`.
    `obeyed` is the lock file that stands in for resolving, None without one. `extras` and `groups` are what the user chose of the
    project's extras and dependency groups; `default_groups` tells whether those came too that its tool installs unasked.
    `post_build` and `start` are the paths of scripts of the repository, "" for none: one changes the image once it is made, the other
    starts whatever runs in it.
    """

    files: tuple[SpokenFile, ...]
    unheard: tuple[UnheardFile, ...] = ()
    python: tuple[Asked, ...] = ()
    conda: CondaAsked | None = None
    variables: dict[str, str] = {}
    requirements: tuple[Asked, ...] = ()
    constraints: tuple[Asked, ...] = ()
    sources: tuple[AskedSource, ...] = ()
    apt: tuple[Asked, ...] = ()
    project: str | None = None
    project_extras: tuple[str, ...] = ()
    project_dynamic: bool = False
    build_requirements: tuple[Asked, ...] = ()
    build_backend: Literal["pep517", ""] = ""
    obeyed: ObeyedLock | None = None
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    default_groups: bool = True
    post_build: FolderInside = ""
    start: FolderInside = ""

    @property
    def lock_file(self) -> tuple[str, str] | None:
        """Path and tool of the lock file that is obeyed, be it one of Python packages or of conda's; None without one."""
        if self.obeyed is not None:
            return self.obeyed.path, self.obeyed.tool
        return (self.conda.obeyed, self.conda.tool) if self.conda is not None and self.conda.obeyed else None
