"""Builds against `docker build` with pip and with uv: same base, same pins, same index on the loopback.

Both sides fetch the wheels. Nothing is deleted while anything is measured: some file systems are slow for a minute after that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import docker
from bench.measure import call, seconds
from reprolake.lock_file import read_lock, write_lock
from reprolake.options import load_options
from reprolake.pipeline import Request, obtain_image, obtain_lock, open_session
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.errors import ReprolakeError
from reprolake_builder.progress import SILENT

Line = tuple[str, str, str]

ROUNDS = 3
AS_OF = "2024-06-01"
MODULES = ("numpy", "scipy", "matplotlib", "astropy", "pandas", "ipykernel")
CATALOGUE: dict[str, tuple[str, ...]] = {
    "analysis": ("numpy", "scipy", "matplotlib", "astropy", "pandas"),
    "photometry": ("numpy", "scipy", "matplotlib", "astropy"),
    "bumped": ("numpy", "scipy", "matplotlib", "astropy==6.0.1", "pandas"),
    "plain": (),
    "plots": ("matplotlib", "seaborn"),
    "tables": ("pandas", "openpyxl", "tabulate"),
    "images": ("scikit-image", "matplotlib"),
    "learning": ("scikit-learn", "pandas", "matplotlib"),
    "spectra": ("specutils", "matplotlib"),
    "archive": ("astroquery", "matplotlib"),
}
"""Ten environments of a site. The first is built cold; the second holds a part of its packages, the third another release of one."""
_REPROLAKE = Path(sys.executable).with_name("reprolake")


@dataclass
class Bench:
    """Folders and locks of one benchmark. `work` and `store` are host paths; `index` is the loopback's, "" for the site's own."""

    work: Path
    store: Path
    locks: dict[str, Path] = field(default_factory=dict)
    index: str = ""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def lock(self, name: str) -> EnvironmentLock:
        """Return the lock of an environment."""
        return read_lock(self.locks[name])

    def copy(self, store: Path | None = None) -> Path:
        """Return a copy of a store, made of hard links, or a path for a new one."""
        copied = self.work / "stores" / str(next(self._numbers))
        copied.parent.mkdir(exist_ok=True)
        if store is not None:
            call(["cp", "-al", store, copied])
        return copied

    def build(self, name: str, store: Path, *more: str) -> None:
        """Build with our own command."""
        call(
            [_REPROLAKE, "build", self.locks[name], "--store", store, "--quiet", *more],
            {"REPROLAKE_INDEX_URL": self.index} if self.index else {},
        )


def builds_against_docker(work: Path) -> Iterator[Line]:
    """Yield the figures. `work` (host path) keeps what was fetched for the next call."""
    if why := docker.problem():
        yield "builds against docker", f"skipped: {why}", "-"
        return
    for leftover in ("stores", "debootstrap"):
        shutil.rmtree(work / leftover, ignore_errors=True)
    bench = Bench(work, work / "store")
    _lock_all(bench)
    yield from _catalogue(bench)
    with _served(bench) as bench.index:
        docker.make_base(bench.lock("analysis"), work / "base", work)
        yield from _rounds(bench)
        yield from _into_docker(bench)
        yield from _from_nothing(bench)
    docker.remove_all()
    for leftover in ("stores", "debootstrap"):
        shutil.rmtree(work / leftover, ignore_errors=True)


def _lock_all(bench: Bench) -> None:
    for name, requirements in CATALOGUE.items():
        folder = bench.work / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements))
        bench.locks[name] = bench.work / f"{name}.lock"
        if not is_lock(bench.locks[name]):
            call(
                [
                    _REPROLAKE,
                    "lock",
                    folder,
                    "--as-of",
                    AS_OF,
                    "-o",
                    bench.locks[name],
                    "--store",
                    bench.store,
                ]
            )
    bench.locks["bare"] = bench.work / "bare.lock"
    write_lock(msgspec.structs.replace(bench.lock("analysis"), byte_code=False), bench.locks["bare"])


def is_lock(path: Path) -> bool:
    """Whether a file is a lock that this version reads."""
    try:
        read_lock(path)
    except ReprolakeError:
        return False
    return True


def _catalogue(bench: Bench) -> Iterator[Line]:
    """Build all environments into one store, which has all wheels then, and compare bytes."""
    yield "ten environments", stored_and_images(bench.store, [bench.locks[name] for name in CATALOGUE]), "-"


def stored_and_images(store: Path, locks: Iterable[Path], env: Mapping[str, str] | None = None) -> str:
    """Build locks into one store (host path), and say how many bytes lie there, and how many are in the images."""
    images, kept = 0, dict[str, int]()
    options = load_options({**os.environ, **(env or {})}, str(store))
    with open_session(options, SILENT, datetime.now(UTC)) as session:
        for lock in locks:
            image = obtain_image(obtain_lock(Request(link=str(lock)), session), session)
            images += sum(layer.size for layer in image.layers)
            trees = (session.tools.store.tree(key) for key in image.trees)
            kept |= {tree.key: tree.size for tree in trees if tree is not None}
    stored = sum(kept.values())
    return f"{stored / 1e6:.0f} MB stored, {images / 1e6:.0f} MB in ten images ({images / stored:.1f}x)"


@contextlib.contextmanager
def _served(bench: Bench) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.index_server", bench.store, *bench.locks.values()]
    with subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        if server.stdin is None or server.stdout is None:
            raise AssertionError("both were asked for as pipes")
        yield server.stdout.readline().strip()
        server.stdin.close()


def _rounds(bench: Bench) -> Iterator[Line]:
    """Run everything in turn, and yield medians of the rounds' ratios."""
    base, warm = bench.work / "base", bench.copy(bench.work / "base")
    bench.build("analysis", warm)

    def ours(name: str, store: Path) -> Callable[[], float]:
        def timed() -> float:
            copied = bench.copy(store)
            return seconds(lambda: bench.build(name, copied))

        return timed

    def theirs(name: str, installer: str) -> Callable[[], float]:
        lock = bench.lock(name)

        def build() -> None:
            docker.build(name, installer, lock, bench.index, bench.work)

        return lambda: seconds(build)

    sides = {
        "cold": ours("analysis", base),
        "bare": ours("bare", base),
        "shared": ours("photometry", warm),
        "bumped": ours("bumped", warm),
        **{
            f"{installer} {name}": theirs(name, installer)
            for installer in ("pip", "uv")
            for name in ("analysis", "bare", "photometry")
        },
    }
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(ROUNDS):
        for key in reversed(sides) if number % 2 else sides:
            times[key].append(sides[key]())
    for image in ("analysis-pip", "analysis-uv", "bare-pip", "bare-uv"):
        docker.check(f"reprolake-bench/{image}:latest", MODULES)
    for ours_is, name, what, goals in (
        ("cold", "analysis", "cold, byte-compiled", {"pip": 3, "uv": 1.5}),
        ("bare", "bare", "cold, without byte code", {"pip": 2, "uv": 2}),
        ("shared", "photometry", "packages of another image", {"pip": 8, "uv": 8}),
        ("bumped", "analysis", "one package bumped", {"pip": 5, "uv": 5}),
    ):
        for installer, goal in goals.items():
            figure = _ratio(times[f"{installer} {name}"], times[ours_is], installer)
            yield f"{what}, against {installer}", figure, f">= {goal}x"


def _ratio(theirs: list[float], ours: list[float], who: str) -> str:
    ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    return f"{ratio:.1f}x {who} ({statistics.median(theirs):.2f} s / {statistics.median(ours):.2f} s)"


def _into_docker(bench: Bench) -> Iterator[Line]:
    """Build cold and load the image into docker, which has the base."""
    store, image = bench.copy(bench.work / "base"), "reprolake-bench/ours:latest"
    taken = seconds(lambda: bench.build("analysis", store, "-o", f"docker:{image}"))
    docker.check(image, MODULES)
    yield "cold, byte-compiled, loaded into docker", f"{taken:.1f} s (once)", "-"


def _from_nothing(bench: Bench) -> Iterator[Line]:
    """Start without base and caches on both sides, once: Debian's mirror is asked for everything."""
    what = "from nothing, against debootstrap and pip"
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        yield what, "skipped: needs debootstrap and root", ">= 5x"
        return
    ours = seconds(lambda: bench.build("analysis", bench.copy()))
    lock, root = bench.lock("analysis"), bench.work / "debootstrap"
    mirror = load_options(os.environ).site.archives["debian"][0]
    packages = "--include=python3,python3-venv"
    bootstrap = ["debootstrap", "--variant=minbase", packages, lock.debian.suite, str(root), mirror]
    python = "/opt/env/bin/python"

    def debootstrap_and_pip() -> None:
        call(bootstrap)
        (root / "pins.txt").write_text(docker.pins(lock))
        call(["chroot", root, "python3", "-m", "venv", "/opt/env"])
        install = ["install", "--quiet", "--no-cache-dir", "--no-deps", "--require-hashes", "-r", "/pins.txt"]
        call(["chroot", root, python, "-m", "pip", *install, "--index-url", bench.index])

    yield what, _ratio([seconds(debootstrap_and_pip)], [ours], "them"), ">= 5x"
