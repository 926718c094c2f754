"""What passed the proxy and what it refused: an event each, as it tells them, and the sum of them for a record."""

from __future__ import annotations

from reprolake_builder.documents.base import Document
from reprolake_builder.process import printable

_MOST_HOSTS = 1000
_LONGEST = 300  # characters of a reason


class Passage(Document, frozen=True, kw_only=True, tag="passed", tag_field="event"):
    """A request, or a tunnel (CONNECT), that the proxy let pass and that ended. Sizes in bytes of what was in it.

    Of a tunnel, which is mostly encrypted, nothing but host and port is known. `status` is the server's answer, 0 for none. `url`
    and `sha256` (of the answer's body, once that came whole) are told of plain http, the latter when it was asked for.
    """

    host: str
    port: int
    method: str
    sent: int = 0
    received: int = 0
    seconds: float = 0
    status: int = 0
    url: str = ""
    sha256: str = ""
    problem: str = ""


class Refusal(Document, frozen=True, kw_only=True, tag="refused", tag_field="event"):
    """A request that the proxy did not let pass; host and port are those asked for, "" and 0 when that cannot be said."""

    host: str
    port: int
    method: str
    reason: str


class Silence(Document, frozen=True, kw_only=True, tag="untold", tag_field="event"):
    """So many events more were not told one by one."""

    number: int


class Ready(Document, frozen=True, kw_only=True, tag="ready", tag_field="event"):
    """The proxy answers."""


Event = Passage | Refusal | Silence | Ready


class HostTraffic(Document, frozen=True, kw_only=True):
    """What went to and from a host and port by a method. Sizes in bytes; `problem` is the first there was, "" for none.

    Of CONNECT, behind which there is TLS as a rule, only host and port are known and not what was asked or answered.
    """

    host: str
    port: int
    method: str
    times: int
    sent: int
    received: int
    problem: str = ""


class RefusedHost(Document, frozen=True, kw_only=True):
    """A host and port that were asked for in vain, and why for the first time."""

    host: str
    port: int
    method: str
    times: int
    reason: str


class NetworkRecord(Document, frozen=True, kw_only=True):
    """What a run could reach and what it did. `policy` is what `--network` takes; `inward` what the site opened beyond that.

    `untold` events are not counted in `passed` and `refused`, because there were too many.
    """

    policy: str
    inward: tuple[str, ...] = ()
    passed: tuple[HostTraffic, ...] = ()
    refused: tuple[RefusedHost, ...] = ()
    untold: int = 0


class _Sum:
    def __init__(self) -> None:
        self.times = self.sent = self.received = 0
        self.said = ""

    def add(self, event: Passage | Refusal) -> None:
        self.times += 1
        if isinstance(event, Passage):
            self.sent += event.sent
            self.received += event.received
        told = event.problem if isinstance(event, Passage) else event.reason
        self.said = self.said or printable(told)[:_LONGEST]


class Traffic:
    """Adds events up."""

    def __init__(self) -> None:
        self._passed: dict[tuple[str, int, str], _Sum] = {}
        self._refused: dict[tuple[str, int, str], _Sum] = {}
        self._untold = 0

    def note(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Silence():
                self._untold += event.number
            case Passage() | Refusal():
                known = self._passed if isinstance(event, Passage) else self._refused
                key = (printable(event.host), event.port, printable(event.method))
                if key in known or len(known) < _MOST_HOSTS:
                    known.setdefault(key, _Sum()).add(event)
                else:
                    self._untold += 1
            case Ready():
                pass

    def record(self, policy: str, inward: tuple[str, ...]) -> NetworkRecord:
        """Return the sums."""
        return NetworkRecord(
            policy=policy,
            inward=inward,
            passed=tuple(
                HostTraffic(
                    host=host,
                    port=port,
                    method=method,
                    times=one.times,
                    sent=one.sent,
                    received=one.received,
                    problem=one.said,
                )
                for (host, port, method), one in sorted(self._passed.items())
            ),
            refused=tuple(
                RefusedHost(host=host, port=port, method=method, times=one.times, reason=one.said)
                for (host, port, method), one in sorted(self._refused.items())
            ),
            untold=self._untold,
        )
