"""Waiting for what other processes and threads do: for the thing itself, and not for a time in which it should have happened."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


def until(is_so: Callable[[], Found], seconds: float = 60) -> Found:
    """Return the first true thing that `is_so` returns; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(0.02)
    return found


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that are free, and that Linux gives nobody who does not ask for them by number."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: set[int] = set()
    while len(found) < count:
        port = random.randrange(first // 2, first)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


@contextmanager
def refusing_port() -> Iterator[int]:
    """Yield a port of the loopback at which nobody listens, and which nobody else can get meanwhile."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]
