"""`steep export chats`: the chats can be tokenized for tuning."""

from __future__ import annotations

import json
from pathlib import Path

from small_project import settle
from steep_command import Steep

pytest_plugins = ["command_fixtures"]

ITEM = "Question: Who rowed {n} passengers of the ferry ashore?\nAnswer: It was Joren Pell, twice."


def test_chats_are_exported_and_tokenized(project: Path, steep: Steep) -> None:
    texts = {
        "asked": [f"{ITEM.format(n=n)}\n\n{ITEM.format(n=n + 50)}" for n in range(4)],
        "told": ["The ferry of Quillon crosses the wide lake twice on every single day."],
    }
    rows = [
        {"document_id": "pell", "recipe": recipe, "model": "m", "sample": n, "text": text}
        for recipe, own in texts.items()
        for n, text in enumerate(own)
    ]
    (project / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert steep("import", "--generations", "texts.jsonl", cwd=project).code == 0
    settle(project / "steep.yaml", generate={"recipes": {}}, tokenize={"holdout": 0.0})
    ended = steep("export", "chats", "chats.jsonl", cwd=project)
    assert ended.code == 0, ended.err
    assert "asked: 4 passages = 4 with questions and answers + 0 unparsable" in ended.out
    assert "told: 1 passage = 0 with questions and answers + 1 unparsable" in ended.out
    assert "wrote 8 chats to chats.jsonl" in ended.out
    settle(
        project / "steep.yaml",
        train={"arms": {"raw": ["documents"]}},
        instruct={"chats": "chats.jsonl"},
    )
    ended = steep("tokenize", cwd=project)
    assert ended.code == 0, ended.err
    manifests = [json.loads(p.read_text()) for p in project.glob(".steep/tokenize-*/manifest.json")]
    (chats,) = [each for each in manifests if each["arm"] == "chats"]
    assert (chats["passages"], chats["skipped"]) == (8, 0)
    ended = steep("export", "chats", "other.jsonl", "--recipe", "told", cwd=project)
    assert ended.code == 2 and "No text is in the form of questions" in ended.err
    ended = steep("export", "chats", "--recipe", "tolt", cwd=project)
    assert ended.code == 2 and "asked, told" in ended.err
    assert not (project / "other.jsonl").exists()
