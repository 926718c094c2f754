"""`python -m bench [NAME …]`: every benchmark, or those named; a line each with the goal beside the figure."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat

from bench.measure import call, median, pair, peak_memory, seconds
from reprolake_builder.documents.lock import LAYOUT

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".cache" / "bench"
STORE = WORK / "store"
CRAB = ROOT / "sample-repos" / "crab-lightcurve"
REPROLAKE = Path(sys.executable).with_name("reprolake")
PAPERMILL = Path(sys.executable).with_name("papermill")
ROUNDS = 7
Line = tuple[str, str, str]


def startup() -> Iterator[Line]:
    """The command answers at once."""
    yield "reprolake --help", f"{median(lambda: call([REPROLAKE, '--help']), ROUNDS):.2f} s", "< 0.2 s"


def builds() -> Iterator[Line]:
    """Builds of the demo's lock: nothing to do; everything but the downloads; everything."""
    lock = _locked(CRAB)
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
    """Whole commands: `reprolake run` in the sandbox against `papermill` without one, same kernel, same notebook."""
    kernel = _bare_kernel()
    for name, cells, goal, rounds in (
        ("trivial notebook", 3, 1.0, ROUNDS),
        ("200-cell notebook", 200, 0.25, 3),
    ):
        folder = _repository(cells)
        lock = _locked(folder)
        ours = [
            REPROLAKE,
            "run",
            lock,
            "bench.ipynb",
            "--store",
            STORE,
            "--stage",
            WORK / "staging",
            "-p",
            "x",
            "5",
        ]
        theirs = [
            PAPERMILL,
            folder / "bench.ipynb",
            WORK / "out.ipynb",
            "-p",
            "x",
            "5",
            "--no-progress-bar",
            "-k",
            "bench",
        ]
        found = pair(lambda: call(ours), lambda: call(theirs, {"JUPYTER_PATH": str(kernel)}), rounds)  # noqa: B023
        shutil.rmtree(WORK / "staging")
        ours_median, theirs_median = (sorted(side)[len(side) // 2] for side in (found.ours, found.theirs))
        figure = f"{found.ratio:.2f}x papermill ({ours_median:.2f} s / {theirs_median:.2f} s)"
        yield f"run, {name}", figure, f"<= {goal:.2f}x"


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


def _locked(folder: Path) -> Path:
    lock = WORK / f"{folder.name}-{LAYOUT}.lock"
    if not lock.exists():
        call([REPROLAKE, "lock", folder, "-o", lock, "--store", STORE])
    return lock


def _repository(cells: int) -> Path:
    """Return a plain folder with a notebook of so many code cells, and nothing that it needs."""
    folder = WORK / f"cells-{cells}"
    if not folder.exists():
        folder.mkdir(parents=True)
        parameters = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
        rest = [nbformat.v4.new_code_cell(f"y = x * {number}\nprint(y)\ny") for number in range(cells - 1)]
        metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(
            nbformat.v4.new_notebook(cells=[parameters, *rest], metadata=metadata), folder / "bench.ipynb"
        )
    return folder


def _bare_kernel() -> Path:
    """Return a JUPYTER_PATH whose kernel "bench" has the ipykernel of our lock in an ordinary virtual environment."""
    folder = WORK / "bare"
    if not folder.exists():
        locked = json.loads(_locked(_repository(3)).read_bytes())["wheels"]
        pins = [f"{wheel['name']}=={wheel['version']}" for wheel in locked]
        venv.create(folder / "env", with_pip=True)
        call([folder / "env/bin/pip", "install", "--quiet", *pins])
        spec = {
            "argv": [str(folder / "env/bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        }
        (folder / "kernels/bench").mkdir(parents=True)
        (folder / "kernels/bench/kernel.json").write_text(
            json.dumps({**spec, "display_name": "bench", "language": "python"})
        )
    return folder


def build() -> Iterator[Line]:
    """Builds against `docker build`, about ten minutes."""
    from bench.build import builds_against_docker

    yield from builds_against_docker(WORK / "build")


BENCHMARKS: dict[str, Callable[[], Iterator[Line]]] = {
    "startup": startup,
    "builds": builds,
    "runs": runs,
    "build": build,
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
