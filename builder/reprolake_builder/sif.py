"""Where in a SIF file its root file system lies.

Source: the Singularity image format, version 01 (sif's pkg/sif: header, descriptor and partition records, little-endian).
"""

from __future__ import annotations

import struct
from pathlib import Path

from reprolake_builder.errors import SandboxError
from reprolake_builder.process import printable

_HEADER = struct.Struct("<32s10s3s3s16s8q")
_DESCRIPTOR = struct.Struct("<i?IIIqqqqqqq128s384s")
_PARTITION = struct.Struct("<ii3s")
_MAGIC, _SQUASHFS_MAGIC = b"SIF_MAGIC\0", b"hsqs"
_IS_PARTITION, _SQUASHFS, _PRIMARY_SYSTEM = 0x4004, 1, 2
_MOST = 1000  # descriptors


def squashfs_in(file: Path) -> int:
    """Return where (bytes) the squashfs of a SIF begins, 0 for a file that is one itself.

    Raises SandboxError when it is neither, or its root file system is encrypted or of another kind.
    """
    with file.open("rb") as stream:
        head = stream.read(_HEADER.size)
        if head.startswith(_SQUASHFS_MAGIC):
            return 0
        if len(head) == _HEADER.size:
            _, magic, _, _, _, _, _, _, total, at, _, _, _ = _HEADER.unpack(head)
            if magic == _MAGIC and at > 0:
                stream.seek(at)
                for _ in range(min(total, _MOST)):
                    piece = stream.read(_DESCRIPTOR.size)
                    if len(piece) < _DESCRIPTOR.size:
                        break
                    kind, is_used, _, _, _, offset, *_, extra = _DESCRIPTOR.unpack(piece)
                    found = _PARTITION.unpack_from(extra)[:2]
                    if (
                        is_used
                        and kind == _IS_PARTITION
                        and found == (_SQUASHFS, _PRIMARY_SYSTEM)
                        and offset > 0
                    ):
                        return int(offset)
    raise SandboxError(
        f"{printable(str(file))} is neither a squashfs nor a SIF with one as its root file system",
        hint="give a folder, a SIF that apptainer built, or a squashfs",
    )
