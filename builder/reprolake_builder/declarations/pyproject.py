"""pyproject.toml: what the repository's own package requires, and what it is built with.

Source: PyPA specifications, "pyproject.toml" (PEP 518, PEP 621) and "Dependency specifiers" (PEP 508); PEP 517.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from reprolake_builder.declarations.heard import Given, Heard, join
from reprolake_builder.declarations.sources import ask_reference
from reprolake_builder.declarations.uv_sources import uv_source, uv_sources
from reprolake_builder.documents.environment import Asked, AskedSource, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.reading import (
    checked_count,
    name_of,
    read_tables,
    refuse_unknown,
    requirement_of,
    specifier_of,
)
from reprolake_builder.process import printable

NAME = "pyproject.toml"
_MOST = 5000  # items of a list
_LARGEST = 1 << 20  # characters
_DEFAULT_BUILD = ("setuptools>=40.8.0", "wheel")
# Tables of tools that would change which packages are taken.
_TOOLS = {
    "uv": ("index", "index-url", "extra-index-url", "find-links", "no-index", "constraint-dependencies",
           "override-dependencies", "exclude-dependencies", "prerelease", "resolution"),
    "pdm": ("source", "resolution"),
    "pixi": ("dependencies", "pypi-dependencies", "feature", "target"),
}  # fmt: skip


# Where tools say whether a project is a package.
_PACKAGE = (("uv", "package"), ("poetry", "package-mode"), ("pdm", "distribution"))


@dataclass(frozen=True, slots=True)
class Pyproject:
    """A pyproject.toml that is TOML: `path` from the source's root, its text and its tables."""

    path: str
    text: str
    tables: dict[str, Any]

    @property
    def has_project(self) -> bool:
        """Whether it declares a package itself."""
        return "project" in self.tables

    @property
    def has_build_system(self) -> bool:
        """Whether it says how a package is built."""
        return "build-system" in self.tables

    @property
    def is_poetry(self) -> bool:
        """Whether it declares a package in Poetry's own words."""
        return "poetry" in self.tool

    @property
    def tool(self) -> dict[str, dict[str, Any]]:
        """The tables of tools."""
        tool = self.table("tool")
        return {name: table for name, table in tool.items() if isinstance(table, dict)}

    def origin(self, needle: str) -> str:
        """Where the text stands, as file:line; the file alone when it is not found as such."""
        at = self.text.find(needle)
        return self.path if at < 0 else f"{self.path}:{self.text.count(chr(10), 0, at) + 1}"

    def table(self, name: str) -> dict[str, Any]:
        """A top-level table. Raises DetectError when it is something else."""
        found = self.tables.get(name, {})
        if not isinstance(found, dict):
            raise DetectError(f"{self.origin(name)}: {name} is no table")
        return found

    def texts(self, table: dict[str, Any], key: str) -> tuple[str, ...]:
        """A list of texts. Raises DetectError when it is something else."""
        found = table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise DetectError(f"{self.origin(key)}: {printable(key)} is no list of texts")
        if len(found) > _MOST:
            raise DetectError(
                f"{self.origin(key)}: {printable(key)} has {len(found)} items, which none needs"
            )
        return tuple(found)

    def requirements(self, texts: Iterable[str]) -> tuple[Asked, ...]:
        """The texts as PEP 508 demands. Raises DetectError for one that is none, or refers to an address."""
        return tuple(self._requirement(text) for text in texts)

    def demands(
        self, texts: Iterable[str], given: Given
    ) -> tuple[tuple[Asked, ...], tuple[AskedSource, ...]]:
        """The texts as PEP 508 demands, and as demands for git repositories. Raises DetectError for what is neither."""
        asked: list[Asked] = []
        sources: list[AskedSource] = []
        named = uv_sources(self.tool.get("uv", {}), self.path)
        demanded = tuple(texts)
        checked_count(len(demanded), self.path)
        for text in demanded:
            requirement = self._parsed(text)
            placed = uv_source(requirement, named, self.origin(text), given)
            if placed is not None:
                sources.append(placed)
            elif requirement.url is None:
                asked.append(Asked(text=str(requirement), origin=self.origin(text)))
            else:
                sources.append(ask_reference(requirement, self.origin(text), given))
        return tuple(asked), tuple(sources)

    def _requirement(self, text: str) -> Asked:
        requirement = self._parsed(text)
        if requirement.url is not None:
            raise DetectError(
                f"{self.origin(text)}: {printable(requirement.name)} comes from an address",
                hint="what builds a package comes from the package index in this version",
            )
        return Asked(text=str(requirement), origin=self.origin(text))

    def _parsed(self, text: str) -> Requirement:
        return requirement_of(text, self.origin(text))


def read_pyproject(given: Given, folder: str | None = None) -> Pyproject | None:
    """Return the pyproject.toml of a folder (the source's own), None when there is none or it is ignored. Raises DetectError."""
    path = join(given.base if folder is None else folder, NAME)
    text = given.read(path)
    if text is None:
        return None
    if len(text) > _LARGEST:
        raise DetectError(f"{path} has {len(text)} characters: too large for a file of this kind")
    return Pyproject(path, text, read_tables(text, path))


def read_project(given: Given, pyproject: Pyproject, extras: frozenset[str], *, named: bool) -> Heard:
    """Return what the package declared by [project] asks for, with these extras; `named` is whether `-e .` names it.

    Raises DetectError.
    """
    project = pyproject.table("project")
    if not isinstance(project.get("name"), str):
        raise DetectError(
            f"{pyproject.path}: [project] has no name", hint='write name = "NAME" below [project]'
        )
    dynamic = pyproject.texts(project, "dynamic")
    texts = project_texts(pyproject, extras)
    own = canonicalize_name(project["name"])
    asked, sources = pyproject.demands(texts, given)
    is_package = named or _gets_installed(pyproject)
    return _tools(pyproject) + Heard(
        files=(pyproject.path,),
        python=requires_python(pyproject),
        requirements=tuple(a for a in asked if canonicalize_name(Requirement(a.text).name) != own),
        sources=sources,
        own=(Asked(text="", origin=pyproject.origin("[project]")),) if is_package else (),
        build_requirements=build_requirements(pyproject) if is_package else (),
        dynamic=is_package
        and bool({"dependencies", "optional-dependencies", "requires-python"} & set(dynamic)),
    )


def _gets_installed(pyproject: Pyproject) -> bool:
    """Whether the project is a package by the words of its tool, which some give up where there is no [build-system]."""
    said = [pyproject.tool[tool][key] for tool, key in _PACKAGE if key in pyproject.tool.get(tool, {})]
    if said:
        return all(word is not False for word in said)
    return pyproject.has_build_system or not {"uv", "pdm"} & pyproject.tool.keys()


def project_texts(pyproject: Pyproject, extras: frozenset[str]) -> tuple[str, ...]:
    """Return the demands that [project] writes down, with these extras. Raises DetectError for an extra that it does not have."""
    project = pyproject.table("project")
    optional = _optional(pyproject, project)
    if "optional-dependencies" not in pyproject.texts(project, "dynamic"):
        refuse_unknown("extra", extras, optional, pyproject.path)
    wanted = _closure(str(project.get("name", "")), optional, extras)
    return (*pyproject.texts(project, "dependencies"), *(t for extra in wanted for t in optional[extra]))


def build_requirements(pyproject: Pyproject | None) -> tuple[Asked, ...]:
    """Return what the package is built with: what [build-system] says, or the default of PEP 517."""
    if pyproject is None or not pyproject.has_build_system:
        return tuple(Asked(text=text, origin="the default of PEP 517") for text in _DEFAULT_BUILD)
    system = pyproject.table("build-system")
    if "requires" not in system:
        raise DetectError(
            f"{pyproject.origin('[build-system]')}: [build-system] has no `requires`",
            hint='write what builds the package, such as requires = ["setuptools"]',
        )
    return pyproject.requirements(pyproject.texts(system, "requires"))


def _tools(pyproject: Pyproject) -> Heard:
    found = [
        (tool, key) for tool, keys in _TOOLS.items() for key in keys if key in pyproject.tool.get(tool, {})
    ]
    unheard = [
        UnheardFile(
            path=f"{pyproject.path}#tool.{tool}.{key}",
            reason=f"settings of {tool} about packages are not understood in this version",
            matters=True,
        )
        for tool, key in found
    ]
    if "envs" in pyproject.tool.get("hatch", {}):
        reason = (
            "environments of hatch are for development: dependency groups are what is asked for by `--group`"
        )
        path = f"{pyproject.path}#tool.hatch.envs"
        unheard.append(UnheardFile(path=path, reason=reason, matters=False))
    return Heard(unheard=tuple(unheard))


def requires_python(pyproject: Pyproject) -> tuple[Asked, ...]:
    """Return what [project] says of Python. Raises DetectError."""
    text = pyproject.table("project").get("requires-python")
    if text is None:
        return ()
    origin = pyproject.origin("requires-python")
    versions = specifier_of(str(text), f"{origin}: requires-python", 'write it like ">=3.9,<3.13"')
    return (Asked(text=str(versions), origin=origin),)


def _optional(pyproject: Pyproject, project: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    table = project.get("optional-dependencies", {})
    if not isinstance(table, dict):
        raise DetectError(f"{pyproject.origin('optional-dependencies')}: optional-dependencies is no table")
    return {name_of(extra, pyproject.origin(extra)): pyproject.texts(table, extra) for extra in table}


def _closure(name: str, optional: dict[str, tuple[str, ...]], extras: frozenset[str]) -> tuple[str, ...]:
    """Return the extras with those that they name in turn (`all = ["pkg[plot,io]"]`), sorted."""
    own = canonicalize_name(name)
    wanted: set[str] = set()
    pending = [extra for extra in extras if extra in optional]
    while pending:
        extra = pending.pop()
        if extra in wanted:
            continue
        wanted.add(extra)
        for text in optional[extra]:
            try:
                requirement = Requirement(text)
            except (InvalidRequirement, RecursionError):
                continue  # refused with its place when the demands are taken
            if canonicalize_name(requirement.name) == own:
                pending += [known for e in requirement.extras if (known := canonicalize_name(e)) in optional]
    return tuple(sorted(wanted))
