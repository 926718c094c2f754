"""Rules of the house that a program can check."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from reprolake_builder import errors as builder_errors
from reprolake_builder.errors import ReprolakeError
from reprolake_runner import errors as runner_errors

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(
    path for folder in ("builder", "runner", "reprolake") for path in (ROOT / folder).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
REGISTRIES = re.compile(r"deb\.debian\.org|pythonhosted|[^a-z.]pypi\.org|registry\.npmjs")


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_test_states_the_behaviour():
    """A test without a docstring does not say what must hold."""
    silent = [
        f"{path.name}:{node.name}"
        for path in TESTS
        for node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_files_and_functions_stay_small():
    """No source file is longer than 400 lines, no function longer than 60."""
    long_files = [path.name for path in SOURCES if len(path.read_text().splitlines()) > 400]
    long_functions = [
        f"{path.name}:{node.name}"
        for path in SOURCES
        for node in functions(path)
        if node.end_lineno - node.lineno > 60
    ]
    assert (long_files, long_functions) == ([], [])


def test_no_registry_is_named():
    """Hosts of package registries come from configuration, never from the project's files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    named = []
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        regular = path != Path(__file__) and path.is_file() and not path.is_symlink()
        if regular and REGISTRIES.search(path.read_text("utf-8", "replace")):
            named.append(name)
    assert named == []


def every_error() -> set[type[ReprolakeError]]:
    assert builder_errors.BuilderError.__subclasses__()
    assert runner_errors.RunnerError.__subclasses__()
    found = {ReprolakeError}
    pending = [ReprolakeError]
    while pending:
        for child in pending.pop().__subclasses__():
            if child.__module__.startswith("reprolake"):
                found.add(child)
                pending.append(child)
    return found


def test_exit_codes_are_documented_and_mean_one_thing():
    """Each failure class with a code of its own has one that no other class declares, and the README lists it."""
    codes: dict[int, str] = {}
    for kind in every_error():
        if "exit_code" in vars(kind):
            assert kind.exit_code not in codes, f"{kind.__name__} and {codes[kind.exit_code]}"
            codes[kind.exit_code] = kind.__name__
    table = (ROOT / "README.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert set(codes) <= documented
    assert {0, 1, 2, 24, 25, 26, 70, 75, 143} <= documented


CORE = [path for path in SOURCES if not path.is_relative_to(ROOT / "reprolake")]


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_the_core_reads_no_environment_and_prints_nothing(path):
    """Only the front doors look at the environment or write to the terminal."""
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    }
    assert not calls & {"print", "os.getenv", "os.environ.get"}
