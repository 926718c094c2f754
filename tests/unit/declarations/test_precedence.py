"""Locks beside each other and beside declarations: a file that is passed over says no more than the one that counts."""

from __future__ import annotations

import pytest
from conda_lock_texts import CONDA_LOCK, EXPLICIT, PIXI_5, PIXI_6
from detected import found, matter
from lock_texts import PDM, PIPFILE, PIPFILE_LOCK, POETRY_2, POETRY_PROJECT, PYLOCK, UV, UV_PROJECT

from reprolake.describe import obeyed_in_words
from reprolake_builder.errors import DetectError

CONDA = {"conda-lock.yml": CONDA_LOCK}
UV_FILES = {"pyproject.toml": UV_PROJECT, "uv.lock": UV}
POETRY = {"pyproject.toml": POETRY_PROJECT, "poetry.lock": POETRY_2}


@pytest.mark.parametrize(
    "name", ["uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock", "Pipfile"]
)
def test_files_of_python_tools_beside_a_lock_of_condas_stop(tmp_path, name):
    """They are not passed over in silence: the user says which of the two has no say."""
    files = {**CONDA, name: "anything"}
    assert matter(found(tmp_path / "a", files)) == [name]
    assert matter(found(tmp_path / "b", files, (name,))) == []


@pytest.mark.parametrize(
    ("name", "text", "stops"),
    [
        ("requirements.txt", "corner>=2\nnumpy\n", False),
        ("requirements.txt", "numpy==1.26\n", False),
        ("requirements.txt", "numpy>=2\n", True),
        ("requirements.txt", "corner==3\n", True),
        ("requirements.txt", "scipy\n", True),
        ("requirements.txt", "-e .\n", True),
        ("requirements.txt", "corner =3\n", True),
        ("environment.yaml", "dependencies: [python=3.11]\n", False),
        ("environment.yaml", "dependencies: [python=3.12]\n", True),
        ("pixi.toml", '[dependencies]\npython = "3.11.*"\n', False),
        ("pixi.toml", '[dependencies]\nzlib = "*"\n', True),
        ("conda-linux-64.lock", EXPLICIT, True),
        ("pixi.lock", PIXI_6, True),
        ("pixi.lock", "version: 9\n", True),
    ],
)
def test_what_a_lock_of_condas_stands_over_is_held_against_it(tmp_path, name, text, stops):
    """A declaration whose demands the lock meets is a note; one that asks for more, or a lock that pins other packages, stops."""
    files = {**CONDA, "environment.yml": "dependencies: [python=3.11, numpy]\n", name: text}
    spec = found(tmp_path, files)
    assert matter(spec) == ([name] if stops else [])
    assert name in {item.path for item in spec.unheard}


def test_locks_of_conda_that_pin_the_same_do_not_stop(tmp_path):
    """The list of addresses that conda-lock renders from its file is the usual companion of it."""
    urls = [line.split()[-1] for line in PIXI_5.splitlines() if "- conda:" in line]
    explicit = "@EXPLICIT\n" + "".join(f"{url}#{'cd' * 16}\n" for url in urls)
    assert matter(found(tmp_path, {"pixi.lock": PIXI_5, "conda-linux-64.lock": explicit})) == []


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("-c bounds.txt\nbeta\n", True),
        ("-c other.txt\nbeta\n", False),
        ("-e .\n", True),
        ("beta==2.0\n", False),
        ("beta==3\n", True),
    ],
)
def test_requirements_beside_a_lock_are_held_against_it(tmp_path, text, stops):
    """So are constraints of what the lock has, and the own package of a project that its lock does not install."""
    more = {"bounds.txt": "beta<2\n", "other.txt": "unheard-of<2\n"}
    files = {"pyproject.toml": UV_PROJECT.replace(">=3.9", ">=3.11"), "uv.lock": UV, **more}
    assert matter(found(tmp_path, {**files, "requirements.txt": text})) == (
        ["requirements.txt"] if stops else []
    )


def test_a_lock_serves_the_pythons_that_its_project_is_for(tmp_path):
    """A lock from before the project gave up a Python is not used with that one; one for none of its Pythons stops."""
    newer = UV_PROJECT.replace(">=3.9", ">=3.11")
    assert found(tmp_path / "a", {**UV_FILES, "pyproject.toml": newer}).obeyed.pythons == ("3.11", "3.13")
    older = UV.replace(">=3.9", ">=3.9,<3.11", 1)
    with pytest.raises(
        DetectError, match=r"pyproject\.toml:4 asks for Python >=3\.11, and uv\.lock"
    ) as caught:
        found(tmp_path / "b", {"pyproject.toml": newer, "uv.lock": older})
    assert "--ignore uv.lock" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "files"),
    [
        ("uv.lock", "version = 2\n", UV_FILES),
        ("uv.lock", "<<<<<<< HEAD\n", UV_FILES),
        ("pylock.toml", PYLOCK.replace('"1.0"', '"2.0"'), {}),
        ("poetry.lock", "[[package]", POETRY),
        ("pdm.lock", PDM.replace('lock_version = "4', 'lock_version = "9'), UV_FILES),
        ("Pipfile.lock", PIPFILE_LOCK.replace('"==1.2"', '">=1.2"'), {"Pipfile": PIPFILE}),
        ("Pipfile.lock", "{]", {"Pipfile": PIPFILE}),
        ("conda-lock.yml", "version: 1\npackage: [a, b", {}),
        ("conda-lock.yml", "version: 7\n", {}),
        ("conda-lock.yml", "", {}),
        ("pixi.lock", "version: 6\nenvironments: {x: {}}\npackages: []\n", {}),
        ("explicit.txt", "@EXPLICIT\n", {}),
        ("pylock.toml", PYLOCK + '[[packages]]\nname = "alpha"\nversion = "9"\nsdist = {hashes = {}}\n', {}),
    ],
)
def test_a_lock_that_cannot_be_used_says_how_to_go_on(tmp_path, name, text, files):
    """Broken, of another version or without what counts: the error names the lock, and its hint leads on without it."""
    files = {key: value for key, value in files.items() if not key.endswith(".lock")} | {name: text}
    with pytest.raises(DetectError, match=name.replace(".", r"\.")) as caught:
        found(tmp_path, files)
    assert f"--ignore {name}" in caught.value.hint


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (UV_FILES, "uv.lock, as uv wrote it"),
        ({"pylock.toml": PYLOCK}, "pylock.toml"),
        (CONDA, "conda-lock.yml, as conda-lock wrote it"),
        ({"spec-file.txt": EXPLICIT}, "spec-file.txt, as conda wrote it"),
        ({"requirements.txt": "six\n"}, ""),
    ],
)
def test_the_lock_that_is_obeyed_is_told(tmp_path, files, told):
    """Locks and plans say whose lock file decides, be it of Python packages or of conda's."""
    assert obeyed_in_words(found(tmp_path, files)) == told
