"""Ways to fetch inputs, one for each URL scheme."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from reprolake_runner.transports.file import FileTransport
from reprolake_runner.transports.interface import Transport

TRANSPORTS: Mapping[str, Transport] = MappingProxyType({"file": FileTransport()})
