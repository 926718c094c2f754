"""A server's side of Git LFS for tests, from its specification: the batch question, and objects given out to who may have them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

MEDIA = "application/vnd.git-lfs+json"


@dataclass
class LfsStore:
    """What is kept: contents by their SHA-256. `token` must come with each download; `spoiled` objects are given out damaged; `elsewhere` is
    the address of the server that gives them out, where it is another one; `href`, `header` and `answers` are what a hostile one says.

    `asked` are the bodies of batch questions, `given` the objects that were sent.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    token: str = "t0ken-of-a-download"
    spoiled: set[str] = field(default_factory=set)
    elsewhere: str = ""
    href: str = ""
    header: dict[str, str] = field(default_factory=dict)
    answers: bytes | None = None
    asked: list[dict[str, object]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)

    def add(self, content: bytes) -> str:
        """Keep a content and return its pointer."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a batch question."""
        question = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.asked.append(question)
        right = request.headers["Accept"] == request.headers["Content-Type"] == MEDIA
        base = self.elsewhere or f"http://{request.headers['Host']}"
        objects = [self._offer(item, base) for item in question["objects"]]
        body = json.dumps({"transfer": "basic", "objects": objects}).encode()
        good = right and question["operation"] == "download"
        self._send(request, 200 if good else 422, body if self.answers is None else self.answers)

    def give(self, request: BaseHTTPRequestHandler) -> None:
        """Give an object out."""
        oid = request.path.rpartition("/")[2]
        if request.headers["X-Token"] != self.token:
            self._send(request, 403, b"")
            return
        self.given.append(oid)
        content = self.objects[oid]
        self._send(request, 200, content[::-1] if oid in self.spoiled else content)

    def _offer(self, item: dict[str, object], base: str) -> dict[str, object]:
        oid = str(item["oid"])
        if oid not in self.objects:
            return {**item, "error": {"code": 404, "message": "Object does not exist"}}
        download = {
            "href": self.href or f"{base}/lfs-objects/{oid}",
            "header": {"X-Token": self.token, **self.header},
            "expires_in": 60,
        }
        return {**item, "authenticated": True, "actions": {"download": download}}

    def _send(self, request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        request.send_response(status)
        request.send_header("Content-Type", MEDIA)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
