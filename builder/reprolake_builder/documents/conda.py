"""What a lock says of conda packages. Addresses of channels come from the site's configuration."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from reprolake_builder.documents.base import Document, Sha256, Size

CONDA_PREFIX: Final = "/opt/conda"
"""Where the conda packages lie in the image, and the Python packages that are locked beside them."""

Subdir = Literal["linux-64", "noarch"]
Priority = Literal["strict", "flexible", "disabled"]
Md5 = Annotated[
    str, Meta(pattern=r"^(?:[0-9a-f]{32})?$(?!\n)", description="MD5 in lower-case hexadecimal, or nothing")
]
# These end up in file names, URLs and the solver's input.
CondaName = Annotated[
    str, Meta(pattern=r"^[a-z0-9_][a-z0-9_.-]{0,99}$(?!\n)", description="name of a conda package")
]
CondaVersion = Annotated[
    str, Meta(pattern=r"^[0-9A-Za-z_][0-9A-Za-z_.!+]{0,99}$(?!\n)", description="version of a conda package")
]
CondaBuild = Annotated[
    str, Meta(pattern=r"^[0-9A-Za-z_.+]{1,200}$(?!\n)", description="build of a conda package")
]
CondaFilename = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-z_][0-9A-Za-z_.!+-]{0,299}\.(?:conda|tar\.bz2)$(?!\n)",
        description="file name of a conda package",
    ),
]
ChannelName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}){0,5}$(?!\n)",
        description="name of a conda channel, whose address the configuration knows",
    ),
]
MatchText = Annotated[
    str, Meta(pattern=r"^[^\x00-\x1f\x7f]{1,500}$(?!\n)", description="conda's words for a set of packages")
]

Distribution = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]+(?:-[a-z0-9]+)*==[0-9A-Za-z][0-9A-Za-z.!+_-]{0,99}$(?!\n)",
        description="name and version of a Python package",
    ),
]


class CondaChannel(Document, frozen=True, kw_only=True):
    """A channel by name. `url` is "" unless the repository itself gave its address, as with a git repository."""

    name: ChannelName
    url: Annotated[str, Meta(pattern=r"^(?:https?://[^\x00-\x20\x7f@]+)?$(?!\n)", max_length=500)] = ""


class CondaPackage(Document, frozen=True, kw_only=True):
    """One conda package; its archive is `filename` in the folder `subdir` of the channel named `channel`.

    `depends` and `constrains` are what the channel's index says by now, which may differ from what the archive says of
    itself. `noarch` is "" for a package of linux-64. `site_packages` is the folder for packages of Python relative to
    the prefix, where the package is a python that names it. `distributions` are the Python packages that the archive holds, as
    NAME==VERSION, where something had to know. `requested` marks direct demands.
    """

    name: CondaName
    version: CondaVersion
    build: CondaBuild
    build_number: Annotated[int, Meta(ge=0, le=1 << 31)] = 0
    subdir: Subdir
    channel: ChannelName
    filename: CondaFilename
    size: Size
    sha256: Sha256
    md5: Md5 = ""
    depends: tuple[MatchText, ...] = ()
    constrains: tuple[MatchText, ...] = ()
    noarch: Literal["", "python", "generic"] = ""
    site_packages: Annotated[
        str, Meta(pattern=r"^(?:lib/python[0-9][0-9A-Za-z.]{0,20}/site-packages)?$(?!\n)")
    ] = ""
    license: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f]{0,300}$(?!\n)")] = ""
    distributions: tuple[Distribution, ...] = ()
    requested: bool = False


class VirtualPackage(Document, frozen=True, kw_only=True):
    """A property of the machine that packages may demand, such as `__glibc` 2.36."""

    name: Annotated[str, Meta(pattern=r"^__[a-z0-9_]{1,40}$(?!\n)")]
    version: CondaVersion
    build: CondaBuild = "0"


class CondaLock(Document, frozen=True, kw_only=True):
    """The conda packages of an environment, sorted by name, at the fixed prefix.

    The Python packages in the lock's `wheels` and `built` lie in the same prefix, as pip would have put them there.
    `channels` come in their order of priority. `obeyed` is the lock file in the source that named the packages, "" where they were
    solved for.
    """

    prefix: Literal["/opt/conda"] = CONDA_PREFIX
    channels: tuple[CondaChannel, ...]
    priority: Priority = "strict"
    virtual_packages: tuple[VirtualPackage, ...]
    packages: tuple[CondaPackage, ...]
    obeyed: str = ""
