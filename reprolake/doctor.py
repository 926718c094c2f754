"""What works on this host: each check says what it found and, when it failed, the remedy."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from reprolake.limits import run_limits
from reprolake.pipeline import Session
from reprolake.settings import Setting, shown
from reprolake_builder.denied import denied
from reprolake_builder.documents.base import Document
from reprolake_builder.documents.conda import CondaChannel
from reprolake_builder.errors import ReprolakeError, without_logins
from reprolake_builder.process import printable, run
from reprolake_builder.sandboxes.choice import every
from reprolake_builder.sandboxes.interface import Sandbox
from reprolake_builder.sandboxes.requirements import other_machine
from reprolake_builder.solvers.conda_index import find_channel
from reprolake_builder.solvers.pythons import PYTHONS_ON_OFFER
from reprolake_builder.solvers.standalone import standalone_builds

_ENOUGH = 5 << 30  # bytes: a base and a scientific stack, unpacked


class Check(Document, frozen=True, kw_only=True):
    """One finding. `needed_for` names the commands that fail without it; what is optional may be absent."""

    name: str
    ok: bool
    found: str
    remedy: str = ""
    needed_for: str = ""
    is_optional: bool = False


class Report(Document, frozen=True, kw_only=True):
    """All findings, and each setting with its origin."""

    ok: bool
    checks: tuple[Check, ...]
    settings: dict[str, Setting]


def examine(session: Session) -> Report:
    """Return what works on this host; nothing is changed, a small test file in the store excepted."""
    checks = tuple(check for examiner in _EXAMINERS for check in examiner(session))
    return Report(
        ok=all(check.ok or check.is_optional for check in checks),
        checks=checks,
        settings=shown(session.options.settings),
    )


def _sandboxes(session: Session) -> Iterator[Check]:
    """Bubblewrap has to work, since images are made in it; the others are there to be chosen."""
    usable: dict[str, Sandbox] = {}
    for name, sandbox in every(session.options.engine_environment):
        lacking = sandbox.missing()
        problem = lacking or sandbox.problem()
        if not problem:
            usable[name] = sandbox
        is_needed = name == "bubblewrap"
        yield Check(
            name=f"sandbox {name}",
            ok=not problem,
            is_optional=not is_needed,
            found=problem or sandbox.promises()["sandbox"],
            remedy=_remedy(is_told=bool(lacking)) if problem and is_needed else "",
            needed_for="build, and run where no other sandbox works" if is_needed else f"--sandbox {name}",
        )
    yield from _held(session, usable)


def _remedy(*, is_told: bool) -> str:
    if other_machine():
        return "build and run on a host that can, with the same lock"
    return "" if is_told else "allow user namespaces, and overlay mounts in them"


def _held(session: Session, usable: Mapping[str, Sandbox]) -> Iterator[Check]:
    """Tell what holds which limit; one that cannot be held stops only the runs that ask for it."""
    limits = run_limits(session.options.settings, {"max_cpus": "1"}, weaker=True)
    told: dict[str, list[str]] = {}
    for sandbox_name, sandbox in usable.items():
        by: dict[str, list[str]] = {}
        for name, held in sandbox.holds(limits.limits).items():
            words = f"nothing as promised, {held.by} with --allow-weaker" if held.weaker else held.by
            by.setdefault(words, []).append(name.removesuffix("_bytes"))
        by["watchdog"] = ["times", "processor time", "disk"]
        by["driver"] = ["messages"]
        found = "; ".join(f"{', '.join(names)} by {words}" for words, names in by.items())
        told.setdefault(found, []).append(sandbox_name)
    for found, names in told.items():
        yield Check(name=f"limits in {', '.join(names)}", ok=True, found=found)


def _git(session: Session) -> Iterator[Check]:
    del session
    path = shutil.which("git")
    found = run([path, "--version"], env={}).stdout.decode().strip() if path else "not found"
    yield Check(
        name="git",
        ok=path is not None,
        found=found,
        remedy="" if path else "install the Debian package git",
        needed_for="links to repositories, folders tracked by git",
    )


def _hg(session: Session) -> Iterator[Check]:
    del session
    if path := shutil.which("hg"):  # few need it: who gives such a link is told
        found = run([path, "--version", "--quiet"], env={"HGRCPATH": ""}).stdout.decode().strip()
        yield Check(name="hg", ok=True, found=found, remedy="", needed_for="links to Mercurial repositories")


def _store(session: Session) -> Iterator[Check]:
    root = session.tools.store.root
    try:
        with session.tools.store.scratch():
            free = shutil.disk_usage(root).free
    except ReprolakeError as error:
        yield Check(name="store", ok=False, found=error.message, remedy=error.hint, needed_for="everything")
        return
    yield Check(
        name="store",
        ok=free > _ENOUGH,
        found=f"{root}, {free / 1e9:.0f} GB free",
        remedy="" if free > _ENOUGH else f"free at least {_ENOUGH >> 30} GiB, or choose another --store",
        needed_for="everything",
    )


def store_problem(root: Path) -> str:
    """Return why nothing can be written to a store at that host path, "" when it can; no trace is left."""
    place = next(folder for folder in (root, *root.parents) if os.path.lexists(folder))
    try:
        os.rmdir(tempfile.mkdtemp(dir=place))
    except OSError as error:
        return f"the store {printable(str(root))} cannot be written: {denied(place) or error.strerror}"
    return ""


def _shared(session: Session) -> Iterator[Check]:
    """One that is not believed ends every command, this one too, with the reason."""
    for root in session.options.shared_stores:
        readable = os.access(root / "trees", os.R_OK | os.X_OK)
        yield Check(
            name=f"shared store {root}",
            ok=readable,
            found="can be read" if readable else "is not there, or cannot be read",
            remedy="" if readable else f"mount it, or let its owner run `chmod a+rX {root}`",
            needed_for="nothing: what it would have is fetched and made again",
        )


def _debian(session: Session) -> Iterator[Check]:
    for python in PYTHONS_ON_OFFER.values():
        base = session.options.site.archives["debian"][0]
        url = (
            f"{base.replace('{date}', session.now.strftime('%Y%m%dT000000Z'))}/dists/{python.suite}/InRelease"
        )
        name = f"Python {python.version} (Debian {python.suite})"
        yield _reachable(name, lambda url=url: session.tools.downloader.get(url))  # type: ignore[misc]


def _reachable(name: str, get: Callable[[], bytes]) -> Check:
    try:
        get()
    except ReprolakeError as error:
        return Check(
            name=name,
            ok=False,
            found=error.message,
            remedy=error.hint or "set debian_mirror in reprolake.toml to a mirror that this host reaches",
            needed_for="lock",
        )
    return Check(name=name, ok=True, found="signed package lists are reachable")


def _resolver(session: Session) -> Iterator[Check]:
    del session
    yield Check(name="uv", ok=True, found=version("uv"))


def _conda(session: Session) -> Iterator[Check]:
    """Only what is configured is asked for: whoever needs no conda need not reach a channel."""
    yield Check(name="rattler", ok=True, found=version("py-rattler"))
    for name in session.options.site.conda.channels:
        if "://" in name:
            continue
        try:
            found = find_channel(CondaChannel(name=name), session.tools)
        except ReprolakeError as error:
            yield Check(
                name=f"conda channel {name}",
                ok=False,
                found=error.message,
                remedy=error.hint
                or "set [conda] channels in reprolake.toml to an address that this host reaches",
                needed_for="lock of conda environments",
            )
        else:
            yield Check(name=f"conda channel {name}", ok=True, found=f"reachable: {without_logins(found)}")


def _standalone(session: Session) -> Iterator[Check]:
    """Only the list is read: whoever needs no Python that Debian lacks need not reach the builds."""
    if "standalone" not in session.options.site.pythons.sources:
        return
    try:
        minors = dict.fromkeys(build.minor for build in standalone_builds(session.tools))
    except ReprolakeError as error:
        yield Check(
            name="standalone Pythons",
            ok=False,
            found=error.message,
            remedy=error.hint or "set python_downloads in reprolake.toml to a list in the form of uv's",
            needed_for="lock of Pythons that Debian does not have",
        )
    else:
        yield Check(name="standalone Pythons", ok=True, found=f"on the list: {', '.join(reversed(minors))}")


def _machine(session: Session) -> Iterator[Check]:
    del session
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    overlay = "overlay" in Path("/proc/filesystems").read_text()
    yield Check(
        name="host",
        ok=overlay,
        found=f"Linux {platform.release()} on {platform.machine()}, {os.cpu_count()} CPUs, {memory / 1e9:.0f} GB",
        remedy="" if overlay else "load the kernel's overlay module: modprobe overlay",
    )


_EXAMINERS = (_machine, _sandboxes, _git, _hg, _store, _shared, _resolver, _conda, _standalone, _debian)
