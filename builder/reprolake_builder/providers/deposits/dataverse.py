"""Dataverse's data sets: links to them and their files on any installation, and what the API says of one version.

Source: the Dataverse guides, "Native API" (get version of a dataset, get JSON representation of a file) and "Data Access API"
(basic file access); a tabular file's checksum is that of the file as it was uploaded, which `format=original` gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

from reprolake_builder.download import Offer
from reprolake_builder.errors import ResolveError
from reprolake_builder.providers.answers import ask
from reprolake_builder.providers.deposits.deposit import (
    Deposit,
    DepositProvider,
    moment,
    offered,
    refuse_moving,
    shortened,
)
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.providers.links.dois import parse_doi
from reprolake_builder.tools import Tools

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


def find_dataset(link: DataverseLink, request: LinkRequest, tools: Tools) -> Deposit:
    """Return the version of a data set that the link names, the newest published one where it names none.

    A link to a file stands for the whole data set: a notebook needs what lies beside it. Raises ResolveError.
    """
    chain: list[str] = []
    host = urlsplit(link.server).netloc
    pid = link.pid or _dataset_of(link, link.file, tools, chain)
    found = _version(link, pid, tools) if pid else None
    if found is None and link.pid:
        pid = _dataset_of(link, link.pid, tools, chain)
        found = _version(link, pid, tools) if pid else None
    if found is None:
        raise ResolveError(
            f"{host} has no published data set or file {link.pid or link.file}"
            + (f" of version {link.version}" if link.version else ""),
            hint="check the identifier; a draft, and a data set that was withdrawn, cannot be read",
        )
    version = f"{found.version_number}.{found.version_minor_number}"
    if found.version_state != "RELEASED":
        raise ResolveError(
            f"{pid} at {host} is {shortened(found.version_state)}, and only what is released stays as it is"
        )
    if not link.version:
        chain.append(f"{pid} has the newest version {version}")
        tools.progress.note(f"No version was given: {chain[-1]}")
        if request.locked:
            page = f"{link.server}/dataset.xhtml?persistentId={pid}&version={version}"
            refuse_moving(pid, f"version {version}", f"give the version: {page}")
    released = moment(found.release_time) or moment(found.last_update_time)
    return Deposit(
        site=host,
        id=f"{pid} {version}",
        page=f"{link.server}/dataset.xhtml?persistentId={quote(pid, safe=':/')}&version={version}",
        files=_kept(found, link.server, tools),
        date=released,
        date_is="published",
        doi=parse_doi(pid),
        version=version,
        title=shortened(found.title),
        asked="" if link.version and not link.file else link.pid or link.file,
        chain=tuple(chain),
    )


def _version(link: DataverseLink, pid: str, tools: Tools) -> Version | None:
    place = f"{link.server}/api/datasets/:persistentId/versions/{link.version or ':latest-published'}"
    answer = ask(tools, f"{place}?persistentId={quote(pid, safe=':/')}", VersionAnswer)
    return answer.data if answer else None


def _dataset_of(link: DataverseLink, file: str, tools: Tools, chain: list[str]) -> str:
    """Return the persistent identifier of the data set that a file is in, "" when there is no such file."""
    is_number = file.isascii() and file.isdigit()
    place = f"{file}?" if is_number else f":persistentId?persistentId={quote(file, safe=':/')}&"
    answer = ask(tools, f"{link.server}/api/files/{place}returnDatasetVersion=true", FileAnswer)
    pid = answer.data.dataset_version.dataset_persistent_id if answer else ""
    if not _PID.fullmatch(pid):
        return ""
    chain.append(f"the file {file} is in the data set {pid}, which is taken whole")
    return pid


def _kept(version: Version, server: str, tools: Tools) -> tuple[Offer, ...]:
    """Return the version's files; those that their authors keep closed are asked for with a token only."""
    closed = [entry.label for entry in version.files if entry.restricted]
    if not closed or tools.site.token_for(server) is not None:
        return tuple(_file(entry, server) for entry in version.files)
    tools.progress.warn(
        f"Files that their authors keep closed are left out: {shortened(', '.join(closed))} "
        "(with access of yours: DATAVERSE_KEY, and DATAVERSE_SERVER for this host)"
    )
    return tuple(_file(entry, server) for entry in version.files if not entry.restricted)


def _file(entry: FileEntry, server: str) -> Offer:
    """Return a file as it was uploaded: what Dataverse made of a table has neither its name nor its checksum."""
    file = entry.data_file
    is_table = file.original_file_format is not None or file.original_file_name is not None
    name = (file.original_file_name or entry.label) if is_table else entry.label
    told = file.checksum or (Checksum("MD5", file.md5) if file.md5 else None)
    return offered(
        "/".join(filter(None, (entry.directory_label.strip("/"), name))),
        f"{server}/api/access/datafile/{file.id}" + ("?format=original" if is_table else ""),
        None if is_table else file.filesize,  # what is told of an original's size is wrong at times
        f"{told.type.lower().replace('-', '')}:{told.value.lower()}" if told else "",
    )


DATAVERSE = DepositProvider(parse_dataverse_link, find_dataset)
"""Data sets, and files of them, of any installation of Dataverse."""
