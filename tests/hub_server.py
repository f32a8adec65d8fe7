"""A Hub on loopback: the few addresses that an upload uses."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPOSITORY = "me/export"


class Hub(ThreadingHTTPServer):
    """The few addresses of the Hub that an upload uses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.private: bool | None = None  # None: there is no such repository
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, body: bytes) -> None:
        for line in body.decode().splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "deletedFile":
                del self.files[value["path"]]


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, code: int, body: Any, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def note(self) -> str:
        path = self.path.partition("?")[0]
        self.server.requests.append(f"{self.command} {path}")
        if REPOSITORY in path or path.endswith("/repos/create"):  # the others need no rights
            self.server.tokens.add(self.headers.get("Authorization"))
        return path

    def do_GET(self) -> None:
        path, hub = self.note(), self.server
        if hub.private is None:
            self.reply(404, {"error": "none"}, X_Error_Code="RepoNotFound")
        elif "/tree/" in path:
            sizes = {name: len(data) for name, data in hub.files.items()}
            self.reply(
                200,
                [{"type": "file", "path": p, "size": n, "oid": "0" * 40} for p, n in sizes.items()],
            )
        else:
            siblings = [{"rfilename": name} for name in hub.files]
            info = {"id": REPOSITORY, "private": hub.private, "sha": "0" * 40}
            self.reply(200, {**info, "siblings": siblings})

    def do_POST(self) -> None:
        path, hub = self.note(), self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if path.endswith("/repos/create"):
            asked = json.loads(body)
            hub.private = asked.get("private", asked.get("visibility") == "private")
            self.reply(200, {"url": f"{hub.url}/{REPOSITORY}"})
        elif "/preupload/" in path:
            files = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            self.reply(200, {"files": files})
        elif "/commit/" in path:
            hub.commit(body)
            self.reply(200, {"commitUrl": f"{hub.url}/{REPOSITORY}/commit/1", "commitOid": "1"})
        else:
            self.reply(200, {"errors": [], "warnings": []})


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve a Hub until the context ends."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
