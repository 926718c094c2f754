"""A lock as a software bill of materials, in CycloneDX and in SPDX.

Both are functions of the lock: no time of writing, no random number. Source: CycloneDX 1.6 (JSON); SPDX 2.3, annexes and "JSON".
"""

from __future__ import annotations

import json
import re
import uuid
from importlib.metadata import version
from typing import Any

from reprolake_builder.documents.base import content_hash
from reprolake_builder.documents.lock import EnvironmentLock
from reprolake_builder.documents.source import FilesSource, LocalSource
from reprolake_builder.engines.direct import portable
from reprolake_builder.inventory import Item, items_of
from reprolake_builder.tools import Tools

_NOTHING = "NOASSERTION"
_IMAGE = "SPDXRef-image"


def cyclonedx(lock: EnvironmentLock, tools: Tools) -> str:
    """Return the bill as CycloneDX 1.6; what is only there while others are built has the scope "excluded"."""
    del tools
    items = items_of(lock)
    root = {
        "type": "container",
        "bom-ref": "image",
        "name": _name(lock),
        "version": _version(lock),
        **({"externalReferences": [{"type": "vcs", "url": url}]} if (url := _url(lock)) else {}),
    }
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{_identity(lock)}",
        "version": 1,
        "metadata": {
            "timestamp": _date(lock),
            "tools": {
                "components": [{"type": "application", "name": "reprolake", "version": version("reprolake")}]
            },
            "component": root,
        },
        "components": [_component(item) for item in items],
        "dependencies": [
            {"ref": "image", "dependsOn": [_ref(item) for item in items if item.in_image]},
            *({"ref": _ref(item)} for item in items),
        ],
    }
    return _text(bill)


def _component(item: Item) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": _ref(item),
        "name": item.name,
        "version": item.version,
        "scope": "required" if item.in_image else "excluded",
        "hashes": [{"alg": "SHA-256", "content": item.sha256}],
        "purl": item.purl,
        "properties": [{"name": "reprolake:file", "value": item.filename}],
    }
    if item.license:
        found["licenses"] = [{"license": {"name": item.license}}]
    if item.built_from:
        found["properties"].append({"name": "reprolake:built-from", "value": item.built_from})
    return found


def _ref(item: Item) -> str:
    return f"{item.purl}#{item.sha256[:16]}"


def spdx(lock: EnvironmentLock, tools: Tools) -> str:
    """Return the bill as SPDX 2.3."""
    del tools
    items = items_of(lock)
    root = {
        "SPDXID": _IMAGE,
        "name": _name(lock),
        "versionInfo": _version(lock),
        "downloadLocation": _url(lock) or _NOTHING,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
        **_unknown(""),
    }
    bill = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": _name(lock),
        "documentNamespace": f"urn:uuid:{_identity(lock)}",
        "creationInfo": {"created": _date(lock), "creators": [f"Tool: reprolake-{version('reprolake')}"]},
        "packages": [root, *(_package(item) for item in items)],
        "relationships": [
            _related("SPDXRef-DOCUMENT", "DESCRIBES", _IMAGE),
            *(
                _related(_IMAGE, "CONTAINS", _id(item))
                if item.in_image
                else _related(_id(item), "BUILD_TOOL_OF", _IMAGE)
                for item in items
            ),
        ],
    }
    return _text(bill)


def _package(item: Item) -> dict[str, Any]:
    return {
        "SPDXID": _id(item),
        "name": item.name,
        "versionInfo": item.version,
        "packageFileName": item.filename,
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": item.sha256}],
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": item.purl}
        ],
        **({"sourceInfo": f"built from {item.built_from}"} if item.built_from else {}),
        **_unknown(item.license),
    }


def _unknown(license_words: str) -> dict[str, str]:
    """Return what nobody looked at, as SPDX wants it said; a channel's words for a licence are no expression."""
    comment = {"licenseComments": license_words} if license_words else {}
    return {"licenseConcluded": _NOTHING, "licenseDeclared": _NOTHING, "copyrightText": _NOTHING, **comment}


def _related(one: str, how: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}


def _id(item: Item) -> str:
    return f"SPDXRef-{item.kind}-{re.sub(r'[^A-Za-z0-9.-]', '-', item.name)}-{item.sha256[:16]}"


def _identity(lock: EnvironmentLock) -> uuid.UUID:
    """Return a UUID that follows from the lock alone. Source: RFC 9562, section 5.5."""
    return uuid.uuid5(uuid.NAMESPACE_OID, content_hash(portable(lock)))


def _name(lock: EnvironmentLock) -> str:
    source = lock.source
    if isinstance(source, LocalSource):
        return "image"
    return source.url.rstrip("/").rpartition("/")[2].removesuffix(".git") or "image"


def _version(lock: EnvironmentLock) -> str:
    source = lock.source
    return (None if isinstance(source, FilesSource) else source.commit) or source.tree


def _url(lock: EnvironmentLock) -> str:
    return "" if isinstance(lock.source, LocalSource) else lock.source.url


def _date(lock: EnvironmentLock) -> str:
    return lock.source.date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(bill: dict[str, Any]) -> str:
    return json.dumps(bill, indent=2, ensure_ascii=False) + "\n"
