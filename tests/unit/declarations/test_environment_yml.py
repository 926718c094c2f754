"""environment.yml in full: what is asked of conda's channels."""

from __future__ import annotations

import pytest
from detected import found, matter, texts
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.conda.selectors import drop_reason, selected_key
from reprolake_builder.conda.versions import split_spec
from reprolake_builder.errors import DetectError

WHOLE = """\
name: demo
channels:
  - conda-forge
  - https://lab.example/astro
  - nodefaults
dependencies:
  - python>=3.12,<3.13
  - numpy=1.26=py311*
  - conda-forge::Scipy >=1.11, <2
  - "astropy[version='>=6',build=py*]"
  - graphviz
  - pip
  - appscript  # [osx]
  - inotify_simple  # [linux and not aarch64]
  - sel(win): pywin32
  - sel(linux): libgl
  - pip:
    - corner==2.2.2
    - -r more.txt
    - git+https://github.com/lab/tool@v1
variables:
  OMP_NUM_THREADS: 1
  greeting: "hello: world"
prefix: /home/me/miniconda3/envs/demo
"""


def reason_at(spec, path):
    """What is said of a line that has no say."""
    return next(item.reason for item in spec.unheard if item.path == path)


def test_a_whole_file_is_understood(tmp_path):
    """Channels, every way of writing a demand, selectors, pip's part and variables are taken, and what has no say is named."""
    spec = found(tmp_path, {"environment.yml": WHOLE, "more.txt": "h5py"})
    assert texts(spec.conda.channels) == ["conda-forge", "https://lab.example/astro"]
    assert [(item.text, item.origin) for item in spec.conda.specs] == [
        ("python>=3.12,<3.13", "environment.yml:7"),
        ("numpy=1.26=py311*", "environment.yml:8"),
        ("conda-forge::Scipy >=1.11, <2", "environment.yml:9"),
        ("astropy[version='>=6',build=py*]", "environment.yml:10"),
        ("graphviz", "environment.yml:11"),
        ("pip", "environment.yml:12"),
        ("inotify_simple", "environment.yml:14"),
        ("libgl", "environment.yml:16"),
    ]
    assert texts(spec.requirements) == ["corner==2.2.2", "h5py"]
    assert [source.url for source in spec.sources] == ["https://github.com/lab/tool"]
    assert spec.variables == {"OMP_NUM_THREADS": "1", "greeting": "hello: world"}
    assert spec.python == ()
    assert matter(spec) == []
    assert "[osx]" in reason_at(spec, "environment.yml:13")
    assert "sel(win)" in reason_at(spec, "environment.yml:15")
    assert "machine" in reason_at(spec, "environment.yml:24")


def test_without_channels_condas_own_are_meant(tmp_path):
    """A file that names no channel asks for the defaults, as conda has it, and the origin says so."""
    spec = found(tmp_path, {"environment.yml": "dependencies: [numpy]\n"})
    assert [(item.text, item.origin) for item in spec.conda.channels] == [
        ("defaults", "environment.yml, which names no channel,")
    ]


def test_a_python_that_only_a_channel_has_makes_the_file_condas(tmp_path):
    """A file of python and pip packages needs conda for a Python that Debian does not have, where it names a channel."""
    text = "dependencies: [python=3.7, pip]\n"
    assert texts(found(tmp_path / "a", {"environment.yml": text}).python) == ["==3.7.*"]
    spec = found(tmp_path / "b", {"environment.yml": f"channels: [conda-forge]\n{text}"})
    assert (texts(spec.conda.specs), spec.python) == (["python=3.7", "pip"], ())


def test_a_binder_folder_has_its_own_file(tmp_path):
    """The file in binder/ is the one that counts, with either ending."""
    files = {
        "environment.yml": "dependencies: [scipy]\n",
        "binder/environment.yaml": "channels: [a]\ndependencies: [numpy]\n",
    }
    spec = found(tmp_path, files)
    assert texts(spec.conda.specs) == ["numpy"]
    assert spec.conda.specs[0].origin == "binder/environment.yaml:2"


def test_what_would_change_the_result_and_cannot_be_done_stops(tmp_path):
    """A file for other platforms and variables that are the image's own stop the build until they are ignored by name."""
    text = "platforms: [osx-arm64, win-64]\ndependencies: [numpy]\nvariables:\n  LD_PRELOAD: ./x.so\n  PATH: /x\n"
    spec = found(tmp_path, {"environment.yml": text})
    assert matter(spec) == ["environment.yml:1", "environment.yml:4", "environment.yml:5"]
    assert spec.variables == {}
    fits = text.replace("osx-arm64", "linux-64")
    assert matter(found(tmp_path / "b", {"environment.yml": fits}))[0] == "environment.yml:4"


@pytest.mark.parametrize(
    "line",
    [
        "- -e .",
        "- git+https://h.example/x",
        "- ./folder",
        "- numpy foo",
        "- a b c d e",
        "- https://h.example/linux-64/x-1-0.conda",
        "- {npm: [x]}",
        "- [numpy]",
        "- ''",
        "- 'a\\nb'",
        "- pip:\n  - [x]",
    ],
)
def test_what_is_no_conda_package_is_told_by_line(tmp_path, line):
    """What stands among conda's packages and is none ends in an error with its line."""
    with pytest.raises(DetectError, match=r"environment\.yml:[23]"):
        found(tmp_path, {"environment.yml": f"dependencies:\n{line}\n"})


@pytest.mark.parametrize("text", ["1x: a", "A B: c", "A: [b]", 'A: "a\\nb"'])
def test_variables_are_names_and_lines(tmp_path, text):
    """A variable is a name and one line of text."""
    with pytest.raises(DetectError, match="no variable"):
        found(tmp_path, {"environment.yml": f"variables: {{{text}}}\n"})


def test_a_conda_recipe_is_no_environment(tmp_path):
    """meta.yaml describes how a package is made: it is named, and changes nothing."""
    spec = found(tmp_path, {"meta.yaml": "package: {name: demo}\nrequirements: {run: [numpy]}\n"})
    assert (spec.conda, matter(spec)) == (None, [])
    assert "recipe" in reason_at(spec, "meta.yaml")


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("- x  # [linux]", True),
        ("- x  # [linux64]", True),
        ("- x  # [not win]", True),
        ("- x  # [unix and not (osx or arm64)]", True),
        ("- x # [win]", False),
        ("- x  # [osx and linux]", False),
        ("- x  # [see the paper]", True),
        ("- x  # [linux", True),
        ("- x  # [not]", True),
        ("- x  # [(linux]", True),
        ("- x", True),
    ],
)
def test_selectors_choose_lines(line, counts):
    """A comment in square brackets decides when all of it speaks of platforms; any other comment is one."""
    assert (drop_reason(line) == "") is counts


@given(st.text(alphabet="()[] #linuxwotadrx6_4", max_size=60))
def test_any_comment_has_an_answer(text):
    """Whatever stands behind a demand, the line counts or it does not."""
    assert isinstance(drop_reason(f"- x  # [{text}]"), str)
    assert selected_key(f"sel({text})") in {True, False, None}


@given(st.text(max_size=80))
def test_any_text_is_taken_apart_or_refused(text):
    """A specification has a name in small letters, or it is none."""
    spec = split_spec(text)
    assert spec is None or spec.name == spec.name.lower() != ""
