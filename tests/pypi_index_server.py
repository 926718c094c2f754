"""A package index of the tests' own on the loopback: wheels made on the spot, with upload times as wanted."""

from __future__ import annotations

import hashlib
import io
import json
import ssl
import zipfile
from base64 import b64encode, urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from http_serving import http_serving

JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True)
class Upload:
    """A wheel on the index; `uploaded` is an ISO date or time, "" for an index that does not tell."""

    name: str
    version: str
    uploaded: str
    requires: tuple[str, ...] = ()
    tag: str = "py3-none-any"
    requires_python: str = ""
    yanked: bool = False
    extras: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        return f"{self.name}-{self.version}-{self.tag}.whl"

    def metadata(self) -> str:
        lines = ["Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}"]
        lines += [f"Requires-Dist: {line}" for line in self.requires]
        lines += [f"Provides-Extra: {extra}" for extra in self.extras]
        lines += [f"Requires-Python: {self.requires_python}"] if self.requires_python else []
        return "\n".join(lines) + "\n"

    def content(self) -> bytes:
        folder = f"{self.name}-{self.version}.dist-info"
        wheel = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {self.tag}\n"
        texts = {f"{folder}/METADATA": self.metadata(), f"{folder}/WHEEL": wheel}
        rows = [f"{name},sha256={_record_hash(text)},{len(text)}" for name, text in texts.items()]
        texts[f"{folder}/RECORD"] = "\n".join([*rows, f"{folder}/RECORD,,", ""])
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, text in texts.items():
                archive.writestr(zipfile.ZipInfo(name), text)
        return buffer.getvalue()


def _kind(kind: str, body: bytes) -> str:
    if kind != "simple":
        return "application/octet-stream"
    return "text/html" if body.startswith(b"<!DOCTYPE") else JSON


def _record_hash(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


KERNEL = (
    Upload("ipykernel", "6.17.1", "2022-11-09"),
    Upload("pip", "22.3.1", "2022-11-05"),
    Upload("setuptools", "65.6.3", "2022-11-24"),
    Upload("wheel", "0.38.4", "2022-11-09"),
)


@dataclass
class Index:
    """What the server serves, and how often each path was asked for."""

    uploads: tuple[Upload, ...] = KERNEL
    sdists: dict[str, bytes] = field(default_factory=dict)
    hashes: bool = True
    sizes: bool = True
    asked: Counter[str] = field(default_factory=Counter)
    url: str = ""
    watch: Callable[[], object] = lambda: None  # called at each request

    def add(self, *uploads: Upload) -> Index:
        self.uploads += uploads
        return self

    def page(self, name: str) -> bytes:
        files = [self._entry(upload.filename, upload.content(), upload) for upload in self._named(name)]
        files += [
            self._entry(filename, content, None)
            for filename, content in self.sdists.items()
            if filename.startswith(f"{name}-")
        ]
        return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()

    def html(self, name: str) -> bytes:
        """The page as indexes gave it before there was JSON, which old tools read."""
        files = json.loads(self.page(name))["files"]
        links = [
            f'<a href="{file["url"]}#sha256={file["hashes"].get("sha256", "")}">{file["filename"]}</a><br>'
            for file in files
        ]
        return (
            f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode() if files else b'"files": []'
        )

    def file(self, filename: str) -> bytes | None:
        for upload in self.uploads:
            if filename == upload.filename:
                return upload.content()
            if filename == f"{upload.filename}.metadata":
                return upload.metadata().encode()
        return self.sdists.get(filename)

    def _named(self, name: str) -> list[Upload]:
        return [upload for upload in self.uploads if upload.name.replace("_", "-") == name]

    def _entry(self, filename: str, content: bytes, upload: Upload | None) -> dict[str, object]:
        entry: dict[str, object] = {
            "filename": filename,
            "url": f"../../files/{filename}",
            "hashes": {"sha256": hashlib.sha256(content).hexdigest()} if self.hashes else {},
            "core-metadata": upload is not None,
            "yanked": upload is not None and upload.yanked,
        }
        if self.sizes:
            entry["size"] = len(content)
        uploaded = upload.uploaded if upload is not None else "2020-01-01"
        if uploaded:
            entry["upload-time"] = uploaded if "T" in uploaded else f"{uploaded}T00:00:00Z"
        if upload is not None and upload.requires_python:
            entry["requires-python"] = upload.requires_python
        return entry


@contextmanager
def serving(index: Index, login: str = "", tls: ssl.SSLContext | None = None) -> Iterator[Index]:
    """Serve the index on the loopback while the context lasts; its URL is `index.url`. `login` is USER:PASSWORD."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            index.asked[self.path] += 1
            index.watch()
            if login and self.headers.get("Authorization") != f"Basic {b64encode(login.encode()).decode()}":
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            _, kind, name = self.path.rstrip("/").split("/", 2)
            old = self.headers.get("Accept", JSON) == "*/*" or "text/html" in self.headers.get("Accept", "")
            page = index.html if old and "json" not in self.headers.get("Accept", "") else index.page
            body = page(name) if kind == "simple" else index.file(name)
            if body is None or (kind == "simple" and b'"files": []' in body):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", _kind(kind, body))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http_serving(Handler, tls) as address:
        index.url = f"{address}/simple"
        yield index
