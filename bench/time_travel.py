"""`python -m bench.time_travel [NAME …]`: resolves, builds and imports requirement sets as of their dates, and writes the table.

What was done before is kept in `.cache/bench/time-travel/` (or the folder in TIME_TRAVEL), and done again when it is named.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from reprolake.options import load_options
from reprolake.pipeline import Obtained, Request, Session, obtain_image, obtain_lock, open_session
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.errors import ReprolakeError
from reprolake_builder.image import HOME
from reprolake_builder.progress import SILENT
from reprolake_builder.sandboxes.bubblewrap import Bubblewrap
from reprolake_builder.sandboxes.interface import ImageRoot, SandboxSpec

ROOT = Path(__file__).parent.parent
WORK = Path(os.environ.get("TIME_TRAVEL", ROOT / ".cache" / "bench" / "time-travel"))
PAGE = ROOT / "docs" / "reference" / "time-travel.md"
_NOON = "12:00:00 +0000"
_IMPORTING = 600  # seconds


class RequirementSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a project asked for on a date; `written` is when it last changed that, `python` what its runtime.txt says."""

    name: str
    date: date
    requirements: str
    imports: tuple[str, ...]
    written: date | None = None
    python: str = ""
    apt: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a set: `sentence` is "" where all of it was imported."""

    name: str
    python: str = ""
    rung: str = ""
    packages: int = 0
    built: tuple[str, ...] = ()
    sentence: str = ""
    seconds: int = 0


def read_sets() -> tuple[RequirementSet, ...]:
    """Return the sets, in the order of their dates."""
    text = Path(__file__).with_suffix(".toml").read_text("utf-8")
    return tuple(msgspec.convert(tomllib.loads(text)["sets"], list[RequirementSet]))


def make_repository(asked: RequirementSet, folder: Path) -> Path:
    """Return the folder, made into a git repository whose commits are of the set's dates."""
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    (folder / "requirements.txt").write_text(asked.requirements.lstrip())
    if asked.python:
        (folder / "runtime.txt").write_text(f"python-{asked.python}\n")
    _commit(folder, asked.written or asked.date)
    if asked.written is not None:
        (folder / "README.md").write_text("Cite us.\n")
        _commit(folder, asked.date)
    return folder


def travel(asked: RequirementSet, folder: Path, session: Session) -> Outcome:
    """Return what became of the set; `folder` (host path) is made for its repository."""
    repository = make_repository(asked, folder)
    try:
        obtained = obtain_lock(Request(link=str(repository), apt=asked.apt), session, fresh=True)
    except ReprolakeError as error:
        return Outcome(name=asked.name, sentence=_sentence(error))
    lock = obtained.lock
    found = Outcome(
        name=asked.name,
        python=lock.interpreter.version,
        rung=_rung(lock),
        packages=len(lock.wheels) + len(lock.built),
        built=tuple(f"{wheel.name} {wheel.version}" for wheel in lock.built),
    )
    try:
        return msgspec.structs.replace(found, sentence=import_all(obtained, asked.imports, session))
    except ReprolakeError as error:
        return msgspec.structs.replace(found, sentence=_sentence(error))


def import_all(obtained: Obtained, modules: tuple[str, ...], session: Session) -> str:
    """Return "" once the modules were imported in the image's sandbox, else the last line of what Python said."""
    image = obtain_image(obtained, session)
    store = session.tools.store
    with store.scratch() as scratch, (scratch / "said").open("w+b") as said:
        running = Bubblewrap().start(
            SandboxSpec(
                root=ImageRoot(tuple(store.tree(key).root for key in image.trees)),
                argv=("/opt/env/bin/python", "-c", "; ".join(f"import {module}" for module in modules)),
                env={"PATH": "/opt/env/bin:/usr/bin", "HOME": HOME, "MPLBACKEND": "agg"},
            ),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        status = running.wait(_IMPORTING)
        said.seek(0)
        words = said.read().decode("utf-8", "replace").strip()
    return "" if status == 0 else f"the import failed: {words.splitlines()[-1] if words else status}"


def _sentence(error: ReprolakeError) -> str:
    return error.message + (f"\n{error.hint}" if error.hint else "")


def _rung(lock: EnvironmentLock) -> str:
    return lock.as_of_is


def _commit(folder: Path, day: date) -> None:
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "as of then", when=f"{day} {_NOON}")


def _git(folder: Path, *arguments: str, when: str = "") -> None:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.org", f"GIT_{who}_DATE": when}
    subprocess.run(["git", *arguments], cwd=folder, env=env, check=True)


def main() -> None:
    """Run the sets that are named, or those not done yet."""
    WORK.mkdir(parents=True, exist_ok=True)
    named = sys.argv[1:]
    for number, asked in enumerate(read_sets(), 1):
        kept = WORK / f"{number:02}.json"
        if kept.exists() and str(number) not in named:
            continue
        if named and str(number) not in named:
            continue
        folder = WORK / "repository"
        shutil.rmtree(folder, ignore_errors=True)
        started = time.monotonic()
        options = load_options(os.environ, str(WORK / "store"))
        with open_session(options, SILENT, datetime.now(UTC)) as session:
            found = travel(asked, folder, session)
        found = msgspec.structs.replace(found, seconds=round(time.monotonic() - started))
        kept.write_bytes(msgspec.json.encode(found))
        print(number, found, flush=True)


if __name__ == "__main__":
    main()
