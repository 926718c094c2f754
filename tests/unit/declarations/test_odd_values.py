"""Numbers, addresses and files that parsers stumble over, in every file that describes an environment."""

from __future__ import annotations

import pytest
from conda_lock_texts import CONDA_LOCK, EXPLICIT, MD5, SHA
from detected import found, matter
from lock_texts import UV, UV_PROJECT

from reprolake_builder import yaml_nodes
from reprolake_builder.errors import DetectError
from reprolake_builder.yaml_nodes import parse_yaml

DIGITS = "9" * 5000
LONG = " " * 200_000
BROKEN = "https://[x/a-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runtime.txt", f"python-{DIGITS}"),
        ("runtime.txt", "python-\uff13.11"),
        ("Pipfile", f"[requires]\npython_version = '3.{DIGITS}'\n"),
        ("Pipfile", "[requires]\npython_version = '3.\uff11\uff11'\n"),
        ("requirements.txt", BROKEN),
        ("requirements.txt", f"x @ {BROKEN}"),
        ("requirements.txt", f"-e 'a{LONG}b'"),
        ("requirements.txt", f"-e 'git+https://h.org/a{LONG}b'"),
        ("Pipfile", f"[packages]\nx = {{path = './a{LONG}['}}\n"),
        ("pixi.toml", f"[pypi-dependencies]\ny = {{path = './a{LONG}['}}\n"),
        ("environment.yml", f"dependencies: [python=3.11, pip: ['{BROKEN}']]\n"),
        ("pixi.toml", f"[pypi-dependencies]\ny = {{url = '{BROKEN}'}}\n"),
        ("pyproject.toml", f"[project]\nname = 'x'\ndependencies = ['a @ {BROKEN}']\n"),
        ("pyproject.toml", f"[project]\nname = 'x'\nrequires-python = '>={DIGITS}'\n"),
        ("pyproject.toml", f"[project]\nname = 'x'\n[build-system]\nrequires = ['a>={DIGITS}']\n"),
        ("explicit.txt", f"{EXPLICIT}# pip x @ {BROKEN} --hash=sha256:\n"),
        ("explicit.txt", f"{EXPLICIT}# pip x @ https://h/a-1.tar.gz --hash=md5:{MD5}\n"),
        ("explicit.txt", f"{EXPLICIT}# pip x @ https://h/a-{DIGITS}.tar.gz --hash=sha256:{SHA}\n"),
        ("conda-lock.yml", CONDA_LOCK.replace("2.2.2", DIGITS)),
        ("conda-lock.yml", CONDA_LOCK.replace("numpy-1.26", f"numpy-{DIGITS}")),
        ("conda-lock.yml", CONDA_LOCK.replace(MD5, "x")),
    ],
)
def test_what_no_parser_takes_is_refused_with_the_file(tmp_path, name, text):
    """Numbers of thousands of digits, digits of other scripts and broken addresses end in an error that names the file."""
    with pytest.raises(DetectError, match="^" + name.replace(".", r"\.")):
        found(tmp_path, {name: text})


def test_a_python_version_of_endless_digits_is_told(tmp_path):
    """It is no version of CPython, and so it is named and stops."""
    assert matter(found(tmp_path, {".python-version": f"3.{DIGITS}"})) == [".python-version"]


def test_locks_may_be_long(tmp_path):
    """A lock for many platforms is larger than other files that are read: of those 4 MiB are enough."""
    long = "# x\n" * (5 << 18)
    assert found(tmp_path / "a", {"pyproject.toml": UV_PROJECT, "uv.lock": long + UV}).obeyed.pins
    with pytest.raises(DetectError, match=r"^requirements\.txt has \d+ bytes: too large"):
        found(tmp_path / "b", {"requirements.txt": long})


@pytest.mark.parametrize("content", ["\0\1", "see below\n", "x" * (33 << 20)])
def test_text_files_that_are_no_locks_are_no_obstacle(tmp_path, content):
    """Many are called explicit.txt: one that is no list of packages is not judged, whatever its size."""
    assert found(tmp_path, {"explicit.txt": content}).conda is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: " + "x" * 70_000, "x:2: a line of 70003 characters"),
        ("-\n" * 200, "holds more than any file"),
        ("[" * 30, "nested too deep"),
        ("a: &x 1\nb: *x\n", "with an alias"),
    ],
)
def test_yaml_that_would_take_forever_is_refused(monkeypatch, text, told):
    """The parser is slow, and for some long lines takes the square of their length."""
    monkeypatch.setattr(yaml_nodes, "_MOST", 100)
    with pytest.raises(DetectError, match=told):
        parse_yaml(text, "x")


def test_groups_that_include_each_other_many_times_are_resolved_once(tmp_path):
    """Forty groups that each include the one before twice would be resolved a million million times, and ask for nothing."""
    groups = "g0 = []\n" + "".join(
        f"g{i} = [{{include-group = 'g{i - 1}'}}, {{include-group = 'g{i - 1}'}}]\n" for i in range(1, 41)
    )
    text = f"[project]\nname = 'x'\n[dependency-groups]\n{groups}[tool.pdm]\n"
    assert found(tmp_path, {"pyproject.toml": text}).requirements == ()


def test_files_that_include_each_other_without_an_end_are_refused(tmp_path):
    """A chain of requirements files is followed so far and no further."""
    files = {f"r{i}.txt": f"-r r{i + 1}.txt\n" for i in range(3000)}
    with pytest.raises(DetectError, match=r"^r\d+\.txt:1: .* includes more than 50 files"):
        found(tmp_path, {**files, "requirements.txt": "-r r0.txt\n"})


def test_groups_that_ask_for_more_than_any_environment_needs_are_refused(tmp_path):
    """Each group may be long; what all of them that are wanted ask for together has a limit."""
    demands = "'a'," * 4000
    groups = "".join(f"g{i} = [{demands}]\n" for i in range(6))
    text = f"[project]\nname = 'x'\n[tool.pdm]\n[dependency-groups]\n{groups}"
    with pytest.raises(DetectError, match=r"^pyproject\.toml has 24000 packages"):
        found(tmp_path, {"pyproject.toml": text})


def test_a_lock_with_very_many_entries_for_one_package_is_refused(tmp_path):
    """Forks of a lock hold a package a few times; every edge is held against all of them."""
    entry = '[[package]]\nname = "alpha"\nversion = "1.{}"\nsource = {{ registry = "x" }}\n'
    many = UV + "".join(entry.format(number) for number in range(10, 120))
    with pytest.raises(DetectError, match=r"^uv\.lock pins alpha more than 100 times"):
        found(tmp_path, {"pyproject.toml": UV_PROJECT, "uv.lock": many})


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("Pipfile", "[packages]\n"),
        ("pixi.toml", "[dependencies]\n"),
        ("pyproject.toml", "[tool.poetry.dependencies]\n"),
    ],
)
def test_more_packages_than_any_environment_has_are_refused(tmp_path, name, start):
    """A file that asks for tens of thousands of packages is not worked through."""
    with pytest.raises(DetectError, match="has 20001 packages"):
        found(tmp_path, {name: start + "".join(f'a{i} = "*"\n' for i in range(20_001))})
