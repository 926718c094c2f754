"""What a run may take beyond its sandbox's own limits, and the record of which limits held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reprolake_builder.errors import SandboxError
from reprolake_builder.sandboxes.interface import Held, Limits, Sandbox
from reprolake_runner.documents.run import LimitRecord
from reprolake_runner.driver.protocol import DriverLimits

_WORDS = {"memory_bytes": "memory", "cpus": "processors"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run may take: times in seconds, sizes in bytes, None is unlimited.

    `stall_seconds` may pass without a message of the kernel and without processor time. `disk_bytes` is what it may write to
    its output folder and the repository; `free_bytes` always stay free where these lie. `weaker` allows limits that this host
    cannot hold as promised.
    """

    cpu_seconds: float | None = None
    stall_seconds: float | None = 3600
    disk_bytes: int | None = None
    free_bytes: int = 512 << 20
    messages: DriverLimits = field(default_factory=DriverLimits)
    weaker: bool = False


def with_disk(limits: Limits, bounds: Bounds) -> Limits:
    """Return the limits with no file allowed to be larger than all that may be written."""
    if bounds.disk_bytes is None:
        return limits
    return replace(limits, file_bytes=min(limits.file_bytes, bounds.disk_bytes))


def held_limits(
    limits: Limits, bounds: Bounds, times: Mapping[str, float | None], sandbox: Sandbox
) -> tuple[LimitRecord, ...]:
    """Return what holds each limit; `times` are those of the run and of a cell, by name.

    Raises SandboxError for one that this host cannot hold, unless `bounds` allows it to be weaker.
    """
    held = sandbox.holds(limits)
    lacking = {name: one.weaker for name, one in held.items() if one.weaker}
    if lacking and not bounds.weaker:
        name, why = next(iter(lacking.items()))
        raise SandboxError(
            f"this host cannot hold the limit on {_WORDS.get(name, name)}: {why}",
            hint="`reprolake doctor` says what holds each limit; --allow-weaker goes on with what there is, and records it",
        )
    found = [_record(name, getattr(limits, name), one) for name, one in held.items()]
    watchdog, driver = Held("watchdog"), Held("driver")
    ours = (
        *((name, value, watchdog) for name, value in times.items()),
        ("cpu_seconds", bounds.cpu_seconds, watchdog),
        ("stall_seconds", bounds.stall_seconds, watchdog),
        ("disk_bytes", bounds.disk_bytes, watchdog),
        ("free_bytes", bounds.free_bytes, watchdog),
        ("messages", bounds.messages.messages, driver),
        ("message_bytes", bounds.messages.message_bytes, driver),
        ("messages_bytes", bounds.messages.total_bytes, driver),
    )
    found += [_record(name, value, one) for name, value, one in ours if value is not None]
    return tuple(found)


def _record(name: str, value: float, held: Held) -> LimitRecord:
    return LimitRecord(name=name, value=value, held_by=held.by, weaker=held.weaker)
