"""requirements.txt: PEP 508 demands, files that it includes, and pip's options, none of which is passed over in silence.

Source: pip's documentation, "Requirements File Format".
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement

from reprolake_builder.declarations.heard import Given, Heard, join
from reprolake_builder.declarations.sources import (
    ask_archive,
    ask_folder,
    ask_git,
    ask_reference,
    is_archive,
    is_git,
)
from reprolake_builder.documents.environment import Asked, AskedSource, UnheardFile
from reprolake_builder.errors import DetectError
from reprolake_builder.process import printable

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_REFERENCE = re.compile(r"[\w.-]+\s*(\[[^\]]*\])?\s*@")
_LONGEST = 2000  # characters of a demand without its options
_MOST_FILES = 50  # each may include the next
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_WHEELS = "wheels are taken where there are any"
_INDEX = "the package index comes from the site's configuration"
# Options: whether a value follows, whether heeding it would change the result, and why it is not heeded.
_OPTIONS = {
    "--index-url": (True, True, _INDEX),
    "--pypi-url": (True, True, _INDEX),
    "--extra-index-url": (True, True, _INDEX),
    "--no-index": (False, True, _INDEX),
    "--find-links": (True, True, _INDEX),
    "--pre": (False, True, "pre-releases are taken only where a version asks for one"),
    "--no-binary": (True, True, "what has a wheel is not built in this version"),
    "--only-binary": (True, False, _WHEELS),
    "--prefer-binary": (False, False, _WHEELS),
    "--require-hashes": (False, False, "the lock pins the SHA-256 of every file"),
    "--trusted-host": (True, False, _INDEX),
    "--use-feature": (True, False, "it is a setting of pip, which does not resolve here"),
    "--config-settings": (True, True, "builds take no settings or options in this version"),
    "--config-setting": (True, True, "builds take no settings or options in this version"),
    "--global-option": (True, True, "builds take no settings or options in this version"),
    "--install-option": (True, True, "builds take no settings or options in this version"),
}
_INCLUDES = ("--requirement", "--constraint", "--editable")
_SHORT = {
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
    "-i": "--index-url",
    "-f": "--find-links",
    "-C": "--config-settings",
}


def read_requirements(given: Given, path: str) -> Heard:
    """Return what the file and all that it includes ask for. Raises DetectError naming file and line."""
    reader = RequirementsReader(given)
    reader.read(path)
    return reader.heard()


@dataclass(slots=True)
class RequirementsReader:
    """Reads requirements files and single lines; every file is read once in each role."""

    given: Given
    _seen: set[tuple[str, bool]] = field(default_factory=set)
    _requirements: list[Asked] = field(default_factory=list)
    _constraints: list[Asked] = field(default_factory=list)
    _sources: list[AskedSource] = field(default_factory=list)
    _own: list[Asked] = field(default_factory=list)
    _unheard: list[UnheardFile] = field(default_factory=list)

    def heard(self) -> Heard:
        """What was read so far."""
        return Heard(
            files=tuple(dict.fromkeys(path for path, _ in sorted(self._seen))),
            unheard=tuple(self._unheard),
            requirements=tuple(self._requirements),
            constraints=tuple(self._constraints),
            sources=tuple(self._sources),
            own=tuple(self._own),
        )

    def read(self, path: str, *, constraints: bool = False) -> None:
        """Read a file (path from the source's root). Raises DetectError, also when it is not there."""
        if (path, constraints) in self._seen:
            return
        text = self.given.read(path)
        if text is None:
            raise DetectError(f"{printable(path)} is not in the repository")
        self._seen.add((path, constraints))
        for number, line in _logical_lines(text.splitlines()):
            # pip looks for folders from where it is started (the root), for files from the file that names them.
            self._take(_Line(path, number, line, self.given.base, constraints))

    def take(self, path: str, number: int, text: str) -> None:
        """Take what stands at a line of another file; folders are meant from that file's folder."""
        for _, line in _logical_lines(text.splitlines()):
            self._take(_Line(path, number, line, posixpath.dirname(path), constraints=False))

    def _take(self, line: _Line) -> None:
        if not line.text.isprintable():
            raise line.refused("holds control characters")
        if _VARIABLE.search(line.text):
            raise line.refused("depends on a variable of whoever installs it", "write the value itself")
        try:
            if line.text.startswith("-"):
                words = shlex.split(line.text)
                demand = ""
            else:
                demand, _, options = line.text.partition(" -")
                words = shlex.split("-" + options) if options else []
        except ValueError as error:
            raise line.refused(f"cannot be taken apart ({error})") from error
        hashes: list[str] = []
        for name, value in _options(words, line):
            if name == "--hash":
                hashes.append(value)
            else:
                self._take_option(name, value, line)
        if len(demand) > _LONGEST:
            raise line.refused("is too long")
        sha256 = _sha256(hashes, line)
        if demand:
            self._take_demand(demand.strip(), line, sha256)
        else:
            _refuse_hashes(sha256, line)

    def _take_option(self, name: str, value: str, line: _Line) -> None:
        if name == "--editable":
            self._take_local(value, line)
        elif name in _INCLUDES:
            self._include(value, line, constraints=line.constraints or name == "--constraint")
        else:
            _, matters, reason = _OPTIONS[name]
            self._unheard.append(UnheardFile(path=line.origin, reason=f"{name}: {reason}", matters=matters))

    def _include(self, name: str, line: _Line, *, constraints: bool) -> None:
        if _ADDRESS.match(name) or name.startswith("/"):
            raise line.refused("includes a file from elsewhere", "put the file into the repository")
        path = join(posixpath.dirname(line.path), name)
        if path in self.given.ignored:
            self._unheard.append(UnheardFile(path=path, reason=f"included by {line.origin}", matters=False))
        elif len(self._seen) > _MOST_FILES:
            raise line.refused(f"includes more than {_MOST_FILES} files")
        elif path.startswith("..") or not self.given.tree.is_file(path):
            raise line.refused(f"includes {printable(path)}, which is not in the repository")
        else:
            self.read(path, constraints=constraints)

    def _take_demand(self, text: str, line: _Line, sha256: tuple[str, ...]) -> None:
        local = text.startswith((".", "/", "~")) or text.lower().endswith(_ARCHIVES)
        if is_archive(text):
            address, _, marker = text.partition(" ;")
            self._take_source(
                ask_archive(address, ("", (), marker.strip()), sha256, line.origin, self.given), line
            )
            return
        if _REFERENCE.match(text):
            self._take_reference(text, line, sha256)
            return
        if _ADDRESS.match(text) or local or "/" in text.partition("@")[0].partition(";")[0]:
            _refuse_hashes(sha256, line)
            self._take_local(text, line)
            return
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError) as error:
            hint = 'as PEP 508 has it, such as `numpy>=1.20; python_version < "3.12"`'
            if re.fullmatch(r"[\w.-]+\s*=[^=].*", text):
                hint = f"with two equals signs: {printable(text).replace('=', '==', 1)}"
            raise line.refused("is no requirement", f"write it {hint}") from error
        asked = Asked(text=str(requirement), origin=line.origin, sha256=sha256)
        if not asked.text.isprintable():
            raise line.refused("holds control characters")
        (self._constraints if line.constraints else self._requirements).append(asked)

    def _take_local(self, text: str, line: _Line) -> None:
        if is_git(text):
            self._take_source(ask_git(text, line.origin, self.given), line)
            return
        if _REFERENCE.match(text):
            self._take_reference(text, line, ())
            return
        if _ADDRESS.match(text) or "@" in text:
            raise line.refused("asks for a package from an address that is neither git nor an archive")
        folder, bracket, rest = text.partition(";")[0].partition("[")
        extras, closing, tail = rest.partition("]")
        if bool(bracket) == bool(closing) and join(line.folder, folder.strip()) == self.given.base:
            if tail.strip() or ";" in text:
                raise line.refused("is not understood", "write `-e .` or `-e .[EXTRA]`")
            if line.constraints:
                raise line.refused("constrains the repository's own package", "remove the line")
            self._own.append(Asked(text=extras, origin=line.origin))
            return
        self._take_source(ask_folder(text, line.folder, line.origin, self.given), line)

    def _take_reference(self, text: str, line: _Line, sha256: tuple[str, ...]) -> None:
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, RecursionError) as error:
            raise line.refused(
                "is no requirement", "write it like `NAME @ git+https://HOST/PATH@REF`"
            ) from error
        if is_git(requirement.url or ""):
            _refuse_hashes(sha256, line)
        self._take_source(ask_reference(requirement, line.origin, self.given, sha256), line)

    def _take_source(self, asked: AskedSource, line: _Line) -> None:
        if line.constraints:
            raise line.refused("constrains a package to an address", "ask for it in requirements.txt instead")
        self._sources.append(asked)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line with the file it stands in and the folder that paths in it start from."""

    path: str
    number: int
    text: str
    folder: str
    constraints: bool

    @property
    def origin(self) -> str:
        return f"{self.path}:{self.number}"

    def refused(self, reason: str, hint: str = "") -> DetectError:
        shown = printable(re.sub(r"://[^/@\s]*@", "://", self.text))[:200]
        return DetectError(f"{printable(self.origin)}: {shown!r} {reason}", hint=hint)


def _sha256(hashes: list[str], line: _Line) -> tuple[str, ...]:
    """Return those of the hashes that are SHA-256, which is what indexes tell. Raises DetectError when there are only others."""
    parts = [text.partition(":") for text in hashes]
    found = tuple(digest.lower() for kind, _, digest in parts if kind == "sha256")
    if not all(_SHA256.fullmatch(digest) for digest in found) or (hashes and not found):
        raise line.refused(
            "has a hash that cannot be compared", "write it --hash=sha256: and 64 hexadecimal digits"
        )
    return found


def _refuse_hashes(sha256: tuple[str, ...], line: _Line) -> None:
    if sha256:
        raise line.refused("has a hash, and no archive of an index is asked for", "remove the hash")


def _options(words: list[str], line: _Line) -> Iterator[tuple[str, str]]:
    """Yield long names of options and their values. Raises DetectError for an option that is not known."""
    pending = words[::-1]
    while pending:
        word = pending.pop()
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            name, equals, value = _SHORT.get(word[:2], word), word[2:], word[2:]
        if name not in _OPTIONS and name not in _INCLUDES and name != "--hash":
            raise line.refused(f"has {printable(name)[:40]!r}, which is not understood")
        if name not in _OPTIONS or _OPTIONS[name][0]:
            if not equals and pending:
                value = pending.pop()
            if not value:
                raise line.refused(f"gives {name} no value")
            if len(value) > _LONGEST:
                raise line.refused("is too long")
        yield name, value


def _logical_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield lines joined at backslashes, without comments and blanks, each with the number at which it starts."""
    parts: list[str] = []
    start = 1
    for number, line in enumerate(lines, 1):
        comment = line.lstrip().startswith("#")
        if not parts:
            start = number
        if line.endswith("\\") and not comment:
            parts.append(line.strip("\\"))
            continue
        parts.append(" " + line if comment else line)
        if text := _COMMENT.sub("", "".join(parts)).strip():
            yield start, text
        parts = []
    if text := _COMMENT.sub("", "".join(parts)).strip():
        yield start, text
