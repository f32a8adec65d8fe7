"""Rounds of writing: spare questions, duplicates that wait, and what each prompt is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from written import FunctionEngine

from steep.documents.document import Document
from steep.evaluation.engines import no_progress
from steep.evaluation.writing.about import cautions
from steep.evaluation.writing.asked_gates import Checks
from steep.evaluation.writing.config import KindShares, QuestionsConfig
from steep.evaluation.writing.session import WritingSession
from steep.evaluation.writing.sources import Sources
from steep.evaluation.writing.write import Writing
from steep.ledger.config import EndpointConfig

WRITER = EndpointConfig(base_url="http://localhost/v1", model="w")
PRICES = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}


def documents(count: int) -> Sources:
    """Return documents of 100 words that share no name; each states facts by number."""
    facts = [[f"Fact {n} of D{d} is V{d}x{n}." for n in range(20)] for d in range(count)]
    return Sources([Document(f"d{d}", f"D{d}", " ".join(own)) for d, own in enumerate(facts)])


def short(document: int, number: int, question: str = "What is fact {n} of D{d}?") -> Any:
    answer = f"V{document}x{number}"
    return {
        "question": question.format(n=number, d=document),
        "answer": answer,
        "quote": f"Fact {number} of D{document} is {answer}.",
    }


@dataclass
class Scripted:
    """Writes what a function of document and round says, and rejects questions by another one."""

    write: Callable[[int, str], list[Any]]
    fails: Callable[[str], bool] = lambda question: False
    asked: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)

    def reply(self, prompt: str, sample: int) -> str:
        if "Write questions for a test" in prompt:
            self.prompts.append(prompt)
            return json.dumps(self.write(int(prompt.split("Title: D")[1].split()[0]), prompt))
        question = prompt.split("### Question\n")[1].split("\n")[0]
        self.asked.append(question)
        words = question.rstrip("?").split()
        right = f"V{words[-1][1:]}x{words[-3]}"
        return "Answer: NOT STATED" if self.fails(question) else f"Answer: {right}"


def run(scripted: Scripted, sources: Sources, **fields: Any) -> Writing:
    shares = KindShares(choice=0, short_answer=1, joined=0, across=0)
    usual: dict[str, Any] = {"shares": shares, "per_1000_words": 20, "open_book_samples": 1}
    settings = QuestionsConfig(
        writer=WRITER, blind_gate=False, base_gate=False, **{**usual, **fields}
    )
    engine = FunctionEngine(scripted.reply)
    session: Any = SimpleNamespace(
        settings=settings,
        sources=sources,
        writer=engine,
        checks=Checks(sources, engine, engine, 64, 0),
        progress=lambda *_: no_progress,
        costs=lambda: [],
        setup=SimpleNamespace(base_name="b"),
    )
    written = Writing(session)
    written.run()
    return written


def test_missing_questions_are_filled_from_spare_ones_of_other_documents() -> None:
    sources = documents(2)

    def write(document: int, prompt: str) -> list[Any]:
        return [short(0, n) for n in range(3)] if document == 0 and "Asked" not in prompt else []

    result = (written := run(Scripted(write), sources)).result()
    assert (result.wanted, result.accepted, result.spare) == (4, 3, 0)
    assert {each.document_ids[0] for each in written.accepted} == {"d0"}
    assert result.exhausted and result.rounds == 2, "no third round without any new question"
    (said,) = [each for each in cautions(result, "g") if "wanted" in each]
    assert "3 of 4 wanted questions (missing: short-answer (1); in d1)" in said
    assert "in the last round it gave none" in said
    capped = run(Scripted(write), sources, max_per_document=2).result()
    assert (capped.accepted, capped.spare) == (2, 1)


def test_other_kinds_fill_what_no_text_gives() -> None:
    def write(document: int, prompt: str) -> list[Any]:
        is_short = '"aliases"' in prompt
        return [short(0, n) for n in range(4)] if is_short and "Asked" not in prompt else []

    shares = KindShares(choice=1, short_answer=3, joined=0, across=0)
    result = run(Scripted(write), documents(1), shares=shares, per_1000_words=33).result()
    assert {each.kind: (each.wanted, each.accepted) for each in result.kinds} == {
        "choice": (1, 0),
        "short-answer": (3, 4),
    }
    (said,) = [each for each in cautions(result, "g") if "kinds" in each]
    assert "fewer than wanted of some kinds: choice (1)" in said


@pytest.mark.parametrize("first_fails", [True, False])
def test_a_duplicate_is_asked_only_if_the_other_one_fails(first_fails: bool) -> None:
    sources = documents(1)
    twins = [short(0, 1), short(0, 1, "What, by name, is fact {n} of D{d}?")]
    failed: list[str] = []

    def fails(question: str) -> bool:
        if first_fails and not failed:
            failed.append(question)
        return question in failed

    scripted = Scripted(lambda *_: twins if len(scripted.prompts) == 1 else [], fails)
    result = run(scripted, sources, per_1000_words=10).result()
    assert result.accepted == 1 and result.spare == 0
    assert len(scripted.asked) == 1 + first_fails
    gates = {each.gate: each.rejected for each in result.gates}
    assert gates["duplicate"] == 1 - first_fails
    assert result.candidates == result.accepted + result.rejected


def test_the_kinds_of_a_text_are_written_in_turn_and_name_what_was_asked() -> None:
    def write(document: int, prompt: str) -> list[Any]:
        own = short(0, 1) if '"aliases"' in prompt else short(0, 2) | {"wrong": ["V1", "V2", "V3"]}
        return [own]

    scripted = Scripted(write)
    run(scripted, documents(1), shares=KindShares(choice=1, short_answer=1, joined=0, across=0))
    first, second, *_ = scripted.prompts
    assert '"aliases"' in first and "Asked before" not in first
    assert '"wrong"' in second and "- What is fact 1 of D0? (V0x1)" in second


@pytest.mark.parametrize(("prices", "cost"), [({}, "unknown"), (PRICES, "$0.5000")])
def test_all_stages_share_one_progress(prices: dict[str, float], cost: str) -> None:
    lines: list[tuple[int, int, Any]] = []
    callers: Any = SimpleNamespace(spent_usd=0.5)
    setup: Any = SimpleNamespace(evaluate=SimpleNamespace(servers={}))
    settings = QuestionsConfig(writer=WRITER.model_copy(update=prices))
    limit: Any = None
    session = WritingSession(settings, documents(1), callers, limit, setup)
    shown: Any = SimpleNamespace(
        update=lambda done, total, facts: lines.append((done, total, facts))
    )
    session._shown = shown
    session.progress("1: writing", True, 0, 70)(16, 16)
    session.progress("1: known to the base model", False, 0, 70)(5, 5)
    session.progress("1: one sentence is enough", True, 4, 70)(1, 9)
    rounds = ("1: writing 16/16", "1: known to the base model 5/5", "1: one sentence is enough 1/9")
    assert lines == [
        (done, 70, {"round": shown, "calls": calls, "project cost": cost})
        for done, shown, calls in zip((0, 0, 4), rounds, ("16", "16", "17"), strict=True)
    ]
