"""Lock files made by their own tools: what the image gets is what the tool installs."""

from __future__ import annotations

import pytest
from locking_tools import TOOLS, packages
from own_index import as_of, tools_for
from pypi_index_server import Index, serving
from source_trees import source_tree

from reprolake_builder.detect import detect, refuse_unheard
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.lock_files.interface import Selection
from reprolake_builder.solvers.pypi import choose
from reprolake_builder.solvers.pypi_asking import Solution, obeying
from reprolake_builder.solvers.pypi_failure import NoChoice
from reprolake_builder.solvers.python_choice import candidates
from reprolake_builder.store import Store

CHOSEN = Selection(frozenset(["plot"]), frozenset(["docs"]))  # type: ignore[list-item]


@pytest.fixture
def index():
    with serving(packages(Index())) as served:
        yield served


@pytest.fixture
def tools(tmp_path, index):
    store = Store(tmp_path / "store")
    yield tools_for(index.url, store)
    store.close()


def obeyed(spec: EnvironmentSpec, tools, python: str = "3.11") -> Solution:
    refuse_unheard(spec)
    found = choose(obeying(spec.obeyed, as_of()), candidates(spec.python, python, as_of()), tools)
    if isinstance(found, NoChoice):
        raise found.error()
    return found.solution


@pytest.mark.parametrize("name", TOOLS)
def test_the_image_gets_what_the_tool_installs(name, tmp_path, index, tools):
    """Names and versions are those of the tool's own installation; the kernel alone is added, and said to be."""
    folder = tmp_path / "work"
    folder.mkdir()
    tool = TOOLS[name]
    files = tool.write(folder, index)
    index.uploads = tuple(u for u in index.uploads)
    solution = obeyed(detect(source_tree(tmp_path, files)), tools)
    assert [text.partition(":")[0] for text in solution.added] == ["ipykernel"]
    found = {wheel.name: wheel.version for wheel in solution.wheels}
    assert found.pop("ipykernel") == "6.17.1"
    assert found == tool.installed(folder, index)
    assert {"alpha": "1.2", "beta": "1.5", "delta": "1.1"}.items() <= found.items()
    if tool.chosen:
        more = obeyed(detect(source_tree(tmp_path, files), (), CHOSEN), tools)
        wanted = {wheel.name: wheel.version for wheel in more.wheels if wheel.name != "ipykernel"}
        assert wanted == tool.installed(folder, index, *tool.chosen)
        assert {"plotter", "writer"} <= wanted.keys()
