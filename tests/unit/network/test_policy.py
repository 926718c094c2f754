"""What --network says, and what that allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.network.policy import entry, joined, parse, parse_inward


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("none", "none"),
        ("all", "all"),
        ("allow=b.org,a.org", "allow=a.org,b.org"),
        ("allow= A.org. , a.org,", "allow=a.org"),
        ("allow=*.B.org:8443", "allow=*.b.org:8443"),
        ("allow=bücher.example", "allow=xn--bcher-kva.example"),
        ("allow=8.8.8.8:53,[2001:4860:4860::8888]:443", "allow=8.8.8.8:53,[2001:4860:4860::8888]:443"),
    ],
)
def test_a_policy_has_one_form(said, written):
    """What means the same is written the same, and reads as what it was."""
    assert str(parse(said)) == written
    assert parse(written) == parse(said)


@pytest.mark.parametrize(
    "said",
    ["", "some", "allow", "allow=", "allow=,", "allow=*", "allow=*.*.org", "allow=a.*.org", "allow=a/b", "allow=a:0", "allow=a:65536",
     "allow=2130706433", "allow=0x7f.1", "allow=010.8.8.8", "allow=8.8", "allow=8.8.8.8.8", "allow=*.8.8", "allow=a.0x", "allow=[::ffff:010.8.8.8]",
     "allow=faß.example", "allow=a‍b.example", "allow=a:b", "allow=http://a.org", "allow=a@b", "allow=a b", "allow=[::1", "allow=-a.org", "allow=a..b", "allow=a%20", "ALL"],
)  # fmt: skip
def test_what_is_no_network_is_refused(said):
    """Anything else is refused with what is expected."""
    with pytest.raises(ValueError, match=r".+"):
        parse(said)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.0.0.1:80",
        "[::1]",
        "a.internal",
        "169.254.169.254",
    ],
)
def test_inward_addresses_are_refused_at_the_door(host):
    """An address of this host or its network cannot be allowed, unless the site opened exactly it."""
    with pytest.raises(ValueError, match="network_inward"):
        parse(f"allow={host}")
    opened = parse_inward((f"{entry(host)[0] if ':' not in entry(host)[0] else '[::1]'}:8080",))
    name = opened[0]
    assert parse(f"allow={name}", opened).refusal(entry(name)[0], 8080) == ""
    assert parse(f"allow={name}", opened).is_inward(entry(name)[0], 8080)
    assert not parse(f"allow={name}", opened).is_inward(entry(name)[0], 8081)


def test_a_site_names_a_port():
    """What a site opens is a host and a port."""
    with pytest.raises(ValueError, match="lacks a port"):
        parse_inward(("mirror.example.org",))


ALLOWED = [
    ("allow=a.org", "a.org", 443, True), ("allow=a.org", "a.org", 80, True), ("allow=a.org", "a.org", 22, False),
    ("allow=a.org", "b.a.org", 443, False), ("allow=a.org", "xa.org", 443, False), ("allow=a.org:8443", "a.org", 8443, True),
    ("allow=a.org:8443", "a.org", 443, False), ("allow=*.a.org", "b.a.org", 443, True), ("allow=*.a.org", "c.b.a.org", 443, True),
    ("allow=*.a.org", "a.org", 443, False), ("allow=*.a.org", "xa.org", 443, False),
    ("allow=a.org:22", "a.org", 22, True),
    ("all", "a.org", 443, True), ("all", "a.org", 80, True), ("all", "a.org", 8080, True), ("all", "a.org", 1094, True),
    ("all", "a.org", 22, False), ("all", "a.org", 25, False), ("all", "a.org", 465, False), ("all", "a.org", 445, False),
    ("all", "a.org", 6667, False), ("none", "a.org", 443, False),
]  # fmt: skip


@pytest.mark.parametrize(("said", "host", "port", "passes"), ALLOWED)
def test_what_is_allowed(said, host, port, passes):
    """A host is allowed by its whole name, on the web's ports or the one that was named; `all` leaves out what is no web."""
    assert (parse(said).refusal(host, port) == "") is passes


SPELLED = st.lists(
    st.sampled_from(["a", "B", "8", "0", "010", "0x7f", ".", "..", "-", "*.", ":", ":80", ":0", "[", "]", "::1", "%", "ü", "ß", "\u200d", "。"]), max_size=9
).map("".join)  # fmt: skip


@given(st.text(max_size=40) | SPELLED)
def test_hosts_are_names_or_refused(text):
    """Whatever stands for a host is refused or plain: nothing in it can end a line, a host or a header, and it reads as itself."""
    try:
        host, port = entry(text)
    except (ValueError, UnicodeError):
        return
    assert 0 <= port < 1 << 16
    assert host == host.lower()
    assert set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_:")
    assert entry(joined(host, port)) == (host, port)
