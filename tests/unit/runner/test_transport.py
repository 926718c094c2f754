"""How a kernel is reached, by what is known of it."""

from __future__ import annotations

import pytest

from reprolake_runner.transport import connection_facts, transport_of

OURS = {"reprolake": {"transport": "tcp"}}


@pytest.mark.parametrize(
    ("argv", "metadata", "asked", "found"),
    [
        (["python3", "-m", "ipykernel_launcher", "-f", "{connection_file}"], {}, "auto", "ipc"),
        (["ijskernel", "{connection_file}"], {}, "auto", "tcp"),
        (["/usr/local/bin/tslab", "kernel"], {}, "auto", "tcp"),
        (["/usr/bin/node", "/usr/lib/node_modules/ijavascript/lib/kernel.js"], {}, "auto", "tcp"),
        (["python3", "-c", "tslab"], {}, "auto", "ipc"),
        (["mine"], OURS, "auto", "tcp"),
        (["mine"], OURS, "ipc", "ipc"),
        (["mine"], {}, "tcp", "tcp"),
        (["gophernotes"], {"reprolake": {"transport": "ipc"}}, "auto", "ipc"),
        (["mine"], {"reprolake": "tcp"}, "auto", "ipc"),
        (["mine"], {"reprolake": {"transport": ["tcp"]}}, "auto", "ipc"),
        (["mine"], {"reprolake": {"transport": "udp"}}, "auto", "ipc"),
        ([], {}, "auto", "ipc"),
    ],
)
def test_what_is_asked_for_wins_then_the_specification_then_what_is_known(argv, metadata, asked, found):
    """The user's word counts first, the kernel's own next, then the list of those that cannot do otherwise."""
    assert transport_of(argv, metadata, asked) == found


def test_ports_of_both_kinds_stand_in_one_order():
    """The sockets that stand in for ports are numbered as the ports are listed."""
    tcp, ipc = connection_facts("tcp", "/x/k"), connection_facts("ipc", "/x/k")
    names = [name for name in tcp if name.endswith("_port")]
    assert sorted(names, key=tcp.__getitem__) == sorted(names, key=ipc.__getitem__)
    assert (tcp["ip"], ipc["ip"]) == ("127.0.0.1", "/x/k")
