"""Unit tests of the list of standalone builds, and of which of them serves."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import StandaloneInterpreter
from reprolake_builder.download import Downloader
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.site import PythonSite, Site
from reprolake_builder.solvers.as_of import AsOf
from reprolake_builder.solvers.python_choice import PythonSources, candidates
from reprolake_builder.solvers.pythons import StandaloneBuild
from reprolake_builder.solvers.standalone import (
    chosen_build,
    fetch_standalone,
    kept_build,
    read_builds,
    standalone_builds,
)
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

BASE = "https://builds.example.org/down"


def name_of(version: str, day: str, rest: str = "install_only_stripped.tar.gz") -> str:
    return f"cpython-{version}+{day}-x86_64-unknown-linux-gnu-{rest}"


def row(name: str, **more: object) -> dict[str, object]:
    day = name.partition("+")[2][:8]
    return {"url": f"{BASE}/{day}/{name.replace('+', '%2B')}", **more}


def build(version: str, day: str) -> StandaloneBuild:
    return StandaloneBuild(version, date.fromisoformat(day), name_of(version, day), f"{BASE}/{version}")


def as_of(day: str) -> AsOf:
    return AsOf(datetime.fromisoformat(day).replace(tzinfo=UTC), "the test", hides=True)


BUILDS = (
    build("3.14.0", "20251010"),
    build("3.12.4", "20240726"),
    build("3.12.3", "20240415"),
    build("3.12.0", "20231002"),
    build("3.8.20", "20241002"),
)
BOTH = PythonSources(("debian", "standalone"), lambda: BUILDS)


def chosen(text: str, day: str = "2025-01-01", sources: PythonSources = BOTH, python: str = "") -> list[str]:
    declared = [Asked(text=text, origin="runtime.txt:1")] if text else []
    return [candidate.target.version for candidate in candidates(declared, python, as_of(day), sources)]


@pytest.fixture
def tools(tmp_path):
    """Tools that read the list from a file."""

    def made(rows: object, mirror: str = "") -> Tools:
        (tmp_path / "list.json").write_text(json.dumps(rows))
        site = Site(
            archives={}, pythons=PythonSite(downloads=(tmp_path / "list.json").as_uri(), mirror=mirror)
        )
        return Tools(Store(tmp_path / "store"), site, Downloader(site))

    return made


def test_both_forms_of_lists_are_read_and_what_is_for_others_is_left(tools):
    """Uv's list and its file of downloads give the builds for this machine, newest first, with the hashes that they have."""
    rows = [
        row(name_of("3.12.3", "20240415", "install_only.tar.gz")),
        row(name_of("3.12.4", "20240726"), sha256="a" * 64),
        row(name_of("3.13.0", "20241016", "freethreaded+pgo+lto-full.tar.zst")),
        row(name_of("3.16.0a2", "20261110")),
        row(name_of("3.12.4", "20240726").replace("x86_64", "aarch64")),
        row(name_of("3.12.4", "20240726").replace("gnu", "musl")),
        row(name_of("3.12.4", "20249999")),
        {"url": f"ftp://x/{name_of('3.12.9', '20250317')}"},
        {"url": None},
        "nonsense",
    ]
    found = standalone_builds(tools(rows))
    assert [(one.version, one.built.isoformat(), one.sha256) for one in found] == [
        ("3.12.4", "2024-07-26", "a" * 64),
        ("3.12.3", "2024-04-15", ""),
    ]
    assert standalone_builds(tools({str(number): one for number, one in enumerate(rows)})) == found


def test_uvs_own_list_needs_no_network(tmp_path):
    """Where the site names no list, that of the uv that comes along serves."""
    site = Site(archives={})
    builds = standalone_builds(Tools(Store(tmp_path), site, Downloader(site)))
    assert {"3.8", "3.10", "3.12", "3.14"} <= {one.minor for one in builds}
    assert all(one.url.startswith("https://") for one in builds)


JSON = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("url", "sha256", "x")), inner),
)


@given(st.binary() | JSON.map(lambda found: json.dumps(found).encode()))
def test_any_list_is_read_or_refused(data):
    """Whatever a server's answer holds, no builds come of it, or one kind of error that can be printed."""
    try:
        found = read_builds(data, "at hand")
    except FetchError as error:
        said = error.message
    else:
        said = f"{len(found)} builds"
    assert said.isprintable()


@pytest.mark.parametrize(
    ("day", "version"),
    [
        ("2025-01-01", "3.12.4"),
        ("2024-06-30", "3.12.4"),
        ("2024-06-20", "3.12.3"),
        ("2023-10-01", "3.12.0"),
        ("2019-01-01", "3.12.0"),
    ],
)
def test_the_newest_build_of_the_time_is_taken(day, version):
    """A month after the cut-off counts as its time; where all came later, the oldest serves."""
    found = chosen_build(BUILDS[1:4], as_of(day))
    assert found is not None
    assert found.version == version
    assert chosen_build((), as_of(day)) is None


def test_debian_comes_first_and_a_build_where_it_has_none():
    """What Debian has is Debian's; the order can be turned round, and a source left out."""
    assert chosen("==3.12.*") == ["3.12.4"]
    assert chosen(">=3.9")[0] == "3.13.5"
    assert chosen("==3.11.4") == ["3.11.2"]
    turned = PythonSources(("standalone", "debian"), lambda: BUILDS)
    assert chosen(">=3.9", sources=turned) == ["3.12.4", "3.14.0"]
    assert chosen("==3.11.*", sources=turned) == ["3.11.2"]
    with pytest.raises(LockError, match="not among python_sources"):
        chosen("==3.12.*", sources=PythonSources())


def test_a_patch_release_that_there_is_is_taken_and_another_told_of():
    """An exact release counts more than the date; where it is missing another one serves, with a note."""
    assert chosen("==3.12.4", "2024-01-01") == ["3.12.4"]
    assert chosen("", "2025-01-01", python="3.12.3") == ["3.12.3"]
    (only,) = candidates([Asked(text="==3.12.7", origin="runtime.txt:1")], "", as_of("2025-01-01"), BOTH)
    assert only.target.version == "3.12.4"
    assert only.note.startswith("Python 3.12.4 serves where ==3.12.7 (runtime.txt:1)")


def test_the_build_of_an_earlier_lock_stays():
    """A newer build of the list does not take the place of the pinned one, unless another is asked for."""
    pinned = StandaloneInterpreter(
        version="3.12.3",
        executable="/opt/python/bin/python3.12",
        filename=name_of("3.12.3", "20240415"),
        sha256="b" * 64,
        size=1,
    )
    sources = PythonSources(("debian", "standalone"), lambda: BUILDS, kept_build(pinned))
    (found,) = candidates([Asked(text="==3.12.*", origin="a:1")], "", as_of("2025-01-01"), sources)
    assert found.target.build is not None
    assert (found.target.version, found.target.build.sha256) == ("3.12.3", "b" * 64)
    assert chosen("==3.12.4", sources=sources) == ["3.12.4"]


def test_an_error_tells_what_each_source_has():
    """Each source has a line: what it has, that it is left out, or why it cannot be asked."""

    def broken() -> tuple[StandaloneBuild, ...]:
        raise FetchError("the list is away")

    with pytest.raises(LockError) as caught:
        chosen("==3.7.*")
    assert (
        "\n  Debian: 3.9, 3.11, 3.13\n  standalone builds: 3.8, 3.12, 3.14\n  conda: " in caught.value.message
    )
    with pytest.raises(LockError, match="standalone builds: cannot be listed: the list is away"):
        chosen("==3.7.*", sources=PythonSources(("debian", "standalone"), broken))


def test_a_build_that_left_the_list_is_looked_for_beside_the_others(tools):
    """The lock names no host: mirror, list, or the folder of the day beside those that the list has."""
    lock = StandaloneInterpreter(
        version="3.12.1",
        executable="/opt/python/bin/python3.12",
        filename=name_of("3.12.1", "20240107"),
        sha256="c" * 64,
        size=1,
    )
    beside = (name_of("3.12.4", "20240726"),)
    with pytest.raises(FetchError, match="/nowhere/20240107/cpython-3"):
        fetch_standalone(lock, tools([{"url": f"file:///nowhere/20240726/{beside[0]}"}]))
    with pytest.raises(FetchError, match="/mirror/20240107/cpython-3"):
        fetch_standalone(lock, tools([], mirror="file:///mirror/"))
    with pytest.raises(FetchError, match="no list tells where cpython-3"):
        fetch_standalone(lock, tools([]))
