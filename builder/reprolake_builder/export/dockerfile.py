"""A lock as a Dockerfile, for sites that build images with docker: the same packages and settings, though not the same bytes.

Source: Docker's documentation, "Dockerfile reference"; nothing that needs BuildKit.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping

from reprolake_builder.debs.mirror import archive_bases, pictures_of
from reprolake_builder.documents.base import pretty
from reprolake_builder.documents.lock import (
    DebianInterpreter,
    DebianLock,
    EnvironmentLock,
    GitOrigin,
    RecipeLock,
)
from reprolake_builder.documents.source import FilesSource, LocalSource
from reprolake_builder.engines.debian_setup import USER_NAME
from reprolake_builder.engines.direct import image_annotations, portable
from reprolake_builder.engines.image_environment import image_variables
from reprolake_builder.errors import LockError
from reprolake_builder.export.docker_python import WORK, Installer
from reprolake_builder.export.docker_words import address, fitting, packed, quoted, runs, words
from reprolake_builder.image import HOME, PREFIX, REPOSITORY, USER
from reprolake_builder.inventory import environment_wheels, origins
from reprolake_builder.process import one_line
from reprolake_builder.tools import Tools

_LONGEST_LABEL = 4000  # characters
_LABEL = r"[A-Za-z0-9][A-Za-z0-9._/-]*"
_VERSION = r"[0-9A-Za-z][0-9A-Za-z.+:~-]*"
_SUITE = r"[a-z0-9][a-z0-9.-]*"
_OWNER = f"{USER[0]}:{USER[1]}"
# Nothing but the archive's signature is believed, and the base need not have the certificates of any authority yet.
_UPDATE = "apt-get -o Acquire::https::Verify-Peer=false -o Acquire::https::Verify-Host=false -o Acquire::Check-Valid-Until=false"


def dockerfile(lock: EnvironmentLock, tools: Tools) -> str:
    """Return the Dockerfile, whose build context is the repository's folder; addresses are those of this site, without logins.

    Raises LockError for what has no form there (conda, Pythons that are not Debian's), FetchError where an address is not known.
    """
    _refuse(lock)
    return "\n".join(_lines(portable(lock), tools)) + "\n"


def _refuse(lock: EnvironmentLock) -> None:
    if lock.conda is not None:
        raise LockError(
            "the lock holds conda packages, which the format dockerfile does not have",
            hint="export it with `--format explicit`, `conda-lock` or `pixi`, or build the image: `reprolake build LOCK -o docker-archive:FILE`",
        )
    if not isinstance(lock.interpreter, DebianInterpreter):
        raise LockError(
            f"the Python {lock.interpreter.version} of the lock is not Debian's, and the format dockerfile has no other",
            hint="export it with `--format pylock` or `requirements`, or build the image: `reprolake build LOCK -o docker-archive:FILE`",
        )
    for recipe in lock.recipes:
        if recipe.debian is not None:
            raise LockError(
                f"the recipe {recipe.name} has a Python of another Debian than the repository, which the format dockerfile does not have",
                hint="lock without that recipe, or build the image: `reprolake build LOCK -o docker-archive:FILE`",
            )


def _lines(lock: EnvironmentLock, tools: Tools) -> Iterator[str]:
    pip = Installer(lock, tools)
    wheels, built = environment_wheels(lock)
    python = f"{PREFIX}/bin/python"
    yield from _heading(lock)
    yield from _debian(lock, tools)
    yield "\n# Python, and pip from its locked wheel"
    venv = shlex.join([lock.interpreter.executable, "-m", "venv", "--without-pip", PREFIX])
    yield from runs((venv, *pip.bootstrap()))
    yield "\n# Packages that come as wheels"
    yield from runs(pip.wheels(wheels, python))
    yield from _user()
    yield "\n# The repository; then what is built from source, with the build requirements of the lock"
    yield f"COPY --chown={_OWNER} . {REPOSITORY}"
    yield from runs(command for wheel in built for command in pip.built(wheel, python))
    for recipe in lock.recipes:
        yield f"\n# The recipe {recipe.name}"
        yield from runs(_recipe(recipe, pip))
    yield f"RUN rm -rf {WORK}"
    yield from _settings(lock, tools)


def _heading(lock: EnvironmentLock) -> Iterator[str]:
    source = lock.source
    yield f"# Written by reprolake: packages as of {lock.as_of:%Y-%m-%d} ({one_line(lock.as_of_is)}), for {lock.platform}."
    yield "# It gives the same packages in the same versions as the lock, not the same bytes: files differ in times, byte code and what"
    yield "# installers write, and the base brings packages of its own. `reprolake build` gives the same bytes everywhere."
    yield "#"
    yield "#     docker build --file Dockerfile FOLDER"
    yield "#"
    if isinstance(source, LocalSource):
        yield f"# FOLDER holds the repository, whose files have the git tree {source.tree}."
    else:
        at = "" if isinstance(source, FilesSource) or not source.commit else f" at {source.commit}"
        yield f"# FOLDER holds {one_line(source.url)}{at} (git tree {source.tree})."
    if lock.post_build is not None and lock.post_build.reached:
        yield "# postBuild fetches from the network what no lock pins."


def _debian(lock: EnvironmentLock, tools: Tools) -> Iterator[str]:
    debian = lock.debian
    suite = fitting(debian.suite, _SUITE, "a suite of Debian")
    archives = _archives(debian, tools)
    yield f"ARG BASE=debian:{suite}"
    yield "FROM ${BASE}"
    yield "\n# Debian packages, from archives as they were; a mirror that has these versions can stand in"
    for name, base in archives.items():
        yield f"ARG {_argument(name)}={base}"
    sources = " ".join(
        f'"deb ${{{_argument(release.archive)}}} {fitting(release.suite, _SUITE, "a suite of Debian")} main"'
        for release in debian.releases
        if release.archive in archives
    )
    wanted = {deb.name: deb for deb in (*debian.base, *debian.extra, *debian.toolchain)}
    demands = [
        f"{deb.name}={fitting(deb.version, _VERSION, 'a version')}" for _, deb in sorted(wanted.items())
    ]
    if any(isinstance(origin, GitOrigin) for _, origin in origins(lock)) and "git" not in wanted:
        demands.append("git")  # the archive's date decides the version
    install = (
        f"DEBIAN_FRONTEND=noninteractive {_UPDATE} install -y --no-install-recommends --allow-downgrades"
    )
    commands = (
        "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*",
        rf"printf '%s\n' {sources} > /etc/apt/sources.list",
        f"{_UPDATE} update",
        words(install, demands),
        "rm -rf /var/lib/apt/lists/*",
    )
    yield from runs(commands)


def _archives(debian: DebianLock, tools: Tools) -> dict[str, str]:
    """Return where each archive is: the dated one where the site has one, since others forget versions."""
    found = {}
    for name, moment in sorted(pictures_of(debian.releases).items()):
        configured = tools.site.archives.get(name, ())
        bases = archive_bases(name, moment, tools.site)
        dated = [base for base, text in zip(bases, configured, strict=True) if "{date}" in text]
        if not bases:
            raise LockError(
                f"no address is configured for the archive {name}, which packages of the lock are from",
                hint="configure one, see `reprolake doctor`",
            )
        found[name] = address((dated or [*bases])[0] + "/", f"the archive {name}").rstrip("/")
    return found


def _argument(archive: str) -> str:
    return archive.upper().replace("-", "_") + "_ARCHIVE"


def _user() -> Iterator[str]:
    line = f"{USER_NAME}:x:{_OWNER}::{HOME}:/bin/bash"
    yield "\n# The user that notebooks run as"
    commands = (
        f"(grep -q ^{USER_NAME}: /etc/passwd || echo {line} >> /etc/passwd)",
        f"mkdir -p {HOME} {REPOSITORY}",
        f"chown {_OWNER} {HOME} {REPOSITORY}",
    )
    yield from runs(commands)


def _recipe(recipe: RecipeLock, pip: Installer) -> Iterator[str]:
    if recipe.interpreter is not None:
        python = f"{recipe.prefix}/bin/python"
        yield shlex.join([recipe.interpreter.executable, "-m", "venv", "--without-pip", recipe.prefix])
        yield from pip.wheels(recipe.wheels, python)
        for wheel in recipe.built:
            yield from pip.built(wheel, python)
    for file in recipe.files:
        yield from packed(file.path, file.text.encode())
        yield f"chmod {'755' if file.executable else '644'} {shlex.quote(file.path)}"
    for folder in recipe.writable:
        yield f"mkdir -p {shlex.quote(folder)}"
        yield f"chown {_OWNER} {shlex.quote(folder)}"


def _settings(lock: EnvironmentLock, tools: Tools) -> Iterator[str]:
    start, subdir = lock.environment.start, lock.source.subdir
    post_build = lock.post_build.script if lock.post_build is not None else ""
    yield "\n# Settings"
    yield _pairs("ENV", image_variables(lock, (), tools.store))
    labels = image_annotations(lock, hashlib.sha256(pretty(lock)).hexdigest())
    fitted = {fitting(name, _LABEL, "the name of a label"): value for name, value in labels.items()}
    yield _pairs("LABEL", {name: value for name, value in fitted.items() if len(value) <= _LONGEST_LABEL})
    scripts = [shlex.quote(f"{REPOSITORY}/{script}") for script in (post_build, start) if script]
    yield from runs(f"chmod 755 {script}" for script in scripts)
    yield from runs([f"chown -R {_OWNER} {PREFIX}"] if post_build else [])
    yield f"USER {_OWNER}"
    if post_build:
        # bash also runs a script that does not name what runs it
        yield f"WORKDIR {REPOSITORY}"
        yield "RUN " + json.dumps(["/bin/bash", "-c", '"$0"', f"{REPOSITORY}/{post_build}"])
    yield f"WORKDIR {quoted(f'{REPOSITORY}/{subdir}' if subdir else REPOSITORY)}"
    entry = ["/bin/bash", "-c", 'exec "$0" "$@"', f"{REPOSITORY}/{start}"] if start else []
    yield f"ENTRYPOINT {json.dumps(entry)}"
    command = next((recipe.command for recipe in reversed(lock.recipes) if recipe.command), ("bash",))
    yield f"CMD {json.dumps(command)}"


def _pairs(instruction: str, values: Mapping[str, str]) -> str:
    return " \\\n    ".join((instruction, *(f"{name}={quoted(value)}" for name, value in values.items())))
