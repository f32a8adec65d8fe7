"""Facts about entities in passes, self-contained, paraphrased, and as chats."""

# ruff: noqa: RUF001
from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from scripted import CHINESE, GERMAN, GOLDEN, TINY, Answer, candidates, made, run, specimens

from steep.core.calls import Call
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.ledger.ledger import Ledger
from steep.recipes.knowledge_instruct import is_named
from steep.recipes.parsing import questions_of
from steep.recipes.prompt_files import prompt_text

NAMES = {
    TINY[0].id: ("Lake Ostrel", "Edda Varnholt", "Joren Pell"),
    "bruecke": ("Hask", "Ostrelsee", "Weidenau"),
    "duchuan": ("哈斯克公司", "林雪梅", "柳镇"),
}


def writing(document: Document) -> Answer:
    """A writer that lists two entities, misses one, and has two facts about each."""
    names = NAMES[document.id]

    def answer(call: Call) -> str:
        subject = call.subset[0] if call.subset else ""
        match call.stage:
            case "entities":
                return json.dumps({"summary": "A ferry.", "entities": names[:2]})
            case "entities_2":
                return json.dumps({"entities": [names[2], names[0], "Nowhere"]})
            case "facts":
                return f"- {subject} is known.\n- {subject} is old."
            case "facts_2" if subject == names[0]:
                return f"- {subject} is known.\n- It has a bank."
            case "facts_2" | "facts_3" | "entities_3":
                return "none"
            case "statements":
                return f"- {subject} is known.\n- {subject} is old.\n- The ferry crosses."
            case _:
                listed = call.messages[-1].content.rpartition("The facts:")[2].split("\n- ")[1:]
                return "\n".join(f"- In other words: {each}" for each in listed)

    return answer


def test_prompts_are_the_golden_ones() -> None:
    text = specimens(made("knowledge-instruct"), TINY[0])
    assert text == (GOLDEN / "knowledge-instruct.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", [TINY[0], GERMAN, CHINESE])
def test_entities_and_facts_are_asked_for_until_nothing_is_new(
    ledger: Ledger, document: Document
) -> None:
    recipe = made("knowledge-instruct", paraphrases=2)
    asked = run(ledger, [recipe], [document], writing(document)).calls
    assert Counter(call.stage for call in asked) == {
        "entities": 1, "entities_2": 1, "entities_3": 1,
        "facts": 3, "facts_2": 3, "facts_3": 1,
        "statements": 3, "paraphrases": 6,
    }  # fmt: skip
    again = [call for call in asked if call.stage == "facts_3"]
    assert [call.subset for call in again] == [(NAMES[document.id][0],)]
    assert "- It has a bank." in again[0].messages[-1].content
    assert PlanView([document], [recipe], ledger).totals().to_do == 0
    assert not run(ledger, [recipe], [document], writing(document)).calls


@pytest.mark.parametrize(
    ("document", "language"), [(TINY[0], "en"), (GERMAN, "de"), (CHINESE, "zh")]
)
def test_texts_are_chats_in_the_language_of_the_document(
    ledger: Ledger, document: Document, language: str
) -> None:
    sentence = {
        "en": "{} is a place that the people of the lake know well, and it is older than most.",
        "de": "{} ist den Leuten am See gut bekannt, und die meisten kennen auch die Fähre dort.",
        "zh": "湖边的人都知道{}，也知道那里的渡船。",
    }[language]
    recipe = made("knowledge-instruct", paraphrases=3, passes=1)
    base = writing(document)

    def answer(call: Call) -> str:
        if call.stage != "paraphrases":
            return base(call)
        return f"Here they are:\n- {sentence.format(call.subset[0])}\n- Not about it. 没有。"

    run(ledger, [recipe], [document], answer)
    found = candidates(ledger, [recipe], [document])
    assert {step for step, _ in found} == {"paraphrases"} and len(found) == 3 * 2
    templates = prompt_text(f"knowledge-instruct/questions-{language}.md").splitlines()
    questions = set()
    for _, each in found:
        (item,) = questions_of(each.text)
        assert item.answer == sentence.format(each.subset[0])
        assert item.question in [line.format(entity=each.subset[0]) for line in templates]
        questions.add(templates.index(item.question.replace(each.subset[0], "{entity}")))
    assert len(questions) > 1, "templates are drawn"


def test_a_fact_that_names_a_language_does_not_decide_about_the_templates() -> None:
    (paraphrases,) = [each for each in made("knowledge-instruct").steps if each.counts]
    call = paraphrases.specimen(TINY[0])
    user = call.messages[-1]
    parts = (*user.parts[:-1], f"{user.parts[-1]}\n- Some Entity is written in German.")
    call = replace(call, messages=(*call.messages[:-1], replace(user, parts=parts)))
    text = paraphrases.passage(call, "- Some Entity is small.")
    assert isinstance(text, str)
    (item,) = questions_of(text)
    english = prompt_text("knowledge-instruct/questions-en.md").splitlines()
    assert item.question in [each.format(entity="Some Entity") for each in english]


def test_a_paraphrase_in_no_usable_form_is_counted_with_the_reason(ledger: Ledger) -> None:
    recipe = made("knowledge-instruct", paraphrases=2, passes=1, max_entities=2)
    base = writing(TINY[0])

    def answer(call: Call) -> str:
        if call.stage != "paraphrases":
            return base(call)
        return "Facts, facts." if call.sample else "- Somebody did something."

    run(ledger, [recipe], [TINY[0]], answer)
    found = Counter(each.rejected for _, each in candidates(ledger, [recipe], [TINY[0]]))
    assert found == {"no-list": 2, "entity-not-named": 2}


def test_a_fact_about_two_entities_is_stated_once(ledger: Ledger) -> None:
    recipe = made("knowledge-instruct", paraphrases=1, passes=1)
    base = writing(TINY[0])
    shared = "Edda Varnholt swam in Lake Ostrel."

    def answer(call: Call) -> str:
        return f"- {shared}" if call.stage == "statements" else base(call)

    asked = run(ledger, [recipe], [TINY[0]], answer).calls
    assert [call.subset for call in asked if call.stage == "paraphrases"] == [("Lake Ostrel",)]


def test_without_entities_there_is_nothing_to_write(ledger: Ledger) -> None:
    recipe = made("knowledge-instruct")
    asked = run(ledger, [recipe], [TINY[0]], lambda call: "I list none").calls
    assert Counter(call.stage for call in asked) == {"entities": 3}
    totals = PlanView([TINY[0]], [recipe], ledger).totals()
    assert [each.document_id for each in totals.without_calls] == [TINY[0].id]
    answers = {"entities": ("I list none",)}
    assert recipe.why_nothing(TINY[0], answers) == "no answer named an entity"


def test_the_first_call_is_that_of_entigraph_and_paid_for_once(ledger: Ledger) -> None:
    recipes = [made("entigraph", pairs=1), made("knowledge-instruct", passes=1, paraphrases=1)]
    asked = run(ledger, recipes, [TINY[0]]).calls
    numbers = Counter((call.recipe, call.stage) for call in asked)
    assert sum(numbers[recipe.name, "entities"] for recipe in recipes) == 1
    assert numbers["entigraph", "pairs"] == 1
    assert numbers["knowledge-instruct", "paraphrases"] >= 2
    totals = PlanView([TINY[0]], recipes, ledger).totals()
    assert totals.to_do == 0 and totals.planned == len(asked) + 1


@pytest.mark.parametrize(
    ("entity", "text", "named"),
    [
        ("Lake Ostrel", "The lake is deep.", True),
        ("Ostrelsee", "Am Ufer des Ostrelsees.", True),
        ("林雪梅", "船夫林雪梅稳住渡船。", True),
        ("林雪梅", "船夫林先生稳住渡船。", False),
        ("Hask", "The ferry is old.", False),
        ("C#", "They write C# there.", True),
    ],
)
def test_whether_a_sentence_names_an_entity(entity: str, text: str, named: bool) -> None:
    assert is_named(entity, text) == named
