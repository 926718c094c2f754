"""Debian suites of a few made-up packages, for our search and for the real apt alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from reprolake_builder.documents.environment import Asked
from reprolake_builder.solvers.debian_archive import Catalogue, add_stanzas, make_catalogue
from reprolake_builder.solvers.debian_resolve import Selection


def stanzas(*texts: str) -> list[bytes]:
    """Return the stanzas of packages given as `name version; field: value; …`."""
    found = []
    for text in texts:
        head, *fields = text.split("; ")
        name, version = head.split()
        lines = [f"Package: {name}", f"Version: {version}", "Architecture: amd64", "Size: 1"]
        lines += [f"SHA256: {'0' * 64}", f"Filename: pool/{name}_{version}.deb", *fields]
        found.append("\n".join(lines).encode())
    return found


def catalogue(*texts: str) -> Catalogue:
    """Return the catalogue of one suite with these packages."""
    return catalogue_of({"debian": texts})


def catalogue_of(archives: Mapping[str, Iterable[str]]) -> Catalogue:
    """Return the catalogue of several archives' packages."""
    packages = {}
    for archive, texts in archives.items():
        add_stanzas(packages, stanzas(*texts), archive)
    return make_catalogue("bookworm", packages)


def asked(*names: str) -> list[Asked]:
    """Return demands that stand in apt.txt, one per line."""
    return [Asked(text=name, origin=f"apt.txt:{line}") for line, name in enumerate(names, 1)]


def chosen(offered: Catalogue, *names: str) -> list[str]:
    """Return the names selected for demands that stand in apt.txt, one per line."""
    selection = Selection(offered)
    selection.require(asked(*names))
    return sorted(selection.packages)


def repository(folder: Path, texts: Iterable[str]) -> str:
    """Write the packages as a repository that apt reads, and return its line in sources.list."""
    folder.mkdir(parents=True)
    index = b"\n\n".join(stanzas(*texts)) + b"\n"
    (folder / "Packages").write_bytes(index)
    listed = f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    (folder / "Release").write_text(f"Date: Sat, 31 Jan 2026 08:00:00 UTC\nSHA256:\n{listed}")
    return f"deb [trusted=yes] file:{folder} ./"
