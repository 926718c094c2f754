"""conda environments against `docker build` with rattler's installer: same base, same channel on the loopback, same packages.

The channel is made of wheels as the tests make theirs. As in conda-forge's packages for one platform, byte code lies beside their
sources; for noarch packages both sides compile.
"""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import shutil
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import docker
from bench.build import CATALOGUE, MODULES, ROUNDS, is_lock, stored_and_images
from bench.measure import call, seconds
from bench.places import REPROLAKE, ROOT, Line
from reprolake.lock_file import read_lock, write_lock
from reprolake.options import load_options
from reprolake.pipeline import open_session
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.progress import SILENT
from reprolake_builder.tools import Tools

sys.path.insert(0, str(ROOT / "tests"))  # where conda packages are made
from conda_channel import served
from conda_packages import EPOCH, File, Package, write_channel
from conda_pythons import python_abi, python_package
from conda_wheels import wheel_packages

_PYTHON = "3.11"
_AS_OF = "2024-06-01"
_CHANNEL = "conda-forge"
_MAGIC = bytes.fromhex("a70d0d0a")  # of Python 3.11
_MOST = 8 << 20  # bytes of a source


def conda_against_docker(work: Path) -> Iterator[Line]:
    """Yield the figures. `work` (host path) keeps the channel and the locks for the next call."""
    if why := docker.problem():
        yield "conda against docker", f"skipped: {why}", "-"
        return
    shutil.rmtree(work / "stores", ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    store = work / "store"
    with _session(store) as tools:
        _make_channel(work / "channel", tools)
    with served(work / "channel") as address:
        env = {"REPROLAKE_CONDA_CHANNELS": f"{_CHANNEL}={address}/main"}
        locks = {name: _lock(name, work, store, env) for name in CATALOGUE}
        yield "ten conda environments", stored_and_images(store, locks.values(), env), "-"
        yield from _rounds(work, locks, address, env)
    docker.remove_all()
    shutil.rmtree(work / "stores", ignore_errors=True)


@contextmanager
def _session(store: Path) -> Iterator[Tools]:
    with open_session(load_options(os.environ, str(store)), SILENT, datetime.now(UTC)) as session:
        yield session.tools


def _make_channel(folder: Path, tools: Tools) -> None:
    """Make the channel of all packages in the catalogue, unless it is there."""
    ready = folder / ".ready"
    if ready.exists():
        return
    wanted = sorted({name for names in CATALOGUE.values() for name in names if "==" not in name})
    packages: dict[str, Package] = {}
    for more in ((), tuple(name for names in CATALOGUE.values() for name in names if "==" in name)):
        named = [name for name in wanted if not any(pin.startswith(f"{name}==") for pin in more)]
        for package in wheel_packages(_PYTHON, ["ipykernel", *named, *more], _AS_OF, tools, [_PYTHON]):
            packages[package.filename] = package if package.noarch else _with_byte_code(package)
    write_channel(folder / "main", [python_package(_PYTHON, tools), python_abi(_PYTHON), *packages.values()])
    ready.touch()


def _with_byte_code(package: Package) -> Package:
    """Return the package with byte code beside its sources, which bears their date, as conda-build leaves it."""
    if importlib.util.MAGIC_NUMBER != _MAGIC:
        raise SystemExit(f"this benchmark wants to run under Python {_PYTHON}")
    made: dict[str, File] = {}
    for path, file in package.files.items():
        if not path.endswith(".py") or file.prefix or len(file.data) > _MOST:
            continue
        try:
            code = compile(file.data, f"/build/{path}", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            continue
        head = bytes(4) + int(EPOCH.timestamp()).to_bytes(4, "little") + len(file.data).to_bytes(4, "little")
        inside, _, name = path.rpartition("/")
        made[f"{inside}/__pycache__/{name[:-3]}.cpython-311.pyc"] = File(_MAGIC + head + marshal.dumps(code))
    return replace(package, files={**package.files, **made})


def _lock(name: str, work: Path, store: Path, env: dict[str, str]) -> Path:
    path = work / f"{name}.lock"
    if not is_lock(path):
        folder = work / name
        folder.mkdir(exist_ok=True)
        specs = "".join(f"  - {spec}\n" for spec in (f"python={_PYTHON}", "ipykernel", *CATALOGUE[name]))
        (folder / "environment.yml").write_text(f"channels:\n  - {_CHANNEL}\ndependencies:\n{specs}")
        call([REPROLAKE, "lock", folder, "--as-of", _AS_OF, "-o", path, "--store", store], env)
    return path


def _rounds(work: Path, locks: dict[str, Path], address: str, env: dict[str, str]) -> Iterator[Line]:
    """Run both sides in turn, and yield medians of the rounds' ratios."""
    lock = read_lock(locks["analysis"])
    locks["bare"] = work / "bare.lock"
    write_lock(msgspec.structs.replace(lock, byte_code=False), locks["bare"])
    base = work / "base"
    shutil.rmtree(base, ignore_errors=True)
    docker.make_conda_base(lock, base, work, _installer(work, lock, address))
    warm = _copy(work, base)
    build(locks["analysis"], warm, env)

    def ours(name: str, store: Path) -> Callable[[], float]:
        def timed() -> float:
            copied = _copy(work, store)
            return seconds(lambda: build(locks[name], copied, env))

        return timed

    def theirs(name: str) -> Callable[[], float]:
        lock = read_lock(locks[name])
        packages = _records(lock, address)
        return lambda: seconds(lambda: docker.build_conda(name, packages, work, byte_code=lock.byte_code))

    sides = {
        "cold": ours("analysis", base),
        "bare": ours("bare", base),
        "shared": ours("photometry", warm),
        "docker analysis": theirs("analysis"),
        "docker bare": theirs("bare"),
        "docker photometry": theirs("photometry"),
    }
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        for key in reversed(sides) if number % 2 else sides:
            times[key].append(sides[key]())
    docker.check("reprolake-bench/analysis-conda:latest", MODULES)
    for ours_is, name, what, goal in (
        ("cold", "analysis", "cold conda build, byte-compiled", "> 1x"),
        ("bare", "bare", "cold conda build, without byte code", "> 1x"),
        ("shared", "photometry", "conda packages of another image", ">= 8x"),
    ):
        them, us = times[f"docker {name}"], times[ours_is]
        ratio = statistics.median(a / b for a, b in zip(them, us, strict=True))
        yield what, f"{ratio:.1f}x ({statistics.median(them):.2f} s / {statistics.median(us):.2f} s)", goal


def build(lock: Path, store: Path, env: dict[str, str]) -> None:
    """Build with our own command."""
    call([REPROLAKE, "build", lock, "--store", store, "--quiet"], env)


def _copy(work: Path, store: Path) -> Path:
    stores = work / "stores"
    stores.mkdir(exist_ok=True)
    copied = stores / str(len(list(stores.iterdir())))
    call(["cp", "-al", store, copied])
    return copied


def _records(lock: EnvironmentLock, address: str) -> str:
    """Return the lock's conda packages as the program in the container reads them."""
    packages = lock.conda.packages if lock.conda is not None else ()
    fields = (
        "name",
        "version",
        "build",
        "build_number",
        "subdir",
        "noarch",
        "depends",
        "sha256",
        "size",
        "filename",
    )
    listed = []
    for package in packages:
        told = {name: getattr(package, name) for name in fields}
        url = f"{address}/main/{package.subdir}/{package.filename}"
        listed.append({**told, "url": url, "channel": f"{address}/main/"})
    return json.dumps(listed)


def _installer(work: Path, lock: EnvironmentLock, address: str) -> Path:
    """Return a folder with rattler, a Python for it, and the program that installs with it (host path)."""
    folder = work / "installer"
    if not (folder / "python").exists():
        shutil.rmtree(folder, ignore_errors=True)
        call([sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", folder, "py-rattler"])
        python = next(item for item in json.loads(_records(lock, address)) if item["name"] == "python")
        (folder / "python.json").write_text(json.dumps([python]))
        call([sys.executable, ROOT / "bench/conda_install.py", folder / "python.json", folder / "python"])
    shutil.copy(ROOT / "bench/conda_install.py", folder)
    return folder
