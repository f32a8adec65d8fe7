"""Whose scores these are: the content of a model's files, and what is searched for a question."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from steep.core.artifacts import Artifact, Project
from steep.core.files import read_json
from steep.documents.document import Document
from steep.evaluation.document_index import query
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.training import models
from steep.training.models import HASHES_NAME, directory_hash


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project/.steep").mkdir(parents=True)
    model = tmp_path / "project/model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"0123")
    (model / "config.json").write_text("{}")
    (model / "README.md").write_text("a card")
    return Project(tmp_path / "project")


def test_other_content_of_the_same_size_and_time_is_another_hash(project: Project) -> None:
    model = project.root / "model"
    before = directory_hash(model, project)
    times = (model / "model.safetensors").stat()
    (model / "model.safetensors").write_bytes(b"3210")
    os.utime(model / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns))
    after = directory_hash(model, project)
    assert before != after
    (model / "model.safetensors").write_bytes(b"0123")
    assert directory_hash(model, project) == before
    (model / "config.json").rename(model / "settings.json")
    assert directory_hash(model, project) != before


def test_a_hash_is_read_once_and_a_card_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = directory_hash(project.root / "model", project)
    (project.root / "model/README.md").write_text("another card")
    monkeypatch.setattr(models, "_content", lambda path: pytest.fail(f"{path} was read again"))
    assert directory_hash(project.root / "model", project) == before


def test_a_moved_project_keeps_the_hashes_of_its_models(project: Project, tmp_path: Path) -> None:
    before = directory_hash(project.root / "model", project)
    moved = Project(Path(shutil.move(project.root, tmp_path / "elsewhere")))
    assert directory_hash(moved.root / "model", moved) == before
    assert list(read_json(moved.store / HASHES_NAME)) == ["model"]
    shutil.rmtree(moved.root / "model")
    assert directory_hash(moved.root / "model", moved) == before, "as it was last seen"
    assert directory_hash(moved.root / "another", moved) == "absent"


def test_a_short_answer_is_searched_for_without_the_answers_to_other_questions() -> None:
    document = Document("lock", "The Lock", "It is old.")
    choice = Question("q1", "lock", "near", "Who keeps it?", ("Edda", "Joren"), (0,))
    short = Question("q2", "lock", "short-answer", "Who?", ("Edda", "Joren"), (0,), ("Edda",))
    artifact = Artifact("documents", Path("documents-0"), {})
    question_set = QuestionSet(
        artifact, [document], "", "all", None, [choice, short], [], [choice, short], []
    )
    assert query(choice, question_set).split("\n") == [
        'In "The Lock", who keeps it?',
        "Edda",
        "Joren",
    ]
    assert query(short, question_set) == 'In "The Lock", who?'
