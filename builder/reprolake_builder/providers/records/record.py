"""A record as InvenioRDM sites and Zenodo tell of it: three shapes of JSON of one and the same thing, read into one value.

Whatever is absent or of another type than expected counts as not said: records are made by anybody, over many years.

Source: Zenodo's "REST API" and the serializers of zenodo-rdm (`application/json`, the shape of before 2023 with the fields of
today); InvenioRDM's reference "REST API: Records" (`application/vnd.inveniordm.v1+json`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from reprolake_builder.citations.formats import read_record
from reprolake_builder.documents.citation import Citation
from reprolake_builder.process import printable

_LONGEST = 1 << 16  # characters of one field
_MOST = 10_000  # entries of one list that are looked at
_MD5 = re.compile(r"(?:md5:)?([0-9a-fA-F]{32})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SAFE = "/!$&'()*+,;=:@"


@dataclass(frozen=True, slots=True)
class Related:
    """Something that a record refers to: `relation` and `kind` (its type of resource) are lower-case words or ""."""

    relation: str
    target: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file of a record; `size` is in bytes, `md5` in hexadecimal or ""."""

    key: str
    size: int
    md5: str
    url: str


@dataclass(frozen=True, slots=True)
class Record:
    """A version of a record; `page` is its address for people. `access` is open, embargoed, restricted …; `kind` the type of resource, like software."""

    site: str
    id: str
    page: str
    concept_id: str
    doi: str
    concept_doi: str
    title: str
    version: str
    access: str
    kind: str
    published: datetime | None
    description: str
    related: tuple[Related, ...]
    code_repository: str
    files: tuple[RecordFile, ...]
    swhid: str
    citation: Citation

    @property
    def name(self) -> str:
        """The record in a few words, for messages."""
        return f"{self.doi or f'{self.site} record {self.id}'} ({self.title or 'without a title'})"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def parse_record(data: bytes, site: str, base: str) -> Record | None:
    """Return the record in a server's answer, or None when the answer is of something else."""
    told = _json(data)
    metadata = told.get("metadata")
    id_ = _text(told, "id") or _text(told, "recid") or _text(told, "record_id")
    if not isinstance(metadata, dict) or not re.fullmatch(r"[0-9A-Za-z-]{1,32}", id_):
        return None
    doi = _text(told, "doi") or _text(metadata, "doi") or _text(told, "pids", "doi", "identifier")
    return Record(
        site=site,
        id=id_,
        page=f"{base}/records/{id_}",
        concept_id=_text(told, "conceptrecid") or _text(told, "parent", "id") or _parent(metadata),
        doi=doi,
        concept_doi=_text(told, "conceptdoi") or _text(told, "parent", "pids", "doi", "identifier"),
        title=" ".join(_text(metadata, "title").split()),
        version=" ".join(_text(metadata, "version").split()),
        access=_access(told, metadata),
        kind=_kind(metadata.get("resource_type")),
        published=_date(metadata),
        description=_text(metadata, "description"),
        related=tuple(_related(metadata)),
        code_repository=_text(metadata, "custom", "code:codeRepository")
        or _text(told, "custom_fields", "code:codeRepository"),
        files=_files(told.get("files"), f"{base}/api/records/{id_}"),
        swhid=_text(told, "swh", "swhid"),
        citation=read_record(metadata),
    )


def parse_files(data: bytes, record: Record, base: str) -> tuple[RecordFile, ...]:
    """Return the files in the answer to a record's `files` address."""
    return _files(_json(data), f"{base}/api/records/{record.id}")


def _json(data: bytes) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any, *keys: str) -> str:
    """Return a text or number in nested objects as printable text of bounded length."""
    found = _dig(value, *keys)
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 1 << 63:
        return str(found)
    return printable(found[:_LONGEST]).replace("\n", " ").strip() if isinstance(found, str) else ""


def _list(value: Any) -> list[Any]:
    return value[:_MOST] if isinstance(value, list) else []


def _kind(value: Any) -> str:
    """Return `software`, `publication-article` … of {type, subtype} (the old shape) or {id}."""
    parts = _text(value, "type"), _text(value, "subtype")
    return (_text(value, "id") or "-".join(filter(None, parts))).lower()


def _access(told: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    if right := _text(metadata, "access_right"):
        return right.lower()
    access = told.get("access")
    if status := _text(access, "status"):
        return status.lower()
    if _dig(access, "embargo", "active") is True:
        return "embargoed"
    return "restricted" if "restricted" in {_text(access, "files"), _text(access, "record")} else "open"


def _parent(metadata: Mapping[str, Any]) -> str:
    versions = _list(_dig(metadata, "relations", "version"))
    return _text(versions[0], "parent", "pid_value") if versions else ""


def _date(metadata: Mapping[str, Any]) -> datetime | None:
    found = _DATE.match(_text(metadata, "publication_date"))
    try:
        return datetime.fromisoformat(found[0]).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _related(metadata: Mapping[str, Any]) -> Iterator[Related]:
    for item in _list(metadata.get("related_identifiers")):
        relation = _text(item, "relation") or _text(item, "relation_type", "id")
        kind = _kind(_dig(item, "resource_type")) or _text(item, "resource_type")
        target = _text(item, "identifier")
        if target and len(target) <= 4096:
            yield Related(relation.lower(), target, kind.lower())


def _files(value: Any, address: str) -> tuple[RecordFile, ...]:
    entries = _dig(value, "entries") if isinstance(value, dict) else value
    if isinstance(entries, dict):
        entries = [{"key": key, **entry} for key, entry in entries.items() if isinstance(entry, dict)]
    return tuple(file for item in _list(entries) if (file := _file(item, address)) is not None)


def _file(item: Any, address: str) -> RecordFile | None:
    """Return a file of a list; where it lies is what the site's own rule says, not what the list does."""
    key = _dig(item, "key") or _dig(item, "filename")
    size = next((n for n in (_dig(item, "size"), _dig(item, "filesize")) if isinstance(n, int)), -1)
    if not isinstance(key, str) or not key or len(key) > 4096 or not 0 <= size < 1 << 50:
        return None
    md5 = _MD5.fullmatch(_text(item, "checksum"))
    url = f"{address}/files/{quote(key, safe=_SAFE)}/content"
    return RecordFile(key, size, md5[1].lower() if md5 else "", url)
