"""Lock files made by their own tools: what the image gets is what the tool installs."""

from __future__ import annotations

import pytest
from locking_tools import TOOLS, packages
from own_index import as_of, tools_for
from pypi_index_server import Index, serving
from source_trees import source_tree

from reprolake_builder.detect import detect, refuse_unheard
from reprolake_builder.documents.environment import EnvironmentSpec
from reprolake_builder.errors import DetectError
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


WORKSPACE = """\
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["lib[fast]", "alpha<2"]
[project.optional-dependencies]
old = ["beta==1.5"]
new = ["beta==2.0"]
[dependency-groups]
dev = ["tool"]
[tool.uv]
conflicts = [[{extra = "old"}, {extra = "new"}]]
[tool.uv.workspace]
members = ["packages/*"]
[tool.uv.sources]
lib = {workspace = true}
tool = {workspace = true}
"""
MEMBER = '[project]\nname = "{}"\nversion = "1"\ndependencies = ["{}"]\n[project.optional-dependencies]\nfast = ["plotter"]\n'
SYSTEM = '[build-system]\nrequires = ["hatchling"]\n'


@pytest.mark.parametrize("extras", [(), ("old",), ("new",)])
def test_a_workspace_with_extras_that_exclude_each_other(extras, tmp_path, index):
    """Uv's members come as folders to build, and each extra gets the version that uv exports for it."""
    files = {
        "pyproject.toml": WORKSPACE,
        "packages/lib/pyproject.toml": MEMBER.format("lib", "delta") + SYSTEM,
        "packages/tool/pyproject.toml": MEMBER.format("tool", "writer") + SYSTEM,
    }
    folder = tmp_path / "work"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    uv = TOOLS["uv"]
    uv.call(folder, index, "lock")
    files["uv.lock"] = (folder / "uv.lock").read_text()
    options = [option for name in extras for option in ("--extra", name)]
    listed = uv.call(
        folder,
        index,
        "export",
        "--frozen",
        "--no-hashes",
        "--no-emit-workspace",
        "--no-annotate",
        "--no-header",
        *options,
    )
    spec = detect(source_tree(tmp_path, files), (), Selection(frozenset(extras)))
    refuse_unheard(spec)
    pins = {asked.text.partition(";")[0].strip() for asked in spec.obeyed.pins if "3.13" not in asked.text}
    assert pins == {
        line.partition(";")[0].strip() for line in listed.splitlines() if "==" in line and "win32" not in line
    }
    assert {asked.folder for asked in spec.sources} == {"packages/lib", "packages/tool"}


def test_extras_that_exclude_each_other_cannot_both_be_had(tmp_path, index):
    """Asked for together they contradict each other, and that is said."""
    (tmp_path / "work").mkdir()
    text = (
        WORKSPACE.replace('"lib[fast]", ', "").replace('["tool"]', "[]").partition("[tool.uv.workspace]")[0]
    )
    (tmp_path / "work/pyproject.toml").write_text(text)
    TOOLS["uv"].call(tmp_path / "work", index, "lock")
    files = {"pyproject.toml": text, "uv.lock": (tmp_path / "work/uv.lock").read_text()}
    with pytest.raises(DetectError, match=r"beta (1\.5|2\.0) and (1\.5|2\.0)|more than one beta"):
        detect(source_tree(tmp_path, files), (), Selection(frozenset({"old", "new"})))  # type: ignore[arg-type]
