from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import ACROSS, FERRY, FIRM, SHORT, SOURCES, candidate

from steep.core.errors import UserError
from steep.documents.document import Document
from steep.evaluation.engines import Output
from steep.evaluation.writing.candidates import KINDS, Kind, QuestionCandidate
from steep.evaluation.writing.config import KindShares, QuestionsConfig
from steep.evaluation.writing.free_gates import find_spans
from steep.evaluation.writing.prompts import (
    blind_prompt,
    open_book_prompt,
    other_document_prompt,
    sentences_prompt,
    write_prompt,
)
from steep.evaluation.writing.quotas import MOST_PER_CALL, orders, wanted, words_in
from steep.evaluation.writing.reading import read_answer, read_letters, read_questions
from steep.evaluation.writing.sources import Sources

GOLDEN = Path(__file__).parent / "golden"


def all_prompts() -> str:
    """Return every kind of prompt, under its name."""
    asked = {f"write {kind}": write_prompt([FERRY], kind, 3) for kind in KINDS[:3]}
    asked["write across, names and earlier questions"] = write_prompt(
        [FERRY, FIRM],
        "across",
        2,
        ["Lake Ostrel", "Bram"],
        ["Who built it? (Edda)"],
        ("Edda", "1887."),
    )
    (spanned,) = find_spans([ACROSS], SOURCES)
    assert isinstance(spanned, QuestionCandidate)
    asked |= {
        "open book, options": open_book_prompt(ACROSS, [FERRY, FIRM], (2, 0, 1, 3)),
        "open book, short answer": open_book_prompt(SHORT, [FERRY], None),
        "other document": other_document_prompt(candidate(), SOURCES.chunks[1].shown),
        "needed sentences": sentences_prompt(spanned),
        "blind, options": blind_prompt(candidate(), [FERRY], (0, 1, 2, 3)),
        "blind, short answer": blind_prompt(
            replace(SHORT, question="Who built it?"), [FERRY], None
        ),
        "blind, two documents": blind_prompt(
            replace(ACROSS, question="Whose rope is it?"), [FERRY, FIRM], (3, 2, 1, 0)
        ),
    }
    return "".join(f"=== {name} ===\n{text}\n" for name, text in asked.items())


def test_prompts_are_the_golden_ones() -> None:
    assert all_prompts() == (GOLDEN / "written_questions.txt").read_text(encoding="utf-8")


def test_blind_prompts_have_the_name_of_the_document_alone() -> None:
    for each in (candidate(), SHORT):
        each = replace(each, question="Who built it?")
        shown = blind_prompt(each, [FERRY], (0, 1, 2, 3) if each.is_choice else None)
        assert "1961" in shown and "1887" not in shown and "rope" not in shown


def answer(text: str, reason: str = "stop") -> Output:
    return Output(text, reason, 0, None)


GOOD = {"question": "Who built it?", "answer": "Edda", "wrong": ["a", "b", "c"], "quote": "Edda."}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([GOOD, GOOD]),
        f"Sure!\n```json\n{json.dumps([GOOD, GOOD])}\n```\nDone.",
        json.dumps({"questions": [GOOD, GOOD]}),
        json.dumps([GOOD, GOOD, GOOD])[:-20],
        f"{json.dumps(GOOD)}\n{json.dumps(GOOD)}",
    ],
)
def test_questions_are_read_whatever_stands_around_them(text: str) -> None:
    found = read_questions(answer(text), "choice", [FERRY], 2)
    assert [each.question for each in found.candidates] == ["Who built it?"] * 2
    assert found.rejected == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"answer": None}, "expected a text as 'answer', found None"),
        ({"wrong": "x"}, "expected a list as 'wrong'"),
        ({"question": " "}, "expected a text as 'question'"),
        ({"question": "?" * 401}, "longer than 400 characters"),
        ({"answer": "x" * 201}, "longer than 200 characters"),
        ({"quote": ["x"]}, "expected a text as 'quote'"),
        ({"question": "Which man fled; which brand was it?"}, "two questions in one"),
        ({"question": "Who built it and when was it sold?"}, "two questions in one"),
        ({"question": "Who built it? And where?"}, "two questions in one"),
    ],
)
def test_what_cannot_be_read_is_kept_with_its_reason(change: object, reason: str) -> None:
    assert isinstance(change, dict)
    found = read_questions(answer(json.dumps([GOOD | change, GOOD])), "choice", [FERRY], 5)
    assert len(found.candidates) == 1 and len(found.rejected) == 1
    assert reason in found.rejected[0].reason and found.rejected[0].text
    more = read_questions(answer(json.dumps([GOOD] * 4)), "choice", [FERRY], 1)
    assert [each.reason for each in more.rejected] == ["more questions than were asked for"] * 3
    for reason, said in (("error", "documents.split_tokens"), ("length", "questions.max_tokens")):
        (cause,) = read_questions(answer("[", reason), "choice", [FERRY], 1).rejected
        assert said in cause.reason
    for none in ("[]", "There are none.\n```json\n[ ]\n```"):
        assert read_questions(answer(none), "choice", [FERRY], 3) == ((), ())
    (prose,) = read_questions(answer("I would rather not."), "choice", [FERRY], 1).rejected
    assert (prose.gate, prose.text) == ("unreadable", "I would rather not.")


@pytest.mark.parametrize(
    "question",
    [
        "The class of the thesis has its own functions; what is it called?",
        'Who wrote "Who Goes There?" and "Night"?',
        "Which man, whose aunt built the ferry and who rowed, fled?",
    ],
)
def test_one_question_may_have_several_clauses(question: str) -> None:
    found = read_questions(
        answer(json.dumps([GOOD | {"question": question}])), "choice", [FERRY], 1
    )
    assert [each.question for each in found.candidates] == [question]


@given(st.text(max_size=80), st.sampled_from(KINDS))
def test_reading_takes_any_text(text: str, kind: Kind) -> None:
    found = read_questions(answer(text), kind, [FERRY, FIRM], 2)
    assert not found.candidates
    read_answer(text)
    assert all(0 <= place < 4 for place in read_letters(text, 4))


@pytest.mark.parametrize(
    ("text", "said", "letters"),
    [
        ("Answer: B", "B", (1,)),
        ("So it is A.\n**Answer: C.**", "C", (2,)),
        ("Answer: A\nNo, wait.\nanswer: B and D", "B and D", (1, 3)),
        ("C", "C", (2,)),
        ("Answer: NOT STATED", None, ()),
        ("It is long\nand has no answer", None, ()),
        ("", None, ()),
        ("Answer: E", "E", ()),
    ],
)
def test_the_last_answer_counts(text: str, said: str | None, letters: tuple[int, ...]) -> None:
    assert read_answer(text) == said
    assert read_letters(text, 4) == letters


def documents(*words: int) -> Sources:
    texts = [f"{'word ' * (number - 1)}end." for number in words]
    return Sources([Document(f"d{n}", f"Title {n}", text) for n, text in enumerate(texts)])


def test_questions_are_in_proportion_to_length_and_kinds_to_their_shares() -> None:
    sources = documents(2000, 1000, 10, 20_000)
    slots = wanted(sources, QuestionsConfig(per_1000_words=8, max_per_document=80))
    by_part = {id_: sum(n for s, n in slots.items() if s.part_id == id_) for id_ in sources.by_id}
    assert by_part == {"d0": 16, "d1": 8, "d2": 1, "d3": 80}
    by_kind = {kind: sum(n for s, n in slots.items() if s.kind == kind) for kind in KINDS}
    total = sum(by_part.values())
    for kind, share in zip(KINDS, (4, 2, 1, 1), strict=True):
        assert abs(by_kind[kind] - total * share / 8) <= 1
    alone = wanted(documents(500), QuestionsConfig())
    assert all(slot.kind != "across" for slot in alone)


def test_only_related_documents_are_joined() -> None:
    """Where no document is related, other kinds have the place of questions across."""
    ferry = "Edda Varnholt of Tessel built the Quillon Ferry. " * 50
    other = "Prime numbers of Euclid and Fermat divide. Gauss and Riemann sought them. " * 50
    parts = [Document("f", "Ferry", ferry), Document("g", "Boats of Tessel", ferry)]
    parts += [Document("p", "Primes", other)]
    sources = Sources(parts)
    assert sources.without_related == ["p"]
    settings = QuestionsConfig(per_1000_words=40)
    slots = wanted(sources, settings)
    assert {slot.part_id for slot in slots if slot.kind == "across"} == {"f", "g"}
    for id_ in ("f", "p"):
        number = sum(n for slot, n in slots.items() if slot.part_id == id_)
        assert number == round(40 * words_in(sources.by_id[id_].text) / 1000)
    by_kind = Counter(slot.kind for slot in slots.elements())
    assert by_kind["across"] <= sum(by_kind.values()) / 8 + 1
    pairs = [each.parts for each in orders(slots, sources) if each.kind == "across"]
    assert pairs and all({"f", "g"} == {part.id for part in pair} for pair in pairs)
    only = KindShares(choice=0, short_answer=0, joined=0, across=1)
    with pytest.raises(UserError, match="No two documents are related"):
        wanted(Sources(parts[::2]), QuestionsConfig(shares=only))


def test_names_for_wrong_options_are_whole_names_of_related_documents() -> None:
    text = (
        "Good Lord, said Edda Varnholt. Visitors of the Victoria and Albert Museum saw Let's Make "
        "a Deal with Orla Hask. It's Lethla."
    )
    sources = Sources([Document("f", "T", "Orla Hask came."), Document("g", "T", text)])
    assert sources.names_near(sources.parts[0]) == ["Edda Varnholt"]


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=4), st.integers(0, 9))
def test_orders_ask_for_all_that_is_missing_and_some_spare(words: list[int], shares: int) -> None:
    sources = documents(*words)
    own = KindShares(choice=1, short_answer=shares, joined=1, across=shares)
    slots = wanted(sources, QuestionsConfig(shares=own))
    made = orders(slots, sources)
    for slot, number in slots.items():
        asked = sum(each.count for each in made if each.slot == slot)
        assert number <= asked <= 1.5 * number + 1
    assert all(1 <= each.count <= MOST_PER_CALL for each in made)
    for each in made:
        assert len({part.whole_id for part in each.parts}) == 1 + (each.kind == "across")


def test_several_calls_about_one_text_ask_about_its_sections() -> None:
    text = " ".join(f"w{number}" for number in range(6000))
    sources = Sources([Document("d", "D", text)])
    shares = KindShares(choice=1, short_answer=0, joined=0, across=0)
    made = orders(wanted(sources, QuestionsConfig(shares=shares)), sources)
    assert len(made) == 6 and len({each.section for each in made}) == 6
    assert made[0].section == ("w0 w1 w2 w3 w4 w5", "w1148 w1149 w1150 w1151 w1152 w1153")
    prose = " ".join(f"Sentence {n} of it has {'very ' * (n % 40)}many words." for n in range(300))
    whole = Sources([Document("d", "D", prose)])
    cut = orders(wanted(whole, QuestionsConfig(shares=shares)), whole)
    assert len(cut) > 2
    for each in cut:
        assert each.section is not None
        assert each.section[0].startswith("Sentence") and each.section[1].endswith("many words.")
    prompts = {write_prompt(e.parts, e.kind, e.count, section=e.section) for e in made}
    assert len(prompts) == 6, "equal prompts would be one call"
    chinese = Sources([Document("c", "C", "\u6e21\u8239" * 4000)])
    sections = [each.section for each in orders(wanted(chinese, QuestionsConfig()), chinese)]
    assert all(section is None or max(map(len, section)) <= 6 for section in sections)
