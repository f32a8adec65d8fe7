"""What the stages read from outside: documents, replay texts, the name of a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from steep.config import Config
from steep.config_loading import load_config, parse_config
from steep.core.errors import UserError
from steep.project import Project
from steep.stages import documents, generate, models, tokenize
from steep.stages.sample_project import write_sample_project
from steep.stages.template import template
from steep.testing.tiny_corpus import write_tiny_corpus


def configured(folder: Path, **sections: Any) -> Config:
    tree = {"documents": {"path": "documents"}, **sections}
    return parse_config(tree, folder / "steep.yaml")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    write_tiny_corpus(tmp_path)
    return Project(tmp_path)


def test_documents_change_with_what_is_read_and_nothing_else(project: Project) -> None:
    config = configured(project.root)
    first = documents.run(config, project)
    folder = project.root / "documents"
    (folder / ".hidden").write_text("an editor's swap file")
    assert documents.run(config, project).path == first.path
    (folder / "notes.docx").write_bytes(b"\xd0\xcf")
    skipped = documents.run(config, project)
    assert skipped.path != first.path and skipped.manifest["counts"]["skipped"] == 1
    (folder / "pell.md").write_text("# Joren Pell\n\nHe kept bees.")
    assert documents.run(config, project).path not in (first.path, skipped.path)


def test_a_single_file_that_is_renamed_is_another_document(project: Project) -> None:
    folder = project.root / "documents"
    before = documents.run(
        configured(project.root, documents={"path": folder / "pell.md"}), project
    )
    (folder / "pell.md").rename(folder / "joren.md")
    after = documents.run(
        configured(project.root, documents={"path": folder / "joren.md"}), project
    )
    assert before.path != after.path
    assert [each.id for each in documents.load(after)] == ["joren"]


def test_peeking_gives_the_same_documents_and_writes_nothing(project: Project) -> None:
    config = configured(project.root, documents={"path": "documents", "split_words": 50})
    peeked = documents.peek(config, project)
    assert not project.store.exists()
    assert documents.load(documents.run(config, project)) == peeked
    assert len(peeked) == 6


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("r.txt", "One.\n\n Two.\r\n\r\n\n\nThree.\n", ["One.", "Two.", "Three."]),
        ("r.jsonl", '{"text": "One."}\n\n{"text": "Two."}\n', ["One.", "Two."]),
        ("r.jsonl", 'no json\n{"words": 1}\n{"text": "Two."}\n', ["Two."]),
    ],
)
def test_replay_texts_are_read(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    (tmp_path / name).write_text(text)
    assert list(tokenize.replay_texts(tmp_path / name)) == expected


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe", b"{}\n"])
def test_replay_without_text_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "replay.jsonl"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"no replay text[^$]*replay\.jsonl"):
        list(tokenize.replay_texts(path))
    with pytest.raises(UserError, match="no replay text"):
        list(tokenize.replay_texts(tmp_path))


def test_a_relative_model_starts_at_the_project(
    tmp_path: Path, tiny_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(models, "_look_up", looked_up.append)
    (tmp_path / "model").symlink_to(tiny_directory)
    project = Project(tmp_path)
    for name in ("model", "./model", str(tiny_directory), "embedded", "owner/name", "gpt2"):
        models.check_model(name, project)
    assert looked_up == ["owner/name", "gpt2"]
    assert models.model_directory("model", project) == tmp_path / "model"
    assert models.model_directory("owner/name", project) == "owner/name"
    for name in ("./none", "/none/none", "a/b/c", "../none"):
        with pytest.raises(UserError, match="no such model"):
            models.check_model(name, project)


def test_the_template_loads_with_and_without_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "steep.yaml"
    text = template("docs: and # more", None)
    uncommented = re.sub(r"^( *)#(?=[a-z_]+:)", r"\1", text, flags=re.MULTILINE)
    expected = configured(tmp_path, documents={"path": "docs: and # more"})
    for each in (text, uncommented):
        path.write_text(each)
        assert load_config(path) == expected
    tree = yaml.safe_load(uncommented)
    assert list(tree["train"]["arms"]) == ["raw", "entigraph"]
    assert tree["open_book"].keys() == type(expected.open_book).model_fields.keys()
    assert all("#" in line for line in uncommented.splitlines() if line.startswith("  model"))


def test_a_preset_is_not_contradicted_by_the_template(tmp_path: Path) -> None:
    path = tmp_path / "steep.yaml"
    path.write_text(template("docs", None))
    found = load_config(path, ("open_book.preset=paper", "train.preset=tiny"))
    assert found.open_book.shown == (1, 2, 4, 8, 16)
    assert found.train.context_tokens == 256


def test_the_sample_project_loads_and_is_written_once(tmp_path: Path) -> None:
    config = write_sample_project(tmp_path / "demo")
    assert config.is_file() and len([*config.parent.glob("documents/*.md")]) == 5
    config.write_text("mine")
    assert write_sample_project(tmp_path / "demo").read_text() == "mine"


def test_the_embedded_engine_writes_under_its_own_name_only(tmp_path: Path) -> None:
    project = Project(tmp_path)
    generate.check(configured(tmp_path, generate={"engine": "embedded"}), project)
    generate.check(configured(tmp_path, generate={"recipe": None, "model": "other"}), project)
    other = configured(tmp_path, generate={"engine": "embedded", "model": "other"})
    with pytest.raises(UserError, match="embedded model only"):
        generate.check(other, project)


def test_a_link_to_itself_is_skipped_and_named(project: Project) -> None:
    (project.root / "documents/self.md").symlink_to("self.md")
    (project.root / "documents/up").symlink_to("..")
    made = documents.run(configured(project.root), project)
    assert {row["source"] for row in made.manifest["skipped"]} == {"self.md", "up"}
