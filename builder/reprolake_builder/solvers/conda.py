"""conda packages as of a date: what is asked for, solved by rattler against the indexes of the channels."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import msgspec

from reprolake_builder.conda.channels import DEFAULTS, channel_of
from reprolake_builder.documents.base import Document, content_hash, decode, encode
from reprolake_builder.documents.conda import CondaChannel, CondaLock, CondaPackage, Subdir, VirtualPackage
from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import DetectError, LockError
from reprolake_builder.process import Completed, printable, run
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.conda_index import Index, fetch_indexes
from reprolake_builder.solvers.conda_question import Answer, Lacking, Question, Source
from reprolake_builder.tools import Tools

SOLVER = 3
"""Raised whenever the same indexes would give another answer: stored answers of older solvers are not used."""
_KIND = "conda-answers"
_TIMEOUT = 900  # seconds
_LINES = 30  # of the solver's explanation that are shown
_DEFAULTS = '[conda] defaults = ["NAME OR ADDRESS"] in reprolake.toml'
_CHANNEL = re.compile(r"^\s*([^\s\[]+?)(?:/(?:linux-64|noarch))?::")
_NAME = re.compile(r"(?:[^\s\[]+::)?\s*([A-Za-z0-9_][A-Za-z0-9_.-]*)")


@dataclass(frozen=True, slots=True)
class CondaAsking:
    """What is asked for: `channels` in order of priority, demands, and constraints on what comes along. `glibc` is the base's ("2.36").

    `kept` and `upgraded` are as in conda_question.Question, `told_by` is as in channels.channel_of.
    """

    channels: tuple[Asked, ...]
    specs: tuple[Asked, ...]
    constraints: tuple[Asked, ...]
    added: tuple[Asked, ...]
    as_of: AsOf
    glibc: str
    kept: tuple[str, ...] = ()
    upgraded: tuple[str, ...] = ()
    told_by: str = ""

    @property
    def demands(self) -> tuple[Asked, ...]:
        """Everything in the order of the solver's question."""
        return (*self.specs, *self.added, *self.constraints)


class UnsolvableError(LockError):
    """No set of conda packages is what is asked for; `reason` is one sentence without full stop."""

    def __init__(self, reason: str, words: str, *, hint: str = "") -> None:
        super().__init__(f"{reason}\n{words}" if words else reason, hint=hint)
        self.reason = reason


def solver_version() -> str:
    """Return the version of the solver, for the lock."""
    return version("py-rattler")


def virtual_packages(glibc: str) -> tuple[VirtualPackage, ...]:
    """Return what packages may know of the machine: any amd64 Linux with that glibc, and no graphics card."""
    return (
        VirtualPackage(name="__archspec", version="1", build="x86_64"),
        VirtualPackage(name="__glibc", version=glibc),
        VirtualPackage(name="__linux", version="5.10"),
        VirtualPackage(name="__unix", version="0"),
    )


def name_of(spec: str) -> str:
    """Return the name of the package that a specification is about, "" for what is none."""
    found = _NAME.match(spec.strip())
    return found[1].lower() if found else ""


def solve_conda(asked: CondaAsking, tools: Tools) -> tuple[CondaLock, tuple[str, ...]]:
    """Return the newest packages that fit together as of the date, and notes.

    Raises UnsolvableError when none do, DetectError for a demand that means nothing, FetchError when a channel cannot be read.
    """
    channels = _channels(asked, tools)
    indexes = {channel.name: fetch_indexes(channel, tools) for channel in channels}
    question = Question(
        sources=tuple(_source(channel, indexes[channel.name]) for channel in channels),
        specs=tuple(_with_names(item, tools) for item in asked.specs),
        added=tuple(item.text for item in asked.added),
        constraints=tuple(item.text for item in asked.constraints),
        virtual_packages=virtual_packages(asked.glibc),
        priority=tools.site.conda.priority,
        cutoff=None if asked.as_of.cutoff is None else int(asked.as_of.cutoff.timestamp() * 1000),
        kept=asked.kept,
        upgraded=asked.upgraded,
    )
    answer = _answered(question, [index for found in indexes.values() for index in found], tools)
    if answer.misread is not None:
        misread = asked.demands[answer.misread]
        raise DetectError(
            f"{misread.origin}: {printable(misread.text)[:100]!r} is no specification of a conda package: "
            f"{printable(answer.failure.splitlines()[0])[:200]}",
            hint="write it like numpy=1.26, numpy>=1.24,<2 or conda-forge::numpy",
        )
    if answer.failure:
        raise _unsolvable(answer, asked, channels, tools)
    lock = CondaLock(
        channels=channels,
        priority=question.priority,
        virtual_packages=question.virtual_packages,
        packages=answer.packages,
    )
    return lock, (*_without_defaults(asked, tools), *_notes(answer, asked))


def _channels(asked: CondaAsking, tools: Tools) -> tuple[CondaChannel, ...]:
    """Return the channels by priority; those that a specification names come last."""
    found: list[CondaChannel] = []
    named = [Asked(text=m[1], origin=item.origin) for item in asked.specs if (m := _CHANNEL.match(item.text))]
    for item in (*asked.channels, *named):
        if item.text != DEFAULTS:
            found.append(channel_of(item.text, item.origin, tools.site, asked.told_by))
            continue
        origin = "defaults of the configuration"
        found += [channel_of(text, origin, tools.site) for text in tools.site.conda.defaults]
    if not found:
        raise LockError(
            f'{asked.channels[0].origin if asked.channels else "it"} asks for the channel "defaults", and the configuration '
            "does not say which channels those are",
            hint=f"name them: {_DEFAULTS}; or ask for conda-forge instead",
        )
    return tuple(dict.fromkeys(found))


def _without_defaults(asked: CondaAsking, tools: Tools) -> tuple[str, ...]:
    """Return a note where the file asks for channels of which nobody knows which they are, beside others that are known."""
    origins = [item.origin for item in asked.channels if item.text == DEFAULTS]
    if not origins or tools.site.conda.defaults:
        return ()
    note = f'{origins[0]}: nothing is taken from the channel "defaults", for the configuration does not say which those are'
    return (f"{note} ({_DEFAULTS})",)


def _source(channel: CondaChannel, indexes: Sequence[Index]) -> Source:
    files: dict[Subdir, str] = {index.subdir: str(index.path) for index in indexes}
    return Source(name=channel.name, called=channel.url or channel.name, indexes=files)


def _with_names(item: Asked, tools: Tools) -> str:
    """Return a specification whose channel is called as the source of that channel is."""
    found = _CHANNEL.match(item.text)
    if found is None:
        return item.text
    channel = channel_of(found[1], item.origin, tools.site)
    if channel.name == DEFAULTS:
        raise LockError(
            f'{item.origin}: "defaults" stands for several channels', hint="name the one that is meant"
        )
    return f"{channel.url or channel.name}::{item.text[found.end() :]}"


class _Key(Document, frozen=True, kw_only=True):
    solver: int
    version: str
    indexes: tuple[str, ...]
    question: Question


def _answered(question: Question, indexes: Sequence[Index], tools: Tools) -> Answer:
    """Return the solver's answer, or the one that it gave before to the same question about the same indexes."""
    places = tuple(msgspec.structs.replace(source, indexes={}) for source in question.sources)
    key = content_hash(
        _Key(
            solver=SOLVER,
            version=solver_version(),
            indexes=tuple(index.sha256 for index in indexes),
            question=msgspec.structs.replace(question, sources=places),
        )
    )
    if (known := tools.store.get(_KIND, key, Answer)) is not None:
        return known
    with tools.progress.step("Solving conda packages"):
        answer = _ask(question)
    tools.store.put(_KIND, key, answer)
    return answer


def _ask(question: Question) -> Answer:
    argv = [sys.executable, "-I", "-m", "reprolake_builder.solvers.conda_worker"]
    try:
        done = run(argv, env={}, stdin=encode(question), timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise LockError(
            f"the solver of conda packages did not answer within {_TIMEOUT // 60} minutes",
            hint="ask for fewer packages, or for versions",
        ) from error
    if done.returncode != 0:
        raise LockError(f"the conda packages cannot be chosen: {_last_words(done)}")
    try:
        return decode(done.stdout, Answer)
    except msgspec.DecodeError as error:
        raise LockError(
            f"the solver of conda packages gave no answer: {printable(str(error))[:200]}"
        ) from error


def _last_words(done: Completed) -> str:
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return printable(lines[-1])[:500] if lines else f"the solver ended with {done.returncode}"


def _unsolvable(
    answer: Answer, asked: CondaAsking, channels: Sequence[CondaChannel], tools: Tools
) -> UnsolvableError:
    """Return the error for the solver's explanation, with the lines that its packages stand in."""
    words = printable(answer.failure)
    day = f" as of {asked.as_of.day}" if asked.as_of.hides else ""
    lines = [line for line in words.rstrip().splitlines() if line.strip()]
    body = [f"  {line}"[:300] for line in lines[:_LINES]]
    if len(lines) > _LINES:
        body.append(f"  … and {len(lines) - _LINES} more lines")
    mentioned = {word.lower().rstrip(".") for word in re.findall(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", words)}
    body += [
        f"  {printable(item.text)} stands in {item.origin}"
        for item in asked.demands
        if name_of(item.text) in mentioned
    ]
    body += [f"  {printable(line)}" for lacking in answer.lacking for line in _told(lacking, asked)]
    names = ", ".join(channel.name for channel in channels)
    reason = f"no set of conda packages of {names}{day} is what is asked for"
    body += [f"  {note}" for note in _without_defaults(asked, tools)]
    return UnsolvableError(reason, "\n".join(body), hint=_hint(words, tools))


def _told(lacking: Lacking, asked: CondaAsking) -> tuple[str, ...]:
    """Return what there is of a package of which nothing is what was asked for."""
    name = name_of(asked.demands[lacking.place].text)
    if lacking.later:
        return (f"{name} {lacking.later} was built after {asked.as_of.day}",)
    if lacking.versions:
        return (f"of {name} there are {', '.join(lacking.versions)}",)
    return (
        f"the channels have no {name}" + (f"; near to it: {', '.join(lacking.near)}" if lacking.near else ""),
    )


def _hint(words: str, tools: Tools) -> str:
    if "strict channel priority" in words and tools.site.conda.priority == "strict":
        return 'let packages come from any of the channels: [conda] channel_priority = "flexible" in reprolake.toml'
    if "__cuda" in words:
        return "environments have no graphics card: ask for the build without one, such as `pytorch=*=cpu*`"
    return "relax a version, or take packages of another day with `--as-of`"


def _notes(answer: Answer, asked: CondaAsking) -> tuple[str, ...]:
    if not answer.undated or not asked.as_of.hides:
        return ()
    names = ", ".join(answer.undated[:5]) + (" …" if len(answer.undated) > 5 else "")
    return (
        f"their channel does not say when these were built, so they may be of after {asked.as_of.day}: {names}",
    )


def find(packages: Sequence[CondaPackage], name: str) -> CondaPackage | None:
    """Return the package of that name, None when there is none."""
    return next((package for package in packages if package.name == name), None)
