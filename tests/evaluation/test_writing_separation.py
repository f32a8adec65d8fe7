"""No question enters a prompt of a recipe: as the ledger shows."""

from __future__ import annotations

import pytest
from written import ACROSS, FERRY, FIRM, SHORT, SOURCES, candidate

from steep.core.calls import Call, Completion, Message, Sampling, Usage
from steep.evaluation.writing.candidates import QuestionCandidate
from steep.evaluation.writing.free_gates import find_spans
from steep.evaluation.writing.separation import check_separation
from steep.ledger.ledger import Ledger
from steep.ledger.records import Entry

QUESTIONS = [
    each
    for own in (candidate(), SHORT, ACROSS)
    for each in find_spans([own], SOURCES)
    if isinstance(each, QuestionCandidate)
]
PAIR = f"{ACROSS.quotes[0]} Also: {ACROSS.quotes[1]}"


def plan(ledger: Ledger, *texts: str) -> None:
    """Enter a call of a recipe whose prompt has these parts."""
    message = Message("user", texts)
    call = Call("entigraph", "pairs", "quillon", (), 0, "m", (message,), Sampling())
    done = Completion(call.id, "A text.", "stop", Usage(1, 0, 1), 0.0, 0.0, "http://h/v1", 1)
    ledger.record([Entry(call, done)])


def test_documents_in_prompts_are_no_leak(ledger: Ledger) -> None:
    plan(ledger, FERRY.heading, FERRY.text, "Write about Hask.")
    plan(ledger, f"{FERRY.text}\n\n{FIRM.text}\n\nCompare both.")
    found = check_separation(QUESTIONS, SOURCES, ledger)
    assert (found.questions, found.calls, found.leaks, found.found) == (3, 2, 0, ())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"Explain. {SHORT.question.upper()}", "question"),
        (f"{SHORT.question} Edda Varnholt. Explain.", "answer pair"),
        (f"Edda Varnholt!  {SHORT.question}", "answer pair"),
        (PAIR, "sentence pair"),
        (f"{'long ' * 400} {PAIR}", "sentence pair"),
    ],
)
def test_questions_answers_and_sentence_pairs_are_found(
    ledger: Ledger, text: str, what: str
) -> None:
    plan(ledger, FERRY.text, "Write about Hask.")
    plan(ledger, FERRY.text, text)
    found = check_separation(QUESTIONS, SOURCES, ledger)
    assert found.calls == 2 and found.leaks > 0
    assert {each.what for each in found.found} == {what}
    assert {each.recipe for each in found.found} == {"entigraph"}


def test_one_supporting_sentence_alone_is_no_pair(ledger: Ledger) -> None:
    plan(ledger, f"Explain: {ACROSS.quotes[0]}")
    assert check_separation(QUESTIONS, SOURCES, ledger).leaks == 0
