"""pixi.toml: the packages of pixi's environment `default`, for conda's channels and for pip.

Source: pixi's documentation, "Pixi Manifest".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reprolake_builder.declarations.heard import Given, Heard
from reprolake_builder.declarations.requirements import RequirementsReader
from reprolake_builder.declarations.variables import read_variable
from reprolake_builder.documents.environment import Asked, CondaAsked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.reading import checked_count, read_tables
from reprolake_builder.process import printable

_PLATFORM = "linux-64"
_TARGETS = ("unix", "linux", _PLATFORM)
_CONDA = ("dependencies", "host-dependencies", "build-dependencies")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_WORDS = re.compile(r"[^\x00-\x1f\x7f\[\]'\"]{0,200}")
_KEY = re.compile(r"""\s*\[?["']?([\w.-]+)["']?\s*[=\]]""")
_FIELDS = ("version", "build", "channel")
_NO_SAY = {"workspace", "project", "tasks", "target", "pypi-options", "tool", "package", "dev"}


def read_pixi(given: Given, path: str) -> Heard:
    """Return what the file asks for. Raises DetectError naming the file and where it can the line."""
    text = given.read(path) or ""
    table = read_tables(text, path)
    reader = _Reader(path, _lines(text), RequirementsReader(given))
    reader.workspace(table)
    targets = reader.table(table, "target")
    for part in (table, *(reader.table(targets, name) for name in _TARGETS)):
        reader.part(part)
    reader.rest(table)
    return reader.heard()


@dataclass(slots=True)
class _Reader:
    path: str
    lines: Mapping[str, int]
    requirements: RequirementsReader
    channels: list[Asked] = field(default_factory=list)
    specs: dict[str, Asked] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    unheard: list[UnheardFile] = field(default_factory=list)

    def table(self, table: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The table at a key, empty where there is none. Raises DetectError for anything else."""
        found = table.get(key, {})
        if not isinstance(found, dict):
            raise DetectError(f"{self._origin(key)}: {printable(key)[:60]!r} is no table")
        return found

    def _list(self, table: Mapping[str, Any], key: str) -> list[Any]:
        found = table.get(key, [])
        if not isinstance(found, list):
            raise DetectError(f"{self._origin(key)}: {printable(key)[:60]!r} is no list")
        return found

    def workspace(self, table: Mapping[str, Any]) -> None:
        """Take channels, the highest priority first, and see whether this platform is meant."""
        found = self.table(table, "workspace") or self.table(table, "project")
        named: list[tuple[float, str]] = []
        for one in self._list(found, "channels"):
            channel, priority = (
                (one.get("channel"), one.get("priority", 0)) if isinstance(one, dict) else (one, 0)
            )
            if not isinstance(channel, str) or not isinstance(priority, int):
                raise DetectError(f"{self.path}: {printable(str(one))[:100]} is no channel")
            named.append((-priority, channel))
        named.sort(key=lambda pair: pair[0])
        self.channels = [Asked(text=channel, origin=self._origin("channels")) for _, channel in named]
        platforms = self._list(found, "platforms")
        if platforms and _PLATFORM not in platforms:
            self._ignore("platforms", f"it is for other platforms than {_PLATFORM}", matters=True)

    def part(self, table: Mapping[str, Any]) -> None:
        """Take packages and variables of the whole, or of what is for this platform."""
        for key in _CONDA:
            checked_count(len(self.table(table, key)), self.path)
            for name, value in self.table(table, key).items():
                self.specs[name.lower()] = Asked(text=self._spec(name, value), origin=self._origin(name))
        for name, value in self.table(table, "pypi-dependencies").items():
            self.requirements.take(self.path, self._line(name), self._requirement(name, value))
        activation = self.table(table, "activation")
        if activation.get("scripts"):
            self._ignore(
                "scripts", "scripts of the repository are not run when an environment starts", matters=True
            )
        for name, value in self.table(activation, "env").items():
            if isinstance(value, str) and "$" in value:
                self._ignore(name, f"{name} depends on what it is set to where it is started", matters=True)
            else:
                told = read_variable(name, value, self._origin(name))
                self.unheard += told.unheard
                self.variables |= dict(told.variables)

    def rest(self, table: Mapping[str, Any]) -> None:
        """Take note of what has no say, or cannot be honoured."""
        if "default" in self.table(table, "environments"):
            self._ignore(
                "environments",
                "the environment `default` is made of features, which are not read",
                matters=True,
            )
        if "cuda" in self.table(table, "system-requirements"):
            self._ignore("cuda", "environments have no graphics card", matters=True)
        known = {
            *_CONDA,
            *_NO_SAY,
            "pypi-dependencies",
            "activation",
            "environments",
            "feature",
            "system-requirements",
        }
        for key in table:
            if key == "feature":
                self._ignore(key, "of pixi's environments only `default` is made, without features")
            elif key not in known:
                self._ignore(key, f"the table {printable(key)[:40]!r} is not read")

    def heard(self) -> Heard:
        """What was read."""
        asked = CondaAsked(channels=tuple(self.channels), specs=tuple(self.specs.values()))
        own = Heard(
            files=(self.path,),
            conda=(asked,),
            variables=tuple(self.variables.items()),
            unheard=tuple(self.unheard),
        )
        return own + self.requirements.heard()

    def _spec(self, name: str, value: object) -> str:
        """Return a dependency as conda specifies it: a version, or a table with version, build and channel."""
        parts = {"version": value} if isinstance(value, str) else value
        if not _NAME.fullmatch(name) or not isinstance(parts, dict):
            raise DetectError(
                f"{self._origin(name)}: {printable(name)[:60]!r} is no dependency on a conda package"
            )
        if unknown := sorted(parts.keys() - {*_FIELDS}):
            raise DetectError(
                f"{self._origin(name)}: {name} is asked for by {', '.join(map(printable, unknown))}, and only "
                f"{', '.join(_FIELDS)} are understood",
                hint="packages that pixi builds itself come in a later version",
            )
        words = {key: str(parts[key]) for key in _FIELDS if key in parts}
        if not all(_WORDS.fullmatch(word) for word in words.values()):
            raise DetectError(f"{self._origin(name)}: {name} is asked for in words that conda does not know")
        version, build = words.get("version", "*").strip(), words.get("build", "")
        channel = f"{words['channel']}::" if "channel" in words else ""
        if build:
            return f"{channel}{name}[version='{version or '*'}',build='{build}']"
        return f"{channel}{name}" if version in {"", "*"} else f"{channel}{name} {version}"

    def _requirement(self, name: str, value: object) -> str:
        """Return a dependency of pip's as requirements.txt has it."""
        parts = {"version": value} if isinstance(value, str) else value
        if not _NAME.fullmatch(name) or not isinstance(parts, dict):
            raise DetectError(
                f"{self._origin(name)}: {printable(name)[:60]!r} is no dependency on a package of pip"
            )
        extras = f"[{','.join(map(str, self._list(parts, 'extras')))}]" if parts.get("extras") else ""
        if "path" in parts:
            return f"{'-e ' if parts['path'] == '.' else ''}{_relative(str(parts['path']))}{extras}"
        if "git" in parts:
            at = next((f"@{parts[key]}" for key in ("rev", "tag", "branch") if key in parts), "")
            inside = f"#subdirectory={parts['subdirectory']}" if "subdirectory" in parts else ""
            address = str(parts["git"]).removeprefix("git+")
            return f"{name}{extras} @ git+{address}{at}{inside}"
        if "url" in parts:
            return f"{name}{extras} @ {parts['url']}"
        version = str(parts.get("version", "*")).strip()
        if version in {"", "*"}:
            return f"{name}{extras}"
        return f"{name}{extras}{version if version[0] in '<>=!~' else f'=={version}'}"

    def _line(self, name: str) -> int:
        return self.lines.get(name, 1)

    def _origin(self, name: str) -> str:
        return f"{self.path}:{self._line(name)}"

    def _ignore(self, name: str, reason: str, *, matters: bool = False) -> None:
        self.unheard.append(UnheardFile(path=self._origin(name), reason=reason, matters=matters))


def _lines(text: str) -> Mapping[str, int]:
    """Return the line at which each key or table stands first, `x` for `x.version` as well."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if key := _KEY.match(line):
            found.setdefault(key[1], number)
            found.setdefault(key[1].partition(".")[0], number)
    return found


def _relative(path: str) -> str:
    return path if path.startswith((".", "/", "~")) else f"./{path}"
