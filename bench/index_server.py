"""A package index on the loopback with the wheels of locks, so that both sides of a comparison fetch alike.

python -m bench.index_server STORE LOCK …     prints its address, serves until its standard input ends
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from reprolake.lock_file import read_lock
from reprolake_builder.documents.lock import WheelLock


def serve(store: Path, locks: list[Path]) -> None:
    """Serve the archives of the store (host path) that the locks name."""
    wheels = {wheel.sha256: wheel for lock in locks for wheel in read_lock(lock).wheels}
    projects: dict[str, list[WheelLock]] = defaultdict(list)
    for wheel in wheels.values():
        projects[wheel.name].append(wheel)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer with a project's page, or with a wheel."""
            kind, _, name = self.path.strip("/").partition("/")
            if kind == "simple" and name in projects:
                self._page(projects[name])
            elif kind == "files" and name.partition("/")[0] in wheels:
                self._file(store / "archives" / name[:2] / name.partition("/")[0])
            else:
                self.send_error(404)

        def _page(self, found: list[WheelLock]) -> None:
            files = [
                {
                    "filename": wheel.filename,
                    "url": f"/files/{wheel.sha256}/{wheel.filename}",
                    "hashes": {"sha256": wheel.sha256},
                    "size": wheel.size,
                    "upload-time": "2020-01-01T00:00:00Z",
                }
                for wheel in found
            ]
            page = {"meta": {"api-version": "1.1"}, "name": found[0].name, "files": files}
            data = msgspec.json.encode({**page, "versions": sorted({wheel.version for wheel in found})})
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _file(self, path: Path) -> None:
            with path.open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                self.send_response(200)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(size))
                self.end_headers()
                self.wfile.flush()
                done = 0
                while done < size:
                    done += os.sendfile(self.connection.fileno(), stream.fileno(), done, size - done)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/simple", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
