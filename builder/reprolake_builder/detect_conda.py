"""environment.yml: honoured when it asks for python, pip and pip packages only.

Source: conda's documentation, "Creating an environment file manually" and "Package match specifications".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from reprolake_builder.detect_heard import Given, Heard
from reprolake_builder.detect_requirements import RequirementsReader
from reprolake_builder.documents.environment import Asked, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable
from reprolake_builder.yaml_nodes import line_of, parse_yaml

_SPEC = re.compile(r"(?:[\w./-]+::)?([A-Za-z0-9_.-]+)\s*(.*)", re.DOTALL)
_LONGEST = 200  # characters of a version
_ONE = re.compile(r"(==?)?\s*(\d[\d.]*?)(\.?\*)?(?:(?:=|\s+)([\w.*-]+))?")
_CLAUSE = re.compile(r"\s*(>=|<=|==|!=|~=|>|<|=)?\s*(\d[\w.]*?)(\.?\*)?\s*")
_NO_EFFECT = {
    "name": "",
    "prefix": "",
    "channels": "channels have no say: no package is taken from them",
    "platforms": "the platform is that of the lock",
}


def read_conda(given: Given, path: str) -> Heard:
    """Return what the file asks for; conda packages make it matter that the file is not honoured as a whole.

    Raises DetectError naming file and line.
    """
    root = parse_yaml(given.read(path) or "", path)
    if root is None:
        return Heard(files=(path,))
    if not isinstance(root, MappingNode):
        raise DetectError(f"{path} is no list of keys such as `dependencies:`")
    heard = Heard(files=(path,))
    for key, value in _pairs(root, path):
        name = str(key.value)
        origin = line_of(path, key)
        if name == "dependencies":
            heard += _read_dependencies(given, path, value)
        elif name == "variables":
            heard += _unheard(
                origin, "variables of the environment are not set in this version", matters=True
            )
        else:
            reason = _NO_EFFECT.get(name, f"the key {printable(name)[:40]!r} has no meaning for conda")
            heard += _unheard(origin, reason, matters=False)
    return heard


def _read_dependencies(given: Given, path: str, value: Node) -> Heard:
    heard = Heard()
    others: list[str] = []
    reader = RequirementsReader(given)
    for item in _items(value, path):
        if isinstance(item, ScalarNode):
            word = item.value.strip()
            if part := _read_spec(word, line_of(path, item)):
                heard += part
            else:
                others.append(f"{printable(word)[:60]} (line {item.start_mark.line + 1})")
            continue
        for key, packages in _pairs(item, path):
            if key.value != "pip":
                others.append(f"{printable(str(key.value))[:40]}: (line {key.start_mark.line + 1})")
                continue
            for package in _items(packages, path):
                if not isinstance(package, ScalarNode):
                    raise DetectError(f"{line_of(path, package)}: a pip package is one line of text")
                reader.take(path, package.start_mark.line + 1, package.value)
    if others:
        shown = ", ".join(others[:10]) + (f" and {len(others) - 10} more" if len(others) > 10 else "")
        heard += _unheard(
            path, f"conda packages come in a later version, and it asks for {shown}", matters=True
        )
    return heard + reader.heard()


def _read_spec(text: str, origin: str) -> Heard | None:
    """Return what a conda specification of python or pip asks for, None for another package."""
    found = _SPEC.fullmatch(text)
    if found is None or found[1].lower() not in {"python", "pip"}:
        return None
    name, wanted = found[1].lower(), found[2].strip()
    versions, heard = _as_pep440(wanted, origin)
    if name == "pip":
        return Heard(requirements=(Asked(text=f"pip{versions}", origin=origin),), unheard=heard)
    return Heard(python=(Asked(text=versions, origin=origin),) if versions else (), unheard=heard)


def _as_pep440(wanted: str, origin: str) -> tuple[str, tuple[UnheardFile, ...]]:
    """Return conda's version text as a PEP 440 specifier set, and the build if one is named, which cannot be honoured."""
    unheard: tuple[UnheardFile, ...] = ()
    if len(wanted) > _LONGEST:
        raise _not_understood(wanted, origin)
    if found := _ONE.fullmatch(wanted):
        operator, version, star, build = found.groups()
        if build and build != "*":
            reason = (
                f"the conda build {printable(build)[:40]} is not taken: Python and pip do not come from conda"
            )
            unheard = (UnheardFile(path=origin, reason=reason, matters=False),)
        # Conda: =3.11 means 3.11.*, but with a build behind it, or after a space, the version is exact.
        clauses = [f"=={version}.*" if star or (operator == "=" and not build) else f"=={version}"]
    else:
        clauses = [_clause(text, origin) for text in wanted.split(",")] if wanted else []
    try:
        return str(SpecifierSet(",".join(clauses))), unheard
    except InvalidSpecifier as error:
        raise _not_understood(wanted, origin) from error


def _clause(text: str, origin: str) -> str:
    found = _CLAUSE.fullmatch(text)
    if found is None:
        raise _not_understood(text, origin)
    operator, version, star = found.groups()
    if operator == "=" or (star and operator in {None, "==", "!="}):
        return f"{'!=' if operator == '!=' else '=='}{version}.*"
    return f"{operator or '=='}{version}"


def _not_understood(text: str, origin: str) -> DetectError:
    return DetectError(
        f"{origin}: the version {printable(text)[:80]!r} is not understood",
        hint="write it like python=3.11, python==3.11.4 or python>=3.9,<3.12",
    )


def _unheard(path: str, reason: str, *, matters: bool) -> Heard:
    return Heard(unheard=(UnheardFile(path=path, reason=reason, matters=matters),) if reason else ())


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
