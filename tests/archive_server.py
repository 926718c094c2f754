"""A double of many archives on the loopback: it replays answers by method, host, path and query, and notes what was asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RECORDED = Path(__file__).parent / "data" / "archives"


def recorded(name: str) -> bytes:
    """Return the bytes of a recorded answer."""
    return (RECORDED / name).read_bytes()


@dataclass(frozen=True)
class Reply:
    """An answer."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ArchiveServer:
    """Replies by question, like `GET api.example.org/v1/things?id=3`: each is given once, the last of them again and again.

    `headers` are those that came with a question the last time.
    """

    address: str = ""
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def tell(self, question: str, *answers: object) -> None:
        """Let a question be answered by replies, bytes, or values that are sent as JSON."""
        self.replies[question] = [
            answer if isinstance(answer, Reply)
            else Reply(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
            for answer in answers
        ]  # fmt: skip

    def gateways(self, *hosts: str) -> dict[str, str]:
        """Return the addresses by which hosts are reached."""
        return {host: f"{self.address}/{host}" for host in hosts}


def _handler(server: ArchiveServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: else each answer waits for an acknowledgement

        def do_GET(self) -> None:
            question = f"{self.command} {self.path[1:]}"
            server.asked.append(question)
            server.headers[question] = dict(self.headers)
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            replies = server.replies.get(question) or server.replies.get(question.partition("?")[0])
            if not replies:
                self._answer(Reply(b'{"reason": "not found"}', 404))
                return
            self._answer(replies.pop(0) if len(replies) > 1 else replies[0])

        def do_POST(self) -> None:
            self.do_GET()

        def _answer(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def archive_server() -> Iterator[ArchiveServer]:
    """Yield a running server."""
    served = ArchiveServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # a client that has had enough hangs up
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
