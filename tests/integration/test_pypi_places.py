"""Where wheels are fetched from, what kinds of index there are, and what around a resolution has no say in it."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
from pathlib import Path

import pytest
from git_repositories import command_lines
from own_index import alpha_for, chosen, tools_for, versions
from pypi_index_server import KERNEL, Index, Upload, serving

from reprolake_builder.download import Wanted
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.progress import SILENT
from reprolake_builder.solvers.pypi_urls import wheel_urls
from reprolake_builder.store import Store


@pytest.fixture
def index():
    with serving(Index()) as served:
        yield served


@pytest.fixture
def tools(tmp_path, index):
    store = Store(tmp_path / "store")
    yield tools_for(index.url, store)
    store.close()


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


def test_the_login_of_an_index_is_in_no_list_of_processes(tmp_path, index):
    """An index that asks for a login is reached with it, and no other user of the host can read it meanwhile."""
    watched: set[bytes] = set()
    index.watch = lambda: watched.update(command_lines())
    tools = tools_for(index.url.replace("://", "://jane:s3cret-word@"), Store(tmp_path / "store"))
    assert chosen(tools, "wheel").solution.wheels
    assert any(b"pip\0compile" in line for line in watched)
    assert not [line for line in watched if b"s3cret" in line]
