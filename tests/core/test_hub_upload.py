"""Uploading an export, against a Hub on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from steep.core.errors import UserError
from steep.core.hub_upload import RepositoryKind, upload

REPOSITORY = "me/export"
FILES = ["README.md", "data/*"]


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


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "secret")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("---\nlicense: unknown\n---\n# Texts\n")
    (tmp_path / "data/train-00000-of-00001.parquet").write_bytes(b"\x00PAR1")
    (tmp_path / "notes.txt").write_text("my own")
    return tmp_path


@pytest.mark.parametrize(("kind", "place"), [("dataset", "datasets/"), ("model", "")])
def test_a_new_repository_is_private_and_is_updated(
    hub: Hub, exported: Path, kind: RepositoryKind, place: str
) -> None:
    pushed = upload(exported, REPOSITORY, kind, FILES)
    assert hub.private is True and pushed.is_private
    assert pushed.url == f"{hub.url}/{place}{REPOSITORY}"
    assert all(f"/api/{kind}s/" in each for each in hub.requests if REPOSITORY in each)
    assert hub.tokens == {"Bearer secret"}
    data = "data/train-00000-of-00001.parquet"
    assert hub.files == {data: b"\x00PAR1", "README.md": (exported / "README.md").read_bytes()}
    (exported / data).rename(exported / "data/train-00000-of-00002.parquet")
    hub.files["their.txt"] = b"stays"
    upload(exported, REPOSITORY, kind, FILES)
    assert sorted(hub.files) == ["README.md", "data/train-00000-of-00002.parquet", "their.txt"]


def test_a_public_repository_is_written_only_when_asked_for(hub: Hub, exported: Path) -> None:
    hub.private = False
    with pytest.raises(UserError, match="is public; nothing was uploaded"):
        upload(exported, REPOSITORY, "dataset", FILES)
    assert not hub.files and not any(each.startswith("POST") for each in hub.requests)
    assert not upload(exported, REPOSITORY, "model", FILES, public=True).is_private
    assert "README.md" in hub.files


def test_nothing_is_sent_without_a_token_or_a_name(
    hub: Hub, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="not the name of a repository"):
        upload(exported, "corpus", "dataset", FILES)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match="no token"):
        upload(exported, REPOSITORY, "dataset", FILES)
    assert not hub.requests


def test_a_hub_that_cannot_be_reached(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="upload to the Hugging Face Hub failed") as raised:
        upload(exported, REPOSITORY, "dataset", FILES)
    assert "secret" not in str(raised.value) and "127.0.0.1:9" in str(raised.value)
