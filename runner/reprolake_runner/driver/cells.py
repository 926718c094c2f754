"""Cell after cell: send, collect, look at the clock and at the supervisor's notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from nbformat.notebooknode import NotebookNode

from reprolake_runner.cell_tags import INJECTED, MAY_RAISE, SKIPPED, tags_of
from reprolake_runner.documents.run import Skipped
from reprolake_runner.driver.channels import Channel, Channels, Message, TooMuchError
from reprolake_runner.driver.exchange import Exchange, described, error_words, is_exit
from reprolake_runner.driver.notebook_file import NotebookFile, mark
from reprolake_runner.driver.notices import Notices
from reprolake_runner.driver.outputs import Outputs, digest, said
from reprolake_runner.driver.protocol import (
    CellEnded,
    CellStarted,
    DriverPlan,
    Ended,
    Event,
    Heard,
    Interrupt,
    KernelEnded,
    KernelReady,
    Stop,
)
from reprolake_runner.driver.repair import execution_count, language_info
from reprolake_runner.driver.shell_lines import ShellLines
from reprolake_runner.where import line_of_traceback

_TICK = 0.5
_HELLO_AGAIN = 0.2
_SILENCE = 10.0
_AFTER_INTERRUPT = 5.0
_UNTIL_SIGNAL = 1.0  # a kernel that understands the message has reacted by then
_AFTER_DEATH = 0.2
_UNTIL_NEWS = 1.0  # a kernel's death breaks connections, too, and the supervisor knows of it
_HEARD_EVERY = 1.0


class StoppedError(Exception):
    """The supervisor wants what there is, or the kernel is gone: nothing more will run."""


class TimeUpError(Exception):
    """A cell took longer than it may."""


class SilentError(Exception):
    """The kernel does not answer."""


class BeliedError(Exception):
    """The kernel had said that a cell was done, and now says that it failed: somebody else must have spoken for it."""

    def __init__(self, index: int, error: str) -> None:
        super().__init__(error)
        self.index = index


class Cells:
    """Runs the cells of one notebook in one kernel."""

    def __init__(
        self, plan: DriverPlan, file: NotebookFile, notices: Notices, tell: Callable[[Event], None]
    ) -> None:
        self._plan = plan
        self._file = file
        self._notices = notices
        self._tell = tell
        self._channels = Channels(plan.connection, plan.limits, notices.descriptor)
        self._outputs = Outputs(file.notebook, self._channels)
        self._kernel_ended: float | None = None
        self._broken: float | None = None
        self._told = 0.0
        self._shell = ShellLines()
        self._answered: dict[str, int] = {}
        self._told_unread = 0
        self._left = False
        self.ran: list[tuple[int, NotebookNode]] = []

    @property
    def code(self) -> list[tuple[int, NotebookNode]]:
        """Code cells with their indexes."""
        return [(n, cell) for n, cell in enumerate(self._file.notebook.cells) if cell.cell_type == "code"]

    def greet(self) -> None:
        """Wait until the kernel answers and its outputs arrive here; say what it is."""
        deadline = time.monotonic() + self._plan.start_timeout
        asked: set[str] = set()
        info: dict[str, Any] | None = None
        heard = False
        again = 0.0
        while info is None or not heard:
            now = time.monotonic()
            if now > deadline:
                raise SilentError(f"the kernel did not answer within {self._plan.start_timeout:g} s")
            if not asked or (info is not None and now > again):
                # its first answer may have gone out before our subscription arrived: ask again
                asked.add(self._channels.send("shell", "kernel_info_request", {}))
                again = now + _HELLO_AGAIN
            for channel, message in self._messages(_HELLO_AGAIN):
                if message["parent_header"].get("msg_id") not in asked:
                    continue
                if channel == "shell":
                    info = message["content"]
                    again = time.monotonic() + _HELLO_AGAIN
                elif channel == "iopub":
                    heard = True
        if language := language_info(info.get("language_info")):
            self._file.notebook.metadata["language_info"] = language
        cells = tuple(index for index, _ in self.code)
        injected = next((index for index, cell in self.code if INJECTED in tags_of(cell.metadata)), None)
        self._tell(KernelReady(info=described(info), cells=cells, injected=injected))

    def run(self) -> bool:
        """Run all cells in turn and return whether none of them failed; the first that does ends it."""
        for index, cell in self.code:
            if why := self._why_skipped(cell):
                mark(cell, "skipped", failed=False)
                self._tell(CellEnded(index=index, state="skipped", outputs=digest(cell.outputs), skipped=why))
            elif not self._run_one(index, cell):
                return False
            else:
                self.ran.append((index, cell))
            if self._file.due:
                self._file.save()
        self._hear_out()
        self._outputs.finish()
        return True

    def _why_skipped(self, cell: NotebookNode) -> Skipped | None:
        if self._left:
            return "after-exit"
        if SKIPPED in tags_of(cell.metadata):
            return "tagged"
        return None if cell.source.strip() else "empty"

    def look(self) -> None:
        """See whether the supervisor wants an end; what the kernel says meanwhile is not of interest."""
        for _ in self._messages(0):
            pass

    def end_kernel(self) -> None:
        """Ask the kernel to end; the supervisor sees to it that it does."""
        self._channels.send("control", "shutdown_request", {"restart": False})

    def close(self) -> None:
        """Drop the connections to the kernel."""
        self._channels.close()

    def wait_for_notice(self, seconds: float) -> None:
        """Wait for the supervisor's word after the last cell; what the kernel says meanwhile is not of interest."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if (self._notices.waiting or self._channels.wait(left)) and self._notices.read():
                return
            for _ in self._channels.received():
                pass

    def _run_one(self, index: int, cell: NotebookNode) -> bool:
        started, begun = datetime.now(UTC), time.monotonic()
        self._outputs.start(cell)
        self._shell = ShellLines()
        mark(cell, "running", started)
        self._tell(CellStarted(index=index))
        try:
            reply = self._converse(index, cell)
        except TimeUpError as error:
            mark(cell, "failed", started, failed=True)
            ended = self._ended(index, cell, "failed", begun, str(error))
            self._tell(msgspec.structs.replace(ended, line=line_of_traceback(cell.outputs)))
            raise
        finally:
            self._outputs.settle()
        self._left = is_exit(reply)
        raised = reply.get("status") != "ok" and not self._left
        failed = raised or bool(self._plan.strict_shell and self._shell.failed)
        allowed = failed and MAY_RAISE in tags_of(cell.metadata)
        state: Ended = "allowed-failure" if allowed else "failed" if failed else "succeeded"
        count = execution_count(reply.get("execution_count"))
        if count is not None:
            cell.execution_count = count
        mark(cell, "failed" if state == "failed" else "completed", started, failed=failed)
        words = error_words(reply) if raised else self._shell.failed[0] if failed else ""
        self._tell(self._ended(index, cell, state, begun, words))
        return state != "failed"

    def _ended(self, index: int, cell: NotebookNode, state: Ended, begun: float, error: str) -> CellEnded:
        self._outputs.settle()
        return CellEnded(
            index=index,
            state=state,
            seconds=round(time.monotonic() - begun, 6),
            error=error,
            warnings=tuple(filter(None, (*self._shell.failed, self._outputs.warning, self._unread()))),
            execution_count=cell.execution_count,
            outputs=digest(cell.outputs),
        )

    def _unread(self) -> str:
        """Return a warning about messages that were left out since the last one, "" when none were."""
        new = self._channels.unread - self._told_unread
        self._told_unread += new
        return f"{new} message{'s' * (new > 1)} could not be read, and left out" if new else ""

    def _converse(self, index: int, cell: NotebookNode) -> dict[str, Any]:
        """Send the cell, apply what comes back, and return the content of the reply."""
        request = {
            "code": cell.source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        sent = self._channels.send("shell", "execute_request", request)
        limit = self._plan.execution_timeout
        now = time.monotonic()
        deadline = now + limit if limit is not None else None
        exchange = Exchange(sent, index, cell)
        heard = now
        while not exchange.done or self._broken is not None:
            for channel, message in self._messages(_TICK):
                heard = time.monotonic()
                self._take(exchange, channel, message)
            now = time.monotonic()
            if exchange.asked:
                return self._refuse_input(exchange)
            if exchange.reply is not None and not exchange.idle and now - heard > _SILENCE:
                raise SilentError(f"the kernel did not say that it is done with {exchange.name}")
            if deadline is not None and exchange.reply is None and now > deadline:
                self._interrupt(exchange)
                raise TimeUpError(f"{exchange.name} took longer than {limit:g} s")
            if self._file.due and heard > self._file.saved:
                self._outputs.settle()
                self._file.save()
        return exchange.reply or {}

    def _take(self, exchange: Exchange, channel: Channel, message: Message) -> None:
        """Apply one message to the cell that it is about."""
        if message["parent_header"].get("msg_id") != exchange.sent:
            return
        if channel == "shell" and message["msg_type"] == "execute_reply":
            exchange.reply = message["content"]
            self._answered[exchange.sent] = exchange.index
        elif channel == "stdin":
            exchange.asked = True
        elif channel == "iopub" and not self._shell.take(message):
            self._pass_on(message)
            ended = self._outputs.apply(message, exchange.cell, exchange.index)
            exchange.idle = ended or exchange.idle

    def _refuse_input(self, exchange: Exchange) -> dict[str, Any]:
        """Return the reply of a cell that asked for input, and that was interrupted for it.

        Some kernels ask although they were told that nobody answers. Raises TimeUpError when the cell does not end.
        """
        self._interrupt(exchange)
        if not exchange.done:
            raise TimeUpError(f"{exchange.name} waits for input, which nobody can give")
        reply = exchange.reply or {}
        if reply.get("status") == "error" and isinstance(reply.get("ename"), str):
            return reply
        return {**reply, "status": "error", "ename": "InputRefused", "evalue": "nobody can answer the cell"}

    def _hear_out(self) -> None:
        """Wait until the kernel answers once more: what it had yet to say of earlier cells comes before that."""
        asked = self._channels.send("shell", "kernel_info_request", {})
        deadline = time.monotonic() + _SILENCE
        while time.monotonic() < deadline:
            for channel, message in self._messages(_TICK):
                if channel == "shell" and message["parent_header"].get("msg_id") == asked:
                    return
        raise SilentError("the kernel did not answer any more after the last cell")

    def _interrupt(self, exchange: Exchange) -> None:
        """Interrupt the cell, and give it a moment to show where it was; a kernel may also end by that."""
        self._tell(Interrupt())
        asked = self._channels.send("control", "interrupt_request", {})
        now = time.monotonic()
        deadline, signal = now + _AFTER_INTERRUPT, now + _UNTIL_SIGNAL
        while not exchange.done and (now := time.monotonic()) < deadline:
            if now > signal:
                self._tell(Interrupt(signal=True))
                signal = deadline
            try:
                for channel, message in self._messages(_TICK):
                    self._take(exchange, channel, message)
                    if message["parent_header"].get("msg_id") == asked and channel == "control":
                        signal = deadline  # it has understood, and a second interrupt would meet what the user does at the first
            except StoppedError:
                if self._kernel_ended is None:
                    raise
                return

    def _pass_on(self, message: Message) -> None:
        if self._plan.tells_outputs:
            for piece in said(message):
                self._tell(piece)

    def _messages(self, seconds: float) -> Iterator[tuple[Channel, Message]]:
        """Wait for messages and yield them; raise StoppedError when the supervisor or the kernel's death wants an end."""
        if self._kernel_ended is not None:
            if time.monotonic() > self._kernel_ended + _AFTER_DEATH:
                raise StoppedError
            seconds = min(seconds, _AFTER_DEATH / 4)
        if self._notices.waiting or self._channels.wait(seconds):
            for notice in self._notices.read():
                if isinstance(notice, Stop):
                    raise StoppedError
                if isinstance(notice, KernelEnded):
                    # its last words may still be on their way
                    self._kernel_ended = time.monotonic()
        if self._channels.broke():
            self._broken = time.monotonic()
        if (
            self._broken is not None
            and time.monotonic() > self._broken + _UNTIL_NEWS
            and self._kernel_ended is None
        ):
            megabytes = self._plan.limits.message_bytes >> 20
            raise TooMuchError(
                f"outputs were lost: the kernel broke the connection or sent a message of more than {megabytes} MB"
            )
        for received in self._channels.received():
            if time.monotonic() > self._told + _HEARD_EVERY:
                self._told = time.monotonic()
                self._tell(Heard())
            channel, message = received
            if channel == "shell" and message["msg_type"] == "execute_reply":
                self._believe_no_longer(message)
            yield received

    def _believe_no_longer(self, message: Message) -> None:
        """Raise BeliedError when a reply says of a cell that failed what another one said had gone well."""
        index = self._answered.get(message["parent_header"].get("msg_id", ""))
        if index is not None and message["content"].get("status") == "error":
            mark(self._file.notebook.cells[index], "failed", failed=True)
            raise BeliedError(index, error_words(message["content"]))
