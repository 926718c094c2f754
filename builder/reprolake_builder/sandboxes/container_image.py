"""Root of a sandbox → the image that a container engine runs it from, made by us whatever the root is.

Above the layers of the root, none of which is changed, lies one with the first process and a folder or file for everything that
is mounted: there a link of the root leads nowhere. The configuration is ours: what a hostile one would have the engine do
(start a program, check its health, make volumes, change to a folder) does not get there.
Source: OCI image specification 1.1, config.md and layer.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from reprolake_builder import oci
from reprolake_builder.container_engine import Layer, Load
from reprolake_builder.documents.base import Digest
from reprolake_builder.sandboxes import init_program
from reprolake_builder.sandboxes.arguments import FOLDERS, mount_points
from reprolake_builder.sandboxes.interface import HostRoot, SandboxSpec
from reprolake_builder.trees import Entry, tar_header

LABEL = "reprolake.sandbox"
SYSTEM_FILES = ("/etc/hostname", "/etc/hosts", "/etc/passwd", "/etc/resolv.conf")
"""Files that engines would fill with what they know of the host, and the one that names the user."""
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class _Bare:
    """An image that says nothing of what is to be done with it."""

    id: Digest
    config: str
    annotations: dict[str, str] = field(default_factory=dict)


def image_of(spec: SandboxSpec) -> Load:
    """Return the image for a sandbox; it is the same for all that mount something at the same places."""
    own = () if isinstance(spec.root, HostRoot) else spec.root.layers
    layers = (*own, _top(spec))
    config = oci.canonical(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": {LABEL: "1"}},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        }
    )
    return Load(_Bare(oci.digest_of(config), config.decode()), layers)


def _top(spec: SandboxSpec) -> Layer:
    folders = {*mount_points(spec), init_program.FOLDER}
    files = {init_program.REPORT, init_program.GO, *SYSTEM_FILES}
    binds = [(bind.source, bind.target) for bind in spec.binds]
    if isinstance(spec.root, HostRoot):
        binds += [(path, str(path)) for path in spec.root.paths]
    for source, target in binds:
        (folders if source.is_dir() else files).add(target)
    # where a folder in memory is mounted, engines give it the mode of the one below
    modes = {**dict.fromkeys(FOLDERS, 0o1777), **({spec.home: 0o700} if spec.home else {})}
    tar = b"".join(_entries(folders, files - folders, modes))
    diff_id = "sha256:" + hashlib.sha256(tar).hexdigest()

    def write(to: Callable[[bytes], object]) -> None:
        to(tar)

    return Layer(diff_id, len(tar), write)


def _entries(folders: Iterable[str], files: Iterable[str], modes: Mapping[str, int]) -> Iterable[bytes]:
    parents = {str(parent) for path in (*folders, *files) for parent in PurePosixPath(path).parents}
    for path in sorted({*folders, *parents} - {"/"}):
        yield tar_header(Entry(_name(path), "d", modes.get(path, 0o755)))
    program = init_program.program()
    yield tar_header(Entry(_name(init_program.PATH), "f", 0o755, size=len(program)))
    yield program + bytes(-len(program) % _BLOCK)
    for path in sorted(files):
        yield tar_header(Entry(_name(path), "f", 0o644))
    yield bytes(2 * _BLOCK)


def _name(path: str) -> bytes:
    return path.strip("/").encode(errors="surrogateescape")
