"""Choosing a kernel of the image, whose files are a stranger's data."""

from __future__ import annotations

import json
import os

import pytest

from reprolake_runner import image_files
from reprolake_runner.errors import NotebookError
from reprolake_runner.kernelspec import choose, command

PYTHON = {"argv": ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
R = {"argv": ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"], "language": "R"}


@pytest.fixture
def trees(tmp_path):
    """A base tree and an environment tree above it, each of which can be given kernels."""
    for name in ("base", "env"):
        (tmp_path / name).mkdir()
    return tmp_path / "base", tmp_path / "env"


def offer(tree, name, spec, folder="opt/env/share/jupyter/kernels"):
    """Put a kernel specification into a tree."""
    place = tree / folder / name
    place.mkdir(parents=True, exist_ok=True)
    (place / "kernel.json").write_text(spec if isinstance(spec, str) else json.dumps(spec))


def test_the_named_kernel_is_taken(trees):
    """A notebook gets the kernel that it names, in any case."""
    offer(trees[1], "python3", PYTHON)
    offer(trees[0], "ir", R, "usr/share/jupyter/kernels")
    assert choose(trees, "IR", "R", {}).language == "R"


def test_python_notebooks_fall_back_to_python3(trees):
    """A Python notebook whose kernel has another name elsewhere runs on python3."""
    offer(trees[1], "python3", PYTHON)
    assert choose(trees, "conda-env-foo-py", "python", {}).name == "python3"


def test_every_language_falls_back_to_a_kernel_of_its_own(trees):
    """A notebook whose kernel has another name here runs on a kernel of its language, python3 before others of Python."""
    offer(trees[1], "python3", PYTHON)
    offer(trees[1], "a-python", PYTHON)
    offer(trees[0], "xr", R | {"language": "r"}, "usr/share/jupyter/kernels")
    offer(trees[0], "broken", "{", "usr/share/jupyter/kernels")
    assert choose(trees, "ir-4.1", "R", {}).name == "xr"
    assert choose(trees, "gone", "ipython", {}).name == "python3"


def test_no_language_falls_back_to_another(trees):
    """An R notebook without a kernel for it is an error that names what there is, and so is a kernel that was asked for."""
    offer(trees[1], "python3", PYTHON)
    with pytest.raises(NotebookError, match=r"'ir', which .*, nor another one for R") as error:
        choose(trees, "ir", "R", {})
    assert "python3" in error.value.hint
    with pytest.raises(NotebookError, match=r"(?m)'python2', which the image does not have$"):
        choose(trees, "python2", "", {})


def test_the_environment_wins_over_the_base(trees):
    """A kernel of the environment hides one of the same name in the base; a higher tree hides a lower one."""
    offer(trees[0], "python3", PYTHON | {"argv": ["old"]}, "usr/share/jupyter/kernels")
    offer(trees[0], "python3", PYTHON | {"argv": ["lower"]})
    offer(trees[1], "python3", PYTHON)
    assert choose(trees, "python3", "python", {}).argv == tuple(PYTHON["argv"])


@pytest.mark.parametrize(
    "spec", ["", "{", "[]", "{}", '{"argv": []}', '{"argv": ["a\\u0000b"]}', "[" * 100_000]
)
def test_damaged_specifications_are_no_kernels(trees, spec):
    """What cannot be understood is treated as absent."""
    offer(trees[1], "python3", spec)
    with pytest.raises(NotebookError):
        choose(trees, "python3", "python", {})


def test_links_lead_nowhere(trees, tmp_path):
    """A specification behind a symbolic link, in any part of its path, is not read."""
    offer(tmp_path / "host", "python3", PYTHON)
    kernels = tmp_path / "host/opt/env/share/jupyter/kernels"
    place = trees[1] / "opt/env/share/jupyter/kernels"
    place.mkdir(parents=True)
    (place / "python3").symlink_to(kernels / "python3")
    assert image_files.content(trees, "/opt/env/share/jupyter/kernels/python3/kernel.json") is None
    (place / "python3").unlink()
    (place / "python3").mkdir()
    (place / "python3/kernel.json").symlink_to(kernels / "python3/kernel.json")
    assert image_files.content(trees, "/opt/env/share/jupyter/kernels/python3/kernel.json") is None
    (trees[0] / "opt").symlink_to(tmp_path / "host/opt")
    assert image_files.listed(trees[:1], "/opt/env/share/jupyter/kernels") == frozenset()


def test_folders_that_the_image_names_come_first(trees):
    """Where JUPYTER_PATH leads kernels hide those of the same name, the first folder those of the second; what is no path is passed over."""
    offer(trees[1], "python3", PYTHON)
    offer(trees[0], "python3", PYTHON | {"argv": ["second"]}, "srv/two/kernels")
    env = {"JUPYTER_PATH": ":relative:/gone:/srv//one/:/srv/two"}
    assert choose(trees, "python3", "python", env).argv == ("second",)
    offer(trees[0], "python3", PYTHON | {"argv": ["first"]}, "srv/one/kernels")
    offer(trees[0], "julia-1.9", {"argv": ["julia"], "language": "julia"}, "srv/two/kernels")
    assert choose(trees, "python3", "python", env).argv == ("first",)
    assert choose(trees, "", "julia", env).argv == ("julia",)
    assert choose(trees, "python3", "python", {}).argv == tuple(PYTHON["argv"])


@pytest.mark.parametrize(
    "way", ["/../host", "/opt/../../host", "/..", "\0", "/a\0b", "/\udc80", ":" * 100_000]
)
def test_folders_that_the_image_names_lie_in_it(trees, tmp_path, way):
    """No way that a variable tells leads out of the image, nor to an error."""
    offer(tmp_path / "host", "python3", PYTHON, "kernels")
    offer(tmp_path, "python3", PYTHON, "kernels")
    (trees[0] / "opt").mkdir()
    assert choose([tmp_path], "python3", "python", {"JUPYTER_PATH": "/host"}).argv == tuple(PYTHON["argv"])
    with pytest.raises(NotebookError):
        choose(trees, "python3", "python", {"JUPYTER_PATH": way})


def test_pipes_and_large_files_are_no_files(trees):
    """Reading never waits and never takes more than the limit."""
    os.mkfifo(trees[1] / "pipe")
    (trees[1] / "large").write_bytes(b"x" * (image_files.LIMIT + 1))
    assert image_files.content(trees, "/pipe") is None
    assert image_files.content(trees, "/large") is None


def test_ipykernel_starts_where_nothing_can_stand_in_for_its_modules(trees):
    """The launcher of ipykernel is replaced by one that imports first and enters the notebook's folder itself."""
    offer(trees[1], "python3", PYTHON)
    found = command(choose(trees, "python3", "python", {}), "/run/c.json", "/repo/it's")
    assert found.cwd == "/"
    assert found.argv[:2] == ("python", "-c")
    assert repr(b"/repo/it's") in found.argv[2]
    assert found.argv[3:5] == ("-f", "/run/c.json")


def test_other_kernels_start_in_the_notebooks_folder(trees):
    """Any other command stays as it is, with the connection file put in."""
    offer(trees[1], "ir", R)
    found = command(choose(trees, "ir", "R", {}), "/run/c.json", "/repo/sub")
    assert (found.cwd, found.argv[-1], found.argv[0]) == ("/repo/sub", "/run/c.json", "R")


def test_a_notebook_that_names_only_its_language_gets_a_kernel_of_it(trees):
    """Without the name of a kernel the language decides, also where Python's kernel is there."""
    offer(trees[1], "python3", PYTHON)
    offer(trees[0], "ir", R, "usr/share/jupyter/kernels")
    assert choose(trees, "", "R", {}).name == "ir"
    with pytest.raises(
        NotebookError, match=r"(?m)names no kernel, and the image has none for julia$"
    ) as error:
        choose(trees, "", "julia", {})
    assert "ir (R), python3 (python)" in error.value.hint


def test_kernels_that_leave_their_specification_to_a_command_are_found(trees):
    """IRkernel is found in R's library, and bash_kernel by its package; what stands where Jupyter looks comes first."""
    offer(trees[0], "kernelspec", R, "usr/lib/R/site-library/IRkernel")
    place = trees[1] / "opt/env/lib/python3.11/site-packages/bash_kernel"
    place.mkdir(parents=True)
    (place / "__main__.py").write_text("")
    assert choose(trees, "ir", "R", {}).argv[0] == "R"
    assert choose(trees, "bash", "bash", {}).argv == (
        "python",
        "-m",
        "bash_kernel",
        "-f",
        "{connection_file}",
    )
    offer(trees[0], "bash", PYTHON | {"argv": ["own"], "language": "bash"}, "usr/local/share/jupyter/kernels")
    assert choose(trees, "bash", "bash", {}).argv == ("own",)


def test_the_users_own_kernels_come_first(trees):
    """As in Jupyter, a kernel in the home folder of the image hides those of the environment."""
    offer(trees[1], "python3", PYTHON)
    offer(trees[0], "python3", PYTHON | {"argv": ["mine"]}, "home/jovyan/.local/share/jupyter/kernels")
    assert choose(trees, "python3", "python", {}).argv == ("mine",)


def test_the_python_of_old_has_a_dialect_of_its_own(trees):
    """A kernel that is called python2, or started by that, takes its parameters in Python 2."""
    offer(trees[1], "python2", PYTHON)
    offer(trees[1], "old", PYTHON | {"argv": ["/usr/bin/python2.7", "-m", "ipykernel"]})
    offer(trees[1], "python3", PYTHON)
    offer(trees[1], "r2", R | {"argv": ["R"]})
    found = {name: choose(trees, name, "", {}).dialect for name in ("python2", "old", "python3", "r2")}
    assert found == {"python2": "python2", "old": "python2", "python3": "python", "r2": "R"}


@pytest.mark.parametrize("module", ["ipykernel_launcher", "ipykernel", "ipykernel.kernelapp"])
def test_every_way_to_start_ipykernel_is_known(trees, module):
    """Old and new kernel specifications get the same start."""
    offer(trees[1], "python3", PYTHON | {"argv": ["python", "-E", "-m", module, "-f", "{connection_file}"]})
    found = command(choose(trees, "python3", "python", {}), "/run/c.json", "/repo")
    assert found.argv[:3] == ("python", "-E", "-c")
