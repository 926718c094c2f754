"""A terminal of the sandbox's own, and the bytes between it and a person's: the person's never gets into the sandbox."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import termios
from collections.abc import Callable, Iterator
from types import FrameType

_PIECE = 4096
_END_OF_FILE = b"\x04"


class Relay:
    """Joins a person's terminal (`keys` to read, `screen` to write) with a new one, of which `inner` is the program's end."""

    def __init__(self, keys: int, screen: int) -> None:
        self._keys = keys
        self._screen = screen
        self.outer, self.inner = os.openpty()
        os.set_blocking(self.outer, False)
        self._resize()

    def started(self) -> None:
        """Give up the program's end, so that nobody holds it when the program is gone."""
        os.close(self.inner)
        self.inner = -1

    def close(self) -> None:
        """Close both ends."""
        for descriptor in (self.outer, self.inner):
            if descriptor >= 0:
                os.close(descriptor)

    def show(self, piece: bytes) -> None:
        """Put what the program printed on the person's screen."""
        while piece:
            piece = piece[os.write(self._screen, piece) :]

    @contextlib.contextmanager
    def joined(self, selector: selectors.BaseSelector, heard: Callable[[], None]) -> Iterator[None]:
        """Pass on what is typed, and the size of the screen, while this lasts; `heard` is called for each piece."""

        def typed() -> None:
            heard()
            piece = os.read(self._keys, _PIECE)
            if not piece:
                selector.unregister(self._keys)
            self._type(piece or _END_OF_FILE)

        def resized(number: int, frame: FrameType | None) -> None:
            del number, frame
            self._resize()

        before = signal.signal(signal.SIGWINCH, resized)
        selector.register(self._keys, selectors.EVENT_READ, typed)
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)
            with contextlib.suppress(KeyError):
                selector.unregister(self._keys)

    def _type(self, piece: bytes) -> None:
        """Type as much as the program's terminal takes; what it has no room for is lost, as on any terminal."""
        with contextlib.suppress(BlockingIOError):
            while piece:
                piece = piece[os.write(self.outer, piece) :]

    def _resize(self) -> None:
        with contextlib.suppress(OSError):
            found = fcntl.ioctl(self._screen, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self.outer, termios.TIOCSWINSZ, found)
