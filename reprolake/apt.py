"""Which Debian mirror this host's apt uses. Source: sources.list(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ETC = Path("/etc/apt")
_CODENAMES = frozenset(
    {"bullseye", "bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable"}
)
_ONE_LINE = re.compile(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror's base URL and the file that names it."""

    url: str
    file: Path


def configured_mirrors(etc: Path = _ETC) -> tuple[Mirror | None, Mirror | None]:
    """Return the mirrors of Debian's main archive and of its security archive, where apt has one over http(s) or file."""
    main = security = None
    for url, suite, file in _sources(etc):
        codename, _, pocket = suite.replace("/", "-").partition("-")
        if codename not in _CODENAMES or not url.startswith(("http://", "https://", "file:")):
            continue
        if pocket.startswith("security") or suite.endswith("/updates"):
            security = security or Mirror(url, file)
        elif url.rstrip("/").endswith("/debian"):
            main = main or Mirror(url, file)
    return main, security


def _sources(etc: Path) -> Iterator[tuple[str, str, Path]]:
    for file in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))):
        try:
            text = file.read_text("utf-8", "replace")
        except OSError:
            continue
        if file.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
                if fields.get("Enabled", "yes") == "yes":
                    for url in fields.get("URIs", "").split():
                        for suite in fields.get("Suites", "").split():
                            yield url, suite, file
        elif file.suffix == ".list":
            for line in text.splitlines():
                if matched := _ONE_LINE.match(line):
                    yield matched[1], matched[2], file
