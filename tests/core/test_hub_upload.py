"""Uploading an export, against a Hub on loopback."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_server import REPOSITORY, Hub
from steep.core.errors import UserError
from steep.core.hub_upload import RepositoryKind, upload

FILES = ["README.md", "data/*"]


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
