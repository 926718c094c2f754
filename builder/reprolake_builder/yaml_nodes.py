"""YAML from strangers: read as nodes, of which no object is ever built, and no alias may multiply them."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable

LARGEST = 1 << 20  # characters: the parser is slow
_LONGEST = 1 << 16  # characters of a line: for some kinds the parser takes the square of it
_DEEPEST = 20
_MOST = 500_000  # keys, texts, lists and their ends: some seconds of parsing
_NULL = "tag:yaml.org,2002:null"

Value = str | None | list["Value"] | dict[str, "Value"]


def parse_yaml(text: str, path: str, largest: int = LARGEST) -> Node | None:
    """Return the document's nodes, None for an empty one. Raises DetectError naming file and line."""
    if len(text) > largest:
        raise DetectError(f"{path} has {len(text)} characters: too large for a file of this kind")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _LONGEST:
            raise DetectError(f"{path}:{number}: a line of {len(line)} characters is in no file of this kind")
    yaml = YAML(typ="safe", pure=True)
    try:
        depth = 0
        for count, event in enumerate(yaml.parse(text)):
            if count > _MOST:
                raise DetectError(f"{path} holds more than any file of this kind")
            if isinstance(event, CollectionStartEvent):
                depth += 1
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
            if depth > _DEEPEST or isinstance(event, AliasEvent):
                raise DetectError(
                    f"{line_of(path, event)}: nested too deep, or with an alias (*name)",
                    hint="write the list out; a file of this kind needs neither",
                )
        node: Node | None = YAML(typ="safe", pure=True).compose(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else path
        problem, _, _ = str(getattr(error, "problem", error)).partition("\n")  # then comes "<unicode string>"
        raise DetectError(f"{where} is no YAML: {printable(problem)[:200]}") from error
    except (ValueError, LookupError, RecursionError, AttributeError, AssertionError) as error:
        raise DetectError(f"{path} is no YAML that can be read: {printable(str(error))[:200]}") from error
    return node


def line_of(path: str, node: Any) -> str:
    """Return file and line of a node for messages."""
    return f"{path}:{node.start_mark.line + 1}"


def plain(node: Node | None) -> Value:
    """Return a node's texts, lists and keys; a scalar is the text that stands there, whatever it might mean elsewhere."""
    match node:
        case MappingNode():
            return {str(key.value): plain(value) for key, value in node.value if isinstance(key, ScalarNode)}
        case SequenceNode():
            return [plain(item) for item in node.value]
        case ScalarNode():
            return None if node.tag == _NULL else str(node.value)
        case _:
            return None
