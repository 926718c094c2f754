"""Zstandard streams, by the module that newer Pythons have and older ones can be given."""

from __future__ import annotations

import sys
from typing import Any

MAGIC = b"\x28\xb5\x2f\xfd"
_LARGEST_WINDOW = 27  # bits: the most that the program `zstd` takes unasked


class ZstdDecoder:
    """Decompresses one stream, as the decompressors of bz2 and lzma do."""

    def __init__(self) -> None:
        zstd = _module()
        limit = {zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW}
        self._decoder = zstd.ZstdDecompressor(options=limit)
        self._error = zstd.ZstdError

    @property
    def eof(self) -> bool:
        """Whether the stream's end was reached."""
        return bool(self._decoder.eof)

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out before more is given."""
        return bool(self._decoder.needs_input)

    @property
    def unused_data(self) -> bytes:
        """What was given behind the stream's end."""
        return bytes(self._decoder.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most `max_length` bytes of content. Raises ValueError for a damaged stream."""
        try:
            return bytes(self._decoder.decompress(data, max_length))
        except self._error as error:
            raise ValueError(str(error)) from error


def _module() -> Any:
    import importlib

    newer = sys.version_info >= (3, 14)
    return importlib.import_module("compression.zstd" if newer else "backports.zstd")
