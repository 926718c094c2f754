"""What a lock says in words stays words in the files of other tools, whoever wrote the lock."""

from __future__ import annotations

import msgspec
import pytest
from hostile_locks import LOCK, SOURCE

from reprolake_builder.documents.conda import CondaLock
from reprolake_builder.documents.lock import BuiltWheelLock, GitOrigin, RepositoryOrigin
from reprolake_builder.download import Downloader
from reprolake_builder.export.conda import conda_lock, explicit, pixi
from reprolake_builder.export.requirements import requirements
from reprolake_builder.site import Site
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools


@pytest.fixture
def tools(tmp_path):
    site = Site(archives={})
    opened = Store(tmp_path / "store")
    yield Tools(opened, site, Downloader(site))
    opened.close()


def _built(origin):
    return BuiltWheelLock(
        name="own",
        version="1.0",
        filename="own-1.0-py3-none-any.whl",
        size=1,
        sha256="5" * 64,
        origin=origin,
        build_requirements=(),
        variables={},
        files={},
    )


@pytest.mark.parametrize("end", ["\n", "\r", "\x85", "\u2028"])
def test_no_requirement_hides_in_an_address(tools, end):
    """The address of a repository, or a path in it, takes one line of requirements.txt, whatever line breaks are in it."""
    origins = (
        GitOrigin(source=msgspec.structs.replace(SOURCE, url=f"https://example.org/x{end}other==1.0 #")),
        RepositoryOrigin(path=f"x{end}other==1.0 #"),
    )
    for origin in origins:
        lock = msgspec.structs.replace(LOCK, wheels=(), built=(_built(origin),))
        lines = requirements(lock, tools).splitlines()
        assert not [line for line in lines if line.startswith("other")]


@pytest.mark.parametrize("form", [conda_lock, explicit, pixi])
def test_no_package_hides_in_the_words_for_a_date(tools, form):
    """What a lock says of its date takes one line of a comment, whatever line breaks are in it."""
    conda = CondaLock(channels=(), virtual_packages=(), packages=())
    lock = msgspec.structs.replace(
        LOCK, wheels=(), conda=conda, as_of_is="a day\nhttps://example.org/other-1.0-0.conda"
    )
    assert not [line for line in form(lock, tools).splitlines() if line.startswith("https:")]
