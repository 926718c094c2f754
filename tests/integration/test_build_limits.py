"""Builds from source that want more than they may have."""

from __future__ import annotations

import shutil

import pytest
from conftest import SAMPLES

from reprolake.pipeline import Request, obtain_lock
from reprolake_builder.engines import attending
from reprolake_builder.errors import ReprolakeError
from reprolake_builder.sandboxes import cgroups

pytestmark = pytest.mark.engine("bubblewrap")


@pytest.mark.parametrize("megabytes", [300, 3000])
def test_a_build_that_fills_memory_is_ended(session, tmp_path, monkeypatch, megabytes):
    """A setup.py that takes more memory than a build gets is told of with the amount; with more it goes through."""
    if "memory" not in cgroups.places():
        pytest.skip("this host has no control groups for us")
    monkeypatch.setattr(attending, "available_memory", lambda: megabytes * 10 // 9 << 20)
    repository = tmp_path / f"repository-{megabytes}"
    shutil.copytree(SAMPLES / "setup-py-package", repository)
    setup = repository / "setup.py"
    hog = f"kept = [bytearray(b'x' * (10 << 20)) for _ in range(60)]  # {megabytes}\n"
    setup.write_text(hog + setup.read_text())
    request = Request(link=str(repository))
    if megabytes > 1000:
        assert obtain_lock(request, session).lock.project is not None
    else:
        with pytest.raises(ReprolakeError, match=r"ran out of memory: more than \d+ MiB"):
            obtain_lock(request, session)
