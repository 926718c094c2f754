"""Dataverse's data sets: links to them and their files on any installation, and what the API says of one version.

Source: the Dataverse guides, "Native API" (get version of a dataset, get JSON representation of a file) and "Data Access API"
(basic file access); a tabular file's checksum is that of the file as it was uploaded, which `format=original` gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from reprolake_builder.providers.dois import parse_doi

_PAGE = re.compile(
    r"(?P<base>/.*?)??/(?:(?:spa|modern)/)?(?P<page>dataset|file|datasets|files|citation)(?:\.xhtml)?/?"
)
_DATAFILE = re.compile(
    r"(?P<base>/.*?)??/api/(?:v1/)?(?:access/datafile|files)/(?P<id>\d{1,18}|:persistentId)(?:/.*)?"
)
_DATASET = re.compile(
    r"(?P<base>/.*?)??/api/(?:v1/)?(?:access/dataset|datasets)/:persistentId(?:/versions/(?P<version>[^/]+)(?:/.*)?)?/?"
)
_VERSION = re.compile(r"\d{1,6}(?:\.\d{1,6})?")
_PID = re.compile(r"(?:doi|hdl|perma):[^\s?#&]{1,512}", re.IGNORECASE)
HOMES = {"10.7910": "https://dataverse.harvard.edu"}
"""DOI prefixes that one installation alone gives out."""


@dataclass(frozen=True, slots=True)
class DataverseLink:
    """A data set of an installation (`server` is its base URL), or by a `file` in it (number or persistent identifier).

    `pid` is like doi:10.7910/DVN/6ZXAGT, `version` like 1.2; each "" where the link does not say. A `pid` may turn out to be
    that of a file.
    """

    server: str
    pid: str = ""
    file: str = ""
    version: str = ""


class Checksum(msgspec.Struct, frozen=True):
    """`type` is MD5, SHA-1, SHA-256 or SHA-512."""

    type: str
    value: str


class DataFile(msgspec.Struct, frozen=True, rename="camel"):
    """A file as it is stored; of a tabular one the original is kept."""

    id: int
    filename: str = ""
    filesize: int | None = None
    original_file_name: str | None = None
    original_file_size: int | None = None
    original_file_format: str | None = None
    md5: str | None = None
    checksum: Checksum | None = None


class FileEntry(msgspec.Struct, frozen=True, rename="camel"):
    """A file in a version of a data set."""

    label: str
    data_file: DataFile
    directory_label: str = ""
    restricted: bool = False


class Field(msgspec.Struct, frozen=True, rename="camel"):
    """A field of a block of metadata."""

    type_name: str
    value: object = None


class Block(msgspec.Struct, frozen=True):
    """A block of metadata."""

    fields: tuple[Field, ...] = ()


class Version(msgspec.Struct, frozen=True, rename="camel"):
    """A version of a data set."""

    version_state: str
    files: tuple[FileEntry, ...]
    version_number: int = 0
    version_minor_number: int = 0
    dataset_persistent_id: str = ""
    release_time: str | None = None
    last_update_time: str | None = None
    metadata_blocks: dict[str, Block] = {}

    @property
    def title(self) -> str:
        """The data set's title, "" when it has none."""
        fields = self.metadata_blocks.get("citation", Block()).fields
        return next((str(field.value) for field in fields if field.type_name == "title"), "")


class VersionAnswer(msgspec.Struct, frozen=True):
    """The answer to the question for a version."""

    data: Version


class DatasetVersion(msgspec.Struct, frozen=True, rename="camel"):
    """The version that a file was found in."""

    dataset_persistent_id: str


class FileData(msgspec.Struct, frozen=True, rename="camel"):
    """A file with the version it was found in."""

    dataset_version: DatasetVersion


class FileAnswer(msgspec.Struct, frozen=True):
    """The answer to the question for a file."""

    data: FileData


def parse_dataverse_link(text: str) -> DataverseLink | None:
    """Return the data set or file that a page's or the API's address names on any host, or a DOI of a known installation.

    None when the text is nothing of the kind.
    """
    if doi := parse_doi(text):
        home = HOMES.get(doi.partition("/")[0])
        return DataverseLink(home, f"doi:{doi}") if home else None
    try:
        parts = urlsplit(text)
        host = f"{(parts.hostname or '').lower()}{f':{parts.port}' if parts.port else ''}"
    except ValueError:
        return None
    if parts.scheme not in {"https", "http"} or not host:
        return None
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    pid, version = asked.get("persistentId", ""), asked.get("version", "")
    if pid and not _PID.fullmatch(pid):
        pid = f"doi:{doi}" if (doi := parse_doi(pid)) else ""
    version = version if _VERSION.fullmatch(version) else ""
    path = unquote(parts.path)
    if found := _DATAFILE.fullmatch(path):
        file = pid if found["id"] == ":persistentId" else found["id"]
        return DataverseLink(_server(parts.scheme, host, found), file=file) if file else None
    if found := _DATASET.fullmatch(path):
        named = found["version"] or version
        return (
            DataverseLink(
                _server(parts.scheme, host, found), pid, "", named if _VERSION.fullmatch(named) else ""
            )
            if pid
            else None
        )
    found = _PAGE.fullmatch(path)
    file = asked.get("fileId", "")
    if found is None or not (pid or (file.isascii() and file.isdigit())):
        return None
    if found["page"].startswith("file"):
        return DataverseLink(_server(parts.scheme, host, found), file=pid or file, version=version)
    return DataverseLink(_server(parts.scheme, host, found), pid, "" if pid else file, version)


def _server(scheme: str, host: str, found: re.Match[str]) -> str:
    return f"{scheme}://{host}{found['base'] or ''}"
