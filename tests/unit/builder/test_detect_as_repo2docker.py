"""repo2docker's documented rules for configuration files: where we do the same, and what we do where we differ on purpose.

docs/how-to/from-repo2docker.md tells the same for people. Source: repo2docker's documentation, "Configuration Files".
"""

from __future__ import annotations

import itertools

import pytest
from detected import PROJECT, found, matter, texts

from reprolake_builder.detect import refuse_unheard
from reprolake_builder.errors import DetectError

CONDA = "channels: [conda-forge]\ndependencies:\n  - {}\n  - numpy\n"
PIPFILE = '[packages]\nsix = "*"\n'
# repo2docker's build packs, the one that wins first, each by a file that it knows.
WINNERS = (
    ("Dockerfile", "FROM x\n"),
    ("Project.toml", '[deps]\nJSON = "x"\n'),
    ("default.nix", "{}\n"),
    ("DESCRIPTION", "Package: a\n"),
    ("environment.yml", CONDA.format("python=3.11")),
    ("Pipfile", PIPFILE),
    ("requirements.txt", "attrs\n"),
)
PAIRS = tuple(itertools.combinations(WINNERS, 2))
UNDERSTOOD = tuple(itertools.combinations(WINNERS[4:], 2))
NOT_YET = frozenset({"Dockerfile", "Project.toml", "default.nix", "DESCRIPTION"})


def heard(spec) -> set[str]:
    """Return the paths of files that count."""
    return {file.path for file in spec.files}


def told(spec) -> set[str]:
    """Return the paths of files that do not count and are named, without lines in them."""
    return {item.path.partition(":")[0].partition("#")[0] for item in spec.unheard}


# ---------------------------------------------------------------------- which file wins
@pytest.mark.parametrize(("winner", "loser"), PAIRS, ids=lambda file: file[0])
def test_what_stands_over_what(tmp_path, winner, loser):
    """The order is repo2docker's; the file that loses is named and stops the build, in place of silence (D11)."""
    spec = found(tmp_path, dict([winner, loser]))
    assert {winner[0], loser[0]} <= heard(spec) | told(spec)
    assert {winner[0], loser[0]} & NOT_YET or heard(spec) == {winner[0]}
    with pytest.raises(DetectError) as stopped:
        refuse_unheard(spec)
    expected = {name for name in (winner[0], loser[0]) if name in NOT_YET} or {loser[0]}
    assert set(matter(spec)) == expected
    assert all(f"--ignore {name}" in stopped.value.hint for name in expected)


@pytest.mark.parametrize(("winner", "loser"), UNDERSTOOD, ids=lambda file: file[0])
def test_with_ignore_it_is_as_in_repo2docker(tmp_path, winner, loser):
    """With the losing file ignored by name, what is built is what repo2docker builds."""
    spec = found(tmp_path, dict([winner, loser]), (loser[0],))
    refuse_unheard(spec)
    assert (heard(spec), told(spec)) == ({winner[0]}, {loser[0]})


def test_a_pipfile_lock_decides_with_its_development_packages(tmp_path):
    """Pipfile.lock stands over the Pipfile, and packages for development are installed, both as in repo2docker."""
    pipfile = PIPFILE + '[dev-packages]\nattrs = "*"\n'
    assert texts(found(tmp_path, {"Pipfile": pipfile}).requirements) == ["six", "attrs"]


@pytest.mark.parametrize("own", ["setup.py", "pyproject.toml"])
def test_the_own_package_is_installed(tmp_path, own):
    """setup.py, or pyproject.toml with [project] and [build-system], is installed, also beside requirements.txt."""
    text = PROJECT if own == "pyproject.toml" else ""
    for files in ({own: text}, {own: text, "requirements.txt": "scipy\n"}):
        spec = found(tmp_path, files)
        assert (spec.project, matter(spec), heard(spec)) == ("", [], set(files))


def test_a_package_beside_conda_stops(tmp_path):
    """Beside environment.yml repo2docker leaves the package out in silence (D11): here that stops until it is said."""
    files = {"environment.yml": CONDA.format("python=3.11"), "setup.py": ""}
    assert matter(found(tmp_path, files)) == ["setup.py"]
    files["environment.yml"] += "  - pip:\n    - -e .\n"
    spec = found(tmp_path, files)
    assert (spec.project, matter(spec)) == ("", [])


# ---------------------------------------------------------------------- binder/ and .binder/
@pytest.mark.parametrize("folder", ["binder", ".binder"])
@pytest.mark.parametrize(
    ("name", "text"), [*WINNERS[4:], ("runtime.txt", "python-3.11"), ("apt.txt", "git\n"), ("postBuild", "")]
)
def test_files_of_a_binder_folder_count(tmp_path, folder, name, text):
    """Every file counts in binder/ and .binder/; the same file at the top then has no say, which is told."""
    spec = found(tmp_path, {f"{folder}/{name}": text, name: "= broken", "setup.py": "", "Dockerfile": ""})
    assert heard(spec) == {f"{folder}/{name}"}
    assert (matter(spec), told(spec)) == ([], {name, "setup.py", "Dockerfile"})


@pytest.mark.parametrize("folder", ["binder", ".binder"])
def test_any_binder_folder_decides(tmp_path, folder):
    """A binder folder without a file for the environment is an empty environment, as in repo2docker."""
    spec = found(tmp_path, {f"{folder}/README.md": "", "requirements.txt": "six\n", "DESCRIPTION": ""})
    assert (texts(spec.requirements), matter(spec)) == ([], [])
    assert told(spec) == {"requirements.txt", "DESCRIPTION"}


def test_both_binder_folders_are_an_error(tmp_path):
    """binder/ and .binder/ at once is an error, whatever they hold."""
    with pytest.raises(DetectError, match=r"both binder/ and \.binder/"):
        found(tmp_path, {"binder/a": "", ".binder/b": ""})


def test_paths_are_meant_from_where_the_tools_start(tmp_path):
    """As pip starts at the top, `-e .` in binder/requirements.txt is the top's package; `-r` is meant from its file."""
    files = {
        "pyproject.toml": PROJECT,
        "binder/more.txt": "scipy\n",
        "lib/setup.py": "",
        "limit.txt": "scipy<2\n",
    }
    lines = "-e .\n-r more.txt\n-c ../limit.txt\n./lib\n"
    spec = found(tmp_path, {**files, "binder/requirements.txt": lines})
    assert (spec.project, spec.sources[0].folder, texts(spec.constraints)) == ("", "lib", ["scipy<2"])
    assert "scipy" in texts(spec.requirements)


def test_conda_starts_in_the_binder_folder(tmp_path):
    """As conda starts pip in the folder of environment.yml, `-e ..` in binder/ is the package at the top."""
    files = {"binder/environment.yml": CONDA.format("pip:\n    - -e .."), "setup.py": ""}
    spec = found(tmp_path, files)
    assert (spec.project, matter(spec)) == ("", [])
    files["binder/environment.yml"] = CONDA.format("pip:\n    - -e .")
    with pytest.raises(DetectError, match=r"environment\.yml:4: '\.' asks for a folder without") as stopped:
        found(tmp_path, files)
    assert "from binder/" in stopped.value.hint


def test_a_sub_folder_is_a_repository_of_its_own(tmp_path):
    """With --subdir its files, and a binder/ in it, decide; what lies above does not, and needs not be told."""
    files = {
        "demo/binder/requirements.txt": "six\n",
        "demo/requirements.txt": "a\n",
        "requirements.txt": "b\n",
    }
    spec = found(tmp_path, {**files, "binder/apt.txt": "git\n"}, subdir="demo")
    assert (heard(spec), told(spec)) == ({"demo/binder/requirements.txt"}, {"demo/requirements.txt"})


# ---------------------------------------------------------------------- Pythons
@pytest.mark.parametrize(
    ("line", "python"),
    [
        ("python=3.12", "=3.12"),
        ("python==3.12.4", "==3.12.4"),
        ("python>=3.12,<3.13", ">=3.12,<3.13"),
        ("python 3.12", "3.12"),
        ("conda-forge::python=3.12", "=3.12"),
    ],
)
def test_every_spelling_of_a_python_counts(tmp_path, line, python):
    """repo2docker takes Python 3.10 for the last three (D12): here they are what conda understands."""
    spec = found(tmp_path, {"environment.yml": CONDA.format(line)})
    (asked,) = (item.text for item in spec.conda.specs if "python" in item.text)
    assert asked.removeprefix("conda-forge::").removeprefix("python").strip() == python
    assert matter(spec) == []


@pytest.mark.parametrize(
    ("text", "python", "stops"),
    [
        ("python-3.11\n", ["==3.11.*"], []),
        ("\n  python-3.11  \n", ["==3.11.*"], []),
        ("python-3.12.4", ["==3.12.4"], []),  # repo2docker: ValueError (D12)
        ("r-4.3-2024-01-01", [], ["runtime.txt"]),
        ("r-2024-01-01", [], ["runtime.txt"]),
        ("r-4.3", [], ["runtime.txt"]),  # repo2docker: an image of Python (D12)
        ("", [], []),
    ],
)
def test_runtime_txt(tmp_path, text, python, stops):
    """The forms of runtime.txt; R stops in place of an image without it."""
    spec = found(tmp_path, {"runtime.txt": text})
    assert (texts(spec.python), matter(spec)) == (python, stops)


def test_runtime_txt_joins_what_else_speaks_of_python(tmp_path):
    """repo2docker lets environment.yml's Python win over runtime.txt in silence: here both have to hold."""
    files = {"environment.yml": "dependencies: [python=3.12]\n", "runtime.txt": "python-3.11"}
    spec = found(tmp_path, files)
    assert (texts(spec.python), heard(spec)) == (["==3.12.*", "==3.11.*"], set(files))


# ---------------------------------------------------------------------- apt.txt
def test_comments_and_blank_lines_of_apt_txt(tmp_path):
    """One package a line; blank lines, comments and spaces around a name do not count."""
    spec = found(tmp_path, {"apt.txt": "\n# tools\n  graphviz  \n\t\n#git\ncurl # to fetch\r\n"})
    assert texts(spec.apt) == ["graphviz", "curl"]


@pytest.mark.parametrize(
    "line", ["curl; touch x", "curl && id", "git $(id)", "git `id`", "--no-install", "git curl"]
)
def test_hostile_lines_of_apt_txt_are_refused(tmp_path, line):
    """repo2docker hands what follows a name to root's shell (D9): here a line is a name, or an error with its place."""
    with pytest.raises(DetectError, match=r"apt\.txt:2: .* is no name of a Debian package"):
        found(tmp_path, {"apt.txt": f"git\n{line}\n"})


# ---------------------------------------------------------------------- nothing is ignored in silence
POETRY = (
    '[tool.poetry]\nname = "a"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.11"\nattrs = "*"\n'
)
PIXI = '[workspace]\nname = "a"\nchannels = ["conda-forge"]\nplatforms = ["linux-64"]\n[dependencies]\nnumpy = "*"\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", POETRY),
        ("pyproject.toml", '[project]\nname = "a"\nversion = "1"\ndependencies = ["attrs"]\n'),
        ("pixi.toml", PIXI),
        (".python-version", "3.11\n"),
        ("setup.cfg", "[metadata]\nname = a\n"),
    ],
)
def test_files_that_repo2docker_passes_over_count(tmp_path, name, text):
    """What repo2docker passes over in silence, giving an image without any of it (D10), is honoured."""
    spec = found(tmp_path, {name: text})
    assert (heard(spec), matter(spec)) == ({name}, [])
    asked = (*spec.requirements, *spec.python, *(spec.conda.specs if spec.conda else ()))
    assert asked or spec.project_dynamic


@pytest.mark.parametrize("name", ["uv.lock", "poetry.lock", "pixi.lock", "conda-lock.yml"])
def test_locks_that_repo2docker_passes_over_are_read(tmp_path, name):
    """A lock file is obeyed, and so one that cannot be understood is an error that names it, never passed over (D10)."""
    with pytest.raises(DetectError, match=name.replace(".", r"\.")):
        found(tmp_path, {name: "no lock {", "pyproject.toml": PROJECT, "requirements.txt": "six\n"})


@pytest.mark.parametrize("name", ["renv.lock", "install.R", ".devcontainer/devcontainer.json", "flake.nix"])
def test_files_of_other_kinds_stop(tmp_path, name):
    """What cannot be honoured yet and is all that there is stops, with its name; repo2docker builds without it (D10)."""
    with pytest.raises(DetectError, match=name.partition("/")[0].replace(".", r"\.")):
        refuse_unheard(found(tmp_path, {name: "x"}))
