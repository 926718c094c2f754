"""A web server of the tests' own on the loopback that gives files, and misbehaves on demand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from http_serving import http_serving


@dataclass
class FileServer:
    """Files by path, and what was asked for.

    `refusals` are answers given first: status and header fields, by path. `drops` are the lengths after which the
    connection breaks, one for each request. `redirects` lead elsewhere. With `ranges` parts are given.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    drops: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    address: str = ""


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            server.asked.append((self.path, dict(self.headers)))
            if server.refusals.get(path):
                status, fields = server.refusals[path].pop(0)
                self._answer(status, fields, b"")
            elif path in server.redirects:
                self._answer(302, {"Location": server.redirects[path]}, b"")
            elif path not in server.files:
                self._answer(404, {}, b"")
            else:
                self._file(server.files[path])

        def _file(self, content: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range", "") in {"", server.headers.get("ETag", "")}
            if not (asked and same and server.ranges):
                self._answer(200, server.headers, content)
                return
            first = int(asked[1])
            told = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._answer(206, {**server.headers, "Content-Range": told}, content[first:])

        def _answer(self, status: int, fields: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if body and server.drops:
                self.wfile.write(body[: server.drops.pop(0)])
                self.close_connection = True
            else:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def file_server(**settings: object) -> Iterator[FileServer]:
    """Yield a running server."""
    served = FileServer(**settings)
    with http_serving(_handler(served)) as served.address:
        yield served
