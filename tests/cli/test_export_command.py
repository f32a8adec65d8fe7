"""`steep export`: a folder that other packages run; nothing of the user's is written over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from steep_command import Steep, real_steep

pytest_plugins = ["command_fixtures"]


@pytest.mark.parametrize(
    ("what", "file", "command"),
    [
        ("lm-eval", "steep_default.yaml", "lm_eval --model hf"),
        ("inspect", "steep_default.py", "inspect eval"),
    ],
)
def test_questions_leave_with_the_command_that_runs_them(
    project: Path, steep: Steep, what: str, file: str, command: str
) -> None:
    bad = {"id": "lost", "document_id": "none", "question": "?", "options": ["a", "b"], "gold": 0}
    with (project / "questions.jsonl").open("a") as questions:
        questions.write(json.dumps(bad) + "\n")
    ended = steep("export", what, "--out", "their tasks", cwd=project)
    assert ended.code == 0, ended.err
    assert "6 questions, 1 left out" in ended.out
    assert "left out lost: its document 'none' is not in the corpus" in ended.err
    assert command in ended.out and "'their tasks" in ended.out
    assert (project / "their tasks" / file).is_file()
    rows = (project / "their tasks/steep_default.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == [f"tiny-{n}" for n in range(1, 7)]
    assert not (project / "runs").exists() and not (project / ".steep").exists()


def test_both_fit_into_one_folder_and_are_written_again(project: Path, steep: Steep) -> None:
    for what in ("lm-eval", "inspect", "lm-eval"):
        ended = steep("export", what, "--out", "tasks", "--name", "mine", cwd=project)
        assert ended.code == 0, ended.err
    names = {path.name for path in (project / "tasks").iterdir()}
    assert names == {
        *("mine.jsonl", "mine.py", "mine.yaml", "mine_generation.yaml", "mine_docs.py"),
        "steep-export.json",
    }


def test_a_folder_with_other_files_is_left_alone(project: Path, steep: Steep) -> None:
    ended = steep("export", "inspect", "--out", "documents", cwd=project)
    assert ended.code == 2
    assert "that an export has not written" in ended.err and "hask" not in ended.out
    assert not list((project / "documents").glob("*export*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lm_eval"], "Did you mean 'lm-eval'?"),
        (["inspect", "--name", "a-b"], "not a valid name of a task"),
        (["inspect", "--set", "evaluate.questions=null"], "no questions to export"),
    ],
)
def test_mistakes_are_said(project: Path, steep: Steep, arguments: list[str], said: str) -> None:
    ended = steep("export", *arguments, "--out", "tasks", cwd=project)
    assert ended.code == 2 and said in ended.err
    assert not (project / "tasks").exists()


def test_the_name_of_a_run_becomes_one_of_a_task(project: Path, steep: Steep) -> None:
    ended = steep("export", "inspect", "--out", "t", "--set", "name=v1.2-small", cwd=project)
    assert ended.code == 0, ended.err
    assert (project / "t/steep_v1_2_small.py").is_file()


def test_help_names_the_kinds(tmp_path: Path) -> None:
    ended = real_steep("export", "--help", cwd=tmp_path)
    assert ended.code == 0 and "lm-eval" in ended.out and "inspect" in ended.out
