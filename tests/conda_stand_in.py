"""A program that conda-lock takes for conda: what it asks conda for is done by rattler, so that nothing of conda is needed.

It is started with the tests' own Python. Source: what conda-lock 4 runs (`conda_solver.py`, `conda_lock.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import rattler
from rattler.exceptions import SolverError

_MACHINE = {
    "__unix": ("0", "0"),
    "__linux": ("5.10", "0"),
    "__glibc": ("2.36", "0"),
    "__archspec": ("1", "x86_64"),
}


def main(arguments: list[str]) -> int:
    """Do what conda is asked to."""
    match arguments:
        case ["--version"]:
            print("conda 24.11.0")
        case ["info" | "config", *_]:
            print(json.dumps({"pkgs_dirs": [os.environ.get("CONDA_PKGS_DIRS", "/nowhere")]}))
        case ["create", *rest] if "--dry-run" in rest:
            return dry_run(rest)
        case ["create", *rest] if "--file" in rest:
            create(Path(value(rest, "--file")), Path(value(rest, "--prefix")))
        case ["run", *rest] if "pip" in rest:
            python = Path(value(rest, "--prefix")) / "bin/python"
            return subprocess.call([python, "-m", *rest[rest.index("pip") :]])
        case _:
            print(f"not understood: {arguments}", file=sys.stderr)
            return 2
    return 0


def value(arguments: list[str], option: str) -> str:
    """Return what follows an option, whose short form may be its first letter."""
    place = next(n for n, word in enumerate(arguments) if word in {option, option[1:3]})
    return arguments[place + 1]


def dry_run(arguments: list[str]) -> int:
    """Print what would be installed, as `conda create --dry-run --json` does."""
    channels, specs = [], []
    words = iter(arguments)
    for word in words:
        if word == "--channel":
            channels.append(next(words))
        elif word in {"--prefix", "-p"}:
            next(words)
        elif not word.startswith("-"):
            specs.append(word)
    try:
        records = asyncio.run(solved(channels, specs))
    except SolverError as error:
        print(json.dumps({"success": False, "message": str(error), "error": str(error)}))
        return 1
    fetched = [described(record) for record in records if not record.name.normalized.startswith("__")]
    linked = [
        {**one, "dist_name": one["fn"].removesuffix(".conda").removesuffix(".tar.bz2")} for one in fetched
    ]
    print(json.dumps({"success": True, "actions": {"FETCH": fetched, "LINK": linked}}))
    return 0


async def solved(channels: list[str], specs: list[str]) -> list[rattler.RepoDataRecord]:
    """Return the set of packages."""
    machine = [
        rattler.GenericVirtualPackage(
            rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build)
        )
        for name, (version, build) in _MACHINE.items()
    ]
    gateway = rattler.Gateway(cache_dir=Path(os.environ.get("CONDA_PKGS_DIRS", "/tmp/none")) / "rattler")
    return await rattler.solve(
        [rattler.Channel(channel) for channel in channels],
        [rattler.MatchSpec(spec) for spec in specs],
        gateway=gateway,
        platforms=[os.environ["CONDA_SUBDIR"], "noarch"],
        virtual_packages=machine,
    )


def described(record: rattler.RepoDataRecord) -> dict[str, object]:
    """Return a package as conda describes it."""
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build_string": str(record.build),
        "url": str(record.url),
        "md5": record.md5.hex() if record.md5 else "",
        "sha256": record.sha256.hex() if record.sha256 else "",
        "depends": list(record.depends),
        "constrains": list(record.constrains),
        "subdir": str(record.subdir),
        "fn": record.file_name,
        "channel": str(record.channel),
        "timestamp": 0,
    }


def create(file: Path, prefix: Path) -> None:
    """Install the packages of an @EXPLICIT file."""
    urls = [line.partition("#")[0].strip() for line in file.read_text().splitlines()]
    wanted = {url for url in urls if "://" in url}
    channels = sorted({url.rsplit("/", 2)[0] for url in wanted})
    found = [
        record
        for channel in channels
        for subdir in ("linux-64", "noarch")
        for record in load(channel, subdir)
        if str(record.url) in wanted
    ]
    if {str(record.url) for record in found} != wanted:
        raise SystemExit(f"not in the channels: {wanted - {str(record.url) for record in found}}")
    asyncio.run(rattler.install(found, prefix, cache_dir=prefix.parent / "cache", show_progress=False))


def load(channel: str, subdir: str) -> list[rattler.RepoDataRecord]:
    """Return everything in a folder of a channel of this host."""
    path = Path(channel.removeprefix("file://")) / subdir / "repodata.json"
    both = rattler.PackageFormatSelection.BOTH
    return rattler.SparseRepoData(rattler.Channel(channel), subdir, path).load_all_records(both)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # threads of rattler that are still there may bring an ordinary end down
