"""The header files that Debian has for its Pythons, which the tests' other Pythons lack."""

from __future__ import annotations

from collections.abc import Iterator

from reprolake_builder.documents.environment import Asked
from reprolake_builder.engines.debian import fetch_debian, make_debian_trees
from reprolake_builder.solvers.debian import solve_debian
from reprolake_builder.tools import Tools


def python_headers(minor: str, tools: Tools) -> Iterator[tuple[str, bytes]]:
    """Yield path below a prefix and content of each."""
    debian = solve_debian(minor, (Asked(text=f"libpython{minor}-dev", origin="the test"),), tools).debian
    fetch_debian(debian, tools)
    for tree in make_debian_trees(debian, tools.store, tools.progress):
        for start in (f"usr/include/python{minor}", f"usr/include/x86_64-linux-gnu/python{minor}"):
            for path in sorted((tree.root / start).rglob("*.h")):
                inside = path.relative_to(tree.root / start).as_posix()
                folder = f"x86_64-linux-gnu/python{minor}/" if "x86_64" in start else ""
                yield f"include/python{minor}/{folder}{inside}", path.read_bytes()
