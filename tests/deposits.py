"""What tests of records with files have in common: requests, what people are told, and content."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from archive_server import ArchiveServer, archive_server, recorded
from git_repositories import ENVIRONMENT
from source_tools import source_tools

from reprolake_builder.progress import Progress
from reprolake_builder.providers.interface import LinkRequest
from reprolake_builder.store import Store
from reprolake_builder.tools import Tools

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
DATAVERSE = "dataverse.harvard.edu"
HYDRO = "b8f6eae9d89241cf8b5904033460af61"
HOSTS = (
    *("api.figshare.com", "ndownloader.figshare.com", DATAVERSE, "www.hydroshare.org", "demo.ckan.org"),
    *(
        "files.example.org",
        "doi.org",
        "hdl.handle.net",
        "api.crossref.org",
        "api.datacite.org",
        "joss.theoj.org",
    ),
    *("zenodo.org", "archive.softwareheritage.org"),
)


class Said(Progress):
    """Keeps what people are told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, message: str) -> None:
        """Keep a note."""
        self.notes.append(message)

    def warn(self, message: str) -> None:
        """Keep a warning."""
        self.warnings.append(message)


@contextmanager
def archives(folder: Path) -> Iterator[tuple[ArchiveServer, Tools, Said]]:
    """Yield a double of all archives, tools that lead to it, and what people are told."""
    said, store = Said(), Store(folder / "store")
    with archive_server() as server:
        try:
            yield server, source_tools(store, said, ENVIRONMENT, server.gateways(*HOSTS)), said
        finally:
            store.close()


def asked(link: str, **options: object) -> LinkRequest:
    """Return the request for a link."""
    return LinkRequest(link, NOW, **options)


def md5(content: bytes) -> str:
    """Return the MD5 of content."""
    return hashlib.md5(content).hexdigest()


def zipped(**files: bytes) -> bytes:
    """Return a zip archive; in names, two underscores stand for a dot and three for a slash."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("___", "/").replace("__", "."), content)
    return out.getvalue()


FIGSHARE = "GET api.figshare.com/v2/articles"


def keep_article(
    server: ArchiveServer, version: int, *files: tuple[str, bytes], **changed: object
) -> dict[str, object]:
    """Let the double have a version of article 42 with files of a name and content each; the newest is what was told last."""
    article = {**json.loads(recorded("figshare-article.json")), "id": 42, "version": version, **changed}
    article["doi"] = f"10.6084/m9.figshare.42.v{version}"
    article["files"] = []
    for number, (name, content) in enumerate(files, 100 * version):
        url = f"https://ndownloader.figshare.com/files/{number}"
        article["files"].append({
            "id": number, "name": name, "size": len(content), "is_link_only": False, "download_url": url, "computed_md5": md5(content)
        })  # fmt: skip
        server.tell(f"GET ndownloader.figshare.com/files/{number}", content)
    server.tell(f"{FIGSHARE}/42/versions/{version}/files", article["files"])
    server.tell(f"{FIGSHARE}/42", article)
    server.tell(f"{FIGSHARE}/42/versions/{version}", {**article, "files": article["files"][:10]})
    return article
