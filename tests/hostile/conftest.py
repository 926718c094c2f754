"""What hostile tests share: the host is looked at before and after, from outside."""

from __future__ import annotations

import os
import secrets
import time

import pytest
from host_state import differences, host_state

from reprolake_builder.sandboxes import requirements


@pytest.fixture
def untouched_host(monkeypatch, tmp_path_factory):
    """A folder of the host with canaries, which must be as before when the test is over, as must all else of this host.

    Sandboxed programs have the same user outside during the test, so that what is theirs can be found.
    """
    user = requirements.free_user() if os.geteuid() == 0 else os.geteuid()
    monkeypatch.setattr(requirements, "free_user", lambda: user)
    marker = f"canary-{secrets.token_hex(6)}"
    folder = tmp_path_factory.mktemp(marker)
    (folder / "secret").write_text("token-of-the-host")
    (folder / "empty").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    before = host_state(user, marker, [folder])
    yield folder
    deadline = time.monotonic() + 60
    while changed := differences(before, host_state(user, marker, [folder])):
        if time.monotonic() > deadline:  # the kernel itself takes a moment to clear up
            pytest.fail(f"the host is not as before: {changed}")
        time.sleep(0.05)
