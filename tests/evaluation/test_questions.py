from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steep.core.errors import UserError
from steep.documents.document import Document
from steep.evaluation.questions import (
    Question,
    Questions,
    read_questions,
    read_short_answers,
)
from steep.evaluation.results import SkippedQuestion

DOCUMENTS = (
    Document("kenya-1", "Kenya", "text"),
    Document("kenya-2", "Kenya", "text"),
    Document("rhine", "Rhine", "text"),
    Document("long#1", "A long story", "text", metadata={"part_of": "long"}),
)
GOOD = {"id": "q1", "document_id": "rhine", "question": "Where?", "options": ["a", "b"], "gold": 1}


def read(folder: Path, *rows: dict[str, Any] | str) -> Questions:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines))
    return read_questions(path, DOCUMENTS)


def test_choices_are_read_in_order(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD | {"kind": "near"}, GOOD | {"id": "q2", "document_id": "long"})
    assert found.questions == (
        Question("q1", "rhine", "near", "Where?", ("a", "b"), (1,)),
        Question("q2", "long", "choice", "Where?", ("a", "b"), (1,)),
    )
    assert found.skipped == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"document_id": "danube"}, "its document 'danube' is not in the corpus"),
        ({"gold": None}, "it has no gold answer"),
        ({"gold": 2}, "expected 'gold' from 0 to 1, found 2"),
        ({"gold": -1}, "expected 'gold' from 0 to 1, found -1"),
        ({"gold": True}, "expected 'gold' from 0 to 1, found True"),
        ({"gold": "B"}, "expected 'gold' from 0 to 1, found 'B'"),
        ({"gold": []}, "it has no gold answer"),
        ({"gold": [0, 2]}, "expected 'gold' from 0 to 1, found 2"),
        ({"gold": [1, 1]}, "'gold' names an option twice: [1, 1]"),
        ({"options": ["a"]}, "expected at least two options, found 1"),
        ({"options": ["a", " a"]}, "two of its options are equal: 'a'"),
        ({"options": ["a", ""]}, "expected a text as 'options', found ''"),
        ({"options": "ab"}, "expected a list as 'options', found 'ab'"),
        ({"question": " "}, "expected a text as 'question', found ' '"),
        ({"id": "q1"}, "an earlier question has the same id"),
    ],
)
def test_a_bad_question_is_skipped_with_its_reason(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    found = read(tmp_path, GOOD, GOOD | {"id": "q2"} | change)
    assert [question.id for question in found.questions] == ["q1"]
    assert [tuple(row) for row in found.skipped] == [(change.get("id", "q2"), reason)]


def test_a_malformed_line_is_named_by_its_number(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD, '{"id": "q2", ', "[1, 2]", {"document_id": "rhine"})
    assert len(found.questions) == 1
    assert {row.question_id for row in found.skipped} == {
        "questions.jsonl:2",
        "questions.jsonl:3",
        "questions.jsonl:4",
    }


def test_a_short_answer_is_set_among_the_other_answers_of_its_title(tmp_path: Path) -> None:
    rows = [
        {"id": f"k{number}", "document_id": document, "question": "?", "answers": answers}
        for number, (document, answers) in enumerate(
            [
                ("kenya-1", ["Nairobi", "the city of Nairobi"]),
                ("kenya-1", ["1963"]),
                ("kenya-2", ["nairobi"]),
                ("kenya-2", ["Jomo Kenyatta", "Kenyatta"]),
                ("kenya-2", ["Lake Victoria"]),
                ("rhine", ["Basel"]),
                ("rhine", ["Rotterdam"]),
            ]
        )
    ]
    found = read(tmp_path, *rows)
    first, *_, last = found.questions
    assert set(first.options) == {"Nairobi", "1963", "Jomo Kenyatta", "Lake Victoria"}
    assert first.options[first.gold[0]] == "Nairobi"
    assert first.kind == "short-answer"
    assert set(last.options) == {"Basel", "Rotterdam"}
    assert {q.id: set(q.options) for q in read(tmp_path, *reversed(rows)).questions} == {
        q.id: set(q.options) for q in found.questions
    }


def test_a_short_answer_without_a_wrong_option_is_skipped(tmp_path: Path) -> None:
    row = {"id": "q9", "document_id": "kenya-1", "question": "?", "answers": ["Nairobi"]}
    (skipped,) = read(tmp_path, GOOD, row).skipped
    assert skipped.question_id == "q9"
    assert "wrong option" in skipped.reason


def test_several_options_may_be_right(tmp_path: Path) -> None:
    (question,) = read(tmp_path, GOOD | {"options": ["a", "b", "c"], "gold": [2, 0]}).questions
    assert question.gold == (0, 2)


def test_short_answers_are_kept_as_such_and_choices_are_said_to_be_none(tmp_path: Path) -> None:
    answers = ["Nairobi", "the city of Nairobi"]
    row = {"id": "q9", "document_id": "kenya-1", "question": "Where?", "answers": answers}
    read(tmp_path, GOOD, row)
    found = read_short_answers(tmp_path / "questions.jsonl", DOCUMENTS)
    assert found.questions == (
        Question("q9", "kenya-1", "short-answer", "Where?", (), (), tuple(answers)),
    )
    assert found.skipped == (SkippedQuestion("q1", "it is a choice"),)


def test_quality_is_known_by_its_keys(tmp_path: Path) -> None:
    question = {"question": "Who?", "options": ["a", "b", "c", "d"]}
    article = {
        "article_id": "rhine",
        "title": "The Rhine",
        "author": "Dewey, G.",
        "year": 1952,
        "article": "It flows.",
        "questions": [
            question | {"question_unique_id": "r_1", "gold_label": 3, "difficult": 1},
            question | {"question_unique_id": "r_2", "gold_label": 1, "difficult": 0},
            question | {"question_unique_id": "r_3"},
            question | {"question_unique_id": "r_4", "gold_label": 9},
            question | {"question_unique_id": "r_5", "gold_label": 1, "options": ["a", "a"]},
        ],
    }
    found = read(tmp_path, article)
    assert [(each.id, each.kind, each.gold) for each in found.questions] == [
        ("r_1", "hard", (2,)),
        ("r_2", "not hard", (0,)),
    ]
    assert {row.question_id: row.reason for row in found.skipped}["r_3"] == "it has no gold answer"
    assert len(found.skipped) == 3


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        read_questions(tmp_path / "none.jsonl", DOCUMENTS)


def test_a_file_that_is_not_utf8_is_said(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_bytes(b'{"id": "\xff"}')
    with pytest.raises(UserError, match="not UTF-8"):
        read_questions(tmp_path / "q.jsonl", DOCUMENTS)


def test_a_file_without_one_usable_question_is_said_with_reasons(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'danube' is not in the corpus"):
        read(tmp_path, GOOD | {"document_id": "danube"})
