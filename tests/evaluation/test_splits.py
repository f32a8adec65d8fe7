from __future__ import annotations

from asked import QUESTION

from steep.documents.document import Document
from steep.evaluation.questions import questions_on, split_documents


def test_the_first_fifth_by_title_is_for_validation() -> None:
    documents = [Document(f"d{n}", f"Title {n:03}", "text") for n in range(265)]
    split = split_documents(reversed(documents))
    assert len(split["validation"]) == 53
    assert len(split["test"]) == 212
    assert split["validation"] == {f"d{n}" for n in range(53)}


def test_documents_of_one_title_and_author_stay_together() -> None:
    documents = [
        Document("a1", "A", "text", "Poe, Edgar"),
        Document("a2", "A", "other", "Edgar Poe"),
        Document("b", "A", "text", "Somebody Else"),
        Document("b#1", "B", "text", metadata={"part_of": "whole"}),
        Document("c", "C", "text"),
        Document("e", "E", "text"),
    ]
    split = split_documents(documents)
    assert split["validation"] == {"a1", "a2"}
    assert split["test"] == {"b", "whole", "c", "e"}


def test_few_documents_are_all_for_the_test() -> None:
    split = split_documents([Document("a", "A", "text")])
    assert not split["validation"]
    assert split["test"] == {"a"}


def test_questions_follow_their_documents() -> None:
    assert questions_on([QUESTION], frozenset({"quillon"})) == [QUESTION]
    assert questions_on([QUESTION], frozenset({"other"})) == []
