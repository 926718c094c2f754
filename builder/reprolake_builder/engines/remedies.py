"""What old packages take for granted where they are built: told by the words in which their build fails."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remedy:
    """A build requirement to add, and why."""

    demand: str
    reason: str


# Modules that setup.py imports without saying so: its build once took place where they were installed already.
_MODULES = {
    "Cython": "cython",
    "cffi": "cffi",
    "cython": "cython",
    "extension_helpers": "extension-helpers",
    "jinja2": "jinja2",
    "numpy": "numpy",
    "pkg_resources": "setuptools<81",
    "pkgconfig": "pkgconfig",
    "pybind11": "pybind11",
    "scipy": "scipy",
    "setuptools_scm": "setuptools-scm",
    "six": "six",
    "wheel": "wheel",
}
_LACKING = re.compile(r"(?:ModuleNotFoundError|ImportError): No module named '?([A-Za-z_]\w*)")
_WORDS = (
    (
        re.compile(r"use_2to3 is invalid"),
        "setuptools<58",
        "it is code for Python 2 that setuptools 57 still translated",
    ),
    (
        re.compile(r"No module named '?distutils\.msvccompiler"),
        "setuptools<65",
        "it needs a module of setuptools 64",
    ),
    (re.compile(r"error: invalid command 'bdist_wheel'"), "wheel", "it makes a wheel the old way"),
)


def find_remedy(log: str) -> Remedy | None:
    """Return what may help a build that ended with these words."""
    for pattern, demand, reason in _WORDS:
        if pattern.search(log):
            return Remedy(demand, reason)
    lacking = _LACKING.findall(log)
    if lacking and lacking[-1] in _MODULES:
        return Remedy(_MODULES[lacking[-1]], f"its build imports {lacking[-1]} without asking for it")
    return None
