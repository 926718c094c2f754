"""conda-lock itself: it locks the same packages, installs what is exported, and what it writes is obeyed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import rattler
from conda_channel import MAIN
from conda_sets import with_channels
from pypi_index_server import Index, Upload, serving
from source_trees import source_tree
from tools import tool_folder

from reprolake_builder.conda.lock_formats import read_conda_lock, read_explicit, read_pixi_lock
from reprolake_builder.detect import detect
from reprolake_builder.download import Downloader
from reprolake_builder.errors import LockError
from reprolake_builder.export.conda import conda_lock, explicit, pixi
from reprolake_builder.lock import LockOptions, lock

NOW = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def tools(session):
    """The tests' channels."""
    return with_channels(session.tools)


@pytest.fixture(scope="module")
def declared(tools):
    """An environment.yml that names the channel by its address, as it has to be for conda-lock here."""
    place = tools.site.conda.channels[MAIN][0]
    return f"channels: ['{place}', nodefaults]\ndependencies:\n- python=3.11\n- numpy\n- ipykernel\n- timely=1.0\n"


@pytest.fixture(scope="module")
def made(tools, declared, tmp_path_factory):
    """Reprolake's lock of it."""
    tree = source_tree(tmp_path_factory.mktemp("made"), {"environment.yml": declared})
    return lock(tree, detect(tree), LockOptions(now=NOW, as_of="now"), tools)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs conda-lock with the stand-in for conda."""
    programs = tool_folder("conda-lock")
    folder = tmp_path_factory.mktemp("conda")
    stand_in = folder / "conda"
    script = Path(__file__).parent.parent / "conda_stand_in.py"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    stand_in.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PIP_INDEX_URL": os.environ.get("PIP_INDEX_URL", ""),
    }

    def conda_lock(*arguments) -> None:
        done = subprocess.run(
            [programs / "conda-lock", *map(str, arguments), "--conda", stand_in],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return conda_lock


def test_conda_lock_chooses_the_same_packages(run, made, declared, tools, tmp_path):
    """From one environment.yml both lock the same archives, and what conda-lock has written is obeyed by us."""
    (tmp_path / "environment.yml").write_text(declared)
    written = tmp_path / "conda-lock.yml"
    machine = tmp_path / "machine.yml"
    machine.write_text("subdirs:\n  linux-64:\n    packages:\n      __glibc: '2.36'\n      __linux: '5.10'\n")
    run(
        "lock",
        "-f",
        tmp_path / "environment.yml",
        "-p",
        "linux-64",
        "--lockfile",
        written,
        "--virtual-package-spec",
        machine,
    )
    theirs = read_conda_lock(written.read_text(), "conda-lock.yml")
    assert {pin.filename: pin.sha256 for pin in theirs.pins} == {
        package.filename: package.sha256 for package in made.conda.packages
    }
    files = {"environment.yml": declared, "conda-lock.yml": written.read_text()}
    tree = source_tree(tmp_path / "tree", files)
    obeyed = lock(tree, detect(tree), LockOptions(now=NOW, as_of="now"), tools)
    assert obeyed.conda.obeyed == "conda-lock.yml"
    assert [one.sha256 for one in obeyed.conda.packages] == [one.sha256 for one in made.conda.packages]
    assert [one.requested for one in obeyed.conda.packages] == [one.requested for one in made.conda.packages]


def test_conda_lock_installs_what_is_exported(run, declared, tools, tmp_path):
    """conda-lock takes our file, and the environment that it makes has our packages, pip's among them, and works."""
    with serving(Index().add(Upload("alpha", "1.0", "2022-06-01"))) as index:
        site = replace(tools.site, index_url=index.url)
        tools = replace(tools, site=site, downloader=Downloader(site))
        tree = source_tree(tmp_path / "tree", {"environment.yml": f"{declared}- pip\n- pip:\n  - alpha\n"})
        both = lock(tree, detect(tree), LockOptions(now=NOW, as_of="now"), tools)
        exported = tmp_path / "conda-lock.yml"
        exported.write_text(conda_lock(both, tools))
        run("install", "--prefix", tmp_path / "prefix", exported)
    installed = [json.loads(path.read_text()) for path in (tmp_path / "prefix/conda-meta").glob("*.json")]
    assert {one["fn"]: one["sha256"] for one in installed} == {
        package.filename: package.sha256 for package in both.conda.packages
    }
    program = "import numpy, timely; from importlib.metadata import version; print(timely.VERSION, version('alpha'))"
    done = subprocess.run(
        [tmp_path / "prefix/bin/python", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1.0 1.0\n"
    assert [wheel.name for wheel in both.wheels] == ["alpha"]


def test_what_is_exported_reads_back(made, tools):
    """Each format, read by our own readers, pins the archives of the lock."""
    wanted = {package.filename: (package.sha256, package.md5) for package in made.conda.packages}
    for read, text in ((read_conda_lock, conda_lock(made, tools)), (read_pixi_lock, pixi(made, tools))):
        found = read(text, "the.file")
        assert {pin.filename: (pin.sha256, pin.md5) for pin in found.pins} == wanted
    listed = read_explicit(explicit(made, tools), "the.file")
    assert {pin.filename: pin.md5 for pin in listed.pins} == {name: md5 for name, (_, md5) in wanted.items()}


def test_pixis_own_library_reads_the_exported_lock(made, tools, tmp_path):
    """rattler, which pixi is made of, finds every package with its hashes and its dependencies."""
    (tmp_path / "pixi.lock").write_text(pixi(made, tools))
    environment = rattler.LockFile.from_path(tmp_path / "pixi.lock").default_environment()
    (platform,) = environment.platforms()
    records = environment.conda_repodata_records_for_platform(platform)
    assert {
        record.file_name: (record.sha256.hex(), record.size, tuple(record.depends)) for record in records
    } == {
        package.filename: (package.sha256, package.size, package.depends) for package in made.conda.packages
    }


@pytest.mark.parametrize("place", ["", "https://mirror.example/main"])
def test_what_pixis_own_library_writes_is_read(made, tools, tmp_path, place):
    """A pixi.lock as rattler writes it, for a channel on the web and for one in a folder, pins the archives of the lock."""
    folder = tools.site.conda.channels[MAIN][0]
    written = rattler.LockFile([rattler.LockPlatform("linux-64")])
    written.set_channels("default", [rattler.LockChannel(place or folder)])
    channel = rattler.Channel(place or folder)
    for subdir in ("linux-64", "noarch"):
        index = Path(folder.removeprefix("file://")) / subdir / "repodata.json"
        wanted = {package.filename for package in made.conda.packages if package.subdir == subdir}
        for record in rattler.SparseRepoData(channel, subdir, index).load_all_records():
            if record.file_name in wanted:
                written.add_conda_package("default", rattler.LockPlatform("linux-64"), record)
    written.to_path(tmp_path / "pixi.lock")
    found = read_pixi_lock((tmp_path / "pixi.lock").read_text(), "pixi.lock")
    assert {(pin.channel, pin.subdir, pin.filename, pin.sha256, pin.size) for pin in found.pins} == {
        (place or folder, package.subdir, package.filename, package.sha256, package.size)
        for package in made.conda.packages
    }


def test_addresses_are_this_sites_without_logins(made, tools):
    """What is exported names the site's own addresses, and no token or password in them."""
    place = "https://jane:word@mirror.example/t/ab-12345/main"
    conda = replace(tools.site.conda, channels={MAIN: (place,)})
    elsewhere = replace(tools, site=replace(tools.site, conda=conda))
    for write in (conda_lock, explicit, pixi):
        text = write(made, elsewhere)
        assert "https://mirror.example/main/noarch/timely-1.0" in text
        assert "word" not in text
        assert "ab-12345" not in text


def test_a_lock_without_conda_has_no_such_form(made, tools):
    """Locks of wheels alone are exported otherwise, and the error says how."""
    plain = msgspec.structs.replace(made, conda=None)
    with pytest.raises(LockError) as caught:
        conda_lock(plain, tools)
    assert "pylock" in caught.value.hint
