"""Mistakes of users and hosts: each is told with the next step and the exit code of the README, never as a traceback."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from reprolake.pipeline import Request, obtain_lock

PLAIN = Path(__file__).parent.parent.parent / "sample-repos" / "no-parameters"
NOTEBOOK = "sum.ipynb"
LONG = "a" * 300  # longer than a name may be: the operating system refuses it wherever it looks


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("resolve", LONG), 10, "neither a folder here nor a git URL"),
        (("resolve", ""), 10, "the link is empty"),
        (("resolve", f"{PLAIN}#subdirectory=data"), 10, "--subdir data"),
        (("inspect", LONG), 2, "is not here"),
        (("build", PLAIN, "--store", f"/tmp/{LONG}"), 14, "--store DIR"),
        (("build", PLAIN, "--source-dir", "."), 2, "is no lock"),
        (("build", PLAIN, "--name", "a:b"), 2, "--name is what the image is called in an output"),
        (("build", PLAIN, "--locked", "--relock"), 2, "--relock is there to resolve"),
        (("lock", PLAIN, "--locked"), 2, "No such option '--locked'"),
        (("build", PLAIN, "-o", f"oci:{LONG}"), 15, "File name too long"),
        (("build", PLAIN, "-o", f"oci:{__file__}"), 15, "oci: wants a folder"),
        (("build", PLAIN, "-o", f"docker-archive:{LONG}"), 15, "File name too long"),
        (("build", PLAIN, "-o", "docker-archive:/proc/none/x.tar"), 15, "there is no folder /proc/none"),
        (("lock", PLAIN, "-o", LONG), 2, "File name too long"),
        (("lock", PLAIN, "-o", "none/a.lock"), 2, "there is no folder none"),
        (("lock", PLAIN, "--apt", "Lib FFTW"), 2, "write NAME or NAME=VERSION"),
        (("lock", PLAIN, "--python", "newest"), 2, "write it like 3.11 or 3.11.4"),
        (("lock", PLAIN, "--python", "3.4"), 13, "--python 3.4 is not on offer"),
        (
            ("lock", "--upgrade", "./somewhere", "-o", "a.lock"),
            2,
            "`--upgrade` without a name stands behind LINK",
        ),
        (("lock", PLAIN, "-o", "none.lock", "--upgrade", "numpy"), 2, "there is no lock to upgrade it in"),
        (("lock", PLAIN, "--extra", "plot"), 12, "nothing here declares extras or groups"),
        (("build", "none.lock"), 10, "there is no lock none.lock here"),
        (("run", PLAIN, NOTEBOOK, "--memory", "1K"), 2, "give 1M or more"),
        (("run", PLAIN, NOTEBOOK, "--timeout", "1h"), 2, "no number of seconds"),
        (("run", PLAIN, NOTEBOOK, "--timeout", "0"), 2, "no number of seconds"),
        (("run", PLAIN), 2, "no notebook is named"),
        (("run", PLAIN / NOTEBOOK, "out.ipynb"), 2, f"reprolake run {PLAIN.parent.parent} "),
        (("exec", PLAIN / NOTEBOOK, "--", "true"), 2, "LINK is the repository that it is in"),
        (("plan", PLAIN), 2, "no notebook is named"),
        (("plan", PLAIN, NOTEBOOK, "--as-of", "yesterday"), 2, "such as 2022-12-01"),
        (("lock", PLAIN, "--as-of", "2999-01-01"), 2, "lies in the future"),
        (("plan", PLAIN, NOTEBOOK, "--map", "irf"), 2, "NAME=GLOB"),
        (("run", PLAIN, NOTEBOOK, "--map", "=*.fits"), 2, "NAME=GLOB"),
        (("plan", PLAIN, NOTEBOOK, "-p", "bins=20", "--basket", "b.json"), 2, "as in: -p bins 20"),
        (("plan", PLAIN, NOTEBOOK, "-r", "import", "x"), 21, "'import' cannot be the name of a parameter"),
        (("build", PLAIN, "-o", "image.tar"), 2, "outputs are oci:DIR"),
        (("build", PLAIN, "-o", "oci:x", "--name", "Lab X"), 2, "as in `lab/crab-lightcurve:1.0`"),
        (("rnu", PLAIN, NOTEBOOK), 2, "Did you mean 'run'?"),
        (("run", PLAIN, NOTEBOOK, "--add", "nothing.py"), 2, "nothing.py: there is no such file"),
        (("exec", PLAIN, "--add", LONG, "--", "true"), 2, "there is no such file"),
        (("inspect", f"{PLAIN}/sum.ipynb"), 2, "neither a lock nor anything else that `inspect` knows"),
        (("resolve", "--from", "none.txt"), 2, "--from takes a text file"),
        (("resolve", "10.5281/zenodo.x"), 10, "those end in the number of the record"),
        (("xyzzy",), 2, "Commands are run, "),
    ],
)
def test_a_mistake_is_told(reprolake, tmp_path, arguments, code, said):
    """A mistyped or impossible argument ends with its exit code and a text that says what to do."""
    done = reprolake(*arguments, cwd=tmp_path)
    assert said in done.stderr
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_looked_at_before_anything_is_built(reprolake, tmp_path):
    """An image that could not be written is not built first."""
    done = reprolake("build", PLAIN, "-o", f"oci:{__file__}", "--store", tmp_path / "store")
    assert done.returncode == 15
    assert not (tmp_path / "store" / "trees").exists()


def test_the_stage_is_looked_at_before_the_run(reprolake, tmp_path):
    """A notebook does not run for hours to end in a folder that cannot be written."""
    (tmp_path / "taken").write_text("")
    done = reprolake("run", PLAIN, NOTEBOOK, "--stage", tmp_path / "taken", "--store", tmp_path / "store")
    assert done.returncode == 27
    assert "--stage" in done.stderr
    assert "Fetching Debian packages" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("none.ipynb",), 21, "there is no notebook none.ipynb"),
        ((NOTEBOOK, "--cwd", "none"), 21, "no folder of the repository"),
        ((NOTEBOOK, "-k", "python3", "--basket", "none.json"), 20, "none.json cannot be read"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_notebook_is_looked_at_before_anything_is_solved(
    reprolake, tmp_path, command, arguments, code, said
):
    """Nobody waits for a solver to hear that a notebook is not there, or that what was given does not fit it."""
    done = reprolake(command, PLAIN, *arguments, "--store", tmp_path / "store")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Resolving Python packages" not in done.stderr


def test_resolve_takes_a_lock(reprolake, tmp_path):
    """A lock stands for the source that it was made of, here as everywhere."""
    assert reprolake("lock", PLAIN, "-o", tmp_path / "a.lock").returncode == 0
    assert reprolake("resolve", tmp_path / "a.lock").stdout == reprolake("resolve", PLAIN).stdout


def test_a_folder_and_its_repository_keep_locks_of_their_own(session, tmp_path):
    """A lock that was remembered for a folder is not passed on for the URL of the same commit: it names the folder."""
    (tmp_path / "a.py").write_text("")
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm a"):
        subprocess.run(["git", "-C", tmp_path, *words.split()], check=True)
    assert obtain_lock(Request(link=str(tmp_path)), session).lock.source.path == str(tmp_path)
    found = obtain_lock(Request(link=f"file://{tmp_path}"), session).lock.source
    assert found.url == f"file://{tmp_path}"


def test_nobody_reading_is_no_failed_notebook(reprolake):
    """When the reader of a pipe is gone the exit code is 143, not that of a failed notebook."""
    program = reprolake("--version").args[0]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as nobody:
        for stdout, stderr in ((nobody, subprocess.PIPE), (nobody, nobody)):
            done = subprocess.run([program, "resolve", PLAIN], stdout=stdout, stderr=stderr, check=False)
            assert done.returncode == 143
            assert b"Traceback" not in (done.stderr or b"")


def test_a_full_standard_output_is_told(reprolake):
    """A result that cannot be printed is a temporary failure that says so once."""
    program = reprolake("--version").args[0]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([program, "resolve", PLAIN], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 75
    assert (
        done.stderr.splitlines()[-1] == b"error: standard output cannot be written: No space left on device"
    )


def test_a_build_ended_from_outside_cleans_up(reprolake, tmp_path):
    """SIGTERM, as a batch system sends it, ends a build like Ctrl-C: exit code 143, nothing unfinished stays."""
    program = reprolake("--version").args[0]
    command = [program, "build", PLAIN, "--store", tmp_path / "store"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as building:
        for line in building.stderr:
            if line.startswith("Resolving Python packages"):
                break
        building.terminate()
        rest = building.stderr.read()
    assert building.returncode == 143
    assert rest.splitlines()[-1] == "stopped"
    assert list((tmp_path / "store/tmp").iterdir()) == []


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_honoured(reprolake, no_color, coloured):
    """On a terminal messages are coloured, unless NO_COLOR is set to something."""
    program = reprolake("--version").args[0]
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [program, "resolve", "/does/not/exist"],
            stderr=theirs,
            env={**os.environ, "NO_COLOR": no_color, "TERM": "xterm"},
            check=False,
        )
        os.close(theirs)
        said = terminal.read(4096)
    assert done.returncode == 10
    assert (b"\x1b[3" in said) == coloured


def test_doctor_tells_of_a_ca_bundle_that_is_not_there(reprolake):
    """A wrong setting shows in the findings, and programs that are not on the PATH do not end the examination."""
    done = reprolake(
        "doctor",
        REPROLAKE_CA_BUNDLE="/does/not/exist",
        REPROLAKE_DEBIAN_MIRROR="https://localhost:9/debian",
        PATH="/does/not/exist",
    )
    assert done.returncode == 23
    assert "invalid path: /does/not/exist" in done.stdout
    assert "missing  git: not found" in done.stdout
    assert "absent   sandbox docker: docker is not installed here" in done.stdout
    assert "         needed for --sandbox docker\n" in done.stdout
    assert "\N{REPLACEMENT CHARACTER}" not in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.engine("bubblewrap")
def test_another_kernels_name_is_told(reprolake, tmp_path):
    """A notebook that names its author's own kernel runs in the image's Python, and that is said."""
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "source": "1",
        "outputs": [],
        "execution_count": None,
    }
    spec = {"name": "conda-env-crab-py", "display_name": "crab", "language": "python"}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": [cell]}
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/a.ipynb").write_text(json.dumps(notebook))
    done = reprolake("run", tmp_path / "repo", "a.ipynb", "--stage", tmp_path / "stage")
    assert done.returncode == 0, done.stderr
    assert "names the kernel conda-env-crab-py" in done.stderr
    assert "succeeded: 1 code cell ran" in done.stdout


@pytest.mark.parametrize("store", ["/proc/x", "/dev/null/x", "{tmp}/file/x"])
def test_config_tells_of_a_store_that_cannot_be(reprolake, tmp_path, store):
    """The settings are printed all the same; where a store could be made, nothing is left behind by looking."""
    (tmp_path / "file").write_text("")
    place = store.format(tmp=tmp_path)
    done = reprolake("config", "--store", place)
    assert (done.returncode, place in done.stdout) == (0, True)
    assert f"the store {place} cannot be written: " in done.stderr
    good = reprolake("config", "--store", tmp_path / "new/store")
    assert "cannot be written" not in good.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_basket_that_cannot_be_read_is_told_with_what_is_wanted(reprolake, tmp_path):
    """A missing file and a folder are named, and the hint says what --basket takes."""
    for basket in (tmp_path / "missing.json", tmp_path):
        done = reprolake("plan", PLAIN, "sum.ipynb", "--basket", basket)
        assert done.returncode == 20
        assert f"the basket {basket} cannot be read: " in done.stderr
        assert "hint: --basket takes the JSON file of a basket" in done.stderr
