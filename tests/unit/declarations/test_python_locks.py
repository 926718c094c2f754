"""Unit tests of which lock file is obeyed, and of what is told where files disagree."""

from __future__ import annotations

import pytest
from detected import found, matter
from lock_texts import PDM, PIPFILE, PIPFILE_LOCK, POETRY_1, POETRY_PROJECT, PYLOCK, UV, UV_PROJECT
from source_trees import source_tree

from reprolake_builder.detect import detect, refuse_unheard
from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import Selection

PYPROJECT = {"pyproject.toml": UV_PROJECT}


def pins(spec) -> list[str]:
    return [asked.text for asked in spec.obeyed.pins]


def test_a_lock_stands_in_for_resolving(tmp_path):
    """Its pins come with the hashes that may serve here, for the Pythons that each is for; nothing else is asked for."""
    spec = found(tmp_path, {**PYPROJECT, "uv.lock": UV})
    refuse_unheard(spec)
    assert pins(spec)[:2] == [
        'alpha==1.1; python_version == "3.9"',
        'alpha==1.2; python_version == "3.11" or python_version == "3.13"',
    ]
    assert spec.obeyed.pins[1].sha256 == ("a" * 64, "b" * 64)
    assert (spec.requirements, spec.project, spec.obeyed.tool) == ((), None, "uv")
    assert spec.obeyed.direct == ("alpha", "checker", "writer")
    assert {file.path for file in spec.files} == {"uv.lock", "pyproject.toml"}
    assert [asked.text for asked in spec.python] == [">=3.9"]


@pytest.mark.parametrize(
    ("python", "serves"),
    [
        ("==3.12.*", ("3.12",)),
        (">=3.12.4,<3.12.9", ("3.12",)),
        (">=3.10", ("3.11", "3.13")),
        ("<3.9", ("3.5", "3.6", "3.7", "3.8")),
    ],
)
def test_a_lock_for_pythons_that_debian_lacks_serves_those(tmp_path, python, serves):
    """Only where no Python of Debian's fits are others thought of, which conda or a standalone build may have."""
    files = {"pyproject.toml": UV_PROJECT.replace(">=3.9", python), "uv.lock": UV.replace(">=3.9", python, 1)}
    spec = found(tmp_path, files)
    assert spec.obeyed.pythons == serves
    assert pins(spec)


def test_no_credential_of_a_lock_is_recorded(tmp_path):
    """Addresses of indexes are no part of what is recorded, logins least of all."""
    spec = found(tmp_path, {**PYPROJECT, "uv.lock": UV})
    assert "secret" not in repr(spec)
    assert "h.org" not in repr(spec)


FILES = {
    "uv.lock": UV,
    "pylock.toml": PYLOCK,
    "poetry.lock": POETRY_1,
    "pdm.lock": PDM,
    "Pipfile.lock": PIPFILE_LOCK,
}


def test_locks_have_an_order(tmp_path):
    """Each stands over the ones after it, and a lock that says something else has to be ignored by name."""
    order = list(FILES)
    for place, first in enumerate(order):
        files = {**PYPROJECT, **{name: FILES[name] for name in order[place:]}}
        (folder := tmp_path / first).mkdir()
        spec = found(folder, files)
        assert spec.obeyed.path == first
        assert {item.path for item in spec.unheard} >= set(order[place + 1 :])
    ignored = found(tmp_path, {**PYPROJECT, "uv.lock": UV, "pylock.toml": PYLOCK}, ("uv.lock",))
    assert ignored.obeyed.path == "pylock.toml"


def test_a_lock_for_a_named_environment_is_taken_when_it_is_alone(tmp_path):
    """pylock.NAME.toml counts only where nothing else describes the environment; of several one has to be chosen."""
    (tmp_path / "a").mkdir()
    assert found(tmp_path / "a", {"pylock.lab.toml": PYLOCK}).obeyed.path == "pylock.lab.toml"
    (tmp_path / "b").mkdir()
    beside = found(tmp_path / "b", {"pylock.lab.toml": PYLOCK, "requirements.txt": "numpy\n"})
    assert beside.obeyed is None
    assert [(item.path, item.matters) for item in beside.unheard] == [("pylock.lab.toml", False)]
    (tmp_path / "c").mkdir()
    with pytest.raises(DetectError, match="another environment") as caught:
        found(tmp_path / "c", {"pylock.lab.toml": PYLOCK, "pylock.gpu.toml": PYLOCK})
    assert "--ignore pylock.lab.toml" in caught.value.hint


def test_requirements_beside_a_lock_must_be_met_by_it(tmp_path):
    """What the lock has is no matter; what it does not have is named, and one of the two must be ignored."""
    (tmp_path / "met").mkdir()
    (tmp_path / "not").mkdir()
    met = found(tmp_path / "met", {**PYPROJECT, "uv.lock": UV, "requirements.txt": "alpha<2\nchecker\n"})
    assert matter(met) == []
    other = found(tmp_path / "not", {**PYPROJECT, "uv.lock": UV, "requirements.txt": "alpha<2\nscipy\n"})
    assert matter(other) == ["requirements.txt"]
    assert "requirements.txt:2 asks for scipy, and uv.lock does not have it" in next(
        item.reason for item in other.unheard if item.matters
    )


def test_repositories_that_requirements_name_beside_a_lock_must_be_in_it(tmp_path):
    """A git repository that the lock does not know by name is a demand that it does not meet."""
    text = "alpha<2\ngit+https://example.org/far.git#egg=far\n"
    assert matter(found(tmp_path, {**PYPROJECT, "uv.lock": UV, "requirements.txt": text})) == [
        "requirements.txt"
    ]


def test_a_lock_that_is_not_understood_beside_another_one_is_told(tmp_path):
    """It may say something else: the user ignores one of the two."""
    spec = found(tmp_path, {**PYPROJECT, "uv.lock": UV, "pylock.toml": "x"})
    assert (spec.obeyed.path, matter(spec)) == ("uv.lock", ["pylock.toml"])


def test_a_pipfile_lock_installs_the_package_of_a_setup_py(tmp_path):
    """`-e .` in Pipenv's words names the repository's own package, whatever declares it."""
    lock = PIPFILE_LOCK.replace('"default": {', '"default": {"e1839a8": {"editable": true, "path": "."},')
    spec = found(tmp_path, {"Pipfile": PIPFILE, "Pipfile.lock": lock, "setup.py": ""})
    refuse_unheard(spec)
    assert spec.project == ""
    assert found(tmp_path, {"Pipfile.lock": PIPFILE_LOCK, "setup.py": ""}).project is None


def test_environment_yml_stands_over_locks_of_python_packages(tmp_path):
    """As in repo2docker conda goes first, and which of the two is meant the user says."""
    files = {**PYPROJECT, "uv.lock": UV, "environment.yml": "dependencies: [python=3.11]\n"}
    assert "uv.lock" in matter(found(tmp_path, files))


@pytest.mark.parametrize(
    ("name", "files", "old", "new", "told"),
    [
        ("uv.lock", {"pyproject.toml": UV_PROJECT}, ">=1,<2", ">=3", "alpha>=3, and uv.lock has 1.1"),
        ("uv.lock", {"pyproject.toml": UV_PROJECT}, '"checker", {', '"fresh", {', "fresh, and uv.lock does not have it"),
        ("poetry.lock", {"pyproject.toml": POETRY_PROJECT}, '"^1.0"', '"^2.0"', "alpha<3,>=2.0, and poetry.lock has 1.2"),
        ("pdm.lock", {"pyproject.toml": UV_PROJECT}, ">=1,<2", ">=1.3", "alpha>=1.3, and pdm.lock has 1.2"),
        ("Pipfile.lock", {"Pipfile": PIPFILE}, ">=1,<2", "==1.0", "alpha==1.0, and Pipfile.lock has 1.2"),
        ("pylock.toml", {"pyproject.toml": UV_PROJECT}, "<2", "<1.2", "alpha<1.2,>=1, and pylock.toml has 1.2"),
    ],
)  # fmt: skip
def test_a_stale_lock_stops_with_the_demand(tmp_path, name, files, old, new, told):
    """The demand that the lock does not meet is named with its place, and the three ways to go on."""
    stale = {path: text.replace(old, new) for path, text in files.items()} | {name: FILES[name]}
    spec = found(tmp_path, stale)
    with pytest.raises(DetectError, match="disagrees with what it was made of") as caught:
        refuse_unheard(spec)
    assert told in caught.value.message
    declaration = next(iter(files))
    what = told.split(",")[0].split(">")[0].split("<")[0].split("=")[0]
    assert f"--ignore {declaration}#{what}" in caught.value.hint
    assert f"--ignore {name}" in caught.value.hint
    taken = found(tmp_path, stale, (f"{declaration}#{what}",))
    refuse_unheard(taken)
    assert taken.obeyed.path == name


def test_a_lock_of_another_version_that_meets_all_is_noted(tmp_path):
    """Poetry's and Pipenv's hash of what they locked differs here, and every demand is met: that is told, no more."""
    spec = found(tmp_path, {"pyproject.toml": POETRY_PROJECT, "poetry.lock": POETRY_1})
    refuse_unheard(spec)
    assert any(item.path == "poetry.lock#hash" for item in spec.unheard)


def test_a_lock_without_hashes_is_obeyed_and_said_to_be_bare(tmp_path):
    """The pins count, and the note says whose hashes these are then."""
    spec = found(tmp_path, {"pyproject.toml": UV_PROJECT, "pdm.lock": PDM})
    (note,) = (item for item in spec.unheard if item.path == "pdm.lock#hashes")
    assert "checker, delta" in note.reason
    assert spec.obeyed.pins[0].sha256 == ("a" * 64,)
    assert spec.obeyed.pins[1].sha256 == ()


def test_the_project_of_a_lock_is_built_when_its_tool_installs_it(tmp_path):
    """An editable project is a package, a virtual one is not; `package-mode = false` says so for Poetry."""
    build = '[build-system]\nrequires = ["hatchling"]\n' + UV_PROJECT
    cases = {
        "editable": ({"pyproject.toml": build, "uv.lock": UV.replace("virtual =", "editable =")}, ""),
        "virtual": ({"pyproject.toml": build, "uv.lock": UV}, None),
        "poetry": ({"pyproject.toml": POETRY_PROJECT, "poetry.lock": POETRY_1}, ""),
        "no package": (
            {
                "pyproject.toml": POETRY_PROJECT.replace(
                    "[tool.poetry]", "[tool.poetry]\npackage-mode = false"
                ),
                "poetry.lock": POETRY_1,
            },
            None,
        ),
    }
    for name, (files, project) in cases.items():
        (tmp_path / name).mkdir()
        assert found(tmp_path / name, files).project == project


def test_packages_of_a_lock_from_git_and_folders_become_sources(tmp_path):
    """A git entry is pinned to its commit, a folder to the repository; both are built here, not taken from an index."""
    commit = "1" * 40
    text = UV.replace(
        'version = "2.0"\nsource = { registry = "https://h.org/simple" }',
        f'version = "2.0"\nsource = {{ git = "https://example.org/b.git?rev=main&subdirectory=py#{commit}" }}',
    ).replace(
        'version = "3.0"\nsource = { registry = "https://h.org/simple" }',
        'version = "3.0"\nsource = { editable = "packages/delta" }',
    )
    files = {**PYPROJECT, "uv.lock": text, "packages/delta/setup.py": ""}
    spec = found(tmp_path, files)
    taken = {asked.name: (asked.url, asked.ref, asked.folder) for asked in spec.sources}
    assert taken == {"beta": ("https://example.org/b.git", commit, "py"), "delta": ("", "", "packages/delta")}
    assert not any(text.startswith(("beta", "delta")) for text in pins(spec))


@pytest.mark.parametrize(
    "source",
    [
        '{ editable = "../elsewhere" }',
        '{ directory = "/etc" }',
        '{ git = "https://user:secret@example.org/b.git#1111111111111111111111111111111111111111" }',
        '{ git = "https://example.org/b.git?rev=main" }',
        '{ git = "https://example.org/b.git#main" }',
        '{ git = "file:///srv/b.git#1111111111111111111111111111111111111111" }',
        '{ url = "https://example.org/b.whl" }',
        "{ }",
    ],
)
def test_sources_that_cannot_be_honoured_are_refused(tmp_path, source):
    """Folders outside, logins, branches, this host's repositories and archives stop; no login is shown."""
    text = UV.replace(
        'version = "2.0"\nsource = { registry = "https://h.org/simple" }',
        f'version = "2.0"\nsource = {source}',
    )
    with pytest.raises(DetectError) as caught:
        found(tmp_path, {**PYPROJECT, "uv.lock": text}, from_git=True)
    assert "secret" not in caught.value.message
    assert "uv.lock" in caught.value.message


def test_a_lock_without_its_project_is_refused(tmp_path):
    """uv.lock, poetry.lock and pdm.lock belong to a pyproject.toml."""
    with pytest.raises(DetectError, match=r"pyproject\.toml is not there"):
        found(tmp_path, {"uv.lock": UV})


def test_a_binder_folder_brings_its_own_lock(tmp_path):
    """binder/ alone decides, also about locks; the package outside it is not installed."""
    files = {"binder/pylock.toml": PYLOCK, "pyproject.toml": UV_PROJECT, "uv.lock": UV}
    spec = found(tmp_path, files)
    assert (spec.obeyed.path, spec.project) == ("binder/pylock.toml", None)
    assert {item.path for item in spec.unheard} >= {"uv.lock", "pyproject.toml"}
    refuse_unheard(spec)


def test_extras_and_groups_are_recorded(tmp_path):
    """What was chosen of a project stands in what was asked for."""
    selection = Selection(frozenset(["plot"]), frozenset(["docs"]), defaults=False)  # type: ignore[list-item]
    spec = detect(source_tree(tmp_path, {**PYPROJECT, "uv.lock": UV}), (), selection)
    assert (spec.extras, spec.groups, spec.default_groups) == (("plot",), ("docs",), False)
    assert [text.partition("=")[0] for text in pins(spec)] == [
        "alpha",
        "alpha",
        "beta",
        "delta",
        "plotter",
        "writer",
    ]
