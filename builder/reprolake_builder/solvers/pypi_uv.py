"""The `uv` executable as a resolver: what it is asked and what it answers.

It always runs with `--no-build`: it reads the metadata of wheels, and nothing from a package or a repository is executed.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from packaging.utils import NormalizedName, canonicalize_name

from reprolake_builder.documents.base import Sha256
from reprolake_builder.documents.lock import BuiltWheelLock, WheelLock
from reprolake_builder.errors import LockError
from reprolake_builder.process import printable, run
from reprolake_builder.site import Site
from reprolake_builder.solvers.pypi_target import Target
from reprolake_builder.solvers.pypi_words import UnsatisfiableError, failure
from reprolake_builder.store import Store, disk_error

_TIMEOUT = 900  # seconds; a cold resolution of a large set takes a few
_NEWEST_GLIBC = 40  # of the platforms that uv 0.13 knows by name
# What decides which packages are chosen has to stand in the lock, so of uv's own variables only those count that say where
# packages are and how to get there.
_PLACES = (
    "UV_CONCURRENT_",
    "UV_CONFIG_FILE",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_",
    "UV_INDEX",
    "UV_INSECURE_HOST",
    "UV_KEYRING_PROVIDER",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_REQUEST_TIMEOUT",
)
Form = Literal["pylock.toml", "requirements.txt"]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_YANKED = re.compile(r"^warning: (.* is yanked.*)$", re.MULTILINE)
_FROM = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[.*\])?==.*\n\s+# from (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Direct:
    """A wheel of the store that is asked for itself, with these extras."""

    wheel: BuiltWheelLock | WheelLock
    extras: tuple[str, ...] = ()

    @property
    def demand(self) -> str:
        """The package with its extras, as PEP 508 has it."""
        return f"{self.wheel.name}[{','.join(self.extras)}]" if self.extras else self.wheel.name


@dataclass(frozen=True, slots=True)
class Stand:
    """A wheel of the store that stands for a package that is there already: it is taken, and nobody installs it."""

    name: NormalizedName
    version: str
    filename: str
    sha256: Sha256

    @property
    def line(self) -> str:
        """The constraint that leaves nothing else."""
        return f"{self.name}=={self.version}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be resolved: PEP 508 lines that went through pypi_requirements.

    `cutoff` (UTC) hides later uploads, None hides nothing; `later` are other cut-offs for single packages.
    `dependencies` tells whether what the packages require belongs to the answer. `built` are wheels of the store that are
    on offer beside those of the index, `direct` ones are to be taken whatever the index has, and `stands` wherever something
    asks for what they stand for. `preferred` are names and versions that stay where nothing is against it.
    """

    requirements: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    cutoff: datetime | None = None
    later: tuple[tuple[str, datetime], ...] = ()
    dependencies: bool = True
    built: tuple[BuiltWheelLock | WheelLock, ...] = ()
    direct: tuple[Direct, ...] = ()
    stands: tuple[Stand, ...] = ()
    preferred: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that an index offers; `size` (bytes) and `uploaded` (UTC) are None where the index does not tell them."""

    filename: str
    url: str
    sha256: Sha256
    size: int | None
    uploaded: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """A package of a resolution, with all its wheels that fit."""

    name: NormalizedName
    version: str
    wheels: tuple[Wheel, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A resolution; `warnings` are uv's words about yanked releases."""

    packages: dict[NormalizedName, Found]
    warnings: tuple[str, ...] = ()


class Uv:
    """Asks uv; its cache lies in the store, its configuration is the user's own."""

    def __init__(self, site: Site, store: Store) -> None:
        self._site = site
        self._store = store

    def resolve(self, question: Question, target: Target) -> Answer:
        """Return the newest versions that fit together.

        Raises UnsatisfiableError when there are none, LockError (transient) when the index cannot be reached.
        """
        if not question.requirements and not question.direct:
            return Answer({})
        return _answer(*self._compile(question, target, "pylock.toml"))

    def resolve_again(self, question: Question, target: Target) -> Answer:
        """Return a resolution of part of a question that was answered just now, asking the index only for what it lacks.

        Where that part alone would see other releases than the whole did, it may differ from what `resolve` returns.
        """
        if not question.requirements and not question.direct:
            return Answer({})
        return _answer(*self._compile_again(question, target, "pylock.toml"))

    def indexes(self, pins: Sequence[tuple[str, str]], target: Target) -> dict[NormalizedName, str]:
        """Return the URL of the index that each (name, version) comes from, without a slash at its end."""
        lines = tuple(f"{name}=={version}" for name, version in pins)
        stdout, _ = self._compile_again(Question(lines, dependencies=False), target, "requirements.txt")
        return {canonicalize_name(name): url.rstrip("/") for name, url in _FROM.findall(stdout)}

    def index_of(self, name: NormalizedName, target: Target) -> str:
        """Return the URL of the index that has the package, without a slash at its end; "" when none has."""
        try:
            found = self._compile_again(Question((name,), dependencies=False), target, "requirements.txt")
        except UnsatisfiableError:
            return ""
        return next((url.rstrip("/") for _, url in _FROM.findall(found[0])), "")

    def list_pythons(self) -> bytes:
        """Return uv's list of standalone Pythons, as JSON; it needs no network for that. Raises LockError."""
        argv = [_program(), "python", "list", "--only-downloads", "--all-versions", "--output-format", "json"]
        done = run([*argv, "--no-config"], env=self._environment(), cwd=Path("/"), timeout=_TIMEOUT)
        if done.returncode != 0:
            raise LockError(f"uv does not list the Pythons that there are: {done.tail}")
        return done.stdout

    def _compile_again(self, question: Question, target: Target, form: Form) -> tuple[str, str]:
        """Compile from uv's cache, whose pages the index may have declared stale at once; else from the index."""
        with contextlib.suppress(LockError):  # whatever is wrong, the index gives the answer or the reason
            return self._compile(question, target, form, "--offline")
        return self._compile(question, target, form)

    def _compile(self, question: Question, target: Target, form: Form, *options: str) -> tuple[str, str]:
        with self._store.scratch() as scratch:
            argv = [*_arguments(question, target, form), *options]
            if lines := (*question.constraints, *(stand.line for stand in question.stands)):
                constraints = scratch / "constraints.txt"
                constraints.write_text("".join(f"{line}\n" for line in lines), "utf-8")
                argv += ["--constraints", str(constraints)]
            if question.preferred and form == "pylock.toml":
                argv += ["--output-file", str(_known(question.preferred, scratch / form))]
            offered: tuple[BuiltWheelLock | WheelLock | Stand, ...] = (*question.built, *question.stands)
            if offered:
                argv += ["--find-links", str(self._links(offered, scratch / "built"))]
            folder = self._links([item.wheel for item in question.direct], scratch / "direct")
            direct = [
                f"{item.demand} @ {(folder / item.wheel.filename).as_uri()}" for item in question.direct
            ]
            try:
                done = run(
                    argv,
                    env=self._environment(),
                    # uv takes up a uv.toml or pyproject.toml in the working directory and above it. The store may lie below a
                    # repository's folder, so it runs where only the administrator can have put one.
                    cwd=Path("/"),
                    stdin="".join(f"{line}\n" for line in (*question.requirements, *direct)).encode(),
                    timeout=_TIMEOUT,
                )
            except subprocess.TimeoutExpired as error:
                raise LockError(
                    f"uv did not answer within {_TIMEOUT // 60} minutes", transient=True
                ) from error
            stderr = done.stderr.decode("utf-8", "replace")
            if done.returncode != 0 and (full := disk_error(stderr)) is not None:
                raise full  # uv's cache lies in the store, which explains it
        if done.returncode != 0:
            raise failure(stderr, target.minor)
        return done.stdout.decode("utf-8", "replace"), stderr

    def _links(self, wheels: Sequence[BuiltWheelLock | WheelLock | Stand], folder: Path) -> Path:
        """Return the folder, made, in which the wheels lie under their names."""
        folder.mkdir()
        for wheel in wheels:
            (folder / wheel.filename).symlink_to(self._store.archive(wheel.sha256))
        return folder

    def _environment(self) -> dict[str, str]:
        given = {
            name: value
            for name, value in self._site.uv_environment.items()
            if not name.startswith("UV_") or name.startswith(_PLACES)
        }
        own = {
            "UV_CACHE_DIR": str(self._store.cache("uv")),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_SYSTEM_CERTS": "true",  # two names of one setting: the second is that of uv before 0.10
            "UV_NATIVE_TLS": "true",
        }
        # Not as arguments: those every user of this host can read.
        if self._site.index_url:
            own["UV_DEFAULT_INDEX"] = self._site.index_url
        if self._site.extra_index_urls:
            own["UV_INDEX"] = " ".join(self._site.extra_index_urls)
        if self._site.keyring:
            own["UV_KEYRING_PROVIDER"] = "subprocess"
        bundle = {"SSL_CERT_FILE": self._site.ca_bundle} if self._site.ca_bundle else {}
        return given | own | bundle


def index_identity(site: Site) -> Mapping[str, object]:
    """Return what decides where uv looks for packages, as far as this process knows it."""
    named = {name: value for name, value in sorted(site.uv_environment.items()) if name.startswith(_PLACES)}
    return {"index": site.index_url, "extra": site.extra_index_urls, "environment": named}


def _known(pins: Sequence[tuple[str, str]], path: Path) -> Path:
    """Return the file, written as the answer of another time: uv keeps to that as long as it can."""
    entries = "".join(f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in pins)
    path.write_text(f'lock-version = "1.0"\ncreated-by = "reprolake"\n{entries}', "utf-8")
    return path


def _arguments(question: Question, target: Target, form: str) -> list[str]:
    argv = [_program(), "pip", "compile", "-", "--format", form]
    argv += ["--no-header", "--no-progress", "--color", "never"]
    argv += ["--no-build", "--no-python-downloads", "--python", sys.executable]
    argv += ["--python-version", target.version]
    argv += ["--python-platform", f"x86_64-manylinux_2_{min(target.glibc, _NEWEST_GLIBC)}"]
    argv += ["--resolution", "highest"]
    if form == "requirements.txt":
        argv += ["--emit-index-annotation", "--no-annotate"]
    if not question.dependencies:
        argv.append("--no-deps")
    if question.cutoff is not None:
        argv += ["--exclude-newer", _moment(question.cutoff)]
    for name, date in question.later:
        argv += ["--exclude-newer-package", f"{name}={_moment(date)}"]
    return argv


def _program() -> str:
    from uv import find_uv_bin

    try:
        return str(find_uv_bin())
    except FileNotFoundError as error:
        raise LockError(
            "the `uv` executable is missing", hint="install Reprolake's dependencies again: `pip install uv`"
        ) from error


def _moment(date: datetime) -> str:
    return date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _answer(stdout: str, stderr: str) -> Answer:
    try:
        found = [_found(entry) for entry in tomllib.loads(stdout).get("packages", [])]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise LockError(f"uv's answer cannot be understood: {error!r}") from error
    warnings = tuple(printable(text)[:300] for text in _YANKED.findall(stderr))
    return Answer({package.name: package for package in found}, warnings)


def _found(entry: dict[str, Any]) -> Found:
    """Return a package of uv's pylock.toml. Source: the pylock.toml specification (PEP 751), section `packages`."""
    name = canonicalize_name(entry["name"], validate=True)
    items = [entry["archive"]] if "archive" in entry else entry.get("wheels", [])
    wheels = tuple(_wheel(item, name) for item in items)
    if not wheels:
        raise LockError(
            f"{name} does not come from a package index as a wheel", hint="name a released version instead"
        )
    return Found(name, str(entry["version"]), wheels)


def _wheel(item: dict[str, Any], name: str) -> Wheel:
    url = str(item["url"]) if "url" in item else Path(item["path"]).as_uri()
    filename = str(item.get("name") or unquote(urlsplit(url).path).rsplit("/", 1)[-1])
    sha256 = str(item.get("hashes", {}).get("sha256", ""))
    if not _SHA256.fullmatch(sha256):
        raise LockError(
            f"the index gives no SHA-256 for {printable(filename)}, so {name} cannot be pinned",
            hint="use an index that serves hashes (PEP 503 or PEP 691)",
        )
    if urlsplit(url).scheme not in {"https", "http", "file"}:
        raise LockError(
            f"{printable(filename)} lies at an address of an unknown kind: {printable(url)[:200]}"
        )
    size = item.get("size")
    uploaded = item.get("upload-time")
    return Wheel(
        filename,
        url,
        sha256,
        size if isinstance(size, int) and size >= 0 else None,
        uploaded.replace(tzinfo=uploaded.tzinfo or UTC) if isinstance(uploaded, datetime) else None,
    )
