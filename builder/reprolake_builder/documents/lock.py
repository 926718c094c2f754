"""EnvironmentLock (`reprolake.lock`): everything that decides an image's bytes, and no host name."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from reprolake_builder.documents.base import Document, FolderInside, Moment, Sha256, Size
from reprolake_builder.documents.citation import Citation
from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.source import GitSource, PinnedSource

PLATFORM: Final = "linux/amd64"
"""The only platform: where another one is asked for, that is an error."""
LAYOUT = 4
"""Version of the layer layout: raised whenever one lock would give other bytes than before."""

STANDALONE_PREFIX: Final = "/opt/python"
"""Where a standalone Python lies in the image."""

# These end up in file names, URLs, command lines and the resolver's input.
DebName = Annotated[
    str, Meta(pattern=r"^[a-z0-9][a-z0-9+.-]*$(?!\n)", description="name of a Debian package")
]
Architecture = Annotated[str, Meta(pattern=r"^(?:amd64|all)$(?!\n)", description="Debian's architecture")]
PoolPath = Annotated[
    str,
    Meta(
        pattern=r"^pool(?:/[A-Za-z0-9_+~-][A-Za-z0-9._+~-]*)+\.deb$(?!\n)",
        description="path of a Debian package below its mirror",
    ),
]
PackageName = Annotated[
    str, Meta(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$(?!\n)", description="normalised name of a Python package")
]
PackageVersion = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Za-z][0-9A-Za-z.!+_-]*$(?!\n)", description="version of a Python package (PEP 440)"
    ),
]
WheelName = Annotated[
    str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.!+_-]*\.whl$(?!\n)", description="file name of a wheel")
]
SdistName = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Za-z][0-9A-Za-z.!+_-]*\.(?:tar\.gz|tgz|tar\.bz2|tar\.xz|zip)$(?!\n)",
        description="file name of a source distribution",
    ),
]
StandaloneName = Annotated[
    str,
    Meta(
        pattern=r"^cpython-3\.[0-9]{1,2}\.[0-9]{1,2}\+[0-9]{8}-x86_64-unknown-linux-gnu-install_only(?:_stripped)?\.tar\.gz$(?!\n)",
        description="file name of a standalone Python",
    ),
]
ArchiveAddress = Annotated[
    str,
    Meta(
        pattern=r"^(?:https?://[^\x00-\x20\x7f@]+)?$(?!\n)",
        max_length=2000,
        description="address of an archive, without a login",
    ),
]
VariableName = Annotated[str, Meta(pattern=r"^[A-Z_][A-Z0-9_]*$(?!\n)", description="environment variable")]
VariableValue = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]


class DebPackage(Document, frozen=True, kw_only=True):
    """One Debian package; `path` is relative to the mirror named by the alias `archive`."""

    name: DebName
    version: str
    architecture: Architecture
    archive: Literal["debian", "debian-security"]
    path: PoolPath
    size: Size
    sha256: Sha256


class SignedRelease(Document, frozen=True, kw_only=True):
    """One signed state of a Debian suite: `date` as its Release file says, `sha256` of the InRelease file."""

    archive: Literal["debian", "debian-security"]
    suite: str
    date: Moment
    sha256: Sha256
    signed_by: tuple[str, ...]


class DebianLock(Document, frozen=True, kw_only=True):
    """The base: Debian packages unpacked without running their maintainer scripts.

    `base` makes the first layer, `extra` (from apt.txt) the second. `toolchain` is what lies beside them where wheels with
    compiled parts are built, and is no part of the image. `unconfigured` names packages among `base` and `extra` whose
    maintainer script does something that is not emulated.
    """

    suite: str
    releases: tuple[SignedRelease, ...]
    base: tuple[DebPackage, ...]
    extra: tuple[DebPackage, ...] = ()
    toolchain: tuple[DebPackage, ...] = ()
    unconfigured: tuple[str, ...] = ()


class DebianInterpreter(Document, frozen=True, kw_only=True, tag="debian", tag_field="kind"):
    """A Python of Debian: `version` in full, `executable` as a path inside the image, `package` the deb that holds it."""

    version: Annotated[str, Meta(pattern=r"^3\.[0-9]{1,2}\.[0-9]{1,2}$(?!\n)")]
    executable: Annotated[str, Meta(pattern=r"^/usr/bin/python3\.[0-9]{1,2}$(?!\n)")]
    package: DebName
    sha256: Sha256  # of that deb


class CondaInterpreter(Document, frozen=True, kw_only=True, tag="conda", tag_field="kind"):
    """The Python that the conda package `python` holds, whose archive has that `sha256`."""

    version: Annotated[
        str, Meta(pattern=r"^(?:2\.7|3\.[0-9]{1,2})\.[0-9]{1,2}(?:(?:a|b|rc)[0-9]{1,2})?$(?!\n)")
    ]
    executable: Annotated[str, Meta(pattern=r"^/opt/conda/bin/python[23]\.[0-9]{1,2}$(?!\n)")]
    sha256: Sha256


class StandaloneInterpreter(Document, frozen=True, kw_only=True, tag="standalone", tag_field="kind"):
    """A Python that was built to run anywhere, from an archive of the project python-build-standalone: `size` in bytes."""

    version: Annotated[str, Meta(pattern=r"^3\.[0-9]{1,2}\.[0-9]{1,2}$(?!\n)")]
    executable: Annotated[str, Meta(pattern=r"^/opt/python/bin/python3\.[0-9]{1,2}$(?!\n)")]
    filename: StandaloneName
    size: Size
    sha256: Sha256


InterpreterLock = DebianInterpreter | CondaInterpreter | StandaloneInterpreter
"""The Python of the image, by where it comes from."""


class WheelLock(Document, frozen=True, kw_only=True):
    """One wheel. `index` is an alias: "default" is the index of the site's configuration. `requested` marks direct demands.

    `url` is the address that the repository itself gave, "" for a wheel of an index.
    """

    name: PackageName
    version: PackageVersion
    filename: WheelName
    size: Size
    sha256: Sha256
    index: str = "default"
    url: ArchiveAddress = ""
    requested: bool = False


class RepositoryOrigin(Document, frozen=True, kw_only=True, tag="repository", tag_field="kind"):
    """A package of the locked source itself, in the folder `path` relative to the source's root ("" for the root)."""

    path: FolderInside


class SdistOrigin(Document, frozen=True, kw_only=True, tag="sdist", tag_field="kind"):
    """A source distribution; `size` in bytes, `index` an alias and `url` an address as in WheelLock."""

    filename: SdistName
    size: Size
    sha256: Sha256
    index: str = "default"
    url: ArchiveAddress = ""


class GitOrigin(Document, frozen=True, kw_only=True, tag="git", tag_field="kind"):
    """A commit of a git repository; its `subdir` holds the package."""

    source: GitSource


Origin = RepositoryOrigin | SdistOrigin | GitOrigin


class BuiltWheelLock(Document, frozen=True, kw_only=True):
    """A wheel that was built in the sandbox, and what made it.

    `build_requirements` are installed for the build, `toolchain` tells whether the Debian packages of that name are there
    too, `variables` is the whole environment of the build. `files` holds the first 16 digits of the SHA-256 of each file in
    the wheel: they explain how two builds differ, while `sha256` alone decides whether they do. `requested` marks direct demands.
    """

    name: PackageName
    version: PackageVersion
    filename: WheelName
    size: Size
    sha256: Sha256
    origin: Origin
    build_requirements: tuple[WheelLock, ...]
    built_requirements: tuple[BuiltWheelLock, ...] = ()
    toolchain: bool = False
    variables: dict[VariableName, VariableValue]
    files: dict[str, str]
    requested: bool = False


RecipeName = Annotated[
    str, Meta(pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*$(?!\n)", max_length=60, description="name of a recipe")
]
ImagePath = Annotated[
    str,
    Meta(
        pattern=r"^(?:/(?!\.{1,2}(?:/|$)|\.wh\.)[^/\x00-\x1f\x7f]{1,255})+$(?!\n)",
        max_length=1000,
        description="absolute path inside the image",
    ),
]


class RecipeFile(Document, frozen=True, kw_only=True):
    """A small file of a recipe: where it lies in the image, and its text."""

    path: ImagePath
    text: Annotated[str, Meta(max_length=1 << 20)]
    executable: bool = False


class RecipeLock(Document, frozen=True, kw_only=True):
    """Layers of a site that are stacked on the environment: `sha256` names the recipe's own content, whatever it was locked to.

    With an `interpreter` (Debian's, of the packages in `debian`) the recipe has an environment of its own at `prefix`; without
    one its packages lie in the environment's, none of whose pins they change. `variables`, `labels` and `command` are the image's,
    `path` are folders that come last in PATH; the folders in `writable` belong to the image's user.
    """

    name: RecipeName
    title: str
    sha256: Sha256
    as_of: Moment
    prefix: ImagePath
    debian: DebianLock | None = None
    interpreter: DebianInterpreter | None = None
    wheels: tuple[WheelLock, ...] = ()
    built: tuple[BuiltWheelLock, ...] = ()
    files: tuple[RecipeFile, ...] = ()
    variables: dict[VariableName, VariableValue] = {}
    labels: dict[VariableValue, VariableValue] = {}
    path: tuple[ImagePath, ...] = ()
    writable: tuple[ImagePath, ...] = ()
    command: tuple[VariableValue, ...] = ()


class Reached(Document, frozen=True, kw_only=True):
    """What a script fetched: of plain http the address and the SHA-256 of what came, of everything encrypted host and port only."""

    host: str
    port: int
    url: str = ""
    sha256: Sha256 | None = None


class ScriptLock(Document, frozen=True, kw_only=True):
    """A script that changed the image while it was made, in the sandbox.

    `script` is its path in the source, "" for the set-up scripts of Debian packages. `files` holds the first 16 digits of the
    SHA-256 of each file that it left ("" for a folder, the target for a link), by path; `sha256` is that of all of these with
    their modes, and decides whether another run came to the same. `policy` is the network that it had, "none" for none, and
    `reached` what it fetched there: an image with any is not closed, what it is made of may not be there tomorrow.
    """

    script: FolderInside = ""
    files: dict[str, str]
    sha256: Sha256
    policy: str = "none"
    reached: tuple[Reached, ...] = ()


RungName = Literal["date", "other Python", "environment files"]


class Rung(Document, frozen=True, kw_only=True):
    """A step of the ladder that locking climbs: `python` with packages as of the cut-off `as_of` (UTC).

    First comes the newest Python of the source's date, or of the one that was asked for ("date"); then the others on offer
    ("other Python"); at last all of these as of the day on which the files that describe the environment were last changed
    ("environment files"). `reason` tells why it was not taken, "" for the one that was.
    """

    rung: RungName
    as_of: Moment
    python: str
    reason: str = ""


class EnvironmentLock(Document, frozen=True, kw_only=True):
    """Everything that decides the image's bytes.

    `as_of` (UTC) is the cut-off for uploads of language packages, with `as_of_is` telling where the date comes from.
    `conda` holds the conda packages, None where there are none; with them comes the interpreter.
    `wheels` come from a package index, `built` were built from source, `project` is the repository's own package; with
    `byte_code` they are laid out compiled, as the standard library always is. `recipes` are what a site stacks on all of these.
    `set_up` is what scripts of Debian packages did, `post_build` what the repository's own did, None where there is none.
    `ladder` holds what was not taken and why, and at its end what was. `added` names requirements that Reprolake added
    (ipykernel, pip …) and why. `notes` are facts for people, such as a resolution that had to go back to an old release.
    `citation` is what the source says of itself, None where it says nothing.
    """

    version: Literal[1] = 1
    layout: Literal[4] = 4
    platform: Literal["linux/amd64"] = PLATFORM
    source: PinnedSource
    environment: EnvironmentSpec
    as_of: Moment
    as_of_is: str
    debian: DebianLock
    interpreter: InterpreterLock
    conda: CondaLock | None = None
    wheels: tuple[WheelLock, ...]
    built: tuple[BuiltWheelLock, ...] = ()
    project: BuiltWheelLock | None = None
    recipes: tuple[RecipeLock, ...] = ()
    set_up: ScriptLock | None = None
    post_build: ScriptLock | None = None
    byte_code: bool = True
    ladder: tuple[Rung, ...] = ()
    added: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    citation: Citation | None = None
    notes: tuple[str, ...] = ()
    resolvers: dict[str, str] = {}
