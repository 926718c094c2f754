"""`reprolake export`: other tools take what it writes, and it says the same as the lock."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest
from packaging.pylock import Pylock
from pypi_index_server import Index, Upload, serving
from tools import tool_folder
from uv import find_uv_bin

from reprolake.options import load_options
from reprolake_builder.documents.base import decode
from reprolake_builder.documents.lock import EnvironmentLock, WheelLock
from reprolake_builder.download import Downloader
from reprolake_builder.export.pylock import pylock
from reprolake_builder.solvers.pypi_target import TARGETS
from reprolake_builder.solvers.pypi_uv import Question, Uv
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

_CYCLONEDX = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)
"""
_SPDX = """
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
messages = validate_full_spdx_document(parse_file(sys.argv[1]))
sys.exit("\\n".join(message.validation_message for message in messages) or 0)
"""


@pytest.fixture(scope="module")
def lock(reprolake, tmp_path_factory) -> Path:
    """A lock with wheels, a package that is built from an sdist, and the repository's own package."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "repo").mkdir()
    (folder / "repo" / "runtime.txt").write_text("python-3.11\n")
    (folder / "repo" / "pyproject.toml").write_text(
        '[project]\nname = "mine"\nversion = "1.0"\ndependencies = ["docopt==0.6.2", "attrs"]\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[tool.hatch.build.targets.wheel]\ninclude = ["mine.py"]\n'
    )
    (folder / "repo" / "mine.py").write_text("ONE = 1\n")
    done = reprolake("lock", folder / "repo", "--as-of", "2026-01-01", "-o", folder / "a.lock")
    assert done.returncode == 0, done.stderr
    return folder / "a.lock"


@pytest.fixture
def exported(reprolake, lock, tmp_path):
    """What exports the lock: `exported(FORMAT, NAME)` returns the file."""

    def export(form: str, name: str) -> Path:
        done = reprolake("export", lock, "--format", form, "-o", tmp_path / name)
        assert done.returncode == 0, done.stderr
        return tmp_path / name

    return export


@pytest.mark.parametrize(("form", "validator"), [("sbom", _CYCLONEDX), ("spdx", _SPDX)])
def test_bills_of_materials_are_valid(exported, form, validator):
    """The validators of CycloneDX and SPDX themselves find no fault."""
    bill = exported(form, f"bill.{'spdx' if form == 'spdx' else 'cdx'}.json")
    python = tool_folder("bills") / "python"
    done = subprocess.run(
        [python, "-W", "ignore", "-c", validator, bill], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("form", "validator"), [("sbom", _CYCLONEDX), ("spdx", _SPDX)])
def test_a_validator_finds_faults(exported, form, validator):
    """The same validators refuse a bill with a field of the wrong kind."""
    bill = exported(form, f"bill.{'spdx' if form == 'spdx' else 'cdx'}.json")
    content = json.loads(bill.read_text())
    content["packages" if form == "spdx" else "components"] = [{"name": 1}]
    bill.write_text(json.dumps(content))
    python = tool_folder("bills") / "python"
    assert subprocess.run([python, "-c", validator, bill], capture_output=True, check=False).returncode != 0


def test_a_bill_lists_every_package_once(exported, lock):
    """Every archive of the lock stands in the bill with its hash, what is only for builds marked as such."""
    pinned = decode(lock.read_bytes(), EnvironmentLock)
    components = json.loads(exported("sbom", "bill.json").read_text())["components"]
    by_hash = {item["hashes"][0]["content"]: item for item in components}
    assert len(by_hash) == len(components)
    for deb in (*pinned.debian.base, *pinned.debian.extra):
        assert by_hash[deb.sha256]["purl"].startswith(f"pkg:deb/debian/{deb.name.replace('+', '%2B')}@")
    for wheel in pinned.wheels:
        assert by_hash[wheel.sha256]["scope"] == "required"
    (docopt,) = pinned.built
    assert by_hash[docopt.sha256]["properties"][1]["value"] == "docopt-0.6.2.tar.gz"
    assert {item["name"] for item in components if item["scope"] == "excluded"} >= {"hatchling"}


def test_bills_do_not_depend_on_when_they_are_written(exported):
    """The same lock gives the same bytes each time."""
    assert exported("spdx", "a.json").read_bytes() == exported("spdx", "b.json").read_bytes()
    assert exported("sbom", "a.json").read_bytes() == exported("sbom", "b.json").read_bytes()


@pytest.mark.parametrize("form", ["requirements", "pylock"])
def test_uv_installs_what_the_lock_names(exported, lock, tmp_path, form):
    """Uv takes the file and would install exactly the lock's wheels, and the sdist with its hash."""
    pinned = decode(lock.read_bytes(), EnvironmentLock)
    file = exported(form, "pylock.toml" if form == "pylock" else "requirements.txt")
    folder = tmp_path / "project"
    folder.mkdir()
    file = file.rename(folder / file.name)
    (folder / "pyproject.toml").write_bytes((lock.parent / "repo" / "pyproject.toml").read_bytes())
    uv = os.fsdecode(find_uv_bin())
    subprocess.run([uv, "venv", "-q", "--python", "3.11", tmp_path / "env"], check=True)
    hashes = [] if form == "pylock" else ["--require-hashes", "--no-deps"]
    done = subprocess.run(
        [uv, "pip", "install", "--dry-run", "--python", tmp_path / "env/bin/python", *hashes, "-r", file],
        capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    planned = {
        line.strip(" +").partition(" @ ")[0] for line in done.stderr.splitlines() if line.startswith(" + ")
    }
    expected = {f"{wheel.name}=={wheel.version}" for wheel in (*pinned.wheels, *pinned.built)}
    assert {name for name in planned if not name.startswith("mine")} == expected


def test_a_pylock_follows_its_specification(exported):
    """The reference implementation of the specification reads it."""
    read = Pylock.from_dict(tomllib.loads(exported("pylock", "pylock.toml").read_text()))
    assert {str(package.name) for package in read.packages} >= {"docopt", "attrs", "mine"}


def test_no_login_gets_into_an_export(lock, tmp_path):
    """An index that is configured with a password gives addresses without it."""
    demo = Upload("demo", "1.0", "2022-01-01")
    with serving(Index(uploads=(demo,)), login="jane:s3cret-word") as index:
        address = index.url.replace("://", "://jane:s3cret-word@")
        site = load_options(
            {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REPROLAKE_INDEX_URL": address}
        ).site
        tools = Tools(Store(tmp_path / "store"), site, Downloader(site))
        (wheel,) = Uv(site, tools.store).resolve(Question(("demo",)), TARGETS["3.11"]).packages["demo"].wheels
        pin = WheelLock(
            name="demo", version="1.0", filename=wheel.filename, size=wheel.size or 0, sha256=wheel.sha256
        )
        one = msgspec.structs.replace(
            decode(lock.read_bytes(), EnvironmentLock), wheels=(pin,), built=(), project=None
        )
        text = pylock(one, tools)
    assert f'url = "{index.url.partition("/simple")[0]}' in text
    assert "s3cret" not in text
    assert "jane" not in text


def test_an_unknown_format_is_named(reprolake, lock):
    """A format that does not exist is refused with the list of those that do."""
    done = reprolake("export", lock, "--format", "pipfile")
    assert done.returncode == 2
    assert "pylock" in done.stderr
