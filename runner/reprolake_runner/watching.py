"""What all supervisors do: wait for descriptors, deadlines and signals, and look again and again at what a sandbox takes."""

from __future__ import annotations

import contextlib
import functools
import selectors
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from reprolake_builder.errors import SandboxError
from reprolake_builder.network.traffic import Event as NetworkEvent
from reprolake_builder.network.traffic import NetworkRecord
from reprolake_builder.sandboxes.interface import Running, Usage
from reprolake_runner.meter import Meter
from reprolake_runner.printed import Printed
from reprolake_runner.record import EventLog, Verdict
from reprolake_runner.watchdog import Guarded, Watchdog

if TYPE_CHECKING:
    from reprolake_builder.network.serving import Server  # most runs have none

_LOOK = 0.1  # seconds between two looks at what the run takes
_LOOK_SHARE = 20  # a look may take a twentieth of the time


class Watching(ABC):
    """Watches one sandbox; `begun` (monotonic seconds) is when the run began.

    What is registered with the selector is called when its descriptor is ready; deadlines are monotonic seconds by name.
    """

    def __init__(self, running: Running, guarded: Guarded, begun: float, log: EventLog) -> None:
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._watchdog = Watchdog(running, guarded)
        self.meter = Meter(running, begun)
        self._deadlines = {"look": 0.0}
        self._server: Server | None = None
        self.network: NetworkRecord | None = None

    @abstractmethod
    def _time_up(self, what: str) -> None:
        """Do what has to be done at the deadline of that name."""

    @abstractmethod
    def _exceeded(self, verdict: Verdict) -> None:
        """End the run, which takes too much."""

    def _turn(self) -> None:
        """Wait until something happens, and see to it."""
        now = time.monotonic()
        nearest = min(self._deadlines.values(), default=None)
        for key, _ in self._selector.select(None if nearest is None else max(0, nearest - now)):
            key.data()
        now = time.monotonic()
        for name in [name for name, deadline in self._deadlines.items() if deadline <= now]:
            if self._deadlines.pop(name, None) is not None:
                self._time_up(name)

    def _look(self) -> None:
        """See what the run takes, and end it when that is too much."""
        begun = time.monotonic()
        usage = self.meter.look()
        if self.meter.is_due and (sample := self.meter.sample()) is not None:
            self._log.write("resources", **msgspec.structs.asdict(sample))
        verdict = self._watchdog.look(usage)
        now = time.monotonic()
        self._deadlines["look"] = now + max(_LOOK, _LOOK_SHARE * (now - begun))
        if verdict is not None:
            self._exceeded(verdict)

    def _hear(self, server: Server | None) -> None:
        """Listen to what serves the sandbox, if anything does."""
        self._server = server
        if server is not None:
            self._selector.register(server, selectors.EVENT_READ, self._read_network)

    def _read_network(self) -> None:
        if self._server is None:
            return
        for event in self._server.read():
            self._note_network(event)
        if self._server.has_ended:
            self._selector.unregister(self._server)

    def _note_network(self, event: NetworkEvent) -> None:
        self._log.write(f"network-{event.__struct_config__.tag}", **msgspec.structs.asdict(event))

    def _hear_no_more(self) -> str:
        """Take the sums of what passed, once the sandbox is gone; return a warning, or ""."""
        if self._server is None:
            return ""
        broke = self._server.has_ended
        self.network = self._server.stop(self._note_network)
        return "the process that served the sandbox's network ended before the run did" if broke else ""

    def _listen(self, printed: Printed) -> None:
        """Take what a process prints as it comes."""
        self._selector.register(
            printed.descriptor, selectors.EVENT_READ, functools.partial(self._read_printed, printed)
        )

    def _read_printed(self, printed: Printed) -> None:
        """Take what a process printed; listen no more when nothing will follow."""
        if not printed.read():
            with contextlib.suppress(KeyError):
                self._selector.unregister(printed.descriptor)


def too_many_processes(usage: Usage | None) -> tuple[str, ...]:
    """Return a warning when processes could not be started, for there were as many as there may be."""
    refused = usage is not None and usage.refused
    return ("the limit on processes was reached: some could not be started",) if refused else ()


def not_set_up(error: SandboxError, words: str) -> SandboxError:
    """Return the error of a sandbox that could not be set up after all, with its own last words."""
    return SandboxError(f"{error.message}: {words}" if words else error.message, hint=error.hint)
