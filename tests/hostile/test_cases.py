"""The table of cases: every one names tests that exist, and each of these says which case it is about."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROWS = {
    cells[1]: cells
    for line in (HERE / "README.md").read_text().splitlines()
    if re.match(r"\| H\d\d ", line)
    for cells in [[cell.strip() for cell in line.split("|")]]
}
_NAMED = re.compile(r"(test_\w+)::(test_\w+)")


def docstrings(module):
    """Docstrings of a module's tests by name."""
    tree = ast.parse((HERE / f"{module}.py").read_text())
    return {one.name: ast.get_docstring(one) or "" for one in tree.body if isinstance(one, ast.FunctionDef)}


def in_every_sandbox(module, name):
    """Whether a test, or a fixture that it has, runs once for each of the sandboxes, or for all but bubblewrap."""
    functions = {
        one.name: one
        for one in ast.parse((HERE / f"{module}.py").read_text()).body
        if isinstance(one, ast.FunctionDef)
    }
    wanted = [name]
    for one in wanted:  # which grows
        if one in functions:
            if any("SANDBOXES" in ast.unparse(decorator) for decorator in functions[one].decorator_list):
                return True
            wanted += [argument.arg for argument in functions[one].args.args if argument.arg not in wanted]
    return False


@pytest.mark.parametrize("case", [f"H{number:02}" for number in range(1, 38)])
def test_every_case_names_tests_that_are_about_it(case):
    """A case has at least one test and a control; both exist, and the docstring or the parameters of a test name the case."""
    _, _, _, tests, control, sandboxes, _ = ROWS[case]
    named = _NAMED.findall(tests)
    assert named
    assert _NAMED.findall(control) or control.startswith("the same tests, ")
    assert sandboxes == ("all" if any(in_every_sandbox(*one) for one in named) else "bubblewrap")
    for module, name in [*named, *_NAMED.findall(control)]:
        said = docstrings(module)[name]
        by_parameter = (
            "the_attempt" in name or "the_filter" in name
        )  # these have the case among their parameters
        assert case in said or by_parameter, f"{module}::{name} does not say that it is about {case}"
