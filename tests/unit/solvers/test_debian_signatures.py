"""A signature counts when its key was valid on the day that it was made; where none counts, the message says why."""

import base64
import time
from datetime import UTC, datetime, timedelta

import pysequoia
import pytest

from reprolake_builder.errors import LockError
from reprolake_builder.solvers.debian_signatures import KEYRING, verified

TEXT = "Codename: bookworm\n"


def signed(key, text: str = TEXT) -> bytes:
    """Return the text with a signature around it, as InRelease files are."""
    return pysequoia.sign(key.signer(), text.encode(), mode=pysequoia.SignatureMode.CLEAR)


def unarmored(block: bytes) -> bytes:
    """Return what stands in an armored block, but for its lines of header and checksum."""
    lines = block.split(b"\n\n", 1)[1].splitlines()
    return base64.b64decode(b"".join(line for line in lines if not line.startswith((b"=", b"-"))))


@pytest.fixture
def key():
    """A key of our own."""
    return pysequoia.Tsk.generate("Archive Key (9/old) <archive@example.org>")


@pytest.fixture
def keyring(tmp_path):
    """A function that writes a keyring."""

    def write(*certificates):
        path = tmp_path / "keyring.gpg"
        path.write_bytes(b"".join(bytes(certificate) for certificate in certificates))
        return path

    return write


@pytest.fixture
def ended(key, keyring):
    """A keyring whose key has ended, what was signed before that day, and what was signed after it."""
    before = signed(key)
    end = datetime.now(UTC) + timedelta(seconds=1)
    certificate = key.extract_certificate().set_expiration(end, key.certifier())
    time.sleep(max(0, (end - datetime.now(UTC)).total_seconds()) + 0.1)
    return keyring(certificate), before, signed(key)


def test_what_an_expired_key_signed_in_its_time_counts(key, ended):
    """Suites that have ended were signed by keys that end later, and stay good after that."""
    path, before, _ = ended
    text, signers = verified(before, "the release", path)
    assert text.decode().strip() == TEXT.strip()
    assert signers == (key.extract_certificate().fingerprint,)


def test_what_an_expired_key_signs_later_counts_for_nothing(ended):
    """The message names the key, its last day and the day of the signature."""
    path, _, after = ended
    with pytest.raises(LockError) as raised:
        verified(after, "the release", path)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert raised.value.message == (
        "the release is not signed by Debian: Archive Key (9/old) <archive@example.org> was valid until "
        f"{today}, and the signature is of {today}"
    )
    assert "ended key" in raised.value.hint


def test_a_revoked_keys_signatures_count_for_nothing(key, keyring):
    """Whenever they were made: nobody knows who made them."""
    certificate = key.extract_certificate()
    path = keyring(certificate, certificate.revoke(key.certifier()))
    with pytest.raises(LockError, match=r"not signed by Debian: Archive Key .* is revoked"):
        verified(signed(key), "the release", path)


def test_one_known_signer_of_several_is_enough(key, keyring):
    """Releases are signed by the keys of several years, of which an older Reprolake knows some."""
    new = pysequoia.Tsk.generate("Archive Key (10/new) <archive@example.org>")
    messages = [signed(signer) for signer in (new, key)]
    mark = b"-----BEGIN PGP SIGNATURE-----"
    packets = b"".join(unarmored(message[message.index(mark) :]) for message in messages)
    armored = pysequoia.armor(packets, pysequoia.ArmorKind.Signature).encode()
    both = messages[0][: messages[0].index(mark)] + armored
    known = key.extract_certificate()
    assert verified(both, "the release", keyring(known))[1] == (known.fingerprint,)


def test_an_unknown_key_is_named(key):
    """The end of the fingerprint, as keys are named elsewhere, and what may be the cause."""
    with pytest.raises(LockError, match=r"its signatures are by [0-9A-F]{16}, which are none of") as raised:
        verified(signed(key), "the release", KEYRING)
    assert "newer Reprolake" in raised.value.hint


def test_a_changed_text_is_told_from_a_bad_key(key, keyring):
    """The key is a good one, and what it signed was something else."""
    changed = signed(key).replace(b"bookworm", b"bookwarm")
    with pytest.raises(LockError, match="the signature is not one of this text"):
        verified(changed, "the release", keyring(key.extract_certificate()))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        TEXT.encode(),
        b"-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n",
        b"-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n",
        b"-----BEGIN PGP SIGNATURE-----" * 1000,
    ],
)
def test_what_carries_no_signature_is_told(data):
    """Text alone, and what merely looks like a signature, is nobody's word."""
    with pytest.raises(LockError, match="it carries no signature"):
        verified(data, "the release", KEYRING)


def test_the_keys_that_we_ship_are_good_for_years():
    """Every suite on offer has keys that are neither revoked nor about to end."""
    keys = pysequoia.Cert.split_file(str(KEYRING))
    for suite in ("11/bullseye", "12/bookworm", "13/trixie"):
        ours = [key for key in keys if any(f"({suite})" in str(name) for name in key.user_ids)]
        assert len(ours) == 3
        assert not any(key.is_revoked for key in ours)
