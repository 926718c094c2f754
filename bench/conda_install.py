"""Runs inside `docker build`: installs the packages of a list with rattler, as micromamba and pixi do without solving.

python conda_install.py RECORDS PREFIX
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import rattler


def record_of(item: dict[str, Any]) -> rattler.RepoDataRecord:
    """Return a package as rattler wants to be told of it."""
    package = rattler.PackageRecord(
        item["name"],
        item["version"],
        rattler.BuildString(item["build"]),
        item["build_number"],
        item["subdir"],
        noarch=item["noarch"] or None,
        depends=item["depends"],
        sha256=bytes.fromhex(item["sha256"]),
        size=item["size"],
    )
    return rattler.RepoDataRecord(package, item["filename"], item["url"], item["channel"])


def main() -> None:
    """Install, with a cache that goes away with the folder."""
    listed = json.loads(Path(sys.argv[1]).read_text())
    records = [record_of(item) for item in listed]
    asyncio.run(rattler.install(records, sys.argv[2], cache_dir=Path("/tmp/cache"), show_progress=False))  # noqa: S108
    os._exit(0)  # now and then rattler's threads crash the interpreter at its end


if __name__ == "__main__":
    main()
