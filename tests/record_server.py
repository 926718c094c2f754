"""A site with records on the loopback: it replays answers from files, as strict and as moody as the real ones are."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

from http_serving import http_serving

RECORDS = Path(__file__).parent / "data/records"
_AGENT = re.compile(r"[a-z][a-z0-9-]*/\d+(\.\d+)+( \(\+https?://\S+\))?")


def recorded(name: str) -> dict:
    """The answer in a file of data/records."""
    return json.loads((RECORDS / f"{name}.json").read_text())


@dataclass
class Site:
    """What the site has and how it behaves.

    `records` are answers by id, `files` contents by (id, key), `concepts` lead from a concept to its newest version, `pages`
    from a path to an address. `busy` is how many questions are answered 429 first, each with `retry_after` seconds; `drops` are
    the bytes after which a file's transfer breaks. `gone` and `closed` are ids of removed and of restricted records.
    """

    records: dict[str, dict] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    concepts: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    host: str = "zenodo.org"
    busy: int = 0
    retry_after: str = "1"
    drops: list[int] = field(default_factory=list)
    ranges: bool = True
    gone: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, float]] = field(default_factory=list)
    url: str = ""

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        agent = self.headers.get("User-Agent", "")
        self.site.asked.append((path, self.headers.get("Range", ""), time.monotonic()))
        if not _AGENT.fullmatch(agent) or agent.startswith("python-requests"):
            self._say(403, {}, b'{"status": 403, "message": "Unusual traffic"}')
        elif self.site.busy:
            self.site.busy -= 1
            self._say(429, {"Retry-After": self.site.retry_after}, b'{"status": 429}')
        elif path in self.site.pages:
            self._say(302, {"Location": self.site.pages[path]}, b"")
        elif found := re.fullmatch(r"/api/records/([^/]+)", path):
            self._record(found[1])
        elif found := re.fullmatch(r"/api/records/([^/]+)/files", path):
            self._listing(found[1])
        elif found := re.fullmatch(r"/api/records/([^/]+)/files/(.+)/content", path):
            self._file(found[1], found[2])
        else:
            self._say(404, {"Content-Type": "text/html"}, b"<html>nothing here</html>")

    def _record(self, id_: str) -> None:
        if id_ in self.site.concepts:
            self._say(
                301, {"Location": f"https://{self.site.host}/api/records/{self.site.concepts[id_]}"}, b""
            )
        elif id_ in self.site.gone:
            self._say(410, {}, b'{"status": 410, "message": "The record has been deleted."}')
        elif id_ in self.site.records:
            self._say(200, {"Content-Type": "application/json"}, json.dumps(self.site.records[id_]).encode())
        else:
            self._say(404, {}, b'{"status": 404, "message": "The persistent identifier does not exist."}')

    def _listing(self, id_: str) -> None:
        if id_ in self.site.closed:
            self._say(403, {}, b'{"status": 403, "message": "Permission denied."}')
            return
        entries = [
            {"key": key, "size": len(content), "checksum": "md5:" + "0" * 32}
            for (owner, key), content in self.site.files.items()
            if owner == id_
        ]
        self._say(200, {}, json.dumps({"enabled": True, "entries": entries}).encode())

    def _file(self, id_: str, key: str) -> None:
        content = self.site.files.get((id_, key))
        if content is None:
            self._say(404, {}, b"")
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not (asked and self.site.ranges):
            self._say(200, {}, content, breaking=True)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        told = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self._say(206, told, content[first : last + 1], breaking=not asked[2])

    def _say(self, status: int, fields: dict[str, str], body: bytes, *, breaking: bool = False) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if breaking and self.site.drops:
            body = body[: self.site.drops.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_records(site: Site) -> Iterator[Site]:
    """Serve the site on the loopback while the context lasts; its address is `site.url`."""
    with http_serving(type("Handler", (_Handler,), {"site": site})) as site.url:
        yield site
