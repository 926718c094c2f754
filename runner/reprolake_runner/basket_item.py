"""One item of a basket: which of a service's many fields say its name, its bytes and how to check them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from reprolake_builder.errors import SIGNATURE
from reprolake_runner.documents.basket import BasketItem
from reprolake_runner.json_value import NotPlain, child
from reprolake_runner.placement import url_name

CHECKSUM_DIGITS = {"adler32": 8, "md5": 32, "sha1": 40, "sha256": 64, "sha512": 128}
"""Checksums that can be verified, with their number of hexadecimal digits."""

_CREDENTIAL_KEY = re.compile(
    r"oidc|token|passw|passphrase|pwd|secret|authoriz|bearer|jwt|credential|cookie|(?:api|private|access)[-_ ]?key|session[-_ ]?id",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?<=://)[^/\s?#]*@")
_BEARER = re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|(?<=\b[Bb]earer )\S+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*:\S+", re.IGNORECASE)
_FETCHABLE = ("file", "https", "http", "root", "xroot", "davs", "s3", "ftp")
_EXPORTS = {"zooniverse"}


def item_of(value: dict[str, Any], path: str, identity: str, folder: Path | None) -> BasketItem:
    """Return the item in `value`, which stands at `path` of the basket.

    `folder` (host path) is where relative `file:` URLs start; None refuses all `file:` URLs. Raises NotPlain.
    """
    clean = without_credentials(value)
    record = clean.get("record")
    archive = _text(clean, "archive", path) if "archive" in clean else ""
    fields = record if isinstance(record, dict) else ({} if "record" in clean else clean)
    here = child(path, "record") if "record" in clean else path
    if "record" in clean and not fields:
        url = _first_url(record)
        name = ""
    else:
        url = _text(fields, "url", here) if fields.get("url") is not None else ""
        name = _text(fields, "name", here) if fields.get("name") is not None else ""
    if fields is not clean:
        url = url or str(clean.get("url") or "")
        name = name or str(clean.get("name") or "")
    if url and not archive and folder is not None and not _URL.fullmatch(url) and not _is_file(url):
        raise NotPlain(child(here, "url"), f"{url!r} is no URL; a local file is written as file:{url}")
    url = _absolute(url, here, folder)
    return BasketItem(
        id=identity,
        archive=archive,
        kind=_kind(archive, fields, url),
        name=_name(name or url_name(url) or archive or identity, here),
        url=url,
        size=_size(archive, fields, here),
        checksums=_checksums(fields, here),
        record=clean.get("record", clean),
    )


def did(item: BasketItem) -> str:
    """Return the item's data identifier "scope:name" as Rucio writes it, or ""."""
    record = item.record
    if (
        isinstance(record, dict)
        and isinstance(record.get("scope"), str)
        and isinstance(record.get("name"), str)
    ):
        return f"{record['scope']}:{record['name']}"
    return ""


def without_credentials(value: Any) -> Any:
    """Return a JSON value without keys that look like credentials, and without those that stand in its texts."""
    if isinstance(value, dict):
        return {k: without_credentials(v) for k, v in value.items() if not _CREDENTIAL_KEY.search(k)}
    if isinstance(value, list):
        return [without_credentials(item) for item in value]
    if isinstance(value, str):
        bare = SIGNATURE.sub(r"\1REMOVED", _USERINFO.sub("", value))
        return _BEARER.sub("REMOVED", bare)
    return value


def _text(fields: dict[str, Any], key: str, path: str) -> str:
    value = fields[key]
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise NotPlain(child(path, key), f"expected text, found {type(value).__name__}")
    return value


def _name(name: str, path: str) -> str:
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name):
        raise NotPlain(child(path, "name"), f"control characters in the name {name!r}")
    if len(name) > 1000:
        raise NotPlain(child(path, "name"), f"a name of {len(name)} characters, the limit is 1000")
    return name


def _first_url(record: Any) -> str:
    """Return the first fetchable URL in a record without column names ("" when there is none): columns may be shifted."""
    values = record if isinstance(record, list) else []
    for value in values:
        if isinstance(value, str) and "://" in value and value.split(":", 1)[0].lower() in _FETCHABLE:
            return value
    return ""


def _absolute(url: str, path: str, folder: Path | None) -> str:
    """Return the URL, a `file:` URL with its absolute path; "" where the text is no URL of something to fetch."""
    if not url:
        return ""
    if not _is_file(url):
        fetchable = _URL.fullmatch(url) and url.split(":", 1)[0].lower() in _FETCHABLE
        return url if fetchable else ""  # ivo: and the like name something, but no bytes
    if folder is None:
        raise NotPlain(
            child(path, "url"),
            "a file: URL from a service; only a basket that you wrote may name files of this host",
        )
    return _absolute_file(url, path, folder)


def _is_file(url: str) -> bool:
    return url[:5].lower() == "file:"


def _absolute_file(url: str, path: str, folder: Path) -> str:
    try:
        parts = urlsplit(url)
        host = parts.netloc
    except ValueError as error:
        raise NotPlain(child(path, "url"), f"{url!r} is no URL") from error
    if host not in {"", "localhost"}:
        raise NotPlain(child(path, "url"), f"the file is on the host {host!r}, not on this one")
    rest = url[5:].removeprefix("//" + host) if url[5:7] == "//" else url[5:]
    local = unquote(rest, errors="surrogateescape")
    if not local or "\0" in local:
        raise NotPlain(child(path, "url"), f"{url!r} names no file")
    return (folder.absolute() / local).as_uri()


def _kind(
    archive: str, fields: dict[str, Any], url: str
) -> Literal["file", "collection", "export", "unknown"]:
    if archive in _EXPORTS:
        return "export"
    given = fields.get("type")
    if archive == "rucio" and given in {"DATASET", "CONTAINER", "D", "C"}:
        return "collection"
    if url or (archive == "rucio" and (given in {"FILE", "F"} or "bytes" in fields)):
        return "file"
    return "unknown"


def _size(archive: str, fields: dict[str, Any], path: str) -> int | None:
    """Return the size in bytes; ObsCore's access_estsize, which VO services put in "size", is a rough number of kB."""
    if archive in {"astron_vo", "vo_reg", "samp"}:
        return None
    for key in ("size", "bytes"):
        value = fields.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        if value is not None and not archive:
            raise NotPlain(child(path, key), f"{value!r} is no size in bytes")
    return None


def _checksums(fields: dict[str, Any], path: str) -> dict[str, str]:
    given = fields.get("checksums") or {}
    if not isinstance(given, dict):
        raise NotPlain(child(path, "checksums"), 'expected an object like {"sha256": "…"}')
    found = {
        str(name).lower().replace("-", ""): (value, child(path, "checksums")) for name, value in given.items()
    }
    found |= {name: (fields[name], path) for name in CHECKSUM_DIGITS if fields.get(name) is not None}
    checksums = {}
    for name, (value, where) in found.items():
        if name not in CHECKSUM_DIGITS:
            raise NotPlain(
                child(where, name), f"cannot be verified; known are {', '.join(sorted(CHECKSUM_DIGITS))}"
            )
        text = value.lower().removeprefix(f"{name}:") if isinstance(value, str) else ""
        if name == "adler32":
            text = text.rjust(8, "0")  # some services leave the leading zeros away
        if not re.fullmatch(rf"[0-9a-f]{{{CHECKSUM_DIGITS[name]}}}", text):
            raise NotPlain(child(where, name), f"{value!r} is no {name} checksum")
        checksums[name] = text
    return checksums
