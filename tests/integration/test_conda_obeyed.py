"""Lock files of conda's tools are obeyed: what they pin is what the lock has, whatever is newer."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from conda_channel import MAIN
from conda_sets import solved, with_channels
from source_trees import source_tree

from reprolake_builder.detect import detect
from reprolake_builder.documents.lock import CondaInterpreter
from reprolake_builder.errors import FetchError, LockError
from reprolake_builder.lock import LockOptions, lock

NOW = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def tools(session):
    """The tests' channels."""
    return with_channels(session.tools)


@pytest.fixture(scope="module")
def chosen(tools):
    """A set of packages with an older timely in it."""
    return solved(tools, "python=3.11", "ipykernel", "timely=1.0", "legacy")


def address(tools):
    """Where the channel is, as files of other tools name it."""
    return tools.site.conda.channels[MAIN][0]


def explicit(packages, tools, *, sums="md5"):
    """The text of an explicit file."""
    lines = ["# platform: linux-64", "@EXPLICIT"]
    for package in packages:
        digest = package.md5 if sums == "md5" else f"sha256:{package.sha256}"
        lines.append(f"{address(tools)}/{package.subdir}/{package.filename}#{digest}")
    return "".join(f"{line}\n" for line in lines)


def locked(folder, files, tools, **options):
    """The lock of a repository with these files."""
    tree = source_tree(folder, files)
    return lock(tree, detect(tree), LockOptions(now=NOW, **options), tools)


@pytest.mark.parametrize("sums", ["md5", "sha256"])
def test_an_explicit_file_is_the_lock(tmp_path, tools, chosen, sums):
    """Every package of the file and no other, by alias, size and both hashes; the addresses of the file do not stay."""
    made = locked(tmp_path, {"spec-file.txt": explicit(chosen.packages, tools, sums=sums)}, tools)
    named = [(one.filename, one.sha256, one.md5, one.size, one.channel) for one in made.conda.packages]
    assert named == [(one.filename, one.sha256, one.md5, one.size, MAIN) for one in chosen.packages]
    assert (made.conda.obeyed, made.added, made.wheels) == ("spec-file.txt", (), ())
    assert isinstance(made.interpreter, CondaInterpreter)
    assert "timely-1.0-py_1.conda" in {one.filename for one in made.conda.packages}
    by_name = {one.name: one for one in made.conda.packages}
    assert by_name["timely"].noarch == "python"
    assert by_name["timely"].depends == ("python >=3",)


def test_what_is_not_what_the_file_says_is_refused(tmp_path, tools, chosen):
    """Other bytes, another package behind a name, and a package that is nowhere end the lock."""
    text = explicit(chosen.packages, tools)
    legacy = next(one for one in chosen.packages if one.name == "legacy")
    with pytest.raises(FetchError, match="MD5"):
        locked(tmp_path / "a", {"spec-file.txt": text.replace(legacy.md5, "0" * 32)}, tools)
    with pytest.raises(FetchError):
        locked(tmp_path / "b", {"spec-file.txt": text.replace("legacy-0.9", "legacy-9.9")}, tools)
    with pytest.raises(LockError, match="none of this site's"):
        locked(tmp_path / "c", {"spec-file.txt": text.replace(address(tools), "file:///etc")}, tools)


def test_one_package_must_not_come_twice(tmp_path, tools, chosen):
    """A file that pins two packages of one name is no lock."""
    text = explicit(chosen.packages, tools)
    other = f"{address(tools)}/noarch/timely-2.0-py_0.conda"
    data = tools.downloader.get(other)
    text += f"{other}#{hashlib.md5(data).hexdigest()}\n"
    with pytest.raises(LockError, match="timely twice"):
        locked(tmp_path, {"spec-file.txt": text}, tools)


def test_a_lock_without_a_python_is_told(tmp_path, tools, chosen):
    """Packages without a Python make no environment."""
    only = [one for one in chosen.packages if one.name == "legacy"]
    with pytest.raises(LockError, match="no Python"):
        locked(tmp_path, {"spec-file.txt": explicit(only, tools)}, tools)


def test_the_python_of_a_lock_cannot_be_changed(tmp_path, tools, chosen):
    """`--python` and a lock contradict each other."""
    with pytest.raises(LockError, match="--python"):
        locked(tmp_path, {"spec-file.txt": explicit(chosen.packages, tools)}, tools, python="3.9")
