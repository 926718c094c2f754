"""A release counts only when Debian signed it, for the suite that was asked for, and when it is still valid."""

from datetime import UTC, datetime

import pysequoia
import pytest

from reprolake_builder.errors import LockError
from reprolake_builder.solvers.debian_archive import read_release
from reprolake_builder.solvers.debian_signatures import KEYRING

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
INDEX = f"SHA256:\n {'a' * 64} 123 main/binary-amd64/Packages.xz\n"
GOOD = f"Codename: bookworm\nDate: Sat, 31 Jan 2026 08:00:00 UTC\nValid-Until: Sun, 01 Feb 2026 08:00:00 UTC\n{INDEX}"


@pytest.fixture(scope="module")
def key():
    """A signing key of our own."""
    return pysequoia.Tsk.generate("Archive <archive@example.org>")


@pytest.fixture(scope="module")
def keyring(key, tmp_path_factory):
    """A keyring that holds that key alone."""
    path = tmp_path_factory.mktemp("keys") / "keyring.asc"
    path.write_bytes(bytes(key.extract_certificate()))
    return path


def signed(key, text: str) -> bytes:
    """Return the text with a signature around it, as InRelease files are."""
    return pysequoia.sign(key.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR)


def read(data: bytes, keyring):
    """Read a release as that of bookworm."""
    return read_release(data, "debian", "bookworm", "the release", NOW, keyring)


def test_a_signed_release_is_read(key, keyring):
    """Date, signer, own hash and the index's size and hash come out of it."""
    release = read(signed(key, GOOD), keyring)
    assert release.index == (123, "a" * 64)
    assert release.signed.date == datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
    assert release.signed.suite == "bookworm"
    assert len(release.signed.signed_by) == 1


def test_a_release_without_an_end_is_valid(key, keyring):
    """A stable suite, and one that has ended, tells no last day: there is nothing to be past."""
    assert read(signed(key, GOOD.replace("Valid-Until", "X-Other")), keyring).index[0] == 123


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("Codename: bookworm", "Codename: trixie", "is the release of trixie, not of bookworm"),
        ("Codename: bookworm", "Suite: bookworm", "is the release of nothing"),
        ("01 Feb 2026 08:00:00", "31 Jan 2026 11:59:59", "was valid until"),
        ("Date: Sat, 31 Jan 2026", "Date: Mon, 02 Feb 2026", "later than this host's clock"),
        ("Date: Sat, 31 Jan 2026 08:00:00 UTC", "Date: once", "where a date should be"),
        ("binary-amd64", "binary-arm64", "does not hold packages for amd64"),
    ],
)
def test_a_release_that_does_not_fit_is_refused(key, keyring, before, after, message):
    """Signed is not enough: suite, dates and architecture have to be those wanted."""
    with pytest.raises(LockError, match=message):
        read(signed(key, GOOD.replace(before, after)), keyring)


def test_a_changed_release_is_refused(key, keyring):
    """One other byte, and the signature does not hold; the message is one line."""
    with pytest.raises(LockError, match="is not signed by Debian") as raised:
        read(signed(key, GOOD).replace(b" 123 ", b" 124 "), keyring)
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("data", [b"", GOOD.encode(), b"-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n"])
def test_an_unsigned_release_is_refused(keyring, data):
    """Text without a signature is nobody's word."""
    with pytest.raises(LockError, match="is not signed by Debian"):
        read(data, keyring)


def test_another_key_does_not_count(key):
    """A good signature by a key that is not shipped is refused."""
    with pytest.raises(LockError, match="is not signed by Debian"):
        read(signed(key, GOOD), KEYRING)


def test_text_around_the_signed_part_is_not_read(key, keyring):
    """Lines before and after the signed message say nothing."""
    forged = GOOD.replace("a" * 64, "b" * 64).encode()
    data = forged + signed(key, GOOD) + b"\n" + forged
    assert read(data, keyring).index[1] == "a" * 64
