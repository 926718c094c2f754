"""Signals that end a run, delivered where a selector waits for them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def ending_signals(selector: selectors.BaseSelector, tell: Callable[[int], None]) -> Iterator[None]:
    """Have signals end the run while this lasts; outside the main thread Python does not deliver any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame  # the number arrives through the pipe, where it cannot interrupt anything

    def arrived() -> None:
        for number in os.read(waiting, 64):
            if number in _SIGNALS:
                tell(number)

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    woken = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    selector.register(waiting, selectors.EVENT_READ, arrived)
    try:
        yield
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        selector.unregister(waiting)
        os.close(waiting)
        os.close(waking)
