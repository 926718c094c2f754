"""Failures as texts: what opens doors does not stand in them."""

from __future__ import annotations

import pytest

from reprolake_builder.errors import FetchError, without_logins


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://jane:s3cret@h.org/a answers 403", "https://***@h.org/a answers 403"),
        ("see http://t0ken@h.org/ and HTTPS://t0ken@h.org", "see http://***@h.org/ and HTTPS://***@h.org"),
        ("socks5://u:p@proxy:1080", "socks5://***@proxy:1080"),
        ("https://s3.h.org/x?a=1&X-Amz-Signature=abc&b=2", "https://s3.h.org/x?a=1&X-Amz-Signature=***&b=2"),
        ("ssh://git@h.org/a.git and git@h.org:a.git stay", "ssh://git@h.org/a.git and git@h.org:a.git stay"),
        ("https://h.org/@me/a@v1 stays", "https://h.org/@me/a@v1 stays"),
    ],
)
def test_logins_are_left_out(text, shown):
    """USER:PASSWORD and signed queries of URLs are left out of message and hint; addresses stay recognisable."""
    error = FetchError(text, hint=text)
    assert (error.message, error.hint, str(error), without_logins(text)) == (shown,) * 4
    assert error.__notes__ == [f"hint: {shown}"]
