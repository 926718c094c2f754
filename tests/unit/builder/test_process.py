"""Running programs: what they print is bounded, and what they leave behind does not keep us waiting."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from reprolake_builder import process


def python(code: str, **more):
    return process.run([sys.executable, "-c", code], env={}, **more)


def test_output_complaints_input_and_status_are_returned():
    """What goes in is read, and what comes out of both pipes is kept apart."""
    code = "import sys; sys.stdout.write(sys.stdin.read()); sys.stderr.write('no'); sys.exit(3)"
    done = python(code, stdin=b"x" * 300_000)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"x" * 300_000, b"no")


def test_complaints_are_shown_without_colours():
    """Colours are left out of what is shown; what else drives a terminal is made visible."""
    done = python("import sys; sys.stderr.write('\x1b[31mFATAL:\x1b[0m no \x1b]52;c;x')")
    assert done.tail == "FATAL: no \N{REPLACEMENT CHARACTER}]52;c;x"


def test_a_program_that_talks_without_end_is_ended(monkeypatch):
    """A program that prints for ever is killed, and the memory holds no more than the limit."""
    monkeypatch.setattr(process, "_MOST", 1 << 20)
    done = python("import os\nwhile True: os.write(1, bytes(65536))", timeout=60)
    assert done.returncode == -9
    assert done.stdout == b""
    assert "more than 1 MiB" in done.tail


def test_of_endless_complaints_the_end_is_kept(monkeypatch):
    """Of what a program complains about only the end is kept."""
    monkeypatch.setattr(process, "_KEPT", 1000)
    done = python(
        "import sys\nfor n in range(100000): sys.stderr.write('noise\\n')\nsys.stderr.write('the end')"
    )
    assert done.stderr.endswith(b"the end")
    assert len(done.stderr) <= 70_000


def test_a_program_that_takes_too_long_is_ended():
    """Time is up for the program and not for us."""
    begun = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        python("import time; time.sleep(600)", timeout=0.2)
    assert time.monotonic() - begun < 100


def test_who_does_not_read_is_no_failure():
    """A program that ends without reading its input has its reasons."""
    assert python("", stdin=b"x" * 1_000_000).returncode == 0


def test_a_program_that_fills_the_disk_is_ended(monkeypatch, tmp_path):
    """A server that makes a program write without end is stopped at the limit, or where that finds a program just started."""
    monkeypatch.setattr(process, "_LARGEST_FILE", 4 << 20)
    file = tmp_path / "file"
    done = process.run(["dd", "if=/dev/zero", f"of={file}", "bs=65536", "count=65536"], env={}, timeout=60)
    assert done.returncode == -25
    assert "more than 4 MiB" in done.tail
    assert file.stat().st_size < 1 << 30
