"""An HTTP proxy on the loopback that sends whatever it is asked for to one server, and notes what that was."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """Its URL, the port of the loopback server that stands for every host, and the hosts that were asked for."""

    server: int
    url: str = ""
    hosts: list[str] = field(default_factory=list)


@contextlib.contextmanager
def proxying(server: int) -> Iterator[Proxy]:
    """Run the proxy while the context lasts."""
    proxy = Proxy(server)

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            proxy.hosts.append(self.path.rpartition(":")[0])
            with socket.create_connection(("127.0.0.1", proxy.server)) as there:
                self.send_response(200)
                self.end_headers()
                pair = (self.connection, there)
                while True:
                    for ready in select.select(pair, (), ())[0]:
                        piece = ready.recv(1 << 16)
                        if not piece:
                            return
                        pair[ready is self.connection].sendall(piece)

        def do_GET(self) -> None:
            self._forward(b"")

        def do_POST(self) -> None:
            self._forward(self.rfile.read(int(self.headers["Content-Length"])))

        def _forward(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            proxy.hosts.append(parts.hostname or "")
            path = parts._replace(scheme="", netloc="").geturl()
            self.headers.replace_header("Host", parts.netloc)
            del self.headers["Connection"], self.headers["Proxy-Connection"]
            head = f"{self.command} {path} HTTP/1.1\r\nConnection: close\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            with socket.create_connection(("127.0.0.1", proxy.server)) as there:
                there.sendall(f"{head}\r\n".encode() + body)
                answer = b"".join(iter(lambda: there.recv(1 << 16), b""))
            said, _, body = answer.partition(b"\r\n\r\n")
            self.wfile.write(said + b"\r\nConnection: close\r\n\r\n" + body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
        thread.start()
        proxy.url = f"http://127.0.0.1:{listener.server_port}"
        try:
            yield proxy
        finally:
            listener.shutdown()
            thread.join()
