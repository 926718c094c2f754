"""environment.yml: conda packages from channels, and pip's packages beside them.

A file that asks for python, pip and pip's packages only needs no channel: it is honoured without conda, unless it asks for a
Python that only a channel has. Source: conda's documentation, "Creating an environment file manually" and "Package match specifications".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reprolake_builder.conda.selectors import drop_reason, selected_key
from reprolake_builder.conda.versions import as_pep440, split_spec
from reprolake_builder.declarations.heard import Given, Heard
from reprolake_builder.declarations.requirements import RequirementsReader
from reprolake_builder.declarations.variables import read_variable
from reprolake_builder.documents.environment import Asked, CondaAsked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable
from reprolake_builder.solvers.python_choice import is_on_offer
from reprolake_builder.yaml_nodes import line_of, parse_yaml

_PLATFORM = "linux-64"
_LONGEST = 500  # characters of a specification
_MOST = 2000  # demands
_NO_EFFECT = {
    "name": "the environment lies in a place of its own in the image, whatever its name",
    "prefix": "the folder is one of the machine that the file was written on",
}
NO_CHANNELS = "channels have no say: no package is taken from them"
"""Why the channels of a file are passed over that asks for nothing of conda's."""


def read_conda(given: Given, path: str) -> Heard:
    """Return what the file asks for. Raises DetectError naming file and line."""
    text = given.read(path) or ""
    root = parse_yaml(text, path)
    if root is None:
        return Heard(files=(path,))
    if not isinstance(root, MappingNode):
        raise DetectError(
            f"{path} is no list of keys",
            hint="packages stand one a line as `- NAME` below `dependencies:`",
        )
    reader = _Reader(given, path, text.splitlines())
    for key, value in _pairs(root, path):
        reader.take(key, value)
    return Heard(files=(path,)) + reader.heard()


@dataclass(slots=True)
class _Reader:
    """Takes the keys of one file in whatever order they stand."""

    given: Given
    path: str
    lines: list[str]
    channels: list[Asked] = field(default_factory=list)
    specs: list[Asked] = field(default_factory=list)
    variables: Heard = field(default_factory=Heard)
    unheard: list[UnheardFile] = field(default_factory=list)
    requirements: RequirementsReader = field(init=False)
    _channels_at: str = ""

    def __post_init__(self) -> None:
        self.requirements = RequirementsReader(self.given)

    def take(self, key: ScalarNode, value: Node) -> None:
        """Take a key of the file."""
        name, origin = str(key.value), line_of(self.path, key)
        if name == "dependencies":
            self._take_dependencies(value)
        elif name == "channels":
            self._channels_at = origin
            self.channels += [self._asked(item) for item in self._words(value)]
        elif name == "variables":
            self._take_variables(value)
        elif name == "platforms":
            if _PLATFORM not in [item.value for item in self._words(value)]:
                self._ignore(origin, f"it is for other platforms than {_PLATFORM}", matters=True)
        else:
            unknown = f"the key {printable(name)[:40]!r} has no meaning for conda"
            self._ignore(origin, _NO_EFFECT.get(name, unknown))

    def heard(self) -> Heard:
        """What was read: without conda where that does as well."""
        rest = self.requirements.heard() + self.variables
        plain = [split_spec(item.text) for item in self.specs]
        pip_only = all(spec is not None and spec.name in {"python", "pip"} for spec in plain)
        translated = [as_pep440(item.text, item.origin) for item in self.specs] if pip_only else [None]
        asked = tuple(item for part in translated if part is not None for item in part.python)
        if None not in translated and (not self.channels or is_on_offer(asked)):
            if self._channels_at:
                self._ignore(self._channels_at, NO_CHANNELS)
            found = Heard()
            for part in translated:
                if part is not None:
                    found += Heard(python=part.python, requirements=part.requirements, unheard=part.unheard)
            return found + rest + Heard(unheard=tuple(self.unheard))
        channels = [item for item in self.channels if item.text != "nodefaults"]
        if not channels:
            channels = [Asked(text="defaults", origin=f"{self.path}, which names no channel,")]
        conda = CondaAsked(channels=tuple(channels), specs=tuple(self.specs))
        return Heard(conda=(conda,), unheard=tuple(self.unheard)) + rest

    def _take_dependencies(self, value: Node) -> None:
        for item in _items(value, self.path):
            if reason := drop_reason(self._line(item)):
                self._ignore(line_of(self.path, item), reason)
            elif isinstance(item, ScalarNode):
                self._take_spec(item)
            else:
                for key, packages in _pairs(item, self.path):
                    self._take_group(key, packages)
        if len(self.specs) > _MOST:
            raise DetectError(f"{self.path} asks for more than {_MOST} packages")

    def _take_group(self, key: ScalarNode, packages: Node) -> None:
        """Take `pip:` and its list, or `sel(linux): NAME`."""
        name = str(key.value)
        if name == "pip":
            for package in self._words(packages):
                self.requirements.take(self.path, package.start_mark.line + 1, package.value)
            return
        chosen = selected_key(name)
        if chosen is None or not isinstance(packages, ScalarNode):
            raise DetectError(
                f"{line_of(self.path, key)}: {printable(name)[:40]!r} is no list of packages that conda knows",
                hint="packages stand one a line as `- NAME`, those of pip below `- pip:`",
            )
        if chosen:
            self._take_spec(packages)
        else:
            self._ignore(line_of(self.path, key), f"{printable(name)[:40]} is another platform")

    def _take_spec(self, item: ScalarNode) -> None:
        asked = self._asked(item)
        if not asked.text.isprintable() or len(asked.text) > _LONGEST or split_spec(asked.text) is None:
            raise DetectError(
                f"{asked.origin}: {printable(asked.text)[:100]!r} is no specification of a conda package",
                hint="write it like numpy=1.26, numpy>=1.24,<2 or conda-forge::numpy; what pip installs stands below `- pip:`",
            )
        self.specs.append(asked)

    def _take_variables(self, value: Node) -> None:
        for key, node in _pairs(value, self.path):
            text = str(node.value) if isinstance(node, ScalarNode) else None
            self.variables += read_variable(str(key.value), text, line_of(self.path, key))

    def _words(self, node: Node) -> list[ScalarNode]:
        found = []
        for item in _items(node, self.path):
            if not isinstance(item, ScalarNode):
                raise DetectError(f"{line_of(self.path, item)}: one line of text is expected here")
            if reason := drop_reason(self._line(item)):
                self._ignore(line_of(self.path, item), reason)
            else:
                found.append(item)
        return found

    def _asked(self, item: ScalarNode) -> Asked:
        return Asked(text=str(item.value).strip(), origin=line_of(self.path, item))

    def _line(self, item: Node) -> str:
        number = item.start_mark.line
        return self.lines[number] if number < len(self.lines) else ""

    def _ignore(self, origin: str, reason: str, *, matters: bool = False) -> None:
        self.unheard.append(UnheardFile(path=origin, reason=reason, matters=matters))


def _items(node: Node, path: str) -> list[Node]:
    if isinstance(node, SequenceNode):
        items: list[Node] = node.value
        return items
    if isinstance(node, ScalarNode) and node.value in {"", "null", "~"}:
        return []
    raise DetectError(f"{line_of(path, node)}: a list is expected here, one `- name` a line")


def _pairs(node: Node, path: str) -> Iterator[tuple[ScalarNode, Node]]:
    if not isinstance(node, MappingNode):
        raise DetectError(f"{line_of(path, node)}: a key with a list is expected here, such as `pip:`")
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, ScalarNode) or key.value in seen:
            raise DetectError(f"{line_of(path, key)}: this key is no text, or stands here twice")
        seen.add(key.value)
        yield key, value
