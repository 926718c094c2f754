"""Unit tests of the readers of other tools' lock files."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable

import pytest
from changed_texts import ODD, VALUES, changed, places
from hypothesis import given
from hypothesis import strategies as st
from lock_texts import PDM, PDM_3, PIPFILE, PIPFILE_LOCK, POETRY_1, POETRY_2, POETRY_PROJECT, PYLOCK, UV, A
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from reprolake_builder.errors import DetectError
from reprolake_builder.lock_files.interface import LockFile, Selection
from reprolake_builder.lock_files.pdm import PdmProject, read_pdm
from reprolake_builder.lock_files.pipfile import read_pipfile_lock
from reprolake_builder.lock_files.poetry import read_poetry
from reprolake_builder.lock_files.poetry_project import read_poetry_project
from reprolake_builder.lock_files.poetry_versions import alternatives
from reprolake_builder.lock_files.pylock import read_pylock
from reprolake_builder.lock_files.reading import marker_of, read_tables
from reprolake_builder.lock_files.select import holds, select
from reprolake_builder.lock_files.uv import read_uv
from reprolake_builder.solvers.pypi_target import TARGETS

PLAIN = Selection()
BARE = Selection(defaults=False)
CHOSEN = Selection(frozenset([canonicalize_name("plot")]), frozenset([canonicalize_name("docs")]))
_PROJECT = PdmProject({"default": ("alpha[wide]",)}, frozenset({"dev", "docs"}))


def uv(text: str, selection: Selection = PLAIN) -> LockFile:
    return read_uv(text, "uv.lock", selection, frozenset({"dev"}))


def pylock(text: str, selection: Selection = PLAIN) -> LockFile:
    return read_pylock(text, "pylock.toml", selection)


def poetry(text: str, selection: Selection = PLAIN) -> LockFile:
    tables = tomllib.loads(POETRY_PROJECT)
    return read_poetry(text, "poetry.lock", selection, read_poetry_project(tables, "pyproject.toml"), tables)


def pdm(text: str, selection: Selection = PLAIN) -> LockFile:
    return read_pdm(text, "pdm.lock", selection, _PROJECT)


def pipenv(text: str, selection: Selection = PLAIN) -> LockFile:
    return read_pipfile_lock(text, "Pipfile.lock", selection, tomllib.loads(PIPFILE))


READERS = {
    "uv": (uv, UV),
    "pylock": (pylock, PYLOCK),
    "poetry 1": (poetry, POETRY_1),
    "poetry 2": (poetry, POETRY_2),
    "pdm": (pdm, PDM),
    "pdm 3": (pdm, PDM_3),
    "pipenv": (pipenv, PIPFILE_LOCK),
}


def refusal(call: Callable[[], object]) -> str:
    """Return the text of the DetectError that a call ends in, "" when it ends well."""
    try:
        call()
    except DetectError as error:
        return error.message
    return ""


def names(lock: LockFile, python: str = "3.11") -> str:
    return " ".join(f"{pin.name}-{pin.version}" for pin in select(lock, TARGETS[python]) if pin.place is None)


@pytest.mark.parametrize(
    ("kind", "plain", "bare", "chosen"),
    [
        ("uv", "alpha-1.2 beta-2.0 checker-4.0 delta-3.0 writer-5.0", "alpha-1.2 beta-2.0 delta-3.0",
         "alpha-1.2 beta-2.0 checker-4.0 delta-3.0 plotter-6.0 writer-5.0"),
        ("pylock", "alpha-1.2 checker-4.0", "alpha-1.2", "alpha-1.2 beta-2.0 checker-4.0"),
        ("poetry 1", "alpha-1.2 beta-2.0 checker-4.0 delta-3.0", "alpha-1.2 beta-2.0 delta-3.0",
         "alpha-1.2 beta-2.0 checker-4.0 delta-3.0 plotter-6.0 writer-5.0"),
        ("poetry 2", "alpha-1.2 beta-2.0 checker-4.0 delta-3.0", "alpha-1.2 delta-3.0",
         "alpha-1.2 beta-2.0 checker-4.0 delta-3.0 plotter-6.0 writer-5.0"),
        ("pdm", "alpha-1.2 checker-4.0 delta-3.0 plotter-6.0 writer-5.0", "alpha-1.2 delta-3.0",
         "alpha-1.2 checker-4.0 delta-3.0 plotter-6.0 writer-5.0"),
        ("pipenv", "alpha-1.2 checker-4.0 delta-3.0", "alpha-1.2 delta-3.0", None),
        ("pdm 3", "alpha-1.2 beta-2.0 delta-3.0", "alpha-1.2 beta-2.0 delta-3.0", None),
    ],
)  # fmt: skip
def test_extras_and_groups_choose_from_a_lock(kind, plain, bare, chosen):
    """The tool's default groups come unasked, further extras and groups when asked for, none of them when refused."""
    read, text = READERS[kind]
    assert names(read(text)) == plain
    assert names(read(text, BARE)) == bare
    if chosen is not None:
        assert names(read(text, CHOSEN)) == chosen


def test_forks_of_a_lock_serve_the_python_that_they_are_for():
    """Uv's lock holds two versions of a package; each Python gets its own, and extras come where they are asked for."""
    assert names(uv(UV, BARE), "3.9") == "alpha-1.1"
    assert names(uv(UV, BARE), "3.13") == "alpha-1.2 beta-2.0 delta-3.0"
    assert select(uv(UV), TARGETS["3.11"])[0].files[0].sha256 == A


def test_hashes_of_old_locks_are_found():
    """PDM's old form keeps them in a table apart."""
    assert [pin.files[0].sha256 for pin in pdm(PDM_3).pins if pin.files] == [A]


@pytest.mark.parametrize("kind", [kind for kind in READERS if kind != "pdm 3"])
def test_what_a_lock_does_not_have_is_refused(kind):
    """An unknown extra or group stops with those that there are."""
    read, text = READERS[kind]
    for selection in (Selection(frozenset(["nope"])), Selection(groups=frozenset(["nope"]))):  # type: ignore[list-item]
        with pytest.raises(DetectError, match=r"nope|extra"):
            read(text, selection)


@given(kind=st.sampled_from(sorted(READERS)), place=st.integers(0, 10_000), value=VALUES)
def test_a_lock_with_anything_anywhere_is_read_or_refused(kind, place, value):
    """Whatever stands in one place of a lock, the answer is pins or a DetectError of one printable text."""
    read, text = READERS[kind]
    whole = changed(text, place, value)
    assert refusal(lambda: [select(read(whole), target) for target in TARGETS.values()]).isprintable()


@pytest.mark.parametrize("kind", READERS)
def test_no_place_of_a_lock_takes_odd_values(kind):
    """Endless numbers, broken addresses, logins and control characters are pinned by nothing but a DetectError, wherever they stand."""
    read, text = READERS[kind]
    for place in places(text):
        for value in ODD:
            whole = changed(text, place, value)
            told = refusal(lambda whole=whole: select(read(whole), TARGETS["3.11"]))
            assert told.isprintable()
            assert "s3cret" not in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a" + ".a" * 200 + " = 1", r"^uv\.lock:1: a key of more than 100 parts"),
        ("\n[" + "'a b' . \"c\" . " * 80 + "x]", r"^uv\.lock:2: a key of more than 100 parts"),
        ("x = {" + "a." * 150 + "a = 1}", "a key of more than 100 parts"),
        ("a" + ".a" * 60 + " = 1", "nested deeper"),
        ("version = 0x" + "f" * 9000, "larger than those of TOML"),
    ],
)
def test_toml_that_would_take_forever_is_refused(text, told):
    """Keys of very many parts take the parser the square of their length; what is deep or large breaks what comes after it."""
    with pytest.raises(DetectError, match=told):
        read_tables(text, "uv.lock")


def test_usual_toml_is_read():
    """Dotted words in texts are no keys, and neither is a long word."""
    text = f'a.b."c.d" = 1\nx = "{"e.g. " * 40}"\ny = "{"z" * 100_000}"\nz = "{"." * 1000}"\n'
    assert read_tables(text, "x.toml")["a"] == {"b": {"c.d": 1}}


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("uv", "version = 1\n", "version = 2\n"),
        ("pylock", '"1.0"', '"2.0"'),
        ("poetry 2", 'lock-version = "2', 'lock-version = "3'),
        ("pdm", 'lock_version = "4', 'lock_version = "5'),
        ("pipenv", '"pipfile-spec": 6', '"pipfile-spec": 7'),
    ],
)
def test_another_version_of_a_format_is_told_first(kind, old, new):
    """A lock of a version that is not known stops by its version, whatever else may be other in it."""
    read, text = READERS[kind]
    assert old in text
    with pytest.raises(DetectError, match=r"has version '[0-9.]+' of its format"):
        read(text.replace(old, new, 1))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a = " + "[" * 30_000,
        "[" * 100_000,
        "{" * 100_000,
        '{"default": ' * 5_000,
        "\x00",
        "version = 9" * 9,
    ],
)
def test_what_is_no_lock_is_refused(kind, text):
    """Empty, endlessly deep and broken files raise DetectError, or pin nothing."""
    read, _ = READERS[kind]
    try:
        lock = read(text)
    except DetectError:
        return
    assert not lock.pins


@pytest.mark.parametrize(
    "change",
    [
        ("alpha-1.2-py3-none-any.whl", "alpha\\u001b[2J.whl"),
        ('name = "beta"', 'name = "../beta"'),
        ('"2.0"', '"2/0"'),
    ],
)
def test_odd_names_are_refused(change):
    """Names of packages and files are those that an index could have."""
    with pytest.raises(DetectError) as caught:
        uv(UV.replace(*change))
    assert caught.value.message.isprintable()


def test_a_lock_that_pins_a_package_twice_is_refused():
    """Two versions for one machine contradict each other."""
    twice = (
        PYLOCK
        + '[[packages]]\nname = "alpha"\nversion = "1.3"\nwheels = [{url = "https://h/a-1.3-py3-none-any.whl", hashes = {}}]\n'
    )
    with pytest.raises(DetectError, match=r"alpha 1\.[23] and 1\.[23]"):
        select(pylock(twice), TARGETS["3.11"])


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("^1.2.3", "1.9", "2.0"), ("^0.2.3", "0.2.9", "0.3"), ("^0.0.3", "0.0.3.post1", "0.0.4"), ("^0", "0.9", "1.0"),
        ("~1.2.3", "1.2.9", "1.3"), ("~1", "1.9", "2.0"), ("1.*", "1.5", "2.0"), ("*", "9", ""), ("1.2", "1.2.0", "1.2.1"),
        (">=1,<2", "1.5", "2"), (">= 1.0 <2", "1.5", "2"), ("<2 || >=3", "3.1", "2.5"), ("!=1.2", "1.3", "1.2"), ("~=1.4", "1.9", "2.0"),
    ],
)  # fmt: skip
def test_poetrys_words_for_versions(text, inside, outside):
    """Carets, tildes, wildcards and alternatives mean what Poetry's documentation says."""
    sets = alternatives(text, "pyproject.toml")
    assert any(one.contains(inside) for one in sets)
    assert not (outside and any(one.contains(outside) for one in sets))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=4), st.sampled_from("^~"))
def test_a_caret_or_tilde_starts_at_its_version(release, operator):
    """The version itself is inside, and everything inside has the same beginning."""
    number = ".".join(map(str, release))
    (one,) = alternatives(operator + number, "x")
    assert one.contains(number)
    assert not one.contains(Version(f"{release[0] + 1}.0.1"))
    assert isinstance(one, SpecifierSet)


@given(st.text(max_size=30))
def test_any_text_is_a_set_of_versions_or_refused(text):
    """No text breaks the reading of Poetry's versions."""
    assert refusal(lambda: alternatives(text, "x")).isprintable()


def test_markers_know_extras_as_a_set():
    """`extra == "x"` holds with x among several, and `extra != "x"` does not."""
    target = TARGETS["3.11"]
    both = frozenset({"x", "y"})
    assert holds(marker_of("extra == 'X'", "p"), target, both)
    assert holds(marker_of("'y' == extra and python_version > '3.9'", "p"), target, both)
    assert not holds(marker_of("extra != 'x'", "p"), target, both)
    assert holds(marker_of("extra != 'z'", "p"), target, both)


def test_poetrys_first_formats_are_read():
    """Hashes stood in a table at the end, with file names or without, and dependencies could be alternatives by Python."""
    text = (
        '[[package]]\nname = "alpha"\nversion = "1.2"\ncategory = "main"\noptional = false\npython-versions = "*"\n'
        "[package.dependencies]\nbeta = [\n"
        '  {version = "<2", markers = "python_version < \'3.10\'"},\n  {version = ">=2", markers = "python_version >= \'3.10\'"},\n]\n'
        '[[package]]\nname = "beta"\nversion = "1.0"\ncategory = "main"\noptional = false\npython-versions = "*"\n'
        '[[package]]\nname = "beta"\nversion = "2.0"\ncategory = "main"\noptional = false\npython-versions = "*"\n'
        '[[package]]\nname = "checker"\nversion = "4.0"\ncategory = "dev"\noptional = false\npython-versions = "*"\n'
        '[metadata]\nlock-version = "1.1"\npython-versions = "^3.9"\ncontent-hash = "x"\n[metadata.files]\n'
        f'alpha = [{{file = "alpha-1.2-py3-none-any.whl", hash = "sha256:{A}"}}]\nbeta = []\nchecker = []\n'
    )
    assert names(poetry(text), "3.9") == "alpha-1.2 beta-1.0 checker-4.0"
    assert names(poetry(text), "3.13") == "alpha-1.2 beta-2.0 checker-4.0"
    assert poetry(text).pins[0].files[0].sha256 == A
    older = (
        text.partition("[metadata]")[0]
        + f'[metadata]\ncontent-hash = "x"\n[metadata.hashes]\nalpha = ["{A}"]\n'
    )
    assert poetry(older).pins[0].files[0].sha256 == A


def test_a_pipfile_lock_of_old_is_read():
    """A package of a folder had no name but the start of a hash, and `requires` could hold more than a version."""
    text = json.dumps(
        {
            "_meta": {
                "hash": {"sha256": "x"},
                "host-environment-markers": {"os_name": "posix"},
                "requires": {},
                "pipfile-spec": 6,
            },
            "default": {
                "e1839a8": {"editable": True, "path": "."},
                "alpha": {"version": "==1.2", "hashes": [f"sha256:{A}"]},
            },
            "develop": {},
        }
    )
    assert names(pipenv(text)) == "alpha-1.2"
    assert [pin.place.path for pin in pipenv(text).pins if pin.place] == [""]
