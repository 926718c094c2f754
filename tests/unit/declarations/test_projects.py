"""Unit tests of projects in the words of their tools, where there is no lock of them."""

from __future__ import annotations

import pytest
from changed_texts import ODD, VALUES, changed, places
from detected import found, matter, texts
from hypothesis import given
from hypothesis import strategies as st
from lock_texts import PIPFILE, POETRY_PROJECT, UV_PROJECT
from source_trees import source_tree

from reprolake_builder.declarations.groups import dependency_groups
from reprolake_builder.declarations.pyproject import Pyproject
from reprolake_builder.detect import detect, refuse_unheard
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Selection
from reprolake_builder.solvers.pypi_requirements import parse_all

CHOSEN = Selection(frozenset(["plot"]), frozenset(["docs"]), defaults=False)  # type: ignore[list-item]


def chosen(tmp_path, files, selection=CHOSEN):
    return detect(source_tree(tmp_path, files), (), selection)


# ---------------------------------------------------------------------- dependency groups
def test_groups_come_when_asked_for(tmp_path):
    """Without a tool of its own a project's groups are not installed unasked; uv's is: dev, with what it includes."""
    plain, uv, wanted = (tmp_path / name for name in ("plain", "uv", "wanted"))
    for folder in (plain, uv, wanted):
        folder.mkdir()
    asked = ["alpha[wide]<2,>=1", 'gamma; sys_platform == "win32"']
    assert texts(found(plain, {"pyproject.toml": UV_PROJECT}).requirements) == asked
    spec = found(uv, {"pyproject.toml": UV_PROJECT + "[tool.uv]\npackage = false\n"})
    assert texts(spec.requirements) == [*asked, "checker", "writer"]
    assert spec.project is None
    spec = chosen(wanted, {"pyproject.toml": UV_PROJECT})
    assert texts(spec.requirements) == [*asked, "plotter", "writer"]
    assert spec.project_extras == ("plot",)


@pytest.mark.parametrize(
    ("settings", "groups"),
    [
        ("[tool.uv]\ndefault-groups = ['docs']\n", ["writer"]),
        ("[tool.uv]\ndefault-groups = 'all'\n", ["checker", "writer", "writer"]),
        ("[tool.uv]\ndefault-groups = []\n", []),
        ("[tool.uv]\ndev-dependencies = ['older']\n", ["checker", "writer", "older"]),
        ("[tool.pdm]\ndistribution = false\n", ["checker", "writer", "writer"]),
        (
            "[tool.pdm.dev-dependencies]\ntest = ['tester', '-e .']\n",
            ["checker", "writer", "writer", "tester"],
        ),
    ],
)
def test_default_groups_are_those_of_the_tool(tmp_path, settings, groups):
    """Uv takes dev or what it is told, PDM all; the words that both had before the standard count as well."""
    spec = found(tmp_path, {"pyproject.toml": UV_PROJECT + settings})
    assert texts(spec.requirements)[2:] == groups


def test_requirements_txt_leaves_groups_out(tmp_path):
    """Where requirements.txt speaks, what a tool would install unasked does not come."""
    files = {"pyproject.toml": UV_PROJECT + "[tool.uv]\npackage = false\n", "requirements.txt": "numpy\n"}
    assert texts(found(tmp_path, files).requirements) == [
        "numpy",
        "alpha[wide]<2,>=1",
        'gamma; sys_platform == "win32"',
    ]


@pytest.mark.parametrize(
    "table",
    [
        'a = [{include-group = "a"}]',
        'a = [{include-group = "b"}]\nb = [{include-group = "a"}]',
        'a = [{include-group = "none"}]',
        "a = [1]",
        'a = "numpy"',
        'a = ["x"]\nA = ["y"]',
        "a = [{include-group = 1}]",
    ],
)
def test_groups_that_cannot_be_resolved_are_refused(tmp_path, table):
    """Circles, missing groups and what is no demand stop with file and line."""
    files = {"pyproject.toml": f"[project]\nname = 'x'\n[dependency-groups]\n{table}\n"}
    with pytest.raises(DetectError, match=r"pyproject\.toml:\d"):
        found(tmp_path, files)


def test_groups_that_double_at_each_step_are_refused():
    """Sixty groups, each of which includes the one before twice, end before they fill the memory."""
    groups: dict[str, object] = {"g0": ["x"]}
    groups |= {f"g{n}": [{"include-group": f"g{n - 1}"}] * 2 for n in range(1, 60)}
    with pytest.raises(DetectError, match="more than any environment needs"):
        dependency_groups(Pyproject("pyproject.toml", "", {"dependency-groups": groups}))


@given(
    st.dictionaries(
        st.text(max_size=4),
        st.lists(
            st.text(max_size=4) | st.dictionaries(st.just("include-group"), st.text(max_size=4)), max_size=4
        ),
        max_size=5,
    )
)
def test_any_groups_are_resolved_or_refused(groups):
    """No table of groups leads anywhere but to demands or a DetectError."""
    try:
        resolved = dependency_groups(Pyproject("pyproject.toml", "", {"dependency-groups": groups}))
    except DetectError:
        return
    assert all(isinstance(text, str) for items in resolved.values() for text in items)


@pytest.mark.parametrize("option", [Selection(frozenset(["x"])), Selection(groups=frozenset(["x"]))])  # type: ignore[list-item]
def test_what_nobody_declares_cannot_be_chosen(tmp_path, option):
    """--extra and --group stop where no file knows them, with what there is."""
    for number, files in enumerate(
        (
            {"requirements.txt": "numpy\n"},
            {"pyproject.toml": UV_PROJECT},
            {"Pipfile": PIPFILE},
            {"pyproject.toml": POETRY_PROJECT},
        )
    ):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(DetectError, match=r"extra|group"):
            chosen(tmp_path / str(number), files, option)


UV_SOURCES = """\
[project]
name = "demo"
dependencies = ["far[fast]>=1; python_version > '3'", "lib", "model", "plain"]
[tool.uv.sources]
Far = {git = "https://example.org/far.git", tag = "v1", subdirectory = "py"}
lib = {path = "libs/lib", editable = true}
model = {url = "https://h.org/model-1.0-py3-none-any.whl"}
unused = {index = "torch"}
"""


def test_uvs_sources_are_taken(tmp_path):
    """Packages come from the places that uv takes them from, the others from the index."""
    spec = found(tmp_path, {"pyproject.toml": UV_SOURCES, "libs/lib/setup.py": ""})
    refuse_unheard(spec)
    assert texts(spec.requirements) == ["plain"]
    assert [(a.name, a.url, a.ref, a.folder, a.extras, a.archive) for a in spec.sources] == [
        ("far", "https://example.org/far.git", "v1", "py", ("fast",), False),
        ("lib", "", "", "libs/lib", (), False),
        ("model", "https://h.org/model-1.0-py3-none-any.whl", "", "", (), True),
    ]


@pytest.mark.parametrize(
    "source",
    [
        '{index = "torch"}', "{workspace = true}", '[{git = "https://h.org/a", marker = "x"}, {path = "a"}]', "1",
        '{path = "../up"}', '{git = "https://u:secret@h.org/a"}', '{git = "https://h.org/a", group = "dev"}',
    ],
)  # fmt: skip
def test_uvs_sources_that_cannot_be_honoured_are_refused(tmp_path, source):
    """Indexes, workspaces and choices need the lock, folders outside and logins are refused; no login is shown."""
    text = f'[project]\nname = "demo"\ndependencies = ["lib"]\n[tool.uv.sources]\nlib = {source}\n'
    with pytest.raises(DetectError) as caught:
        found(tmp_path, {"pyproject.toml": text})
    assert "secret" not in caught.value.message


# ---------------------------------------------------------------------- Poetry
def test_a_poetry_project_is_read(tmp_path):
    """Carets, extras, markers, groups and the Python become demands; the package itself is built."""
    spec = found(tmp_path, {"pyproject.toml": POETRY_PROJECT})
    assert texts(spec.requirements) == ["checker", "alpha[wide]<2,>=1.0", 'gamma; sys_platform == "win32"']
    assert texts(spec.python) == ["<4,>=3.9"]
    assert spec.project == ""
    (tmp_path / "more").mkdir()
    more = chosen(tmp_path / "more", {"pyproject.toml": POETRY_PROJECT})
    assert texts(more.requirements) == [
        "writer<5.1,>=5.0", "alpha[wide]<2,>=1.0", 'gamma; sys_platform == "win32"', "plotter",
    ]  # fmt: skip


POETRY_KINDS = """\
[tool.poetry]
package-mode = false
[tool.poetry.dependencies]
python = ">=3.9,<4"
multi = [{version = "^1.0", python = "<3.10"}, {version = "^2.0", python = ">=3.10", platform = "linux"}]
here = {path = "libs/here", develop = true}
there = {git = "https://example.org/there.git", tag = "v1", subdirectory = "py", extras = ["fast"]}
[tool.poetry.dev-dependencies]
older = "*"
"""


def test_poetrys_other_kinds_of_demands(tmp_path):
    """Several constraints become one demand each with its marker; folders and git repositories become sources."""
    spec = found(tmp_path, {"pyproject.toml": POETRY_KINDS, "libs/here/setup.py": ""})
    refuse_unheard(spec)
    assert texts(spec.requirements) == [
        "older",
        'multi<2,>=1.0; python_full_version < "3.10"',
        'multi<3,>=2.0; sys_platform == "linux" and python_full_version >= "3.10"',
    ]
    parse_all(spec.requirements)
    taken = [(a.name, a.folder, a.url, a.ref, a.extras) for a in spec.sources]
    assert taken == [
        ("here", "libs/here", "", "", ()),
        ("there", "py", "https://example.org/there.git", "v1", ("fast",)),
    ]


@pytest.mark.parametrize(
    "demand",
    [
        '{path = "../x"}',
        '{url = "https://h.org/a.whl"}',
        '"^1 || ^3"',
        '{git = "https://u:secret@h.org/x"}',
        "1",
        '"^x"',
    ],
)
def test_poetry_demands_that_cannot_be_honoured_are_refused(tmp_path, demand):
    """Folders outside, archives, alternatives, logins and what is no version stop, and no login is shown."""
    text = f"[tool.poetry]\nname = 'a'\n[tool.poetry.dependencies]\nbeta = {demand}\n"
    with pytest.raises(DetectError) as caught:
        found(tmp_path, {"pyproject.toml": text})
    assert "secret" not in caught.value.message


def test_a_project_table_and_poetrys_groups_go_together(tmp_path):
    """With Poetry 2 the standard's table has the demands, and Poetry's own the groups."""
    text = UV_PROJECT + '[tool.poetry.group.test.dependencies]\ntester = "^1"\n'
    spec = found(tmp_path, {"pyproject.toml": text})
    assert texts(spec.requirements)[-1] == "tester<2,>=1"
    assert texts(spec.requirements)[0] == "alpha[wide]<2,>=1"


# ---------------------------------------------------------------------- Pipenv, flit
def test_a_pipfile_is_read(tmp_path):
    """Packages, those for development as repo2docker has them, and the Python."""
    spec = found(tmp_path, {"Pipfile": PIPFILE})
    assert texts(spec.requirements) == ["alpha[wide]<2,>=1", "checker"]
    assert texts(spec.python) == ["==3.11.*"]


def test_a_pipfile_beside_requirements_must_say_the_same(tmp_path):
    """As in repo2docker the Pipfile stands over requirements.txt; where they differ one has to be ignored."""
    spec = found(tmp_path, {"Pipfile": PIPFILE, "requirements.txt": "scipy\n"})
    assert matter(spec) == ["requirements.txt"]


def test_a_pipfile_with_sources_and_the_package_itself(tmp_path):
    """Folders, git repositories and `-e .` in Pipenv's words."""
    text = (
        "[packages]\n"
        'demo = {path = ".", editable = true, extras = ["plot"]}\n'
        'lib = {path = "./lib"}\n'
        'far = {git = "https://example.org/far.git", ref = "v2"}\n'
        'win = {version = "*", sys_platform = "== \'win32\'"}\n'
    )
    spec = found(tmp_path, {"Pipfile": text, "pyproject.toml": UV_PROJECT, "lib/setup.py": ""})
    assert (spec.project, spec.project_extras) == ("", ("plot",))
    assert {(a.name, a.folder, a.url, a.ref) for a in spec.sources} == {
        ("lib", "lib", "", ""), ("far", "", "https://example.org/far.git", "v2"),
    }  # fmt: skip
    assert texts(spec.requirements)[0] == 'win; sys_platform == "win32"'
    assert "plotter" in texts(spec.requirements)


@pytest.mark.parametrize(
    "line",
    [
        'a = {file = "https://h.org/a.whl"}',
        'a = "=1"',
        "a = 1",
        'a = {path = "../up"}',
        '"../a" = "*"',
        "[packages.a",
    ],
)
def test_a_pipfile_that_cannot_be_honoured_is_refused(tmp_path, line):
    """Archives, odd versions and names, and folders outside stop naming the file."""
    with pytest.raises(DetectError, match="Pipfile"):
        found(tmp_path, {"Pipfile": f"[packages]\n{line}\n"})


def test_environments_of_hatch_are_named(tmp_path):
    """They have no say, and that is told; settings of PDM that change what is taken stop."""
    text = UV_PROJECT + '[tool.hatch.envs.default]\ndependencies = ["x"]\n'
    spec = found(tmp_path, {"pyproject.toml": text})
    assert [(item.path, item.matters) for item in spec.unheard] == [("pyproject.toml#tool.hatch.envs", False)]
    (tmp_path / "pdm").mkdir()
    text = UV_PROJECT + '[tool.pdm.resolution]\noverrides = {x = "1"}\n'
    assert matter(found(tmp_path / "pdm", {"pyproject.toml": text})) == ["pyproject.toml#tool.pdm.resolution"]


def test_a_flit_project_of_old_is_a_package(tmp_path):
    """[tool.flit.metadata] declares a package that only its build describes."""
    text = '[build-system]\nrequires = ["flit_core"]\n[tool.flit.metadata]\nmodule = "demo"\n'
    spec = found(tmp_path, {"pyproject.toml": text})
    refuse_unheard(spec)
    assert (spec.project, spec.project_dynamic) == ("", True)


@pytest.mark.parametrize(
    ("name", "text", "usual"),
    [
        ("Pipfile", '[[source]]\nname = "{}"\nurl = "https://h.org/simple"\n[packages]\na = "*"\n', "pypi"),
        (
            "pyproject.toml",
            '[tool.poetry]\nname = "a"\n[[tool.poetry.source]]\nname = "{}"\nurl = "https://h.org"\n',
            "PyPI",
        ),
    ],
)
def test_indexes_of_a_project_s_own_are_not_passed_over(tmp_path, name, text, usual):
    """The package index is the site's; a project that names another one than everybody has stops, until it is ignored."""
    (tmp_path / "usual").mkdir()
    assert matter(found(tmp_path / "usual", {name: text.format(usual)})) == []
    (tmp_path / "own").mkdir()
    spec = found(tmp_path / "own", {name: text.format("torch")})
    assert [path.partition("#")[0] for path in matter(spec)] == [name]
    assert matter(found(tmp_path / "own", {name: text.format("torch")}, tuple(matter(spec)))) == []


_PROJECTS = (
    ("pyproject.toml", POETRY_KINDS),
    ("pyproject.toml", POETRY_PROJECT),
    (
        "pyproject.toml",
        UV_PROJECT + "[tool.uv]\ndev-dependencies = ['a']\n[tool.pdm.dev-dependencies]\nx = ['b']\n",
    ),
    ("pyproject.toml", UV_SOURCES),
    ("Pipfile", PIPFILE),
)


@pytest.mark.parametrize("kind", range(len(_PROJECTS)))
def test_no_place_of_a_project_takes_odd_values(tmp_path, kind):
    """Endless numbers, broken addresses, logins and control characters end in a DetectError or in demands that are printable."""
    name, text = _PROJECTS[kind]
    for place in places(text):
        for number, value in enumerate(ODD):
            files = {name: changed(text, place, value), "libs/here/setup.py": ""}
            told = _told(source_tree(tmp_path / f"{place}-{number}", files))
            assert told.isprintable()
            assert "s3cret" not in told


@given(kind=st.sampled_from(_PROJECTS), place=st.integers(0, 10_000), value=VALUES)
def test_a_project_with_anything_anywhere_is_read_or_refused(tmp_path_factory, kind, place, value):
    """Whatever stands in one place of a project's file, the answer is demands or a DetectError of one printable text."""
    name, text = kind
    tree = source_tree(
        tmp_path_factory.mktemp("any"), {name: changed(text, place, value), "libs/here/setup.py": ""}
    )
    assert _told(tree).isprintable()


def _told(tree) -> str:
    """Return why it cannot be understood, or what is not heard and which addresses are asked for."""
    try:
        spec = detect(tree)
    except DetectError as error:
        return error.message
    assert [item.text for item in spec.requirements if not item.text.isprintable()] == []
    return "".join([item.url for item in spec.sources] + [item.reason for item in spec.unheard])
