"""Documents that share rare entities: which ones, what is shown of them, what is written."""

# ruff: noqa: RUF001
from __future__ import annotations

import json
from collections import Counter

import pytest
from scripted import (
    CHINESE,
    GERMAN,
    GOLDEN,
    SHORT,
    TINY,
    Answer,
    candidates,
    made,
    run,
    scripted,
    specimens,
)

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.ledger.ledger import Ledger
from steep.recipes.parsing import questions_of
from steep.recipes.partners import MOST_LISTING, excerpt, keys_of, partners_of

ENGLISH = (
    Document("a", "The Ferry", "Hask built a ferry on Lake Ostrel. Edda Varnholt steered it."),
    Document("b", "The Lake", "Lake Ostrel is deep. Hask measured it, and Joren Pell swam in it."),
    Document("c", "The Builder", "Edda Varnholt met Joren Pell near Lake Ostrel, at Hask."),
    Document("d", "The Clock", "Hask made the clock of Tessel, which is always late."),
    Document("e", "The Road", "Hask paved the road."),
)
NAMES = {
    "a": ["Hask", "Lake Ostrel", "Edda Varnholt"],
    "b": ["the Lake Ostrel", "Hask", "Joren Pell"],
    "c": ["Edda Varnholt", "Joren Pell", "Lake Ostrel", "Hask"],
    "d": ["Hask", "Tessel"],
    "e": ["Hask", "road"],
}


def listing(names: dict[str, list[str]]) -> Answer:
    """A writer that lists these entities, and otherwise answers as the scripted server does."""

    def answer(call: Call) -> str:
        if call.stage == "entities":
            return json.dumps({"summary": "It is told.", "entities": names[call.document_id]})
        return scripted(call)

    return answer


def test_prompts_are_the_golden_ones() -> None:
    text = specimens(
        made("cross-document", kinds=["qa", "text", "walk"], partner_words=50), TINY[0]
    )
    assert text == (GOLDEN / "cross-document.txt").read_text(encoding="utf-8")


def test_documents_are_linked_by_their_rarest_entities(ledger: Ledger) -> None:
    recipe = made("cross-document", partners=2, rare_share=0.6)
    asked = run(ledger, [recipe], ENGLISH, listing(NAMES)).calls
    linked = {
        (call.document_id, call.subset[0]): call.messages[-1].parts[-1]
        for call in asked
        if call.stage == "questions"
    }
    assert set(linked) == {(one, other) for one in "abc" for other in "abc" if one != other}, (
        "Hask is listed by all, and links nothing"
    )
    shown = linked["a", "c"].strip().splitlines()
    assert shown[0] == "Edda Varnholt, Lake Ostrel", "the rarest first"
    assert shown[-1] == ENGLISH[2].text, "a short partner is shown whole"
    assert linked["a", "b"].strip().splitlines()[0] in ("Lake Ostrel", "the Lake Ostrel")
    one = [call for call in asked if call.stage == "questions" and call.document_id == "a"]
    assert [call.subset for call in one] == [("c",), ("b",)], "two shared names before one"
    assert one[0].messages[-1].parts[:-1] == one[1].messages[-1].parts[:-1]
    totals = PlanView(ENGLISH, [recipe], ledger).totals()
    assert totals.to_do == 0 and not run(ledger, [recipe], ENGLISH, listing(NAMES)).calls
    assert [each.document_id for each in totals.without_calls] == ["d", "e"]
    answers = {"entities": (json.dumps({"summary": "", "entities": NAMES["d"]}),)}
    why = recipe.why_nothing(ENGLISH[3], answers)
    assert why == "no other document shares a rare entity with it"


def test_a_walk_leads_through_three_documents(ledger: Ledger) -> None:
    recipe = made("cross-document", kinds=["walk", "text"], partners=1, rare_share=0.6)
    asked = run(ledger, [recipe], ENGLISH, listing(NAMES)).calls
    walks = {c.document_id: c for c in asked if c.stage == "walks"}
    assert Counter(call.stage for call in asked) == {"entities": 5, "texts": 3, "walks": 3}
    first = walks["a"].messages[-1].parts[-1]
    assert walks["a"].subset == ("c, b",)
    assert 'From "The Ferry" to "The Builder": Edda Varnholt' in first
    assert 'From "The Builder" to "The Lake": Joren Pell' in first
    steps = Counter(step for step, _ in candidates(ledger, [recipe], ENGLISH))
    assert steps == {"texts": 3, "walks": 3}


def test_a_walk_needs_a_third_document(ledger: Ledger) -> None:
    recipe = made("cross-document", kinds=["walk"])
    documents, names = ENGLISH[:2], {key: NAMES[key] for key in "ab"}
    run(ledger, [recipe], documents, listing(names))
    totals = PlanView(documents, [recipe], ledger).totals()
    assert [each.document_id for each in totals.without_calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("document", "other", "names"),
    [
        (
            GERMAN,
            Document("see", "Der See", "Am Ufer des Sees bei Weidenau wohnte Jonas Brandt, und "
            "die Leute kannten ihn gut, weil er jeden Tag auf das Wasser fuhr."),
            ["Jonas Brandt", "Weidenau"],
        ),
        (
            CHINESE,
            Document("hu", "湖", "奥斯特湖的岸边住着林雪梅，她每天都到柳镇去。"),
            ["林雪梅", "柳镇"],
        ),
    ],
)  # fmt: skip
def test_documents_in_other_languages_are_linked(
    ledger: Ledger, document: Document, other: Document, names: list[str]
) -> None:
    recipe = made("cross-document")
    documents = (document, other)
    asked = run(ledger, [recipe], documents, listing({each.id: names for each in documents})).calls
    pairs = [call for call in asked if call.stage == "questions"]
    assert [call.subset for call in pairs] == [(other.id,), (document.id,)]
    assert all("Write the whole answer in" in call.messages[-1].content for call in pairs)
    found = [each for _, each in candidates(ledger, [recipe], documents)]
    assert len(found) == 2 and all(questions_of(each.text) for each in found)


def test_an_answer_without_questions_and_a_document_without_entities_are_counted(
    ledger: Ledger,
) -> None:
    recipe = made("cross-document", rare_share=0.6)
    base = listing({**NAMES, "short": ["Nowhere"]})
    documents = (*ENGLISH[:2], SHORT)
    run(ledger, [recipe], documents, lambda call: base(call) if call.stage == "entities" else "Ah.")
    found = Counter(each.rejected for _, each in candidates(ledger, [recipe], documents))
    assert found == {"no-questions": 2}
    totals = PlanView(documents, [recipe], ledger).totals()
    assert [each.document_id for each in totals.without_calls] == ["short"]
    answers = {"entities": (json.dumps({"summary": "", "entities": ["Nowhere"]}),)}
    assert recipe.why_nothing(SHORT, answers).startswith("0 of 1 names were accepted")


def test_entities_are_paid_for_once_with_entigraph(ledger: Ledger) -> None:
    graph, linked = made("entigraph", pairs=1), made("cross-document", rare_share=0.6)
    first = run(ledger, [graph], ENGLISH[:3], listing(NAMES)).calls
    then = run(ledger, [graph, linked], ENGLISH[:3], listing(NAMES), ("questions",)).calls
    assert Counter(call.stage for call in first) == {"entities": 3, "pairs": 3}
    assert {call.stage for call in then} == {"questions"}
    totals = PlanView(ENGLISH[:3], [graph, linked], ledger).totals()
    assert totals.failed == len({call.id for call in then}) == 4, "failed calls are counted"
    assert totals.to_do == 0


def test_parts_of_one_document_are_no_partners() -> None:
    parts = [
        Document(f"a#0{n}", "A", "Joren Pell swam.", metadata={"part_of": "a"}) for n in (1, 2)
    ]
    documents = [*parts, Document("b", "B", "Joren Pell sang.")]
    entities = {each.id: keys_of(each, ["Joren Pell"]) for each in documents}
    found = partners_of(documents, entities, 1.0, 5, 0)
    assert [[each.document_id for each in found[one.id]] for one in documents[:2]] == [["b"], ["b"]]
    assert {each.document_id for each in found["b"]} == {"a#01", "a#02"}
    orders = {tuple(partners_of(documents, entities, 1.0, 5, seed)["b"]) for seed in range(9)}
    assert len(orders) == 2, "ties are broken by the seed"


def test_an_entity_that_hundreds_of_documents_list_links_none() -> None:
    documents = [Document(f"{n}", "A", "Joren Pell") for n in range(MOST_LISTING + 1)]
    entities = {each.id: keys_of(each, ["Joren Pell"]) for each in documents}
    assert not any(partners_of(documents, entities, 1.0, 5, 0).values())
    assert len(partners_of(documents[1:], entities, 1.0, 5, 0)["1"]) == 5


def test_many_shared_names_have_a_place_in_a_short_excerpt() -> None:
    names = [f"Person {letter}" for letter in "ABCDEFGH"]
    shown = excerpt(" ".join(f"{'filler ' * 50}{name}." for name in names), names, 50)
    assert all(name in shown for name in names)
    assert len(shown.replace("[...]", "").split()) <= 50


def test_an_excerpt_is_around_the_shared_names() -> None:
    filler = " ".join(f"w{n}" for n in range(500))
    text = f"{filler} Joren\nPell rowed. {filler} Edda Varnholt sang. {filler}"
    shown = excerpt(text, ["Joren Pell", "Edda Varnholt"], 60)
    assert "Joren\nPell rowed." in shown and "Edda Varnholt sang." in shown
    assert 40 <= len(shown.replace("[...]", "").split()) <= 60
    assert excerpt(text, ["Nobody"], 60).split() == filler.split()[:60]
    assert excerpt("short text", ["x"], 60) == "short text"
    chinese = "湖" * 300 + "林雪梅走了" + "山" * 300
    assert "林雪梅走了" in excerpt(chinese, ["林雪梅"], 60)
    assert len(excerpt(chinese, ["没有"], 60)) == 60
