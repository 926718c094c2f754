"""A kernel that says anything at all: the other end of the driver's sockets, for tests of what the driver makes of it."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import zmq
from jupyter_client.session import Session
from notebook_runs import notebook

from reprolake_runner.driver.cells import Cells, SilentError, StoppedError, TimeUpError
from reprolake_runner.driver.channels import TooMuchError
from reprolake_runner.driver.notebook_file import NotebookFile
from reprolake_runner.driver.notices import Notices
from reprolake_runner.driver.protocol import (
    LINE_LIMIT,
    CellEnded,
    Connection,
    DriverLimits,
    DriverPlan,
    Event,
    Said,
    Stop,
)

CHANNELS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4}
LAST = "the last word of the kernel"
ENDS = (StoppedError, TimeUpError, TooMuchError, SilentError)
"""All the ways in which the driver may give up."""
_EVENT = msgspec.json.Decoder(Event)


@dataclass(frozen=True)
class Word:
    """One message: raw `frames`, or parts that are signed; `answers` puts the cell's request in for its parent."""

    channel: str
    frames: tuple[bytes, ...] | None = None
    header: Any = None
    parent: Any = None
    metadata: Any = None
    content: Any = None
    answers: bool = True
    signed: bool = True


@dataclass
class Heard:
    """What the driver made of it all: the events that it told, and how it ended, "" when every cell was run."""

    events: list[Any] = field(default_factory=list)
    ended: str = ""
    notebook: Any = None

    @property
    def states(self) -> list[str]:
        """What became of cells."""
        return [event.state for event in self.events if isinstance(event, CellEnded)]


def converse(folder: Path, words: list[Word]) -> Heard:
    """Return what the driver makes of a kernel that answers the first cell with these words and then has no more to say."""
    folder = Path(tempfile.mkdtemp(dir=folder))
    key = secrets.token_hex(8)
    (folder / "in.ipynb").write_text(notebook("1", "2"))
    plan = DriverPlan(
        connection=Connection(path=f"{folder}/k", key=key),
        name="in.ipynb",
        notebook=f"{folder}/in.ipynb",
        executed=f"{folder}/out.ipynb",
        tells_outputs=True,
        limits=DriverLimits(message_bytes=1 << 20, total_bytes=4 << 20, messages=500),
    )
    reading, writing = os.pipe()
    heard = Heard()

    def tell(event: Any) -> None:
        line = msgspec.json.encode(event)
        assert len(line) <= LINE_LIMIT
        assert b"\n" not in line
        heard.events.append(_EVENT.decode(line))
        if isinstance(event, Said) and LAST in event.text:
            os.write(writing, msgspec.json.encode(Stop()) + b"\n")

    file = NotebookFile(folder / "in.ipynb", folder / "out.ipynb", "test")
    over = threading.Event()
    with zmq.Context() as context:
        sockets = _bound(folder, context)
        session = Session(key=key.encode())
        kernel = threading.Thread(target=_answer, args=(sockets, session, words, writing, over))
        cells = Cells(plan, file, Notices(reading), tell)
        kernel.start()
        try:
            cells.run()
        except ENDS as error:
            heard.ended = type(error).__name__
        finally:
            over.set()
            kernel.join()
            cells.close()
            for socket in sockets.values():
                socket.close(linger=0)
            file.save()
            os.close(reading)
            os.close(writing)
    heard.notebook = json.loads((folder / "out.ipynb").read_bytes())
    nbformat.validate(heard.notebook)
    return heard


def _bound(folder: Path, context: zmq.Context) -> dict[str, zmq.Socket]:
    sockets = {}
    for name, number in CHANNELS.items():
        sockets[name] = context.socket(zmq.XPUB if name == "iopub" else zmq.ROUTER)
        sockets[name].bind(f"ipc://{folder}/k-{number}")
    return sockets


def _answer(
    sockets: dict[str, zmq.Socket], session: Session, words: list[Word], notices: int, over: threading.Event
) -> None:
    sockets["iopub"].recv()  # the driver's subscription
    frames = sockets["shell"].recv_multipart()
    _, parts = session.feed_identities(frames)
    request = session.deserialize(parts)["header"]
    # a client that has not spoken on a channel can only be answered there by its name, which is the same on all
    name = frames[0]
    for word in words:
        prefix = [] if word.channel == "iopub" else [name]
        sockets[word.channel].send_multipart([*prefix, *_frames(word, session, request)])
    last = session.msg("stream", {"name": "stdout", "text": LAST}, parent=request)
    sockets["iopub"].send_multipart(session.serialize(last, ident=b"last"))
    while not over.is_set():
        if sockets["shell"].poll(5):  # the driver went on, or asks for more
            os.write(notices, msgspec.json.encode(Stop()) + b"\n")
            return


def _frames(word: Word, session: Session, request: dict[str, Any]) -> list[bytes]:
    if word.frames is not None:
        return list(word.frames)
    parent = request if word.answers else word.parent
    parts = [_json(part) for part in (word.header, parent, word.metadata, word.content)]
    signature = session.sign(parts) if word.signed else b"0" * 64
    return [b"topic", b"<IDS|MSG>", signature, *parts]


def _json(value: Any) -> bytes:
    """JSON, or what stands for it already."""
    if isinstance(value, bytes):
        return value
    return json.dumps(value, default=str).encode()
