"""Unit tests of requirements on their way to the resolver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reprolake_builder.documents.environment import Asked
from reprolake_builder.errors import LockError
from reprolake_builder.solvers.pypi_requirements import (
    allowed_versions,
    parse,
    parse_all,
    places,
    required_by_package,
)
from reprolake_builder.solvers.pypi_target import TARGETS


def asked(text: str, origin: str = "requirements.txt:3") -> Asked:
    return Asked(text=text, origin=origin)


@pytest.mark.parametrize(
    "text",
    [
        "--index-url http://127.0.0.1/simple",
        "-r other.txt",
        "numpy\n--index-url http://127.0.0.1/simple",
        'numpy; python_version == "3\n--index-url http://127.0.0.1/simple\n"',
        'numpy; python_version == "${HOME}"',
        'numpy; python_version == "\x1b[2J"',
        "numpy @ https://example.org/numpy-1-py3-none-any.whl",
        "numpy @ file:///etc/passwd",
        "./numpy-1-py3-none-any.whl",
        "",
    ],
)
def test_nothing_but_a_plain_requirement_passes(text):
    """Options, addresses, further lines and variables never reach the resolver; the error says where the text stands."""
    with pytest.raises(LockError, match=r"requirements\.txt:3") as caught:
        parse(asked(text))
    assert caught.value.message.isprintable() or "\n" in caught.value.message
    assert "\x1b" not in caught.value.message


@given(
    st.one_of(
        st.text(max_size=80),
        st.builds(
            'a{}; python_version == "{}"'.format, st.sampled_from(["", ">=1", "[b]"]), st.text(max_size=40)
        ),
    )
)
def test_a_line_that_passes_is_one_line_and_means_the_same(text):
    """What is handed on is one printable line that is no option and parses to the same requirement."""
    try:
        demand = parse(asked(text))
    except LockError:
        return
    assert demand.line.isprintable()
    assert not demand.line.startswith("-")
    assert "${" not in demand.line
    assert Requirement(demand.line) == demand.requirement


def test_specifiers_of_requirements_and_constraints_hold_together():
    """What a package may be is what all demands allow whose markers hold in the image."""
    demands = parse_all(
        [asked("NumPy>=1.20"), asked("numpy<2"), asked('numpy<1; sys_platform == "win32"'), asked("scipy==1")]
    )
    allowed = allowed_versions(canonicalize_name("numpy"), demands, TARGETS["3.11"])
    assert allowed.contains("1.26")
    assert not allowed.contains("2.0")
    assert not allowed.contains("1.19")


def test_an_explanation_is_told_apart_by_the_places_of_its_packages():
    """Of all demands those are shown with their places whose packages the explanation names."""
    demands = parse_all(
        [asked("Scikit_Learn>=1", "a.txt:1"), asked("numpy<2", "a.txt:2"), asked("six", "a.txt:3")]
    )
    shown = places("Because scikit-learn==1.2 depends on numpy.", demands)
    assert shown.splitlines() == ["  Scikit_Learn>=1 stands in a.txt:1", "  numpy<2 stands in a.txt:2"]


def test_what_a_built_package_requires_is_told_for_each_python():
    """Extras are followed through the package's own name, markers are judged for each Python on offer."""
    lines = [
        "numpy>=1.20",
        'tomli; python_version < "3.11"',
        'pywin32; sys_platform == "win32"',
        'pkg[plot]; extra == "all"',
        'matplotlib[x]>=3; extra == "plot"',
        'pytest; extra == "test"',
    ]
    found = required_by_package(lines, canonicalize_name("pkg"), ("all",))
    told = {(Requirement(item.text).name, str(Requirement(item.text).marker)) for item in found}
    pythons = [f'python_version == "{minor}"' for minor in TARGETS]
    expected = {(name, python) for name in ("numpy", "matplotlib") for python in pythons}
    assert told == expected | {("tomli", 'python_version == "3.9"')}
    assert any(item.text.startswith("matplotlib[x]>=3") for item in found)
    assert {item.origin for item in found} == {"the metadata of pkg"}
