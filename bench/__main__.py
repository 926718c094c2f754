"""`python -m bench [NAME …]`: every benchmark, or those named; a line each with the goal beside the figure."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator

from bench.measure import call, median, peak_memory, seconds
from bench.places import PAPERMILL, REPROLAKE, ROOT, STORE, WORK, Line, locked

CRAB = ROOT / "sample-repos" / "crab-lightcurve"
ROUNDS = 7


def startup() -> Iterator[Line]:
    """The command answers at once."""
    yield "reprolake --help", f"{median(lambda: call([REPROLAKE, '--help']), ROUNDS):.2f} s", "< 0.2 s"


def builds() -> Iterator[Line]:
    """Builds of the demo's lock: nothing to do; everything but the downloads; everything."""
    lock = locked(CRAB)
    build = [REPROLAKE, "build", lock, "--store", STORE]
    call(build)
    yield "build, nothing to do", f"{median(lambda: call(build), ROUNDS):.2f} s", "<= 0.3 s"

    # New stores, not emptied ones: some file systems are slow for a minute after much was deleted.
    stores = WORK / "stores"
    fresh = [stores / str(number) for number in range(4)]
    shutil.rmtree(stores, ignore_errors=True)
    for store in fresh[:3]:
        store.mkdir(mode=0o700, parents=True)
        call(["cp", "-al", STORE / "archives", store])
    times = [seconds(lambda: call([REPROLAKE, "build", lock, "--store", store])) for store in fresh]  # noqa: B023
    yield "build from fetched archives", f"{statistics.median(times[:3]):.1f} s", "-"
    yield "build from nothing, downloads included", f"{times[3]:.1f} s", "-"
    shutil.rmtree(stores)


def runs() -> Iterator[Line]:
    """Whole runs against papermill."""
    from bench.runs import runs as against_papermill

    yield from against_papermill()


def sandboxes() -> Iterator[Line]:
    """A trivial run in each sandbox against bubblewrap."""
    from bench.sandboxes import overheads

    yield from overheads()


def memory() -> Iterator[Line]:
    """The memory of a build does not grow with what is built: a 2 GB file in the repository, an 800 MB wheel."""
    from bench.large import large_lock

    store = WORK / "large-store"
    shutil.rmtree(store, ignore_errors=True)
    lock, folder = large_lock(WORK, store)
    build = [REPROLAKE, "build", lock, "--source-dir", folder, "--store", store]
    figure = peak_memory([*build, "-o", f"oci:{WORK / 'large-image'}"])
    yield "peak memory, 2 GB file and 800 MB wheel", f"{figure / 1e6:.0f} MB", "< 300 MB"
    for path in (store, folder, WORK / "large-image"):
        shutil.rmtree(path)


def build() -> Iterator[Line]:
    """Builds against `docker build`, about ten minutes."""
    from bench.build import builds_against_docker

    yield from builds_against_docker(WORK / "build")


def conda() -> Iterator[Line]:
    """Builds of conda environments against `docker build` with rattler, about ten minutes."""
    from bench.conda import conda_against_docker

    yield from conda_against_docker(WORK / "conda")


BENCHMARKS: dict[str, Callable[[], Iterator[Line]]] = {
    "startup": startup,
    "builds": builds,
    "runs": runs,
    "sandboxes": sandboxes,
    "build": build,
    "conda": conda,
    "memory": memory,
}


def main() -> None:
    """Run the benchmarks and print a table."""
    WORK.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    version = subprocess.run(
        [PAPERMILL, "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    print(f"{os.cpu_count()} CPUs, load {load:.1f} at the start, papermill {version}")
    for name in sys.argv[1:] or BENCHMARKS:
        for what, figure, goal in BENCHMARKS[name]():
            print(f"{what:<42} {figure:<40} goal {goal}", flush=True)


if __name__ == "__main__":
    main()
