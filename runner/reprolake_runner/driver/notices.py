"""Standard input: the plan first, then the supervisor's notices, a line each."""

from __future__ import annotations

import os

import msgspec

from reprolake_runner.driver.protocol import DriverPlan, Notice

_PLAN = msgspec.json.Decoder(DriverPlan)
_NOTICES = msgspec.json.Decoder(Notice)


class Notices:
    """Lines from the supervisor, which is trusted: it is the one who confines this process."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._begun = b""

    def plan(self) -> DriverPlan:
        """Wait for the first line. Raises EOFError when the supervisor is gone."""
        while b"\n" not in self._begun:
            self._fill()
        line, _, self._begun = self._begun.partition(b"\n")
        return _PLAN.decode(line)

    @property
    def waiting(self) -> bool:
        """Whether a notice is here that came together with what was read before."""
        return b"\n" in self._begun

    def read(self) -> list[Notice]:
        """Return the notices that arrived, waiting for some bytes. Raises EOFError when the supervisor is gone."""
        if not self.waiting:
            self._fill()
        *lines, self._begun = self._begun.split(b"\n")
        return [_NOTICES.decode(line) for line in lines]

    def _fill(self) -> None:
        piece = os.read(self.descriptor, 1 << 16)
        if not piece:
            raise EOFError
        self._begun += piece
