"""`python -m bench.time_travel [NUMBER …]`: resolves, builds and imports requirement sets as of their dates; writes the table.

The sets are in time_travel.toml. What became of one is kept, and done again only when its number is given. Everything lies in
`.cache/bench/time-travel/`, or the folder that TIME_TRAVEL names.
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
IMPORTED = "all imported"
_NOON = "12:00:00 +0000"
_IMPORTING = 600  # seconds
_LONGEST = 300  # characters of a line in the table
_HEAD = """\
# Time travel

This page is written by `python -m bench.time_travel`. Each row is a git repository with one commit of the date (two, where
requirements.txt is older than the rest), which asks for packages of the real index as projects did then; `bench/time_travel.toml` has
the sets. Its lock is made with no option but the `--apt` that the row names, the image is built, and the modules are imported in the
sandbox. The Pythons on offer are 3.9 of October 2020, 3.11 of October 2022 and 3.13 of October 2024: sets of before have compiled
parts that no wheel was ever made of for any of them, and are built from source or tell why they cannot be.

*Rung* is the step of the ladder at which locking came to rest: **date** (packages as of the commit's date and a day, the newest Python
of the time), **other Python** (the same date), **environment files** (the date on which requirements.txt was last changed).

| Date | Set | Python | Rung | Packages | Built from source | Result |
|---|---|---|---|---:|---|---|
"""


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
    """What became of a set: `sentence` is IMPORTED, or says why not. `asked` is the set that it was."""

    asked: RequirementSet
    python: str = ""
    rung: str = ""
    packages: int = 0
    built: tuple[str, ...] = ()
    ladder: tuple[str, ...] = ()
    sentence: str = IMPORTED


def read_sets() -> tuple[RequirementSet, ...]:
    """Return the sets, in the order of their dates."""
    text = Path(__file__).with_suffix(".toml").read_text("utf-8")
    return tuple(msgspec.convert(tomllib.loads(text)["sets"], list[RequirementSet]))


def travel(asked: RequirementSet, folder: Path, session: Session) -> Outcome:
    """Return what became of the set; `folder` (host path) is made for its repository."""
    _make_repository(asked, folder)
    found = Outcome(asked=asked)
    try:
        obtained = obtain_lock(Request(link=str(folder), apt=asked.apt), session, fresh=True)
        found = _described(found, obtained.lock)
        return msgspec.structs.replace(found, sentence=_import_all(obtained, asked.imports, session))
    except ReprolakeError as error:
        return msgspec.structs.replace(found, sentence=_sentence(error))


def page(outcomes: list[Outcome]) -> str:
    """Return the page with the table."""
    rows = [
        f"| {found.asked.date} | {_asked(found.asked)} | {found.python or '-'} | {found.rung or '-'} | {found.packages or '-'} "
        f"| {', '.join(found.built) or '-'} | {_result(found)} |\n"
        for found in outcomes
    ]
    return _HEAD + "".join(rows)


def _asked(asked: RequirementSet) -> str:
    lines = ", ".join(f"`{line.replace('|', chr(92) + '|')}`" for line in asked.requirements.split())
    more = [f"requirements.txt of {asked.written}"] if asked.written else []
    more += [f"runtime.txt: {asked.python}"] if asked.python else []
    more += [f"--apt {name}" for name in asked.apt]
    return f"{asked.name}: {lines}" + (f" ({'; '.join(more)})" if more else "")


def _result(found: Outcome) -> str:
    steps = (
        [step for step in found.ladder if "it was released on" not in step] if len(found.ladder) > 1 else []
    )
    text = "\n".join([found.sentence, *steps])
    return "<br>".join(line.strip()[:_LONGEST].replace("|", "\\|") for line in text.splitlines())


def _described(found: Outcome, lock: EnvironmentLock) -> Outcome:
    return msgspec.structs.replace(
        found,
        python=lock.interpreter.version,
        rung=lock.ladder[-1].rung,
        packages=len(lock.wheels) + len(lock.built),
        built=tuple(f"{wheel.name} {wheel.version}" for wheel in lock.built),
        ladder=tuple(
            f"not Python {rung.python} as of {rung.as_of:%Y-%m-%d}: {rung.reason}"
            for rung in lock.ladder
            if rung.reason
        ),
    )


def _import_all(obtained: Obtained, modules: tuple[str, ...], session: Session) -> str:
    """Return IMPORTED once the modules were imported in the image's sandbox, else the last line of what Python said."""
    image = obtain_image(obtained, session)
    store = session.tools.store
    with store.scratch() as scratch, (scratch / "said").open("w+b") as said:
        running = Bubblewrap().start(
            SandboxSpec(
                root=ImageRoot(tuple(store.tree(key).root for key in image.trees)),
                argv=("/opt/env/bin/python", "-c", "; ".join(f"import {module}" for module in modules)),
                env={"PATH": "/opt/env/bin:/usr/bin", "HOME": HOME, "MPLBACKEND": "agg"},
                home=HOME,
            ),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
        status = running.wait(_IMPORTING)
        said.seek(0)
        words = said.read().decode("utf-8", "replace").strip()
    return IMPORTED if status == 0 else f"the import failed: {words.splitlines()[-1] if words else status}"


def _sentence(error: ReprolakeError) -> str:
    """Return what a message says, without what a build backend had to say between its lines."""
    first, *rest = error.message.splitlines()
    told = [line for line in rest if line.startswith(("  Python ", "Python ", "nor does"))]
    return "\n".join(line for line in (first.rstrip(":"), *told, error.hint) if line)


def _make_repository(asked: RequirementSet, folder: Path) -> None:
    folder.mkdir(parents=True)
    _git(folder, "init", "-q", "-b", "main")
    (folder / "requirements.txt").write_text(asked.requirements.lstrip())
    if asked.python:
        (folder / "runtime.txt").write_text(f"python-{asked.python}\n")
    _commit(folder, asked.written or asked.date)
    if asked.written is not None:
        (folder / "README.md").write_text("Cite us.\n")
        _commit(folder, asked.date)


def _commit(folder: Path, day: date) -> None:
    _git(folder, "add", ".")
    _git(folder, "commit", "-q", "-m", "as of then", when=f"{day} {_NOON}")


def _git(folder: Path, *arguments: str, when: str = "") -> None:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.org", f"GIT_{who}_DATE": when}
    subprocess.run(["git", *arguments], cwd=folder, env=env, check=True)


def main() -> None:
    """Run the sets whose numbers are given, and those that were not done yet; write the page once all are."""
    WORK.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for number, asked in enumerate(read_sets(), 1):
        kept = WORK / f"{number:02}.json"
        known = msgspec.json.decode(kept.read_bytes(), type=Outcome) if kept.exists() else None
        if known is None or known.asked != asked or str(number) in sys.argv[1:]:
            shutil.rmtree(WORK / "repository", ignore_errors=True)
            started = time.monotonic()
            with open_session(
                load_options(os.environ, str(WORK / "store")), SILENT, datetime.now(UTC)
            ) as session:
                known = travel(asked, WORK / "repository", session)
            kept.write_bytes(msgspec.json.encode(known))
            print(
                f"{number:2} {time.monotonic() - started:5.0f} s  {asked.name}: {known.sentence.splitlines()[0]}",
                flush=True,
            )
        outcomes.append(known)
    PAGE.write_text(page(outcomes))


if __name__ == "__main__":
    main()
