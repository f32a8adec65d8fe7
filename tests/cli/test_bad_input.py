"""Bad input: one clear message on standard error, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from small_project import settle
from steep_command import Ended, Steep

from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

PLANNED, IN_FLIGHT = 18, 4


def assert_clear(ended: Ended, *fragments: str) -> None:
    """One message that holds all these, and nothing that only a developer understands."""
    if folder := os.environ.get("STEEP_SHOW_MESSAGES"):
        with Path(folder).open("a") as file:
            file.write(f"--- {os.environ['PYTEST_CURRENT_TEST']}\n{ended.err}\n")
    assert ended.code == 2, (ended.code, ended.err)
    assert ended.err.count("steep: ") == 1, ended.err
    message = ended.err.partition("steep: ")[2]
    for fragment in fragments:
        assert fragment in message, (fragment, ended.err)
    assert "Traceback" not in ended.err and "Error(" not in ended.err


class Case(NamedTuple):
    """What is wrong in a configuration, the verb that must notice, what it must say."""

    name: str
    sections: dict[str, dict[str, Any]]
    said: tuple[str, ...]
    verb: str = "run"


CASES = (
    Case("missing folder", {"documents": {"path": "nowhere"}}, ("no such file", "nowhere")),
    Case(
        "unknown key",
        {"generate": {"tempereture": 1}},
        ("Unknown key 'tempereture'", "steep.yaml:generate.tempereture", "mean 'temperature'?"),
    ),
    Case("unknown section", {"generator": {"model": "m"}}, ("'generator'", "'generate'?")),
    Case("wrong type", {"train": {"tokens": "many"}}, ("train.tokens", "a whole number", "'many'")),
    Case("out of range", {"train": {"warmup": 2}}, ("train.warmup", "less than 1", "2")),
    Case(
        "no key",
        {"generate": {"api_key_env": "NO_SUCH_KEY"}},
        ("NO_SUCH_KEY is not set", "export NO_SUCH_KEY="),
    ),
    Case("no address", {"generate": {"base_url": "localhost"}}, ("generate.base_url", "http://")),
    Case(
        "small context",
        {"generate": {"context_tokens": 356}},
        ("3 of 3 documents are larger", "at most about 168 characters", "documents.split_tokens"),
    ),
    Case(
        "no room",
        {"generate": {"context_tokens": 256}},
        ("answer alone would fill", "generate.max_tokens", "300"),
    ),
    Case(
        "unknown recipe",
        {"train": {"arms": {"mine": ["entigrpah"]}}},
        ("'mine' reads 'entigrpah'", "train.arms.mine", "documents, entigraph", "'entigraph'?"),
    ),
    Case("arm named base", {"train": {"arms": {"base": ["documents"]}}}, ("train.arms", "base")),
    Case(
        "less than a batch",
        {"train": {"tokens": 100}},
        ("less than one batch", "at least 256", "100"),
    ),
    Case(
        "no model", {"train": {"model": "./nothing"}}, ("no such model", "train.model", "nothing")
    ),
    Case("no weights", {"train": {"model": "./documents"}}, ("no model in this directory",)),
    Case("not cached", {"train": {"model": "nobody/none"}}, ("'nobody/none'", "train.model")),
    Case("no questions", {"evaluate": {"questions": "q.jsonl"}}, ("questions", "q.jsonl", "null")),
    Case("no replay", {"tokenize": {"replay": "r.txt"}}, ("tokenize.replay", "r.txt", "builtin")),
    Case(
        "another engine's model",
        {"generate": {"engine": "embedded"}},
        ("embedded model only", "SmolLM2-135M-Instruct", "scripted"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_field_is_named_before_anything_is_bought(
    case: Case, project: Path, steep: Steep, server: ScriptedServer
) -> None:
    settle(project / "steep.yaml", **case.sections)
    requests = server.requests.total()
    assert_clear(steep(case.verb, cwd=project), *case.said)
    if case.name != "not cached":
        assert server.requests.total() == requests


def test_broken_yaml_is_named_with_its_line(project: Path, steep: Steep) -> None:
    (project / "steep.yaml").write_text("documents:\n  path: [documents\ntrain: {}\n")
    assert_clear(steep("run", cwd=project), "not valid YAML", "steep.yaml", "line 3")


@pytest.mark.parametrize(
    ("text", "said"),
    [("- a list\n", "sections at the top level"), ("", "documents"), ("documents:\n", "documents")],
)
def test_a_configuration_without_sections(
    project: Path, steep: Steep, text: str, said: str
) -> None:
    (project / "steep.yaml").write_text(text)
    assert_clear(steep("run", cwd=project), said, "steep.yaml")


def test_a_configuration_that_is_a_folder_or_missing(project: Path, steep: Steep) -> None:
    assert_clear(steep("run", "-c", project, cwd=project), "no configuration", "steep init")
    assert_clear(steep("status", cwd=project / "documents"), "no configuration", "steep init")


@pytest.mark.parametrize("override", ["train.tokens", "train.arms={a: [", "train.tokens.more=1"])
def test_a_broken_override(project: Path, steep: Steep, override: str) -> None:
    assert_clear(steep("run", "--set", override, cwd=project), override)


def test_an_empty_folder(project: Path, steep: Steep) -> None:
    (project / "empty").mkdir()
    said = ("no readable document", "empty", "no files")
    assert_clear(steep("run", "--set", "documents.path=empty", cwd=project), *said)
    assert_clear(steep("init", "--documents", "empty", "-c", "new.yaml", cwd=project), *said)
    assert not (project / "new.yaml").exists()


def test_one_unreadable_file_is_told_and_the_others_are_read(project: Path, steep: Steep) -> None:
    documents = project / "documents"
    (documents / "broken.txt").symlink_to("/proc/self/mem")  # unreadable for root, too
    (documents / "empty.md").write_text("")
    (documents / "latin.txt").write_bytes("na\u00efve".encode("latin-1"))
    ended = steep("generate", cwd=project)
    assert ended.code == 0, ended.err
    assert "skipped broken.txt: cannot be read" in ended.err
    assert "skipped empty.md: the file is empty" in ended.err
    assert "note on latin.txt: read as windows-1252" in ended.err
    (manifest,) = project.glob(".steep/documents-*/manifest.json")
    counts = json.loads(manifest.read_text())["counts"]
    assert counts == {"files": 6, "documents": 4, "parts": 4, "skipped": 2}


def test_a_lone_unreadable_file(project: Path, steep: Steep) -> None:
    (project / "broken.txt").symlink_to("/proc/self/mem")
    ended = steep("run", "--set", "documents.path=broken.txt", cwd=project)
    assert_clear(ended, "no readable document", "broken.txt: cannot be read")


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(api_key="right"), ("does not accept the key", "HTTP 401", "$STEEP_TEST_KEY")),
        (Behaviour(model="other"), ("does not know this model", "'scripted'", "generate.model")),
        (Behaviour(out_of_quota=True), ("no quota", "same command again")),
        (Behaviour(dead=True), ("does not answer", "generate.base_url")),
    ],
    ids=["wrong key", "unknown model", "no quota", "hangs up"],
)
def test_an_endpoint_that_serves_nobody(
    project: Path, steep: Steep, behaviour: Behaviour, said: tuple[str, ...]
) -> None:
    with ScriptedServer(Script(behaviour=behaviour)) as other:
        generate = {"base_url": other.base_url, "api_key_env": "STEEP_TEST_KEY"}
        settle(project / "steep.yaml", generate=generate)
        ended = steep("run", cwd=project, STEEP_TEST_KEY="sk-wrong-and-secret")
        assert_clear(ended, *said, other.base_url)
    everything = b"".join(path.read_bytes() for path in project.rglob("*") if path.is_file())
    assert b"sk-wrong" not in everything and "sk-wrong" not in ended.err + ended.out


def test_an_endpoint_that_is_down(project: Path, steep: Steep) -> None:
    with ScriptedServer() as gone:
        address = gone.base_url
    settle(project / "steep.yaml", generate={"base_url": address})
    ended = steep("run", cwd=project)
    assert_clear(ended, "does not answer", address, "start the server")
    last = json.loads((project / "runs/default/log.jsonl").read_text().splitlines()[-1])
    assert last["level"] == "ERROR" and last["message"] in ended.err


def test_what_init_writes_is_right_but_for_the_endpoint(project: Path, steep: Steep) -> None:
    (project / "steep.yaml").unlink()
    assert steep("init", "--documents", "documents", cwd=project).code == 0
    with ScriptedServer() as gone:
        address = gone.base_url
    ended = steep("run", "--set", f"generate.base_url={address}", cwd=project)
    assert_clear(ended, "does not answer", address)


def test_an_endpoint_that_answers_with_web_pages(project: Path, steep: Steep) -> None:
    with ScriptedServer(Script(behaviour=Behaviour(html=1.0))) as portal:
        settle(project / "steep.yaml", generate={"base_url": portal.base_url, "max_attempts": 1})
        ended = steep("run", cwd=project)
    said = "malformed reply: not a chat completion"
    assert_clear(ended, "completes no call: 3 calls failed", portal.base_url, said)


def test_a_document_that_the_endpoint_finds_too_long(project: Path, steep: Steep) -> None:
    (project / "documents" / "long.txt").write_text("A long story about Tessel. " * 800)
    with ScriptedServer(Script(behaviour=Behaviour(context_tokens=1500))) as small:
        settle(project / "steep.yaml", generate={"base_url": small.base_url})
        planned = steep("plan", cwd=project)
        ended = steep("generate", cwd=project)
    warning = "1 of 4 documents may be too long for the context of this model, 1,500 tokens: long."
    said = " ".join(planned.out.split())
    assert warning in said and "documents.split_tokens" in said
    assert ended.code == 2, ended.err
    assert warning in ended.err
    assert "1 of 19 calls failed" in ended.err and "maximum context length" in ended.err
    assert "1 of 4 documents exceed the context" in ended.err
    assert "found:    long" in ended.err and "documents.split_tokens" in ended.err


def test_a_damaged_ledger(project: Path, steep: Steep) -> None:
    assert steep("generate", cwd=project).code == 0
    for path in project.glob(".steep/ledger.db*"):
        path.unlink()
    (project / ".steep/ledger.db").write_bytes(b"this is no database" * 100)
    for verb in ("corpus", "status"):
        ended = steep(verb, cwd=project)
        assert_clear(ended, "not a ledger, or it is damaged", str(project / ".steep/ledger.db"))


def test_a_configuration_is_not_overwritten(project: Path, steep: Steep) -> None:
    before = (project / "steep.yaml").read_text()
    ended = steep("init", "--documents", "documents", cwd=project)
    assert_clear(ended, "a configuration already", "steep.yaml")
    assert (project / "steep.yaml").read_text() == before


def test_init_warns_of_very_long_documents(project: Path, steep: Steep) -> None:
    (project / "documents" / "long.txt").write_text("A long story about Tessel. " * 6000)
    ended = steep("init", "--documents", "documents", "-c", "new.yaml", cwd=project)
    assert ended.code == 0, ended.err
    assert "warning: 1 of 4 documents may be too long for the model" in ended.err
    assert "long. The longest has 161,999 characters" in ended.err
    assert "documents.split_tokens" in ended.err


def test_init_refuses_questions_about_nothing(project: Path, steep: Steep) -> None:
    (project / "odd.jsonl").write_text('{"id": "1", "document_id": "x", "question": "?"}\n')
    arguments = ("init", "--documents", "documents", "--questions", "odd.jsonl", "-c", "new.yaml")
    assert_clear(steep(*arguments, cwd=project), "no question that can be asked", "odd.jsonl")
    assert not (project / "new.yaml").exists()


def test_the_demo_spares_what_is_there(project: Path, steep: Steep) -> None:
    (project / "steep.yaml").unlink()
    ended = steep("demo", "-d", ".", cwd=project)
    assert_clear(ended, "does not write into what is there", "--directory")


@pytest.mark.parametrize("text", ["", "{}\n", '{"document_id": "x", "recipe": "r"}\n'])
def test_an_import_of_nothing(project: Path, steep: Steep, text: str) -> None:
    (project / "texts.jsonl").write_text(text)
    ended = steep("import", "--generations", "texts.jsonl", cwd=project)
    assert_clear(ended, "row", "texts.jsonl", "document_id")


def test_an_import_of_a_missing_file(project: Path, steep: Steep) -> None:
    ended = steep("import", "--generations", "nothing.jsonl", cwd=project)
    assert_clear(ended, "no such file", "nothing.jsonl")


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of its own, which a test can fill."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("verb", "left_kb"), [("corpus", 0), ("corpus", 200), ("train", 800), ("train", 1540)]
)
def test_a_full_disk_loses_nothing(
    little_disk: Path,
    project: Path,
    steep: Steep,
    server: ScriptedServer,
    verb: str,
    left_kb: int,
) -> None:
    there = Path(shutil.copytree(project, little_disk / "project"))
    settle(there / "steep.yaml", train={"arms": {"raw": ["documents"]}, "tokens": 256})
    filler = little_disk / "filler"
    filler.write_bytes(bytes(max(0, shutil.disk_usage(little_disk).free - left_kb * 1024)))
    completed = server.completed.total()
    # Training looks before it starts; what a disk does that fills up later is tested with the
    # checkpoints.
    said = "disk has no room" if verb == "train" else "disk is full"
    assert_clear(steep(verb, cwd=there), said, "the same command again", str(there))
    filler.unlink()
    again = steep(verb, cwd=there)
    assert again.code == 0, again.err
    assert server.completed.total() - completed <= PLANNED + IN_FLIGHT
