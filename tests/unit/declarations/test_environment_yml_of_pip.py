"""environment.yml: Python and pip's packages are honoured, conda's words translated or refused."""

from __future__ import annotations

import pytest
from detected import PROJECT, found, matter, texts

from reprolake_builder.errors import DetectError


def test_environment_yml_of_python_and_pip(tmp_path):
    """python, pip and pip packages of environment.yml are honoured; channels are named as having no say."""
    text = """\
name: demo
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip>=23
  - pip:
    - numpy==1.26.4
    - -r more.txt
    - --extra-index-url https://user:secret@h.org/simple
"""
    spec = found(tmp_path, {"environment.yml": text, "more.txt": "scipy"})
    assert [(a.text, a.origin) for a in spec.python] == [("==3.11.*", "environment.yml:4")]
    assert [(a.text, a.origin) for a in spec.requirements] == [
        ("pip>=23", "environment.yml:5"),
        ("numpy==1.26.4", "environment.yml:7"),
        ("scipy", "more.txt:1"),
    ]
    assert matter(spec) == ["environment.yml:9"]
    assert "secret" not in str(spec)
    assert any(item.path == "environment.yml:2" and "channels" in item.reason for item in spec.unheard)


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("python", None),
        ("python=3.11", "==3.11.*"),
        ("python = 3.11", "==3.11.*"),
        ("python=3.11.*", "==3.11.*"),
        ("python==3.11.4", "==3.11.4"),
        ("python 3.12.*", "==3.12.*"),
        ("python 3.12", "==3.12"),
        ("python>=3.12,<3.13", "<3.13,>=3.12"),
        ("conda-forge::python=3.12", "==3.12.*"),
        ("python=3.11.4=h955ad1f_0_cpython", "==3.11.4"),
        ("python=3.11.*,!=3.11.2", "!=3.11.2,==3.11.*"),
        ("python !=3.9.*", "!=3.9.*"),
        ("python<3.12.*", "<3.12"),
    ],
)
def test_condas_versions_become_pep_440(tmp_path, text, python):
    """Every way of writing a Python in environment.yml is understood as conda does."""
    spec = found(tmp_path, {"environment.yml": f"dependencies:\n- {text}\n"})
    assert texts(spec.python) == ([python] if python else [])
    assert matter(spec) == []


@pytest.mark.parametrize("text", ["python=abc", "python>", "python=3.", "pip>=x"])
def test_condas_other_words_are_errors(tmp_path, text):
    """What no PEP 440 set can say is an error with its line, not a guess."""
    with pytest.raises(DetectError, match=r"environment\.yml:2.*not understood"):
        found(tmp_path, {"environment.yml": f"dependencies:\n- {text}\n"})


@pytest.mark.parametrize(
    "text", ["python=3.11|3.12", "python[version='>=3']", "conda-forge::python=3.11|3.12"]
)
def test_what_only_conda_can_say_of_python_is_for_conda(tmp_path, text):
    """A Python that no PEP 440 set describes comes from a channel, as any other package does."""
    spec = found(tmp_path, {"environment.yml": f'dependencies:\n- "{text}"\n'})
    assert (texts(spec.conda.specs), spec.python) == ([text], ())


def test_ignoring_environment_yml_leaves_requirements_to_speak(tmp_path):
    """The user can have environment.yml ignored by name; nothing of it is honoured then."""
    files = {
        "environment.yml": "dependencies:\n- python=3.11\n- numpy\n- r-base=4\n",
        "requirements.txt": "scipy",
    }
    assert matter(found(tmp_path, files)) == ["requirements.txt"]
    ignored = found(tmp_path, files, ("environment.yml",))
    assert (texts(ignored.requirements), ignored.python, ignored.conda) == (["scipy"], (), None)
    assert [item.reason[:20] for item in ignored.unheard] == ["ignored by --ignore "]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [1", "environment.yml:1 is no YAML: expected ','"), ("a: \x07b", "unacceptable character")],
)
def test_a_broken_environment_yml_is_named(tmp_path, text, said):
    """The message on bad YAML names the file and not what the parser calls its text."""
    with pytest.raises(DetectError) as error:
        found(tmp_path, {"environment.yml": text})
    assert said in error.value.message
    assert "unicode string" not in error.value.message


def test_environment_yml_over_requirements(tmp_path):
    """requirements.txt beside environment.yml is harmless when it asks for no more, and else stops the build until one is ignored."""
    conda = "dependencies:\n- pip:\n  - NumPy>=1.20\n  - scipy\n"
    assert matter(found(tmp_path, {"environment.yml": conda, "requirements.txt": "numpy >= 1.20\n"})) == []
    files = {"environment.yml": conda, "requirements.txt": "numpy>=1.21\n"}
    assert matter(found(tmp_path, files)) == ["requirements.txt"]
    assert texts(found(tmp_path, files, ("requirements.txt",)).requirements) == ["NumPy>=1.20", "scipy"]
    assert texts(found(tmp_path, files, ("./environment.yml",)).requirements) == ["numpy>=1.21"]
    included = conda + "  - -r requirements.txt\n"
    spec = found(tmp_path, {"environment.yml": included, "requirements.txt": "h5py\n"})
    assert (matter(spec), texts(spec.requirements)) == ([], ["NumPy>=1.20", "scipy", "h5py"])


def test_environment_yml_and_a_package(tmp_path):
    """A package beside environment.yml is installed when that file asks for it, and else stops the build."""
    files = {"environment.yml": "dependencies:\n- python=3.11\n", "pyproject.toml": PROJECT}
    assert matter(found(tmp_path, files)) == ["pyproject.toml"]
    files["environment.yml"] += "- pip:\n  - -e .\n"
    spec = found(tmp_path, files)
    assert (matter(spec), spec.project, texts(spec.python)) == ([], "", ["==3.11.*", ">=3.9"])


def test_two_environment_files(tmp_path):
    """environment.yml stands over environment.yaml, and when they differ the build stops."""
    one, other = "dependencies: [python=3.11]\n", "dependencies: [python=3.12]\n"
    assert matter(found(tmp_path, {"environment.yml": one, "environment.yaml": one})) == []
    assert matter(found(tmp_path, {"environment.yml": one, "environment.yaml": other})) == [
        "environment.yaml"
    ]
