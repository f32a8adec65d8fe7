"""The five styles: segments, lengths, and the filters of answers."""

# ruff: noqa: RUF001
from __future__ import annotations

from collections import Counter

import pytest
from scripted import CHINESE, GERMAN, GOLDEN, SHORT, TINY, candidates, made, run, specimens

from steep.core.calls import Call
from steep.core.token_counts import approximate_tokens
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.ledger.ledger import Ledger
from steep.recipes.nemotron import STYLES, Style, segments_of
from steep.recipes.parsing import questions_of
from steep.recipes.recipe import Rejected

LONG = Document(
    "long",
    "The Long Crossing",
    "\n\n".join(
        f"On day {day} the ferry carried {day * 3} people over Lake Ostrel, and Joren Pell wrote "
        "down who they were, what they paid and what they told him about the other shore."
        for day in range(1, 81)
    ),
)
WORDS = "The ferry of Lake Ostrel crosses in eleven minutes and costs two copper marks. "


def test_prompts_are_the_golden_ones() -> None:
    text = specimens(made("nemotron"), TINY[0])
    assert text == (GOLDEN / "nemotron.txt").read_text(encoding="utf-8")


def test_sampling_is_the_published_one() -> None:
    sampled = {step.name: step.specimen(TINY[0]).sampling for step in made("nemotron").steps}
    assert {(each.temperature, each.top_p) for each in sampled.values()} == {(0.5, 0.9)}
    assert {name: each.max_tokens for name, each in sampled.items()} == {
        "wikipedia": 512, "diverse_qa": 600, "distill": 1600, "extract_knowledge": 1400,
        "knowledge_list": 600,
    }  # fmt: skip
    shorter = made("nemotron", max_tokens=200).steps[0].specimen(TINY[0])
    assert shorter.sampling.max_tokens == 200


@pytest.mark.parametrize("style", STYLES)
def test_segments_hold_the_whole_document_and_are_no_longer_than_a_style_reads(
    style: Style,
) -> None:
    rules = STYLES[style]
    segments = segments_of(LONG, rules)
    assert len(segments) >= approximate_tokens(LONG.text) / rules.most_in > 1
    assert all(
        rules.least_segment <= approximate_tokens(each) <= rules.most_in for each in segments
    )
    assert " ".join(" ".join(segments).split()) == " ".join(LONG.text.split())


@pytest.mark.parametrize("document", [TINY[0], GERMAN, CHINESE, LONG])
def test_every_segment_is_rewritten_in_every_style(ledger: Ledger, document: Document) -> None:
    recipe = made("nemotron", samples=2)
    asked = run(ledger, [recipe], [document]).calls
    expected = {style: 2 * len(segments_of(document, rules)) for style, rules in STYLES.items()}
    assert Counter(call.stage for call in asked) == expected
    assert {step.name: step.expected_calls(document).expected for step in recipe.steps} == expected
    assert not run(ledger, [recipe], [document]).calls
    found = candidates(ledger, [recipe], [document])
    assert {each.rejected for _, each in found} <= {None, "below-minimum"}
    for step, each in found:
        if step == "diverse_qa" and not each.rejected:
            segment = each.text.partition("\n\nQuestion: ")[0]
            assert segment.startswith(f'"{document.title}".\n') and len(segment) > 80
            assert 1 <= len(questions_of(each.text)) <= 5


def cleaned(style: Style, text: str, document: Document = TINY[0]) -> str | Rejected | None:
    (step,) = made("nemotron", styles=[style]).steps
    return step.passage(step.specimen(document), text)


@pytest.mark.parametrize(
    ("style", "text", "found"),
    [
        ("wikipedia", f'**Rewritten text:**\n"{WORDS * 3}"', (WORDS * 3).strip()),
        ("wikipedia", f"rewritten text： ## The Ferry\n{WORDS * 3}", None),
        ("wikipedia", WORDS * 5, "lead-in-missing"),
        ("wikipedia", "Rewritten text: It is short.", "below-minimum"),
        ("wikipedia", f"Rewritten text: {WORDS * 40}", "too-long"),
        ("distill", f"Condensed text:\n{WORDS * 3}", (WORDS * 3).strip()),
        ("distill", f"Rewritten text:\n{WORDS * 3}", "lead-in-missing"),
        ("extract_knowledge", f"Passage:\n{WORDS}\n**Text**\n", WORDS.strip()),
        ("knowledge_list", f"Here is a list:\n- {WORDS}\n* It *is* old.\n", None),
        ("knowledge_list", WORDS, "no-bullets"),
        ("diverse_qa", WORDS, "no-questions"),
    ],
)
def test_answers_are_cleaned_or_rejected_with_the_reason(
    style: Style, text: str, found: str | None
) -> None:
    outcome = cleaned(style, text)
    if isinstance(outcome, Rejected):
        assert outcome.reason == found
    elif found is not None:
        assert outcome == found
    elif style == "knowledge_list":
        assert outcome == f"- {WORDS.strip()}\n- It *is* old."
    else:
        assert outcome == f"The Ferry\n{WORDS * 3}".strip()


def test_the_questions_of_a_long_segment_are_drawn_by_the_call() -> None:
    (step,) = made("nemotron", styles=["diverse_qa"]).steps
    calls = step.calls(LONG, {})
    text = "\n\n".join(f"Question: {n}?\nAnswer: It is {n}." for n in range(8))
    orders = []
    for rank in range(len(calls)):
        call: Call = calls[rank]
        passage = step.passage(call, text)
        assert passage == step.passage(call, text)
        assert isinstance(passage, str)
        orders.append(tuple(item.question for item in questions_of(passage)))
    assert len(set(orders)) == len(orders) > 1


def test_a_changed_later_segment_is_another_sequence() -> None:
    (step,) = made("nemotron", styles=["wikipedia"]).steps
    other = Document("long", LONG.title, LONG.text.replace("On day 80", "On day 81"))
    one, changed = step.calls(LONG, {}), step.calls(other, {})
    assert one[0].id == changed[0].id and one.key != changed.key


def test_a_short_document_is_counted_and_costs_nothing(ledger: Ledger) -> None:
    recipe = made("nemotron")
    assert not run(ledger, [recipe], [SHORT]).calls
    totals = PlanView([SHORT], [recipe], ledger).totals()
    assert [each.document_id for each in totals.without_calls] == ["short"]
    assert recipe.unsuitable(SHORT) == "about 5 tokens, fewer than 30"
    assert recipe.unsuitable(CHINESE) is None
