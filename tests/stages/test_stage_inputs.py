"""What the stages read from outside: documents, replay texts, the name of a model."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from steep.cli.options import Opened, check_spending
from steep.cli.run import report
from steep.config import Config
from steep.config_loading import ConfigSource, load_config, parse_config
from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.llm.model_names import model_directory
from steep.stages import documents, generate, spending, tokenize, train
from steep.stages.demo import write_sample_project
from steep.stages.first_config import FIRST, MARK, template, write_first_config
from steep.testing.tiny_corpus import write_tiny_corpus
from steep.training import models


def configured(folder: Path, **sections: Any) -> Config:
    tree = {"documents": {"path": "documents"}, **sections}
    return parse_config(tree, ConfigSource(folder / "steep.yaml"))


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
    assert skipped.path == first.path and skipped.manifest["counts"]["skipped"] == 1
    (folder / "pell.md").write_text("# Joren Pell\n\nHe kept bees.")
    assert documents.run(config, project).path != first.path


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


def test_a_split_by_tokens_is_another_artifact_and_others_keep_their_names(
    project: Project, tiny_directory: Path
) -> None:
    long = "# Log\n\n" + "The ferry crosses the lake at noon. " * 60
    (project.root / "documents" / "log.md").write_text(long)
    (project.root / "model").symlink_to(tiny_directory)

    def run(**settings: Any) -> Artifact:
        generate = {"model": settings.pop("model", "gpt-4o-mini")}
        sections = {"documents": {"path": "documents", **settings}, "generate": generate}
        return documents.run(configured(project.root, **sections), project)

    whole, parts = run(), run(split_tokens=100)
    fields = {name for name in whole.manifest["identity"]["fields"] if "split" in name}
    assert fields == {"documents.split_words"}  # as before there were others
    assert whole.path == run(model="model").path
    counted = run(split_tokens=100, model="model")
    found = [whole, parts, counted, run(split_tokens=100, split_overlap=20)]
    assert len({each.path for each in found}) == 4
    sizes = [each.manifest["counts"]["parts"] for each in found]
    assert sizes[0] == 4 < sizes[1] < sizes[2]  # the tiny tokenizer has a token per byte
    assert {each.manifest["words"] for each in found} == {whole.manifest["words"]}


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

    def check_model(name: str) -> None:
        train.check(configured(tmp_path, train={"model": name}), Project(tmp_path))

    (tmp_path / "model").symlink_to(tiny_directory)
    project = Project(tmp_path)
    for name in ("model", "./model", str(tiny_directory), "embedded", "owner/name", "gpt2"):
        check_model(name)
    assert looked_up == ["owner/name", "gpt2"]
    assert model_directory("model", project) == tmp_path / "model"
    assert model_directory("owner/name", project) == "owner/name"
    for name in ("./none", "/none/none", "a/b/c", "../none"):
        with pytest.raises(UserError, match="no such model"):
            check_model(name)


def test_the_template_loads_with_and_without_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "steep.yaml"
    text = template("docs: and # more", None)
    uncommented = re.sub(r"^( *)#( *)(?=[a-z_]+:)", r"\1\2", text, flags=re.MULTILINE)
    expected = configured(tmp_path, documents={"path": "docs: and # more"})
    for each in (text, uncommented):
        path.write_text(each)
        assert load_config(path) == expected
    tree = yaml.safe_load(uncommented)
    assert list(tree["train"]["arms"]) == ["raw", "entigraph"]
    assert tree["open_book"].keys() == type(expected.open_book).model_fields.keys()
    assert all("#" in line for line in uncommented.splitlines() if line.startswith("  model"))


def test_the_settings_that_matter_are_marked_and_stand_at_the_top() -> None:
    text = template("docs", "q.jsonl")
    top = text[: text.index("\ndocuments:")]
    marked = [line for line in text.splitlines() if line.endswith(MARK)]
    assert len(marked) == len(FIRST) == 6
    for (section, name), line in zip(FIRST, marked, strict=True):
        assert f"{section}.{name}" in top
        assert line.strip(" #").startswith(f"{name}:")


def test_a_quality_file_brings_its_questions(tmp_path: Path) -> None:
    question = {"question": "Who?", "options": ["A", "B", "C", "D"], "gold_label": 1}
    article = {
        "article_id": "7", "title": "The Weir", "article": "The weir was built by Ada.",
        "author": "N. N.", "year": 1950,
        "questions": [{"question_unique_id": "7-1", "difficult": 0, **question}],
    }  # fmt: skip
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "weir.jsonl").write_text(json.dumps(article) + "\n")
    (tmp_path / "docs" / "note.md").write_text("# A Note\n\nNothing is asked about this.\n")
    config = tmp_path / "steep.yaml"
    found = write_first_config(config, tmp_path / "docs", None)
    assert found.questions is not None and len(found.questions.questions) == 1
    assert load_config(config).evaluate.questions == tmp_path / "docs" / "weir.jsonl"
    assert found.ignored_path == tmp_path / ".gitignore"
    assert found.ignored_path.read_text() == ".steep/\nruns/\n"
    config.unlink()
    assert write_first_config(config, tmp_path / "docs", None).ignored_path is None


@pytest.mark.parametrize("given", ["docs/*.jsonl", "docs.zip", "docs/notes.jsonl"])
def test_a_pattern_and_an_archive_are_named_in_the_configuration(
    tmp_path: Path, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.jsonl").write_text('{"body": "Ada Lind built the weir."}\n')
    shutil.make_archive(str(tmp_path / "docs"), "zip", tmp_path / "docs")
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "steep.yaml"
    found = write_first_config(config, given, None)
    assert load_config(config).documents.path == tmp_path / given
    (document,) = found.documents.documents
    assert document.text == "Ada Lind built the weir."
    assert [each.kept for each in found.documents.skipped] == [True, True]
    built = documents.run(load_config(config), Project(tmp_path))
    assert documents.load(built) == (document,)
    assert built.manifest["counts"]["skipped"] == 0


def test_reports_of_the_project_are_not_among_its_documents(tmp_path: Path) -> None:
    (tmp_path / "note.md").write_text("# A Note\n\nAda Lind built the weir in 1950.\n")
    (tmp_path / "runs" / "default").mkdir(parents=True)
    for name in ("README.md", "chats.jsonl", "scores.json", "odd.bin"):
        (tmp_path / "runs" / "default" / name).write_text('{"text": "Of a run."}')
    config = configured(tmp_path, documents={"path": "."})
    built = documents.run(config, Project(tmp_path))
    assert [each.id for each in documents.load(built)] == ["note"]
    assert not [each for each in built.manifest["skipped"] if "runs" in each["source"]]


def test_money_is_not_spent_without_a_limit_or_a_word(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "note.md").write_text("# A Note\n\nAda Lind built the weir in 1950.\n")
    priced: dict[str, Any] = {
        "model": "m",
        "base_url": "http://llm.example/v1",
        "recipes": {"entigraph": {"pairs": 2}},
    }
    priced |= {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0}
    documents = {"path": "docs"}
    project = Project(tmp_path)
    with pytest.raises(UserError, match=r"begin to pay[^~]*llm\.example[^~]*--yes[^~]*calls.*\$"):
        spending.refuse_unlimited_spending(
            configured(tmp_path, documents=documents, generate=priced), project, False
        )
    free = priced | {"usd_per_million_output_tokens": 0, "usd_per_million_input_tokens": 0}
    limited: dict[str, Any] = priced | {"max_cost_usd": 1}
    nothing: dict[str, Any] = {"recipes": {}}
    for each in (free, limited, {"engine": "embedded"}, nothing):
        config = configured(tmp_path, documents=documents, generate=each)
        spending.refuse_unlimited_spending(config, project, True)


@pytest.mark.parametrize(
    ("terminals", "yes", "asked"),
    [("in err", False, True), ("in err", True, False), ("err", False, False), ("", False, False)],
)
def test_only_a_person_at_a_terminal_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminals: str, yes: bool, asked: bool
) -> None:
    looked: list[Project] = []

    def look(config: Config, project: Project, evaluates: bool) -> None:
        looked.append(project)

    monkeypatch.setattr(spending, "refuse_unlimited_spending", look)
    for name in ("in", "err"):
        monkeypatch.setattr(sys, f"std{name}", _Stream(name in terminals.split()))
    check_spending(Opened(configured(tmp_path), Project(tmp_path)), yes)
    assert bool(looked) == asked


def test_a_read_only_project_says_where_its_report_can_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "steep.yaml").write_text("documents: {path: docs}\n")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(UserError, match=r"read-only[^$]*--output FILE"):
        report(tmp_path / "steep.yaml")
    assert not (tmp_path / "runs").exists()


class _Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


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
    generate.check(configured(tmp_path, generate={"recipes": {}, "model": "other"}), project)
    other = configured(tmp_path, generate={"engine": "embedded", "model": "other"})
    with pytest.raises(UserError, match="embedded model only"):
        generate.check(other, project)


def test_a_link_to_itself_is_skipped_and_named(project: Project) -> None:
    (project.root / "documents/self.md").symlink_to("self.md")
    (project.root / "documents/up").symlink_to("..")
    made = documents.run(configured(project.root), project)
    assert {row["source"] for row in made.manifest["skipped"]} == {"self.md", "up"}
