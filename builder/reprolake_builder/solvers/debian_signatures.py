"""Who signed a file of Debian's, checked against the keys that we ship; and why a signature does not count.

A signature counts when its key was valid on the day that it was made: those of suites that have ended stay good after their
keys have expired, while nothing new can be signed with these. A revoked key's signatures do not count, whatever their day.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprolake_builder.errors import LockError
from reprolake_builder.process import printable

if TYPE_CHECKING:
    import pysequoia

KEYRING = Path(__file__).parent.parent / "keys" / "debian-archive-keyring.gpg"

_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_CHANGED = "the file was changed on the way; configure another mirror"


def verified(data: bytes, origin: str, keyring: Path = KEYRING) -> tuple[bytes, tuple[str, ...]]:
    """Return the signed text, and no more than that, with the fingerprints of the keys that signed it.

    `data` is a clear-signed message, `origin` what it is called in messages. Raises LockError.
    Source: RFC 4880, section 7.
    """
    import pysequoia

    keys = pysequoia.Cert.split_file(str(keyring))
    try:
        checked: Any = pysequoia.verify(bytes=data, store=lambda _: keys)
        signers = tuple(sorted({signature.certificate for signature in checked.valid_sigs}))
    except Exception as error:  # the library raises bare exceptions, whose text tells no more than that
        raise _refusal(data, origin, keyring, keys) from error
    if not signers or checked.bytes is None:
        raise _refusal(data, origin, keyring, keys)
    return bytes(checked.bytes), signers


def _refusal(data: bytes, origin: str, keyring: Path, keys: list[pysequoia.Cert]) -> LockError:
    """Return the error that says why no signature counts; what a signature says of itself is for the message only."""
    what = f"{origin} is not signed by Debian"
    made = _signatures(data)
    if not made:
        return LockError(f"{what}: it carries no signature", hint=_CHANGED)
    owners = _owners(keyring, keys)
    known = [(owners[key], day) for key, day in made if key in owners]
    if not known:
        by = ", ".join(printable(key).upper()[-16:] for key, _ in made)
        return LockError(
            f"{what}: its signatures are by {by}, which are none of the keys that this version knows",
            hint="the mirror holds something else, or Debian has new keys: install a newer Reprolake",
        )
    for key, day in known:
        name = printable(str(next(iter(key.user_ids), key.fingerprint)))
        if key.is_revoked:
            return LockError(
                f"{what}: {name} is revoked", hint="install a newer Reprolake, or choose another mirror"
            )
        if key.expiration is not None and key.expiration <= day:
            return LockError(
                f"{what}: {name} was valid until {key.expiration:%Y-%m-%d}, and the signature is of {day:%Y-%m-%d}",
                hint="what is signed later with an ended key counts for nothing; configure another mirror",
            )
    return LockError(f"{what}: the signature is not one of this text", hint=_CHANGED)


def _signatures(data: bytes) -> list[tuple[str, datetime]]:
    """Return the fingerprints of the keys and the days that the signatures name."""
    from pysequoia.packet import PacketPile

    try:
        packets = list(PacketPile.from_bytes(data[data.index(_SIGNATURE) :]))
        return [
            (
                packet.issuer_fingerprint or packet.issuer_key_id or "",
                packet.signature_created or datetime.now(UTC),
            )
            for packet in packets
        ]
    except Exception:  # noqa: BLE001 - as above: what cannot be read names nobody
        return []


def _owners(keyring: Path, keys: list[pysequoia.Cert]) -> dict[str, pysequoia.Cert]:
    """Return the certificates by the fingerprints of all their keys."""
    from pysequoia.packet import PacketPile, Tag

    certificates = {key.fingerprint: key for key in keys}
    owners: dict[str, pysequoia.Cert] = {}
    owner = ""
    for packet in PacketPile.from_bytes(keyring.read_bytes()):
        if packet.tag == Tag.PublicKey:
            owner = packet.fingerprint or ""
        is_key = packet.tag == Tag.PublicKey or packet.tag == Tag.PublicSubkey  # noqa: PLR1714 - tags have no hash
        if is_key and packet.fingerprint and owner in certificates:
            owners[packet.fingerprint] = certificates[owner]
    return owners
