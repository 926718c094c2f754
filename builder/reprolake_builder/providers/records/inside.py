"""Repositories that files in a record name: steps 4 and 5 of the order.

Source: CodeMeta 3 (`codeRepository`), Citation File Format 1.2 (`repository-code`), Zenodo's .zenodo.json, ESCAPE's
.escape.yml (`url`), PEP 621 (`[project.urls]`).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

from reprolake_builder.providers.links.web import WebLink
from reprolake_builder.providers.records.archive import RecordArchive
from reprolake_builder.providers.records.candidates import Candidate, distinct, repository_link
from reprolake_builder.providers.records.record import Record
from reprolake_builder.tools import Tools

_LARGEST = 1 << 20  # bytes
_RELATIONS = {
    "issupplementto",
    "issupplementedby",
    "isderivedfrom",
    "isidenticalto",
    "ispartof",
    "issourceof",
}
_CFF = re.compile(r"^repository-code:\s*[\"']?(\S+?)[\"']?\s*(?:#.*)?$", re.MULTILINE)
_ESCAPE = re.compile(r"^(?:  )?url:\s*[\"']?(\S+?)[\"']?\s*(?:#.*)?$", re.MULTILINE)
_PROJECT_URLS = re.compile(
    r"(?:source|repository|code|sourcecode|github|gitlab|git|homepage|home)", re.IGNORECASE
)


def beside_the_archive(record: Record, tools: Tools) -> tuple[Candidate, ...]:
    """Return the repository in a codemeta.json that is a file of the record of its own. Raises FetchError."""
    found = []
    for file in record.files:
        if file.key == "codemeta.json" and file.size <= _LARGEST:
            content = tools.downloader.get(file.url, limit=_LARGEST)
            found += [*_candidates(file.key, content, "file")]
    return distinct(found)


def inside_the_archive(archive: RecordArchive) -> tuple[Candidate, ...]:
    """Return the repositories that describing files in the archive name. Raises FetchError."""
    found = []
    for path, content in archive.describing():
        found += [*_candidates(path, content, f"in {archive.file.key}:")]
    return distinct(found)


def _candidates(path: str, content: bytes, where: str) -> Iterator[Candidate]:
    name = path.rpartition("/")[2]
    for text in _addresses(name, content):
        # Such files name the project: a ref in them may be of any time.
        link = repository_link(text, sure=name in {"codemeta.json", "CITATION.cff"})
        if link is not None:
            yield Candidate(WebLink(link.url), f"{where} {path}")


def _addresses(name: str, content: bytes) -> Iterator[str]:
    try:
        text = content.decode()
        if name == "codemeta.json":
            told = json.loads(text)
            value = told.get("codeRepository") if isinstance(told, dict) else None
            yield from _texts(value)
        elif name == ".zenodo.json":
            yield from _of_zenodo(json.loads(text))
        elif name == "CITATION.cff":
            yield from _CFF.findall(text)
        elif name == ".escape.yml":
            yield from _ESCAPE.findall(text)
        elif name == "pyproject.toml":
            urls = tomllib.loads(text).get("project", {}).get("urls", {})
            for key, value in urls.items():
                if _PROJECT_URLS.fullmatch(re.sub(r"[\s_-]", "", key)):
                    yield from _texts(value)
    except (ValueError, RecursionError, AttributeError):
        return  # a file that others broke tells nothing


def _of_zenodo(told: Any) -> Iterator[str]:
    related = told.get("related_identifiers") if isinstance(told, dict) else None
    for item in related if isinstance(related, list) else []:
        if isinstance(item, dict) and str(item.get("relation", "")).lower() in _RELATIONS:
            yield from _texts(item.get("identifier"))


def _texts(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and len(item) < 4096:
            yield item
