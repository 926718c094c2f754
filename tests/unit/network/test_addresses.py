"""Which addresses are of this host or its network, in all the ways that they can be written."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.network.addresses import why_inward

INWARD = (
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254",
    "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%lo", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1",
    "2002:7f00:1::1", "2002:a00:1::", "2001:0:7f00:1::", "no address", "",
)  # fmt: skip


@pytest.mark.parametrize("text", INWARD)
def test_addresses_in_here_are_known(text):
    """Loopback, private, link-local, multicast and reserved ones, also inside of IPv6 addresses, are not for sandboxes."""
    assert why_inward(text)


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public_addresses_are_open(text):
    """Addresses of the public Internet are none of these."""
    assert why_inward(text) == ""


def test_own_addresses_are_inward():
    """An address of this host is one, whatever its kind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.connect(("192.0.2.1", 9))  # sends nothing: it chooses an address of ours
        except OSError:
            pytest.skip("this host has no network")
        assert why_inward(one.getsockname()[0])


@pytest.mark.engine("bubblewrap")
def test_a_public_address_of_this_host_is_its_own():
    """A public address that this host has leads to its own services, past any wall before it: it is refused, and its neighbours are not."""
    if not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("ip and unshare are needed for a network with such an address")
    source = "from reprolake_builder.network.addresses import why_inward\nprint(why_inward('8.8.4.4'), why_inward('8.8.4.5'))"
    script = 'ip link set lo up && ip address add 8.8.4.4/32 dev lo && exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script, "-", sys.executable, "-c", source],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "an address of this host \n", done.stderr


def test_in_doubt_an_address_is_this_hosts():
    """When no socket can be had to find out, nothing is taken for an address of somebody else."""
    source = (
        "import resource\n"
        "from reprolake_builder.network.addresses import why_inward\n"
        "assert why_inward('8.8.8.8') == ''\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "print(why_inward('8.8.8.8'))\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.stdout == "an address of this host\n"


@given(st.ip_addresses(v=4))
def test_ipv6_hides_no_ipv4(address):
    """An address that is refused is refused in each of its IPv6 forms, too."""
    if not why_inward(str(address)):
        return
    number = int(address)
    for hidden in (
        0xFFFF << 32 | number,
        int(ipaddress.IPv6Address("64:ff9b::")) | number,
        0x2002 << 112 | number << 80,
    ):
        assert why_inward(str(ipaddress.IPv6Address(hidden)))
