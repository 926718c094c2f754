"""What a command prints, line by line: for the event log up to a limit, and for who watches."""

from __future__ import annotations

import codecs
from typing import Literal

from reprolake_runner.driver.protocol import Said
from reprolake_runner.record import EventLog
from reprolake_runner.supervise import Told

_LONGEST = 1 << 15  # characters of a piece without an end of line
_LOGGED = 4 << 20  # characters of each stream in the event log, which has to hold the run's end, too


class Spoken:
    """Takes the bytes of one stream and tells its lines as text."""

    def __init__(self, kind: Literal["stdout", "stderr"], log: EventLog, told: Told | None) -> None:
        self._kind = kind
        self._log = log
        self._told = told
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._left = _LOGGED

    def take(self, piece: bytes) -> None:
        """Take what came; a line that is not complete waits for its end, unless it is long."""
        text = self._begun + self._decoder.decode(piece)
        end = text.rfind("\n") + 1
        if len(text) - end > _LONGEST:
            end = len(text)
        self._begun = text[end:]
        self._tell(text[:end])

    def end(self) -> None:
        """Tell what had no end of line."""
        self._tell(self._begun + self._decoder.decode(b"", final=True))
        self._begun = ""

    def _tell(self, text: str) -> None:
        if not text:
            return
        if self._told is not None:
            self._told(Said(kind=self._kind, text=text))
        if self._left > 0:
            self._log.write("output", stream=self._kind, text=text[: self._left])
            self._left -= len(text)
            if self._left <= 0:
                self._log.write("output-cut", stream=self._kind)
