"""Question and answer texts become chats; what is not of that form is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steep.corpus.chats import BadItem, ChatTotals, chats_of, write_chats
from steep.corpus.passage import TextRow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Question: Who?\nAnswer: Pell.\n\nQuestion: When?\nAnswer: In\n\n1902.",
         [("Who?", "Pell."), ("When?", "In\n\n1902.")]),
        ("Question: Who? Answer: Pell.", [("Who?", "Pell.")]),
        ("**Question 1:** Who?\n**Answer 1:** Pell.\n\n**Question 2:** Two\nlines?\nAnswer: Yes.",
         [("Who?", "Pell."), ("Two\nlines?", "Yes.")]),
        ("\nquestion: Is the Answer:word here?\nanswer: The Answer: stays.",
         [("Is the Answer:word here?", "The Answer: stays.")]),
    ],
)  # fmt: skip
def test_items_become_chats(text: str, expected: list[tuple[str, str]]) -> None:
    assert chats_of(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The ferry crosses the lake.", "does not begin with"),
        ("The ferry.\n\nQuestion: Who?\nAnswer: Pell.", "does not begin with"),
        ("Question: Who?\nAnswer: Pell.\n\nQuestion: When?", "question 2 has no 'Answer:'"),
        ("Question: Who?\nAnswer:", "answer 1 is empty"),
        ("Question:\nAnswer: Pell.", "question 1 is empty"),
    ],
)
def test_other_texts_are_not_parsed(text: str, reason: str) -> None:
    with pytest.raises(BadItem, match=reason):
        chats_of(text)


def test_chats_are_written_and_counted(tmp_path: Path) -> None:
    rows = [
        TextRow("1", "qa", "Question: Was ist das?\nAnswer: Größe.\n\nQuestion: b?\nAnswer: c"),
        TextRow("2", "qa", "No question."),
        TextRow("3", "qa", "Question: Kept?\nAnswer: No."),
        TextRow("4", "told", "A story."),
    ]
    totals = write_chats(path := tmp_path / "new/chats.jsonl", rows, lambda row: row.id == "3")
    assert totals["qa"] == ChatTotals(3, 1, 2, 1, 1, ["2: it does not begin with 'Question:'"])
    assert (totals["told"].unparsable, totals["told"].chats) == (1, 0)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {
        "messages": [
            {"role": "user", "content": "Was ist das?"},
            {"role": "assistant", "content": "Größe."},
        ]
    }
    assert len(lines) == 2
    before = path.read_bytes()
    write_chats(path, rows[3:], lambda row: False)
    assert path.read_bytes() == before and [*path.parent.iterdir()] == [path]
