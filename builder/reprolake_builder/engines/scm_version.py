"""The version of a package that takes it from git, of which the build sees the files alone.

Source: documentation of setuptools_scm, "Version number construction" and "Overrides"; of pbr and poetry-dynamic-versioning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.version import InvalidVersion, Version

from reprolake_builder.providers.git.describe import Described

_SCM = "SETUPTOOLS_SCM_PRETEND_VERSION"
# Build requirements that ask git for the version, and the variable that answers in its place.
_VARIABLES = {
    "flit-scm": _SCM,
    "hatch-vcs": _SCM,
    "pbr": "PBR_VERSION",
    "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
    "setuptools-scm": _SCM,
    "setuptools-scm-git-archive": _SCM,
    "vcs-versioning": _SCM,
}
_TAG = re.compile(r"(?:[\w-]+-)?([vV]?\d+(?:\.\d+)*[^+]*)(?:\+.*)?")
_NUMBERS = re.compile(r"\d+-\d")
_SHORT = 9  # digits of a commit's id


def variables_for(requirements: Iterable[str]) -> tuple[str, ...]:
    """Return the variables that take the version, for normalised names of build requirements; sorted."""
    return tuple(sorted({_VARIABLES[name] for name in requirements if name in _VARIABLES}))


def scm_version(described: Described, changed_on: str = "") -> str:
    """Return the version of what git describes so, by setuptools_scm's default rules.

    `changed_on` (YYYYMMDD) marks files that differ from the commit, "" such as do not.
    """
    tag = _version(described.tag)
    if tag is not None and described.distance == 0 and not changed_on:
        return str(tag)
    following = _next(tag) if tag is not None else "0.1"
    local = f"g{described.commit[:_SHORT]}" + (f".d{changed_on}" if changed_on else "")
    return f"{following}.dev{described.distance}+{local}"


def released_version(name: str) -> str:
    """Return the version that a release of that name is, "" for a name that is none."""
    # Dates and other numbers joined by dashes are no versions, though their end looks like one.
    version = None if _NUMBERS.match(name) else _version(name)
    return str(version) if version is not None else ""


def _version(tag: str) -> Version | None:
    found = _TAG.fullmatch(tag)
    try:
        return Version(found[1]) if found else None
    except InvalidVersion:
        return None


def _next(tag: Version) -> str:
    """Return the version that comes after the tag: the next pre-release of one, else the last number raised."""
    epoch = f"{tag.epoch}!" if tag.epoch else ""
    release = ".".join(map(str, tag.release))
    if tag.pre is not None:
        return f"{epoch}{release}{tag.pre[0]}{tag.pre[1] + 1}"
    if tag.is_devrelease:
        return f"{epoch}{release}"
    *first, last = tag.release
    return epoch + ".".join(map(str, (*first, last + 1)))
