"""Questions in synthetic texts and prompts: equal words, paraphrases, and what the source has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from steep.core.calls import Call, Completion, Message, Usage
from steep.evaluation.contamination.paraphrases import (
    find_paraphrases,
    question_sentences,
    sample_questions,
)
from steep.evaluation.contamination.phrases import PhraseIndex, excerpt
from steep.evaluation.contamination.scan import scan_prompts, scan_texts
from steep.evaluation.questions import Question
from steep.ledger import requests
from steep.ledger.budget import Reservation
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry
from steep.llm.requests import Request
from steep.retrieval.index import Vectors

LONG = "In which year did the keeper of the Harrow Point lighthouse sell his boat to the council?"
SHORT = "Who built the ferry?"
WHOLE = "Which rope pulls the old ferry?"
SOURCE = "The keeper of the Harrow Point lighthouse sold his boat. A rope pulls the ferry."
GERMAN = "In welchem Jahr verkaufte der Wärter des Leuchtturms sein Boot an den Rat der Stadt?"
CHINESE = "灯塔的看守人在哪一年把他的小船卖给了市议会？"  # noqa: RUF001


def question(number: int, text: str, *answers: str) -> Question:
    return Question(f"q{number}", "d", "short-answer", text, (), (), answers or ("Edda",))


def found_in(text: str, *questions: str, source: Sequence[str] = ()) -> dict[tuple[int, int], bool]:
    """Return whether each (question, length) that is found is only a quotation."""
    index = PhraseIndex([question(n, each) for n, each in enumerate(questions)], source)
    return {(m.question, m.length): m.is_quotation for m in index.find(text)}


@pytest.mark.parametrize("asked", [LONG, GERMAN, CHINESE])
def test_a_question_in_a_text_is_found_in_any_case_and_punctuation(asked: str) -> None:
    shown = f"Some words before. {asked.upper().replace('?', '!')} And some after."
    assert found_in(shown, asked) == {(0, 8): False, (0, 13): False}
    assert found_in("A text about something else, the ferry and its rope.", asked) == {}


@pytest.mark.parametrize(
    ("asked", "half"),
    [
        (LONG, "the keeper of the harrow point lighthouse sell nothing"),
        (GERMAN, "Wo der Wärter des Leuchtturms sein Boot an den Rat gab"),
        (CHINESE, "人们说灯塔的看守人在哪一年把他的小船卖给了谁"),
    ],
)
def test_eight_words_are_found_where_thirteen_are_not(asked: str, half: str) -> None:
    assert found_in(half, asked) == {(0, 8): False}


def test_a_short_question_counts_as_a_whole_and_a_shorter_one_never() -> None:
    assert found_in(f"{WHOLE} {SHORT}", WHOLE, SHORT) == {(0, 8): False, (0, 13): False}
    assert found_in("Which rope pulls the old boat?", WHOLE) == {}


def test_a_long_answer_counts_and_a_short_one_does_not() -> None:
    long = "because the council of Sennet had asked him to sell it"
    index = PhraseIndex([question(0, "Why did he sell the boat?", "Edda Varnholt", long)])
    assert not index.find("Edda Varnholt sold the boat.")
    assert {m.length for m in index.find(f"He sold it {long}.")} == {8}


def test_what_the_source_has_is_a_quotation() -> None:
    asked = "Was it the keeper of the Harrow Point lighthouse who sold it?"
    index = PhraseIndex([question(0, asked)], [SOURCE])
    assert index.quoted == {8: set(), 13: set()}, "seven words are no phrase"
    source = SOURCE.replace("The keeper", "It was it the keeper")
    index = PhraseIndex([question(0, asked)], [source])
    assert index.quoted == {8: {0}, 13: set()}
    quoting = "Was it the keeper of the Harrow Point lighthouse?"
    assert [m.is_quotation for m in index.find(quoting)] == [True]
    whole = {m.length: m.is_quotation for m in index.find(asked)}
    assert whole == {8: False, 13: False}


def test_the_excerpt_is_the_part_of_the_text_as_it_was_written() -> None:
    text = f"One two three four five. {LONG}\n\nSix seven eight, nine ten eleven."
    (match, *_) = PhraseIndex([question(0, LONG)]).find(text)
    assert excerpt(text, match) == f"two three four five. {LONG} Six seven eight, nine"


def test_rows_count_passages_by_recipe_and_name_the_longest_run() -> None:
    questions = [question(0, LONG), question(1, SHORT)]
    half = "the keeper of the harrow point lighthouse sell it"
    texts = [("a", "qa", half), ("b", "qa", LONG), ("c", "rewrite", half), ("d", "qa", "nothing")]
    scan = scan_texts(questions, PhraseIndex(questions), texts)
    assert scan.passages == 4
    rows = {(r.question_id, r.measure, r.recipe): (r.passages, r.passage_id) for r in scan.overlaps}
    assert rows == {
        ("q0", "8 words", "qa"): (2, "b"),
        ("q0", "8 words", "rewrite"): (1, "c"),
        ("q0", "13 words", "qa"): (1, "b"),
    }


def recorded(ledger: Ledger, recipe: str, *parts: str) -> str:
    call = Call(recipe, "write", "d", (), 0, "m", (Message("user", parts),))
    done = Completion(call.id, "text", "stop", Usage(1, 0, 1), 0.0, 0.1, "http://x", 1)
    ledger.record([Entry(call, done, None)])
    return call.id


def test_prompts_are_searched_in_short_and_long_parts_and_evaluations_are_not(
    tmp_path: Path,
) -> None:
    questions = [question(0, LONG), question(1, WHOLE)]
    filler = " ".join(f"word{n}" for n in range(200))  # longer than what stands in the row itself
    with Ledger(tmp_path / "ledger.db") as ledger:
        recorded(ledger, "clean", "Write about this.", f"{filler} {SOURCE}")
        asked = Request("evaluate m", "http://x", "chat", "m", (f"{filler} {LONG}",))
        done = Completion(asked.id, "", "stop", Usage(), 0.0, 0.1, "http://x", 1, result={})
        requests.record(ledger, [requests.Ended(asked, done, Reservation(1, 0.0))])
        scan = scan_prompts(questions, PhraseIndex(questions, [SOURCE]), ledger)
        assert (scan.overlaps, scan.calls) == ((), {"clean": 1})
        first = recorded(ledger, "short part", filler, f"Focus on: {WHOLE}")
        second = recorded(ledger, "long part", f"{filler} {LONG}", "Write about it.")
        scan = scan_prompts(questions, PhraseIndex(questions, [SOURCE]), ledger)
    rows = {(r.recipe, r.question_id, r.measure, r.call_id) for r in scan.overlaps}
    assert rows == {
        (recipe, name, measure, call_id)
        for recipe, name, call_id in (("short part", "q1", first), ("long part", "q0", second))
        for measure in ("8 words", "13 words")
    }
    assert scan.calls == {"clean": 1, "long part": 1, "short part": 1}


def test_sentences_with_a_question_mark_are_questions() -> None:
    text = (
        "Question 3: Who is Dr. Hask of Bram? Answer: A ropemaker. Is that so?\n"
        "1. Wann wurde die Fähre gebaut? Niemand weiß es.\n这艘渡船是谁建造的？没有人知道。"  # noqa: RUF001
    )
    assert list(question_sentences(text)) == [
        "Who is Dr. Hask of Bram?",
        "Wann wurde die Fähre gebaut?",
        "这艘渡船是谁建造的？",  # noqa: RUF001
    ]


def test_a_sample_of_questions_is_fixed_and_its_size_is_kept() -> None:
    texts = [
        (f"p{n}", "qa", f"What is the name of number {n}? What is the name?") for n in range(50)
    ]
    sample = sample_questions(texts, 10)
    assert sample.sentences == 100 and len(sample.questions) == 10
    assert {q.text for q in sample_questions(texts[::-1], 10).questions} == {
        q.text for q in sample.questions
    }
    everything = sample_questions(texts, 1000)
    assert len(everything.questions) == 51, "an equal question counts once"
    assert {q.text for q in sample.questions} < {q.text for q in everything.questions}


class LetterEmbedder:
    """The numbers of each letter: words in another order have the same vector."""

    name = "letters"

    def embed(self, texts: Sequence[str]) -> Vectors:
        letters = "abcdefghijklmnopqrstuvwxyz"
        return np.array([[t.lower().count(c) for c in letters] for t in texts], np.float32)


def test_a_paraphrase_counts_unless_the_source_asks_the_same() -> None:
    questions = [
        question(0, "Who built the old ferry?"),
        question(1, "When was Bram flooded by it?"),
    ]
    sample = sample_questions(
        [("p", "qa", "The old ferry, built who? When was Bram flooded by it?")], 9
    )
    source = ["When was Bram flooded by it?"]
    rows = find_paraphrases(LetterEmbedder(), questions, sample.questions, source, 0.999)
    assert [(r.question_id, r.recipe, r.passages, r.quoting) for r in rows] == [
        ("q0", "qa", 1, 0),
        ("q1", "documents", 0, 1),
        ("q1", "qa", 0, 1),
    ]
    assert rows[0].excerpt == "The old ferry, built who?" and rows[0].similarity == 1.0
