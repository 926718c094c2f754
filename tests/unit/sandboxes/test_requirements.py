"""What the sandbox needs of a host."""

from __future__ import annotations

from pathlib import Path

from reprolake_builder.sandboxes import requirements


def test_user_numbers_differ_and_are_nobodys():
    """Every sandbox gets a user number of its own, none of which has an account."""
    numbers = {requirements.free_user() for _ in range(20)}
    accounts = {int(line.split(":")[2]) for line in Path("/etc/passwd").read_text().splitlines()}
    assert len(numbers) > 1
    assert not numbers & accounts
    assert all(number > 1000 for number in numbers)


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    """Without bubblewrap the message says which package to install."""
    monkeypatch.setattr(requirements, "_PATH", "/nonexistent")
    requirements.bwrap.cache_clear()
    requirements.bwrap_missing.cache_clear()
    try:
        assert "install the package `bubblewrap`" in requirements.bwrap_missing()
    finally:
        requirements.bwrap.cache_clear()
        requirements.bwrap_missing.cache_clear()
