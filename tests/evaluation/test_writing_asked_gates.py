"""The gates that ask a model, with engines that answer by a function of the prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from dataclasses import replace

import pytest
from written import ACROSS, SHORT, SOURCES, FunctionEngine, candidate

from steep.documents.document import Document
from steep.evaluation.engines import TOO_LONG
from steep.evaluation.writing.asked_gates import Checks, known_to_base
from steep.evaluation.writing.candidates import QuestionCandidate, SupportingSpan
from steep.evaluation.writing.sources import Sources


def letter_of(prompt: str, option: str) -> str:
    return str(re.findall(rf"^([A-D])\. {option}$", prompt, re.MULTILINE)[0])


def checks(reply: Callable[[str, int], str], reason: str = "stop") -> Checks:
    engine = FunctionEngine(reply, reason=reason)
    return Checks(SOURCES, engine, engine, 64, 0)


def choosing(*options: str) -> Callable[[str, int], str]:
    return lambda prompt, _: f"Answer: {', '.join(letter_of(prompt, each) for each in options)}"


def varnholt_in(samples: Container[int]) -> Callable[[str, int], str]:
    """Answer right in these samples alone."""
    return lambda _, sample: f"Answer: {'Varnholt' if sample in samples else 'Hask'}"


def gates(checked: Checks, each: QuestionCandidate, samples: int = 3) -> list[str]:
    return [each.gate for each in checked.not_answerable([each], samples).rejected]


def test_open_book_takes_the_majority() -> None:
    assert gates(checks(choosing("Edda Varnholt")), candidate()) == []
    assert gates(checks(choosing("Orla Hask")), candidate()) == ["not answerable with the document"]
    assert gates(checks(choosing("Edda Varnholt", "Orla Hask")), candidate()) == ["options"]
    assert gates(checks(lambda *_: "Answer: NOT STATED"), candidate())
    for right in range(4):
        often = checks(varnholt_in(range(right)))
        assert (gates(often, SHORT) == []) == (right >= 2)


def test_a_reader_that_always_names_one_letter_passes_nothing() -> None:
    found = checks(lambda *_: "Answer: B").answered_blind([candidate(), ACROSS], 4)
    assert found.rejected == [] and len(found.passed) == 2
    assert gates(checks(lambda *_: "Answer: B"), candidate(), 4)


def test_a_document_beyond_the_context_is_the_reason() -> None:
    (found,) = checks(lambda *_: "", TOO_LONG).not_answerable([ACROSS], 3).rejected
    assert found.reason == "the document is longer than the context of the model"


def test_blind_answers_reject_by_majority() -> None:
    knows = checks(choosing("Edda Varnholt")).answered_blind([candidate()], 4)
    assert [each.gate for each in knows.rejected] == ["answerable without the document"]
    assert knows.rejected[0].reason.startswith("4 of 4 answers without the document are right (by")
    half = checks(varnholt_in({1, 3}))
    assert half.answered_blind([SHORT], 4).rejected == []
    assert half.answered_blind([SHORT], 4).passed == [SHORT]


@pytest.mark.parametrize(
    ("said", "is_ambiguous"),
    [("Orla Hask", True), ("NOT STATED", False), ("Dr. Edda Varnholt", False), ("", False)],
)
def test_another_answer_in_another_document_is_ambiguous(said: str, is_ambiguous: bool) -> None:
    asked = candidate(question="Who founded the firm of Hask?")
    found = checks(lambda *_: f"Answer: {said}").ambiguous([asked])
    assert bool(found.rejected) == is_ambiguous
    assert not checks(lambda *_: "Answer: Orla").ambiguous([ACROSS]).rejected, "no other document"


def test_the_base_knows_a_choice_only_by_every_measure() -> None:
    def known(score: Callable[[str, str], float]) -> bool:
        found = known_to_base(FunctionEngine(score=score), [candidate()], SOURCES)
        return bool(found.rejected)

    assert known(lambda _, option: 0.0 if option == "Edda Varnholt" else -9.0)
    assert not known(lambda _, option: -float(len(option)))  # the shortest is the likeliest sum
    assert not known(
        lambda prompt, option: -9.0 * (option != "Edda Varnholt" or "article" in prompt)
    )
    assert not known(lambda *_: -1.0), "a tie is no knowledge"


def test_the_base_is_asked_short_questions_in_words() -> None:
    engine = FunctionEngine(lambda *_: " Edda Varnholt")
    found = known_to_base(engine, [SHORT, candidate()], SOURCES)
    assert [each.candidate for each in found.rejected] == [SHORT]
    assert found.passed == [candidate()]
    (prompt,) = engine.prompts
    assert prompt.endswith("who built the Quillon Ferry?\nAnswer:") and "1887" not in prompt


def related_documents() -> Sources:
    """Two documents about the same firm and ferry, and one about neither."""
    text = "The Quillon Ferry was sold in {year}. Orla Hask of Tessel paid for the Quillon Ferry."
    about = "Glaciers of the north move slowly. Nobody has counted the stones below them. " * 3
    return Sources(
        (
            Document("a", "The Quillon Ferry", text.format(year=1887)),
            Document("b", "Ferries of Tessel", text.format(year=1902)),
            Document("c", "Glaciers", about),
        )
    )


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("When was the Quillon Ferry sold?", ["b"]),
        ("When did Bram Ostrel sell the Quillon Ferry?", []),  # the other has no such name
        ("How slowly do stones move?", []),
    ],
)
def test_only_a_close_passage_of_a_related_document_can_be_ambiguous(
    question: str, asked: list[str]
) -> None:
    own = candidate(question=question, part_ids=("a",), document_ids=("a",))
    (found,) = related_documents().close_chunks([own], 2)
    assert [chunk.document_id for chunk in found] == asked


def test_a_passage_is_shown_in_whole_sentences() -> None:
    sentences = [f"Sentence {n} of {n % 7} says {'very ' * (n % 9)}much." for n in range(300)]
    sources = Sources((Document("d", "D", " ".join(sentences)),))
    assert len(sources.chunks) > 3
    for chunk in sources.chunks:
        shown = sources.whole_sentences(chunk).removeprefix(f"{chunk.heading}\n\n")
        assert shown.startswith("Sentence") and shown.endswith("much.")
        assert chunk.text in shown


@pytest.mark.parametrize(
    ("said", "passes"), [("both", True), ("1 and 2", True), ("", True), ("1", False), ("2.", False)]
)
def test_a_joined_question_needs_both_sentences(said: str, passes: bool) -> None:
    spans = (
        SupportingSpan("quillon", 0, "Edda Varnholt built it."),
        SupportingSpan("hask", 0, "Orla Hask"),
    )
    joined = replace(ACROSS, spans=spans)
    found = checks(lambda *_: f"Answer: {said}").one_sentence([joined, candidate()])
    assert (joined in found.passed) == passes and candidate() in found.passed
    twice = replace(joined, spans=(spans[0], SupportingSpan("quillon", 5, "Varnholt built it.")))
    (rejected,) = checks(lambda *_: "Answer: both").one_sentence([twice]).rejected
    assert rejected.reason == "both quotations are from one sentence"
