"""Resolution against an index of the test's own: dates, grace, old releases, addresses, and what must never happen."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_repositories import command_lines
from pypi_index_server import KERNEL, Index, Upload, serving

from reprolake_builder.documents.environment import Asked
from reprolake_builder.documents.lock import WheelLock
from reprolake_builder.documents.source import GitSource
from reprolake_builder.download import Downloader, Wanted
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.progress import SILENT
from reprolake_builder.site import Site
from reprolake_builder.solvers.as_of import AsOf, choose_as_of
from reprolake_builder.solvers.pypi import Choice, Solution, asking, choose, solve_build
from reprolake_builder.solvers.pypi_failure import NoChoice
from reprolake_builder.solvers.pypi_target import TARGETS
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.solvers.python_choice import candidates
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

NOW = datetime(2026, 5, 4, tzinfo=UTC)
DATE = "2022-12-01"


@pytest.fixture
def index():
    with serving(Index()) as served:
        yield served


@pytest.fixture
def tools(tmp_path, index):
    store = Store(tmp_path / "store")
    yield tools_for(index.url, store)
    store.close()


def test_the_login_of_an_index_is_in_no_list_of_processes(tmp_path, index):
    """An index that asks for a login is reached with it, and no other user of the host can read it meanwhile."""
    watched: set[bytes] = set()
    index.watch = lambda: watched.update(command_lines())
    tools = tools_for(index.url.replace("://", "://jane:s3cret-word@"), Store(tmp_path / "store"))
    assert chosen(tools, "wheel").solution.wheels
    assert any(b"pip\0compile" in line for line in watched)
    assert not [line for line in watched if b"s3cret" in line]


def tools_for(url: str, store: Store, **environment: str) -> Tools:
    passed = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    site = Site(archives={}, index_url=url, uv_environment={**passed, "UV_HTTP_RETRIES": "0", **environment})
    return Tools(store, site, Downloader(site))


def asked(*texts: str) -> tuple[Asked, ...]:
    return tuple(Asked(text=text, origin=f"requirements.txt:{line}") for line, text in enumerate(texts, 1))


def as_of(text: str = DATE) -> AsOf:
    source = GitSource(url="https://example.org/a.git", commit="0" * 40, tree="1" * 40, date=NOW)
    return choose_as_of(source, text, NOW)


def chosen(
    tools: Tools,
    *texts: str,
    python: str = "",
    date: AsOf | None = None,
    constraints: tuple[str, ...] = (),
) -> Choice:
    date = date or as_of()
    found = choose(asking(asked(*texts), asked(*constraints), date), candidates((), python, date), tools)
    if isinstance(found, NoChoice):
        raise found.error()
    return found


def versions(solution: Solution | tuple[WheelLock, ...]) -> dict[str, str]:
    wheels = solution.wheels if isinstance(solution, Solution) else solution
    return {wheel.name: wheel.version for wheel in wheels}


# ---------------------------------------------------------------------- dates
def test_what_was_uploaded_within_the_grace_is_used_and_nothing_later(index, tools):
    """A release of half a day after the commit counts, one of two days after it does not."""
    commit = datetime(2022, 12, 1, 12, tzinfo=UTC)
    index.add(
        Upload("alpha", "1.0", "2022-06-01"),
        Upload("alpha", "2.0", "2022-12-02T00:00:00Z"),
        Upload("alpha", "3.0", "2022-12-03T00:00:00Z"),
    )
    source = GitSource(url="https://example.org/a.git", commit="0" * 40, tree="1" * 40, date=commit)
    found = chosen(tools, "alpha", python="3.11", date=choose_as_of(source, "", NOW))
    assert versions(found.solution)["alpha"] == "2.0"


def test_now_needs_no_upload_times(index, tools):
    """An index that does not tell upload times serves for now, and for no date in the past."""
    index.uploads = tuple(Upload(item.name, item.version, "") for item in KERNEL)
    index.add(Upload("alpha", "1.0", ""))
    assert versions(chosen(tools, "alpha", date=as_of("now")).solution)["alpha"] == "1.0"
    with pytest.raises(LockError, match="alpha") as caught:
        chosen(tools, "alpha")
    assert "upload" in caught.value.message


# ---------------------------------------------------------------------- what is added
def test_a_kernel_and_the_tools_of_a_virtual_environment_are_added_and_recorded(index, tools):
    """Without a kernel of its own the set gets ipykernel, and pip, setuptools and wheel as they were."""
    index.add(Upload("alpha", "1.0", "2022-06-01"), Upload("pip", "23.0", "2023-01-30"))
    solution = chosen(tools, "alpha", python="3.11").solution
    assert versions(solution) == {
        "alpha": "1.0",
        "ipykernel": "6.17.1",
        "pip": "22.3.1",
        "setuptools": "65.6.3",
        "wheel": "0.38.4",
    }
    assert [text.partition(":")[0] for text in solution.added] == ["ipykernel", "pip", "setuptools", "wheel"]
    assert solution.added[0] == "ipykernel: no kernel was declared"
    assert [wheel.name for wheel in solution.wheels if wheel.requested] == ["alpha"]


def test_newer_pythons_get_pip_alone(index, tools):
    """From 3.12 on `python -m venv` gives neither setuptools nor wheel."""
    solution = chosen(tools, python="3.13").solution
    assert versions(solution).keys() == {"ipykernel", "pip"}


def test_a_pin_of_the_user_wins_over_what_would_be_added(index, tools):
    """What the user's own set holds, also through another package, is not added again."""
    index.add(
        Upload("setuptools", "60.0.0", "2021-12-01"),
        Upload("lab", "1.0", "2022-06-01", requires=("ipykernel<6.10",)),
        Upload("ipykernel", "6.9.0", "2022-02-01"),
    )
    solution = chosen(tools, "setuptools==60.0.0", "lab", python="3.11").solution
    assert versions(solution)["setuptools"] == "60.0.0"
    assert versions(solution)["ipykernel"] == "6.9.0"
    assert [text.partition(":")[0] for text in solution.added] == ["pip", "wheel"]


def test_a_clash_with_what_is_added_is_told_as_such(index, tools):
    """When only our addition makes the set impossible, the error says so."""
    index.uploads = (*KERNEL[1:], Upload("ipykernel", "6.17.1", "2022-11-09", requires=("tornado>=6",)))
    index.add(Upload("tornado", "5.0", "2018-01-01"), Upload("tornado", "6.0", "2019-01-01"))
    with pytest.raises(
        LockError, match=r"own requirements fit, but not with what Reprolake adds \(ipykernel, "
    ):
        chosen(tools, "tornado<6", python="3.11")


# ---------------------------------------------------------------------- which Python
def alpha_for(*tags: str, version: str = "5.0", uploaded: str = "2022-11-01") -> list[Upload]:
    return [Upload("alpha", version, uploaded, tag=tag) for tag in tags]


def test_the_newest_python_with_wheels_for_the_whole_set_is_taken(index, tools):
    """A Python for which one package has no wheel is passed over, with the package's name; one of the future is not tried."""
    index.add(*alpha_for("cp39-cp39-manylinux_2_17_x86_64", "cp313-cp313-manylinux_2_17_x86_64"))
    found = chosen(tools, "alpha")
    assert found.solution.target.minor == "3.9"
    assert [(item.python, item.reason) for item in found.rejected] == [
        ("3.13", "it was released on 2024-10-07, after 2022-12-01"),
        ("3.11", "alpha has no wheel for Python 3.11 as of 2022-12-01"),
    ]


def test_a_python_that_came_later_is_the_last_resort(index, tools):
    """When no Python of the time has the wheels, one that came later is taken rather than none."""
    index.add(*alpha_for("cp313-cp313-manylinux_2_17_x86_64"))
    assert chosen(tools, "alpha").solution.target.minor == "3.13"


def test_a_python_that_needs_a_much_older_release_is_passed_over(index, tools):
    """Undeclared Python: a set that would go back to a release over a year older than the current one is no answer."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), *alpha_for("cp39-cp39-manylinux_2_17_x86_64"))
    found = chosen(tools, "alpha")
    assert found.solution.target.minor == "3.9"
    assert versions(found.solution)["alpha"] == "5.0"
    assert found.rejected[-1].reason == (
        "alpha went back to 1.0 of 2016-01-01, while 5.0 of 2022-11-01 was current: alpha 5.0 has no wheel for Python 3.11"
    )


def test_when_every_python_needs_the_old_release_the_first_is_taken_and_it_is_told(index, tools):
    """A package held back by another is used as it is, with the package that forced it."""
    index.add(
        Upload("alpha", "1.0", "2016-01-01"),
        *alpha_for("py3-none-any"),
        Upload("beta", "1.0", "2022-06-01", requires=("alpha<2",)),
    )
    found = chosen(tools, "alpha", "beta")
    assert found.solution.target.minor == "3.11"
    (behind,) = found.solution.behind
    assert behind.sentence.startswith(
        "alpha went back to 1.0 of 2016-01-01, while 5.0 of 2022-11-01 was current"
    )
    assert behind.cause == "held back by beta"
    assert [item.python for item in found.rejected] == ["3.9", "3.13"]


@pytest.mark.parametrize(
    ("newest", "cause"),
    [
        (
            Upload("alpha", "5.0", "2022-11-01", tag="cp39-cp39-manylinux1_x86_64"),
            "alpha 5.0 has no wheel for Python 3.11",
        ),
        (Upload("alpha", "5.0", "2022-11-01", requires_python=">=3.12"), "alpha 5.0 is for Python >=3.12"),
        (
            Upload("alpha", "5.0", "2022-11-01", requires=("missing",)),
            "missing is not in the package index",
        ),
    ],
    ids=["no wheel", "other Python", "broken"],
)
def test_a_chosen_python_stays_and_the_old_release_is_told_with_its_cause(index, tools, newest, cause):
    """With a Python that is fixed the set is accepted, never in silence."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), newest)
    (behind,) = chosen(tools, "alpha", python="3.11").solution.behind
    assert behind.cause == cause


@pytest.mark.parametrize(
    ("requirement", "constraints"), [("alpha==1.0", ()), ("alpha<2", ()), ("alpha", ("alpha<2",))]
)
def test_an_old_release_that_was_asked_for_is_no_news(index, tools, requirement, constraints):
    """Pins, ranges and constraints of the user's own are not reported."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), *alpha_for("py3-none-any"))
    assert chosen(tools, requirement, python="3.11", constraints=constraints).solution.behind == ()


@pytest.mark.parametrize(
    "newest",
    [
        Upload("alpha", "5.0", "2016-11-01", requires_python=">=3.12"),
        Upload("alpha", "5.0", "2022-12-05", requires_python=">=3.12"),
        Upload("alpha", "5.0rc1", "2022-11-01", requires_python=">=3.12"),
        Upload("alpha", "5.0", "2022-11-01", requires_python=">=3.12", yanked=True),
    ],
    ids=["within a year", "after the date", "pre-release", "withdrawn"],
)
def test_only_what_could_have_been_current_counts(index, tools, newest):
    """Releases within a year, of after the date, pre-releases and withdrawn ones make no other release old."""
    index.add(Upload("alpha", "1.0", "2016-01-01"), newest)
    assert chosen(tools, "alpha", python="3.11").solution.behind == ()


def test_nothing_fits_is_told_for_every_python(index, tools):
    """The error has one line for each Python, the place of the requirement, the date, and uv's own words."""
    index.add(*alpha_for("cp38-cp38-manylinux1_x86_64"))
    with pytest.raises(LockError) as caught:
        chosen(tools, "alpha>=1")
    message = caught.value.message
    for minor in ("3.13", "3.11", "3.9"):
        assert f"Python {minor}: alpha has no wheel for Python {minor} as of {DATE}" in message
    assert "alpha>=1 stands in requirements.txt:1" in message
    assert "unsatisfiable" in message
    assert "--as-of" in caught.value.hint


# ---------------------------------------------------------------------- what builds a package
def test_build_requirements_are_dated_and_setuptools_may_know_a_later_python(index, tools):
    """They are of the date; only for a Python that came later setuptools and wheel may be younger, and that is noted."""
    index.add(Upload("setuptools", "75.0.0", "2025-01-01"), Upload("wheel", "0.45", "2025-01-01"))
    found = solve_build(asked("setuptools>=40"), TARGETS["3.11"], as_of(), tools)
    assert (versions(found.wheels), found.notes) == ({"setuptools": "65.6.3", "wheel": "0.38.4"}, ())
    found = solve_build(asked("setuptools>=40"), TARGETS["3.13"], as_of(), tools)
    assert versions(found.wheels) == {"setuptools": "75.0.0", "wheel": "0.45"}
    assert "Python 3.13 came after 2022-12-01" in found.notes[0]


def test_a_backend_that_cannot_be_had_is_told_as_such(index, tools):
    """The error says that it is the build of the repository's package that lacks something."""
    with pytest.raises(
        LockError, match=r"builds the repository's package.*[\s\S]*hatchling is not in the package index"
    ):
        solve_build(asked("hatchling"), TARGETS["3.11"], as_of(), tools)


# ---------------------------------------------------------------------- addresses
def test_building_right_after_locking_asks_the_index_nothing(index, tools):
    """The addresses of locked wheels are remembered; what lies there is what the lock promises."""
    index.add(Upload("alpha", "1.0", "2022-06-01"))
    wheels = chosen(tools, "alpha", python="3.11").solution.wheels
    index.asked.clear()
    urls = wheel_urls(wheels, tools.site, tools.store)
    assert not index.asked
    wanted = [Wanted(wheel.filename, (urls[wheel.sha256],), wheel.sha256, wheel.size) for wheel in wheels]
    tools.downloader.fetch_all(wanted, tools.store, SILENT, "")
    assert all(tools.store.archive(wheel.sha256).stat().st_size == wheel.size for wheel in wheels)


def test_another_store_asks_the_index_for_the_addresses(index, tools, tmp_path):
    """A lock from elsewhere names no host: the index of this site is asked, also for several Pythons' wheels."""
    index.add(
        *alpha_for("cp39-cp39-manylinux_2_17_x86_64"),
        Upload("beta", "1.0", "2022-06-01", requires_python="<3.10"),
    )
    wheels = chosen(tools, "alpha", "beta", python="3.9").solution.wheels
    other = Store(tmp_path / "other")
    urls = wheel_urls(wheels, tools.site, other)
    other.close()
    assert {url.rpartition("/")[2] for url in urls.values()} == {wheel.filename for wheel in wheels}


def test_addresses_of_one_index_do_not_serve_for_another(index, tools):
    """A site that changes its index does not keep on fetching from the old one."""
    wheels = chosen(tools, python="3.11").solution.wheels
    with serving(Index()) as mirror:
        moved = tools_for(mirror.url, tools.store)
        urls = wheel_urls(wheels, moved.site, tools.store)
        assert all(url.startswith(mirror.url.removesuffix("/simple")) for url in urls.values())


def test_a_wheel_that_the_index_no_longer_has_is_an_error_with_its_name(index, tools, tmp_path):
    """Changed or removed files are named, and never replaced by what is there now."""
    index.add(Upload("alpha", "1.0", "2022-06-01"))
    wheels = chosen(tools, "alpha", python="3.11").solution.wheels
    index.uploads = (*KERNEL, Upload("alpha", "1.0", "2022-06-01", requires=("pip",)))
    other = Store(tmp_path / "other")
    with pytest.raises(
        FetchError, match=r"does not have alpha-1\.0-py3-none-any\.whl with the locked content"
    ):
        wheel_urls(wheels, tools.site, other)
    index.uploads = KERNEL
    with pytest.raises(FetchError, match=r"alpha"):
        wheel_urls(wheels, tools.site, other)
    other.close()


# ---------------------------------------------------------------------- other kinds of index
def test_a_folder_on_disk_can_be_the_index(tmp_path):
    """A `file:` index with upload times works; sizes are those of its files."""
    folder = tmp_path / "simple"
    for upload in (*KERNEL, Upload("alpha", "1.0", "2022-06-01"), Upload("alpha", "2.0", "2023-01-01")):
        page = folder / upload.name
        page.mkdir(parents=True, exist_ok=True)
        (page / upload.filename).write_bytes(upload.content())
        with (page / "index.html").open("a") as stream:
            sha256 = Index()._entry(upload.filename, upload.content(), upload)["hashes"]["sha256"]
            stream.write(
                f'<a href="{upload.filename}#sha256={sha256}" data-upload-time="{upload.uploaded}T00:00:00Z">'
                f"{upload.filename}</a>\n"
            )
    store = Store(tmp_path / "store")
    wheels = chosen(tools_for(folder.as_uri(), store), "alpha", python="3.11").solution.wheels
    store.close()
    assert versions(wheels)["alpha"] == "1.0"
    for wheel in wheels:
        assert wheel.size == (folder / wheel.name / wheel.filename).stat().st_size


def test_an_index_without_sizes_is_asked_for_the_files(index, tools):
    """Where sizes are not told the wheels are fetched, and the lock has them all the same."""
    index.sizes = False
    wheels = chosen(tools, python="3.11").solution.wheels
    assert {wheel.filename: wheel.size for wheel in wheels} == {
        upload.filename: len(upload.content()) for upload in KERNEL
    }


def test_an_index_without_hashes_is_read_until_they_are_known(index, tools):
    """Where hashes are not told, the lock has those of the files themselves."""
    index.hashes = False
    wheels = chosen(tools, python="3.11").solution.wheels
    assert {wheel.filename: wheel.sha256 for wheel in wheels} == {
        upload.filename: hashlib.sha256(upload.content()).hexdigest() for upload in KERNEL
    }


def test_an_index_that_does_not_answer_may_come_back(tmp_path):
    """A server that is not there is a temporary failure."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
        store = Store(tmp_path / "store")
        with pytest.raises(LockError, match="cannot be reached") as caught:
            chosen(tools_for(url, store))
        store.close()
    assert caught.value.transient


def test_a_withdrawn_release_that_is_pinned_is_told(index, tools):
    """A pin of a withdrawn release holds, with a warning."""
    index.add(Upload("alpha", "1.0", "2022-06-01", yanked=True))
    solution = chosen(tools, "alpha==1.0", python="3.11").solution
    assert versions(solution)["alpha"] == "1.0"
    assert any("alpha==1.0" in warning and "yanked" in warning for warning in solution.notes)


# ---------------------------------------------------------------------- what must never happen
def test_nothing_is_ever_built_on_the_host(index, tools, tmp_path):
    """A source distribution whose setup.py would leave a mark leaves none, and is no answer."""
    mark = tmp_path / "executed"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in (
            ("evil-1.0/setup.py", f"open({str(mark)!r}, 'w')\n"),
            ("evil-1.0/PKG-INFO", "Metadata-Version: 1.0\nName: evil\nVersion: 1.0\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    index.sdists["evil-1.0.tar.gz"] = buffer.getvalue()
    with pytest.raises(LockError, match="evil has no wheel"):
        chosen(tools, "evil")
    assert index.asked["/simple/evil/"]
    assert not mark.exists()


def test_configuration_around_the_store_has_no_say(index, tmp_path):
    """A store below a repository's folder does not make uv obey the repository's configuration."""
    index.add(Upload("alpha", "1.0", "2022-06-01"), Upload("alpha", "2.0", "2022-06-02"))
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "uv.toml").write_text('no-index = true\n[pip]\nresolution = "lowest"\n')
    (repository / "pyproject.toml").write_text('[tool.uv.pip]\nno-index = true\nresolution = "lowest"\n')
    store = Store(repository / ".cache")
    try:
        assert (
            versions(chosen(tools_for(index.url, store), "alpha", python="3.11").solution)["alpha"] == "2.0"
        )
    finally:
        store.close()


def test_variables_that_would_decide_versions_do_not_count(index, tmp_path):
    """What is chosen depends on what the lock records, not on variables of the user's session."""
    index.add(Upload("alpha", "1.0", "2022-06-01"), Upload("alpha", "2.0", "2022-06-02"))
    pinned = tmp_path / "constraints.txt"
    pinned.write_text("alpha<2\n")
    store = Store(tmp_path / "store")
    steered = tools_for(
        index.url,
        store,
        UV_CONSTRAINT=str(pinned),
        UV_OVERRIDE=str(pinned),
        UV_EXCLUDE_NEWER="2022-06-01",
        UV_RESOLUTION="lowest",
        UV_CACHE_DIR=str(tmp_path / "elsewhere"),
        UV_WORKING_DIR=str(tmp_path),
    )
    try:
        assert versions(chosen(steered, "alpha", python="3.11").solution)["alpha"] == "2.0"
    finally:
        store.close()
    assert not Path(tmp_path / "elsewhere").exists()


def test_the_index_of_the_users_environment_counts(index, tmp_path):
    """Without an index of the site's own, the one that uv's variables name is used."""
    store = Store(tmp_path / "store")
    try:
        found = chosen(tools_for("", store, UV_DEFAULT_INDEX=index.url), python="3.11")
        assert versions(found.solution)["pip"] == "22.3.1"
    finally:
        store.close()


def test_the_index_of_the_users_configuration_counts(index, tmp_path):
    """Without an index of the site's own, the one of the user's own uv.toml is used."""
    (tmp_path / "config" / "uv").mkdir(parents=True)
    (tmp_path / "config" / "uv" / "uv.toml").write_text(f'[[index]]\nurl = "{index.url}"\ndefault = true\n')
    store = Store(tmp_path / "store")
    try:
        found = chosen(tools_for("", store, XDG_CONFIG_HOME=str(tmp_path / "config")), python="3.11")
        assert versions(found.solution)["pip"] == "22.3.1"
    finally:
        store.close()
