"""Summaries, facts and questions, and the judge of their faithfulness."""

from __future__ import annotations

from collections import Counter

import pytest
from scripted import (
    CHINESE,
    GERMAN,
    GOLDEN,
    SHORT,
    TINY,
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

FEW = {"samples": 2, "facts": 3, "question_samples": 2}


def test_prompts_are_the_golden_ones() -> None:
    text = specimens(made("summaries"), TINY[0])
    assert text == (GOLDEN / "summaries.txt").read_text(encoding="utf-8")


def test_sampling_is_the_published_one() -> None:
    steps = {step.name: step.specimen(TINY[0]) for step in made("summaries").steps}
    temperatures = {name: call.sampling.temperature for name, call in steps.items()}
    assert temperatures == {
        "extractive": 0.7, "detailed": 0.7, "facts": 0.7, "fact_questions": 0.7,
        "questions": 1.0, "judgements": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("document", [TINY[0], GERMAN, CHINESE])
def test_a_document_is_summarized_questioned_and_judged(ledger: Ledger, document: Document) -> None:
    recipe = made("summaries", **FEW)
    asked = run(ledger, [recipe], [document]).calls
    numbers = Counter(call.stage for call in asked)
    facts = numbers["fact_questions"]
    assert 1 <= facts <= 3
    assert numbers == {
        "extractive": 2, "detailed": 2, "facts": 1, "fact_questions": facts, "questions": 2,
        "judgements": numbers["judgements"],
    }  # fmt: skip
    totals = PlanView([document], [recipe], ledger).totals()
    assert totals.to_do == 0
    assert totals.planned == 2 + 2 + 1 + facts + 2 + (facts + 2), "a judgement per answer"
    assert not run(ledger, [recipe], [document]).calls, "nothing is paid for twice"
    found = candidates(ledger, [recipe], [document])
    assert {step for step, _ in found} == {"extractive", "detailed", "judgements"}
    judged = [each for step, each in found if step == "judgements" and not each.rejected]
    assert judged and all(questions_of(each.text) for each in judged)
    language = {"bruecke": "German", "duchuan": "Chinese"}.get(document.id)
    for call in asked:
        asks = f"Write the whole answer in {language}" in call.messages[-1].content
        assert asks == (language is not None and call.stage != "judgements")


def test_a_judge_decides_per_item_and_what_it_did_not_decide_is_dropped(ledger: Ledger) -> None:
    recipe = made("summaries", kinds=["questions"], question_samples=4)
    verdicts = iter(["1: yes\n2: no\n3: yes", "1: no\n2: No.\n3. no", "I like them all.", ""])

    def answer(call: Call) -> str:
        if call.stage == "judgements":
            return next(verdicts)
        items = (f"Question: {n}-{call.sample}?\nAnswer: It is {n}." for n in range(1, 4))
        return "\n\n".join(items)

    run(ledger, [recipe], [TINY[0]], answer)
    found = [each for _, each in candidates(ledger, [recipe], [TINY[0]])]
    outcomes = Counter(each.rejected or each.status for each in found)
    assert outcomes == {"done": 1, "unfaithful": 1, "unreadable-verdict": 1, "empty": 1}
    (kept,) = (each.text for each in found if each.status == "done" and not each.rejected)
    assert [item.answer for item in questions_of(kept)] == ["It is 1.", "It is 3."]


def test_the_same_questions_are_judged_once(ledger: Ledger) -> None:
    recipe = made("summaries", kinds=["questions"], question_samples=3)
    answer = "Question: Who?\nAnswer: Ada."
    calls = run(ledger, [recipe], [TINY[0]], lambda _: answer).calls
    assert Counter(call.stage for call in calls) == {"questions": 3, "judgements": 1}


def test_without_a_judge_the_answers_are_the_texts(ledger: Ledger) -> None:
    recipe = made("summaries", kinds=["facts", "questions"], facts=2, judge=False)

    def answer(call: Call) -> str:
        in_prose = call.stage == "questions" and call.sample == 1
        return "There is much to ask." if in_prose else scripted(call)

    run(ledger, [recipe], [TINY[0]], answer)
    found = Counter((step, each.rejected) for step, each in candidates(ledger, [recipe], [TINY[0]]))
    assert found == {
        ("fact_questions", None): 2,
        ("questions", None): 2,
        ("questions", "no-questions"): 1,
    }


def test_answers_in_prose_leave_nothing_to_judge(ledger: Ledger) -> None:
    recipe = made("summaries", **FEW)
    run(ledger, [recipe], [TINY[0]], lambda call: "Nothing to say")
    totals = PlanView([TINY[0]], [recipe], ledger).totals()
    assert totals.to_do == 0 and totals.planned == 2 + 2 + 1 + 1 + 2


def test_a_short_document_is_counted_and_costs_nothing(ledger: Ledger) -> None:
    recipe = made("summaries", **FEW)
    assert not run(ledger, [recipe], [SHORT]).calls
    totals = PlanView([SHORT], [recipe], ledger).totals()
    assert [each.document_id for each in totals.without_calls] == ["short"]
    assert recipe.unsuitable(SHORT) == "the document has 4 words, fewer than 30"
