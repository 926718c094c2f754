"""Lock files of conda's tools: what they pin here, which is obeyed, and where they disagree with their declarations."""

from __future__ import annotations

import pytest
from conda_lock_texts import CONDA_LOCK, EXPLICIT, MD5, PIXI_5, PIXI_6, SHA
from detected import found, matter, texts

from reprolake_builder.conda.lock_formats import read_conda_lock, read_explicit, read_pixi_lock
from reprolake_builder.detect import refuse_unheard
from reprolake_builder.errors import DetectError


def shown(pins):
    """Channel, folder and file name of each."""
    return [(pin.channel, pin.subdir, pin.filename) for pin in pins]


PYTHON = ("conda-forge", "linux-64", "python-3.11.2-h1_0_cpython.conda")


def test_conda_lock_pins_what_conda_lock_installs():
    """Packages of linux-64 in the categories main and dev, those of pip with their hashes, and git repositories."""
    lock = read_conda_lock(CONDA_LOCK, "conda-lock.yml")
    assert shown(lock.pins) == [
        PYTHON,
        ("https://lab.example/astro", "linux-64", "numpy-1.26-py311_0.tar.bz2"),
    ]
    assert (lock.pins[0].sha256, lock.pins[0].md5) == (SHA, MD5)
    assert lock.channels == ("conda-forge", "https://lab.example/astro")
    assert [(item.text, item.sha256) for item in lock.pip] == [("corner==2.2.2", (SHA,))]
    assert texts(lock.places) == [f"git+https://git.example/lab/tool.git@{'1' * 40}"]


@pytest.mark.parametrize("text", [PIXI_6, PIXI_6.replace("version: 6", "version: 7")])
def test_pixi_pins_its_default_environment(text):
    """Packages of the environment `default` for linux-64, with sizes, and the repository's own package."""
    lock = read_pixi_lock(text, "pixi.lock")
    assert shown(lock.pins) == [PYTHON, ("conda-forge", "noarch", "six-1.16-py_0.conda")]
    assert [(pin.size, pin.md5) for pin in lock.pins] == [(1234, MD5), (99, "")]
    assert (texts(lock.pip), texts(lock.places)) == (["corner==2.2.2"], ["."])


def test_older_files_of_pixi_are_read():
    """Version 5 names a package's parts apart."""
    lock = read_pixi_lock(PIXI_5, "pixi.lock")
    assert shown(lock.pins) == [("conda-forge", "noarch", "six-1.16-py_0.conda")]


def test_explicit_files_pin_addresses():
    """One address with its hash a line, MD5 or SHA-256, and pip's packages as conda-lock writes them."""
    lock = read_explicit(EXPLICIT, "conda-linux-64.lock")
    assert shown(lock.pins) == [PYTHON, ("https://lab.example/astro", "noarch", "six-1.16-py_0.tar.bz2")]
    assert [(pin.md5, pin.sha256) for pin in lock.pins] == [(MD5, ""), ("", SHA)]
    assert texts(lock.pip) == ["corner==2.2.2"]


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (read_conda_lock, CONDA_LOCK.replace("version: 1\n", "version: 9\n", 1)),
        (read_conda_lock, CONDA_LOCK.replace("linux-64", "win-64")),
        (read_conda_lock, CONDA_LOCK.replace("linux-64/python", "../python")),
        (read_conda_lock, CONDA_LOCK.replace("python-3.11.2-h1_0_cpython.conda", "python.exe")),
        (read_conda_lock, CONDA_LOCK.replace(f"    sha256: {SHA}\n", "").replace(f"    md5: {MD5}\n", "")),
        (read_conda_lock, CONDA_LOCK.replace(SHA, "xy")),
        (read_conda_lock, "version: 1\npackage: 3\n"),
        (read_conda_lock, "[]"),
        (read_conda_lock, "a: [1"),
        (read_pixi_lock, PIXI_6.replace("version: 6", "version: 99")),
        (read_pixi_lock, PIXI_6.replace("default:", "other:")),
        (read_pixi_lock, PIXI_6.replace("linux-64:", "win-64:")),
        (read_pixi_lock, PIXI_6.replace(f"  sha256: {SHA}\n", "").replace(f"  md5: {MD5}\n", "")),
        (read_explicit, "x\n"),
        (read_explicit, "@EXPLICIT\n"),
        (read_explicit, EXPLICIT.replace(f"#{MD5}", "")),
        (read_explicit, EXPLICIT.replace("platform: linux-64", "platform: osx-64")),
        (read_explicit, "@EXPLICIT\nnumpy=1.26\n"),
    ],
)
def test_what_pins_nothing_here_is_refused_by_name(reader, text):
    """Other formats, other platforms, no hashes and odd names end in an error that names the file."""
    with pytest.raises(DetectError, match=r"^the\.file"):
        reader(text, "the.file")


def test_what_is_for_other_platforms_is_not_parsed():
    """The parser of YAML is slow: a lock for many platforms costs no more than what is for this one, of which the rest may be broken."""
    other = CONDA_LOCK.partition("package:\n")[2].replace("platform: linux-64", "platform: osx-arm64")
    broken = other.replace("  category: main", "  category: 'main")
    lock = read_conda_lock(CONDA_LOCK + broken, "conda-lock.yml")
    assert len(lock.pins) == 2


DECLARED = """\
channels: [conda-forge]
dependencies:
- python=3.11
- numpy>=1.20
- pip:
  - corner>=2
  - -e .
variables: {A: b}
"""
SETUP = {"setup.py": "from setuptools import setup; setup(name='x')\n"}


def test_a_lock_stands_over_environment_yml(tmp_path):
    """conda-lock.yml decides; what no lock holds is still taken from environment.yml: variables and the own package."""
    files = {"environment.yml": DECLARED, "conda-lock.yml": CONDA_LOCK, **SETUP}
    spec = found(tmp_path, files)
    assert (spec.conda.obeyed, spec.conda.tool, len(spec.conda.pins)) == ("conda-lock.yml", "conda-lock", 2)
    assert texts(spec.requirements) == ["corner==2.2.2"]
    assert (spec.variables, spec.project, matter(spec)) == ({"A": "b"}, "", [])
    assert [source.url for source in spec.sources] == ["https://git.example/lab/tool.git"]
    assert [file.path for file in spec.files][:2] == ["conda-lock.yml", "environment.yml"]


def test_the_order_of_conda_locks(tmp_path):
    """conda-lock.yml stands over pixi.lock, that over an explicit file; each is obeyed without a declaration beside it."""
    files = {"conda-linux-64.lock": EXPLICIT}
    assert found(tmp_path / "a", files).conda.tool == "explicit"
    files |= {"pixi.lock": PIXI_6, "pixi.toml": ""}
    assert found(tmp_path / "b", files | SETUP).conda.tool == "pixi"
    files |= {"conda-lock.yml": CONDA_LOCK}
    spec = found(tmp_path / "c", files)
    assert (spec.conda.tool, matter(spec)) == ("conda-lock", ["pixi.lock", "conda-linux-64.lock"])
    assert {item.path for item in spec.unheard} >= {"pixi.lock", "conda-linux-64.lock", "pixi.toml"}
    ignored = found(tmp_path / "d", files, ("conda-lock.yml", "pixi.lock"))
    assert ignored.conda.tool == "explicit"


def test_text_files_are_locks_only_where_they_say_so(tmp_path):
    """A spec-file.txt without @EXPLICIT is some text."""
    assert found(tmp_path / "a", {"spec-file.txt": EXPLICIT}).conda.obeyed == "spec-file.txt"
    assert found(tmp_path / "b", {"spec-file.txt": "see below\n"}).conda is None


def test_locks_with_names_of_their_own(tmp_path):
    """One NAME.conda-lock.yml is obeyed, of two the user has to choose."""
    files = {"analysis.conda-lock.yml": CONDA_LOCK}
    assert found(tmp_path / "a", files).conda.obeyed == "analysis.conda-lock.yml"
    files["plots.conda-lock.yml"] = CONDA_LOCK
    with pytest.raises(DetectError, match="another environment"):
        found(tmp_path / "b", files)


def test_the_own_package_is_installed_only_where_it_is_asked_for(tmp_path):
    """A package beside a lock that does not have it stops, as beside environment.yml."""
    spec = found(tmp_path, {"conda-lock.yml": CONDA_LOCK, **SETUP})
    assert matter(spec) == ["setup.py"]


def test_pixis_lock_is_held_against_pixi_toml(tmp_path):
    """What pixi.toml asks for and the lock does not hold is told; what only it says is taken from it."""
    manifest = '[workspace]\nchannels = ["conda-forge"]\n[dependencies]\npython = "3.11.*"\nsix = "*"\n'
    manifest += '[pypi-dependencies]\nmine = { path = "." }\n[activation.env]\nA = "b"\n'
    files = {"pixi.lock": PIXI_6, "pixi.toml": manifest, **SETUP}
    spec = found(tmp_path / "a", files)
    assert (matter(spec), spec.variables, spec.project) == ([], {"A": "b"}, "")
    assert texts(spec.conda.specs) == ["python 3.11.*", "six"]
    newer = files | {"pixi.toml": manifest.replace("3.11.*", "3.12.*")}
    assert matter(found(tmp_path / "b", newer)) == ["pixi.lock#python"]


@pytest.mark.parametrize("own", ["      - pypi: .\n", ""])
def test_pixis_tables_in_pyproject_are_heeded_by_way_of_the_lock(tmp_path, own):
    """A pyproject.toml with pixi's tables does not stop what its lock pins; the own package is installed if the lock has it."""
    project = '[project]\nname = "mine"\nversion = "0.1"\n[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
    project += '[tool.pixi.workspace]\nchannels = ["a"]\n[tool.pixi.dependencies]\nsix = "*"\n'
    files = {"pyproject.toml": project, "pixi.lock": PIXI_6.replace("      - pypi: .\n", own)}
    spec = found(tmp_path, files)
    assert (matter(spec), spec.project) == ([], "" if own else None)
    tables = project[project.index("[tool.pixi") :]
    assert matter(found(tmp_path / "alone", {"pyproject.toml": tables})) == ["pyproject.toml"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("numpy>=1.20", "numpy>=2", "numpy>=2, and conda-lock.yml has 1.26 py311_0"),
        ("numpy>=1.20", "scipy", "scipy, and conda-lock.yml does not have it"),
        ("corner>=2", "corner>=3", "corner>=3, and conda-lock.yml has 2.2.2"),
        ("corner>=2", "emcee", "emcee, and conda-lock.yml does not have it"),
        (
            "corner>=2",
            "git+https://git.example/lab/other.git",
            "lab/other.git, and conda-lock.yml does not have it",
        ),
    ],
)
def test_a_lock_that_disagrees_is_told(tmp_path, before, after, said):
    """What environment.yml asks for and the lock does not hold stops, with both files, and how to go on."""
    files = {"environment.yml": DECLARED.replace(before, after), "conda-lock.yml": CONDA_LOCK, **SETUP}
    spec = found(tmp_path, files)
    with pytest.raises(DetectError) as caught:
        refuse_unheard(spec)
    assert said in caught.value.message
    assert "environment.yml:" in caught.value.message
    assert "conda-lock lock" in caught.value.hint
    name = matter(spec)[0]
    refuse_unheard(found(tmp_path, files, (name,)))
