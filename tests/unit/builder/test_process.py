"""What programs say reaches people clean."""

from __future__ import annotations

import sys

from reprolake_builder.process import run


def test_the_line_ends_of_other_systems_leave_no_marks():
    """Programs such as ssh end their lines with CR LF; the last words of a program are told without replacement characters for them."""
    script = r"import sys; sys.stderr.buffer.write(b'refused\r\nnot\x1b[2J allowed\r\n')"
    assert (
        run([sys.executable, "-c", script], env={}).tail == "refused\nnot\N{REPLACEMENT CHARACTER}[2J allowed"
    )
