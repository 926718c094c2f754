"""Whole commands: `reprolake run` in its sandbox against `papermill` without one; same Python, packages and notebook."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

from bench.measure import call, pair
from bench.places import PAPERMILL, REPROLAKE, STORE, WORK, Line, locked

_IMAGES = """\
import os
from IPython.display import display
display({"image/png": __import__("base64").b64encode(os.urandom(1_500_000)).decode()}, raw=True)
"""
_PLOT = """\
import numpy as np
import matplotlib.pyplot as plt
plt.plot(np.sin(np.linspace(0, x, 500)))
plt.title("x")
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A notebook: the code of its cells after the parameters, what it needs, its goal against papermill, and rounds."""

    name: str
    cells: tuple[str, ...]
    goal: float
    rounds: int
    needs: tuple[str, ...] = ()


CASES = (
    Case("trivial notebook", ("y = x * 2\nprint(y)\ny", "y"), 1.0, 7),
    Case("200-cell notebook", tuple(f"y = x * {number}\nprint(y)\ny" for number in range(199)), 0.25, 3),
    Case("20 MB in ten images", (_IMAGES, "1") * 10, 0.5, 5),
    Case("numpy and matplotlib, one plot", (_PLOT,), 1.0, 5, ("numpy", "matplotlib", "ipython")),
)


def runs() -> Iterator[Line]:
    """Every case against papermill, in pairs."""
    for case in CASES:
        folder = _repository(case)
        ours, theirs = _ours(folder), _theirs(folder)
        found = pair(ours, theirs, case.rounds)
        shutil.rmtree(WORK / "staging")
        medians = " s / ".join(f"{statistics.median(side):.2f}" for side in (found.ours, found.theirs))
        yield f"run, {case.name}", f"{found.ratio:.2f}x papermill ({medians} s)", f"<= {case.goal:.2f}x"


def _ours(folder: Path) -> Callable[[], None]:
    run = [REPROLAKE, "run", locked(folder), "bench.ipynb", "-p", "x", "5"]
    return lambda: call([*run, "--store", STORE, "--stage", WORK / "staging"])


def _theirs(folder: Path) -> Callable[[], None]:
    kernels = _bare_kernel(folder)
    run = [PAPERMILL, folder / "bench.ipynb", WORK / "out.ipynb", "-p", "x", "5"]
    return lambda: call([*run, "--no-progress-bar", "-k", "bench"], {"JUPYTER_PATH": str(kernels)})


def _repository(case: Case) -> Path:
    """Return a plain folder with the case's notebook and what it needs."""
    folder = WORK / f"runs-{case.name.replace(' ', '-').replace(',', '')}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runtime.txt").write_text(f"python-{sys.version_info.major}.{sys.version_info.minor}\n")
    if case.needs:
        (folder / "requirements.txt").write_text("".join(f"{name}\n" for name in case.needs))
    parameters = nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]})
    rest = [nbformat.v4.new_code_cell(code) for code in case.cells]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[parameters, *rest], metadata=metadata)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # else the folder, and with it its lock, would be another one each time
    nbformat.write(notebook, folder / "bench.ipynb")
    return folder


def _bare_kernel(folder: Path) -> Path:
    """Return a JUPYTER_PATH whose kernel "bench" has the packages of our lock in an ordinary virtual environment."""
    packages = json.loads(locked(folder).read_bytes())["wheels"]
    pins = [f"{wheel['name']}=={wheel['version']}" for wheel in packages]
    bare = WORK / f"bare-{len(pins)}"
    if not (bare / "kernels").exists():
        venv.create(bare / "env", with_pip=True)
        call([bare / "env/bin/pip", "install", "--quiet", *pins])
        argv = [str(bare / "env/bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (bare / "kernels/bench").mkdir(parents=True)
        spec = {"argv": argv, "display_name": "bench", "language": "python"}
        (bare / "kernels/bench/kernel.json").write_text(json.dumps(spec))
    return bare
