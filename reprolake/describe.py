"""Documents in words, for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from reprolake_builder.archives.formats import folder_name
from reprolake_builder.documents.citation import Citation
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.documents.lock import (
    BuiltWheelLock,
    EnvironmentLock,
    RecipeLock,
    Rung,
    StandaloneInterpreter,
)
from reprolake_builder.documents.source import (
    FilesSource,
    GitSource,
    HeritageSource,
    LocalSource,
    MercurialSource,
    PinnedSource,
    RecordPin,
    record_of,
)
from reprolake_builder.inventory import origin_in_words

_SHOWN = 10
_LABEL = 12  # characters before what a line says
BY_ITS_WORD = " (by the lock's word)"
"""Said of a proof that was looked at when a lock was made, and not again."""

if TYPE_CHECKING:
    from reprolake.runs import Plan
    from reprolake.settings import Setting


_MOST_FILES = 20  # of a source that are listed


def as_text(lines: Iterable[str]) -> str:
    """Return lines as one text, in which none can pass for two: what goes on in a further line is set in."""
    return "\n".join(line.replace("\n", "\n" + " " * _LABEL) for line in lines)


def date(moment: datetime) -> str:
    """Return a UTC time as people write it."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def setting_lines(settings: Mapping[str, Setting]) -> list[str]:
    """Return each setting and where it was said."""
    return [f"{name:<24}{setting.value or '-'} ({setting.origin})" for name, setting in settings.items()]


def source_lines(source: PinnedSource, *, whose: str = "") -> list[str]:
    """Return what is pinned, a fact a line; `whose` says whose word a proof is, where nobody looked."""
    if isinstance(source, GitSource | MercurialSource):
        lines = [f"repository  {source.url}"]
        if source.ref:
            lines.append(f"reference   {source.ref}")
        lines.append(f"commit      {source.commit}")
        lines += _part_lines(source) if isinstance(source, GitSource) else []
    elif isinstance(source, HeritageSource):
        lines = [f"address     {source.url}"]
        if source.origin:
            lines.append(f"repository  {source.origin}")
        if source.commit:
            lines.append(f"commit      {source.commit}")
    elif isinstance(source, FilesSource):
        lines = [f"address     {source.url}"]
        shown, more = source.files[:_MOST_FILES], source.files[_MOST_FILES:]
        lines += [f"file        {file.name}  {file.size} bytes  sha256 {file.sha256}" for file in shown]
        lines += [f"file        and {len(more)} more"] if more else []
    else:
        lines = [f"folder      {source.path or '(of another host)'}"]
        if source.commit:
            lines.append(f"commit      {source.commit}")
        elif source.dirty:
            lines.append("commit      none: the files differ from the last commit (dirty)")
        else:
            lines.append("commit      none: the folder is not tracked by git")
    if source.subdir:
        lines.append(f"subfolder   {source.subdir}")
    lines.append(f"tree        {source.tree}")
    if (record := record_of(source)) is not None:
        lines += _record_lines(record, whose)
    said = f" ({source.date_is})" if isinstance(source, FilesSource) else ""
    lines.append(f"date        {date(source.date)}{said}")
    return lines


def _part_lines(source: GitSource) -> list[str]:
    lines = [f"submodule   {part.path}: {part.url} at {part.commit}" for part in source.submodules]
    if source.lfs is not None:
        lines.append(f"Git LFS     {source.lfs.files} files, {source.lfs.size / 1e6:.1f} MB")
    return [*lines, *(f"left out    {path}" for path in source.left)]


def _record_lines(record: RecordPin, whose: str) -> list[str]:
    version = f", {record.version}" if record.version and not record.title.endswith(record.version) else ""
    lines = [
        f"record      {record.doi or f'{record.site} {record.id}'} ({record.title or 'no title'}{version})"
    ]
    if record.asked:
        lines.append(f"asked for   {record.asked}")
    lines.append(f"proof       {record.words}{whose}")
    lines += [f"differs     {path}" for path in record.differing[:_SHOWN]]
    if record.differences > _SHOWN:
        lines.append(f"differs     and {record.differences - _SHOWN} more")
    return lines


def resolved_lines(source: PinnedSource, notebook: str) -> list[str]:
    """Return what a link stands for, a fact a line: how that was found, if more than once was asked, and the notebook that it names."""
    record = record_of(source)
    return [
        *source_lines(source),
        *(f"found       {line}" for line in (record.chain if record is not None else ())),
        *([f"notebook    {notebook}"] if notebook else []),
    ]


def _python_from(lock: EnvironmentLock) -> str:
    if isinstance(lock.interpreter, StandaloneInterpreter):
        return f"the standalone build {lock.interpreter.filename} on Debian {lock.debian.suite}"
    if lock.conda is None:
        return f"Debian {lock.debian.suite}"
    named = ", ".join(channel.name for channel in lock.conda.channels)
    return f"conda ({named}) on Debian {lock.debian.suite}"


def obeyed_in_words(spec: EnvironmentSpec) -> str:
    """Return which lock file is obeyed and who wrote it, "" without one."""
    if spec.lock_file is None:
        return ""
    path, tool = spec.lock_file
    written = "" if tool == "pylock" else f", as {'conda' if tool == 'explicit' else tool} wrote it"
    return path + written


def lock_lines(lock: EnvironmentLock, *, whose: str = BY_ITS_WORD) -> list[str]:
    """Return what a lock holds, a fact a line; `whose` says whose word a proof is."""
    debs = len(lock.debian.base) + len(lock.debian.extra)
    size = sum(deb.size for deb in (*lock.debian.base, *lock.debian.extra))
    size += sum(wheel.size for wheel in lock.wheels)
    size += sum(package.size for package in lock.conda.packages) if lock.conda else 0
    size += lock.interpreter.size if isinstance(lock.interpreter, StandaloneInterpreter) else 0
    conda = f" {len(lock.conda.packages)} conda packages," if lock.conda else ""
    lines = [
        *source_lines(lock.source, whose=whose),
        f"packages    as of {date(lock.as_of)} ({lock.as_of_is})",
        f"Python      {lock.interpreter.version} of {_python_from(lock)}",
        f"pinned      {debs} Debian packages,{conda} {len(lock.wheels)} wheels, {size / 1e6:.0f} MB to fetch",
    ]
    if lock.environment.lock_file is not None:
        lines.append(f"obeyed      {obeyed_in_words(lock.environment)}")
    if lock.project is not None:
        lines.append(f"project     {lock.project.name} {lock.project.version}, built in the sandbox")
    if lock.debian.toolchain:
        lines.append(f"toolchain   {len(lock.debian.toolchain)} Debian packages for builds, not in the image")
    lines += [_built_line(wheel) for wheel in lock.built]
    lines += [_recipe_line(recipe) for recipe in lock.recipes]
    lines += _script_lines(lock)
    lines += [f"added       {text}" for text in lock.added]
    lines += [f"override    {text}" for text in lock.overrides]
    lines += [_rung_line(rung) for rung in lock.ladder] if len(lock.ladder) > 1 else []
    lines += [f"ignored     {item.path}: {item.reason}" for item in lock.environment.unheard]
    lines += [f"note        {text}" for text in lock.notes]
    lines += citation_lines(lock.citation) if lock.citation is not None else []
    if lock.debian.unconfigured:
        names = ", ".join(lock.debian.unconfigured)
        lines.append(f"note        set-up scripts of these Debian packages are not run: {names}")
    return lines


def _recipe_line(recipe: RecipeLock) -> str:
    size = sum(wheel.size for wheel in recipe.wheels) / 1e6
    return (
        f"recipe      {recipe.name} ({recipe.title}): {len(recipe.wheels) + len(recipe.built)} wheels, {size:.0f} MB to fetch, "
        f"sha256 {recipe.sha256}"
    )


def _script_lines(lock: EnvironmentLock) -> list[str]:
    lines = []
    if (ran := lock.post_build) is not None:
        hosts = ", ".join(sorted({f"{one.host}:{one.port}" for one in ran.reached}))
        closed = f"; not closed: it fetched from {hosts}" if hosts else ""
        lines.append(f"postBuild   {ran.script}: what it left is pinned{closed}")
    if lock.environment.start:
        lines.append(f"start       {lock.environment.start}: every command and kernel goes through it")
    return lines


def citation_lines(citation: Citation) -> list[str]:
    """Return what a source and its record say of themselves, a fact a line."""
    told = (
        ("title", citation.title),
        ("licence", citation.license or citation.license_text),
        ("release", ", ".join(filter(None, (citation.version, citation.published)))),
        ("DOI", citation.doi),
        ("cite", citation.citation),
        ("keywords", ", ".join(citation.keywords)),
    )
    lines = [f"{label:<12}{value}" for label, value in told if value]
    for author in citation.authors:
        known = "; ".join(filter(None, (author.affiliation, author.orcid)))
        lines.append(f"author      {author.name}" + (f" ({known})" if known else ""))
    if citation.told_by:
        lines.append(f"told by     {', '.join(citation.told_by)}")
    return lines + [f"note        {text}" for text in citation.notes]


def _built_line(wheel: BuiltWheelLock) -> str:
    """Return what was built, and what had to be built for it."""
    inner = ", ".join(f"{needed.name} {needed.version}" for needed in wheel.built_requirements)
    first = f", after {inner}" if inner else ""
    return f"built       {wheel.name} {wheel.version} from {origin_in_words(wheel.origin)}{first}"


def _rung_line(rung: Rung) -> str:
    """Return a step of the ladder in words."""
    return (
        f"ladder      {rung.rung}: Python {rung.python} as of {rung.as_of:%Y-%m-%d}: {rung.reason or 'taken'}"
    )


def image_name(lock: EnvironmentLock) -> str:
    """Return `name:tag` for the image: the repository's name and the start of its commit or tree."""
    source = lock.source
    origin = source.path if isinstance(source, LocalSource) else source.url
    if isinstance(source, HeritageSource):
        origin = source.origin or "swh"
    if isinstance(source, FilesSource) and len(source.files) == 1:
        origin = folder_name(source.files[0].name)
    commit = None if isinstance(source, FilesSource) else source.commit
    last = origin.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1].removesuffix(".git").lower()
    name = re.sub(r"[^a-z0-9]+", "-", last).strip("-") or "image"
    return f"reprolake/{name}:{(commit or source.tree)[:12]}"


def plan_lines(plan: Plan) -> list[str]:
    """Return what a run would do, a fact a line."""
    lines = [
        *source_lines(plan.source),
        f"environment {plan.lock}",
        *([f"obeyed      {plan.obeyed}"] if plan.obeyed else []),
        f"Python      {plan.python}; {plan.wheels} wheels as of {plan.as_of[:10]}, {plan.debian_packages} Debian packages",
        f"to fetch    {plan.to_fetch / 1e6:.0f} MB" if plan.to_fetch else "to fetch    nothing",
        *(
            f"{'ignored' if not item.matters else 'STOPS':<11} {item.path}: {item.reason}"
            for item in plan.unheard
        ),
        f"notebook    {plan.notebook} (kernel {plan.kernel})",
        f"network     {plan.network}",
        *(f"parameter   {item.name} = {item.value!r}  ({item.origin})" for item in plan.parameters),
        *(f"parameter   {name}  ({shown})" for name, shown in plan.defaults.items()),
    ]
    for item in plan.inputs:
        size = f", {item.size} bytes" if item.size is not None else ""
        use = f" -> {', '.join(item.parameters)}" if item.parameters else ""
        lines.append(f"input       {item.name}{size}: {item.path or 'not fetched'}{use}")
    lines += [
        f"UNFILLED    {name}: the notebook has no default, and nothing gives a value"
        for name in plan.unfilled
    ]
    lines += [
        f"undeclared  {name}: the notebook imports it, and nothing declares it; --infer adds it"
        for name in plan.undeclared
    ]
    lines += [f"notice      {text}" for text in plan.notices]
    return lines
