"""The gates that ask a model, with engines that answer by a function of the prompt."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

import pytest
from written import ACROSS, SHORT, SOURCES, candidate

from steep.evaluation.engines import (
    TOO_LONG,
    Decoding,
    OnOutput,
    OptionScores,
    Output,
    Progress,
    keep_nothing,
    no_progress,
)
from steep.evaluation.writing.asked_gates import Checks, known_to_base
from steep.evaluation.writing.candidates import Candidate


@dataclass
class FunctionEngine:
    """Answers prompts by a function of prompt and sample, and scores options by another."""

    reply: Callable[[str, int], str] = lambda prompt, sample: ""
    score: Callable[[str, str], float] = lambda prompt, option: 0.0
    reason: str = "stop"
    prompts: list[str] = field(default_factory=list)

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        self.prompts += prompts
        samples = range(decoding.samples)
        return [[Output(self.reply(p, n), self.reason, 0, None) for n in samples] for p in prompts]

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        return [
            OptionScores.of(own, [self.score(prompt, each) for each in own], [1] * len(own))
            for prompt, own in zip(prompts, options, strict=True)
        ]


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


def gates(checked: Checks, each: Candidate, samples: int = 3) -> list[str]:
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
