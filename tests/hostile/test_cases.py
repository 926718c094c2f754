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


@pytest.mark.parametrize("case", [f"H{number:02}" for number in range(1, 38)])
def test_every_case_names_tests_that_are_about_it(case):
    """A case has at least one test and a control; both exist, and the docstring or the parameters of a test name the case."""
    _, _, _, tests, control, sandboxes, _ = ROWS[case]
    named = _NAMED.findall(tests)
    assert named
    assert _NAMED.findall(control) or "same tests" in control
    assert sandboxes in {"all", "bubblewrap"}
    for module, name in [*named, *_NAMED.findall(control)]:
        said = docstrings(module)[name]
        by_parameter = (
            "the_attempt" in name or "the_filter" in name
        )  # these have the case among their parameters
        assert case in said or by_parameter, f"{module}::{name} does not say that it is about {case}"
