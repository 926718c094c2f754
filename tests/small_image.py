"""A small image over hand-made trees, for tests that look at single paths."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from reprolake_builder.engines.layers import Part, make_layers
from reprolake_builder.image import Image
from reprolake_builder.progress import SILENT
from reprolake_builder.store import Store
from reprolake_builder.trees import Filled, Owned

Fill = Callable[[Path], Filled | None]


def base(root: Path) -> Filled:
    """Fill a lower layer: folders, a hard link, links inwards and outwards, an owner and set-uid programs."""
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/su").write_bytes(b"#!" + bytes(100_000))
    (root / "usr/bin/su").chmod(0o755)
    os.link(root / "usr/bin/su", root / "usr/bin/su-again")
    (root / "bin").symlink_to("usr/bin")
    (root / "secret").symlink_to("/etc/shadow")
    (root / "home/jovyan").mkdir(parents=True)
    (root / "empty").write_bytes(b"")
    return Filled(
        {
            b"usr/bin/su": Owned(0o4755),
            b"usr/bin/su-again": Owned(0o4755),
            b"home/jovyan": Owned(0o2700, 1000, 100),
            b"etc/passwd": Owned(0o640, 0, 42),
        }
    )


def top(root: Path) -> None:
    """Fill an upper layer: another file of a name, and a name that is text in no encoding."""
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("jovyan:x:1000:100::/home/jovyan:/bin/sh\n")
    Path(os.fsdecode(os.fsencode(root) + b"/etc/\xff")).write_text("odd")


def small_image(store: Store, *fills: Fill) -> Image:
    """Return an image with one layer for each function that fills a folder; the functions' names tell trees apart."""
    parts = []
    for number, fill in enumerate(fills):
        key = hashlib.sha256(f"{number} {fill.__qualname__}".encode()).hexdigest()
        parts.append((Part(fill.__name__, store.make_tree(key, fill)),))
    layers = make_layers(parts, store, SILENT)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["A=B"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
    )
    return Image(
        id="sha256:" + hashlib.sha256(config.encode()).hexdigest(),
        config=config,
        layers=layers,
        annotations={},
        lock_sha256="0" * 64,
    )
