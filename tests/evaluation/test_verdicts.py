"""The judge of short answers: reading its verdicts, and its agreement with the labeled set."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.evaluation.engines import Decoding, OnOutput, Output, Progress, keep_nothing, no_progress
from steep.evaluation.judge_calls import CUT_OFF
from steep.evaluation.judged_results import VerdictAgreement
from steep.evaluation.methods.judged_answers import METRIC, VerdictRow, judged_answers_result
from steep.evaluation.verdicts import (
    NO_VERDICT,
    OTHER_VERDICT,
    VERDICTS,
    AnswerJudge,
    ShortAnswer,
    labeled_answers,
    measure_judge,
    read_verdict,
    verdict_prompt,
)

LABELED = labeled_answers()
LABEL_OF = {each.answer: each.verdict for each in LABELED}


class Engine:
    """Answers the prompts of a judge by a function of the prompt and the number of the attempt."""

    asked_without: Sequence[str] = ()

    def __init__(self, reply: Callable[[str, int], str], reason: str = "stop") -> None:
        self._reply, self._reason = reply, reason
        self.asked: list[str] = []

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        found = []
        for prompt in prompts:
            text = self._reply(prompt, self.asked.count(prompt))
            self.asked.append(prompt)
            found.append([Output(text, self._reason, decoding.seed, None)])
        return found

    def logprobs(self, *_: Any) -> Any:
        raise AssertionError("a judge is not asked for likelihoods")


def said(verdict: str) -> str:
    return json.dumps({"verdict": verdict})


def oracle(prompt: str, _: int) -> str:
    return said({verdict_prompt(each): label for each, label in LABEL_OF.items()}[prompt])


def measured(reply: Callable[[str, int], str], reason: str = "stop") -> VerdictAgreement:
    return measure_judge(AnswerJudge(Engine(reply, reason), "judge"))


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"verdict": "correct"}', "correct"),
        ('{"verdict": "Not_Attempted"}', "not attempted"),
        ('```json\n{"verdict": "incorrect"}\n```', "incorrect"),
        ('It may be {"verdict": "correct"}.\nNo: {"verdict": "incorrect"}', "incorrect"),
        ("Correct.", "correct"),
        ("not attempted", "not attempted"),
        ('{"Verdict": "NOT-ATTEMPTED", "why": "it is correct"}', "not attempted"),
    ],
)
def test_verdicts_are_read(text: str, verdict: str) -> None:
    assert read_verdict(text) == (verdict, None)


@pytest.mark.parametrize(
    ("text", "why_not"),
    [
        ("", NO_VERDICT),
        ("The answer is correct.", NO_VERDICT),
        ('{"verdict": "<verdict>"}', OTHER_VERDICT),
        ('{"verdict": "correct or incorrect"}', OTHER_VERDICT),
        ('{"verdict": true}', OTHER_VERDICT),
        ("perhaps", OTHER_VERDICT),
        ('{"verdict": "corr', OTHER_VERDICT),
        ('So far: {"verdict": "corr', NO_VERDICT),
    ],
)
def test_what_is_no_verdict_is_not_guessed(text: str, why_not: str) -> None:
    found, why = read_verdict(text)
    assert found is None and why == why_not


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.sampled_from(VERDICTS))
def test_prose_before_a_verdict_does_not_change_it(prose: str, verdict: str) -> None:
    prose = re.sub(r"[\[{]", "", prose)
    assert read_verdict(prose + said(verdict)) == (verdict, None)


def test_equal_answers_are_judged_once_and_empty_ones_are_not_asked() -> None:
    engine = Engine(lambda prompt, _: said("correct" if "Oduya" in prompt else "incorrect"))
    right = ShortAnswer("Who?", ("Oduya",), "Oduya")
    answers = [right, right._replace(answer=" "), right, right._replace(answer="")]
    found = AnswerJudge(engine, "judge").grade(answers)
    assert [each.verdict for each in found] == ["correct", "not attempted"] * 2
    assert len(engine.asked) == 1
    assert AnswerJudge(engine, "judge").grade([]) == []


def test_an_unreadable_verdict_is_asked_for_again_and_then_counted() -> None:
    answer = ShortAnswer("Who?", ("Oduya",), "Renn")
    engine = Engine(lambda _, attempt: said("incorrect") if attempt else "Well, it depends on...")
    (found,) = AnswerJudge(engine, "judge").grade([answer])
    assert found.verdict == "incorrect" and len(engine.asked) == 2
    (lost,) = AnswerJudge(Engine(lambda *_: '{"verdict":', "length"), "judge").grade([answer])
    assert (lost.verdict, lost.why_not, lost.unread) == (None, CUT_OFF, 1)


def test_the_labeled_set_is_consistent_and_diverse() -> None:
    assert len(LABELED) == len(LABEL_OF) >= 55
    assert min(Counter(each.verdict for each in LABELED).values()) >= 12
    assert len({each.kind for each in LABELED}) >= 15
    for each in LABELED:
        assert each.answer.accepted and each.answer.answer.strip() and each.kind
        if each.answer.answer in each.answer.accepted:
            assert each.verdict == "correct"
    verdicts: dict[str, set[str]] = {}
    for each in LABELED:
        verdicts.setdefault(each.answer.question, set()).add(each.verdict)
    assert all(own == {*VERDICTS} or len(own) == 2 for own in verdicts.values())


def test_a_judge_that_knows_all_agrees_throughout() -> None:
    found = measured(oracle)
    assert found.read == found.answers == len(LABELED)
    assert found.accuracy is not None and found.kappa is not None
    assert (found.accuracy.mean, found.kappa.mean) == (1, 1) and found.accuracy.low < 1
    assert [*found.by_verdict] == [*VERDICTS]
    for each in found.by_verdict.values():
        assert each.kappa is not None and each.kappa.mean == pytest.approx(1)
    assert found.unread == {} and found.disagreements == ()


def test_a_judge_that_always_says_the_same_has_no_kappa() -> None:
    found = measured(lambda *_: said("correct"))
    right = sum(each.verdict == "correct" for each in LABELED)
    assert found.kappa is not None and found.kappa.mean == pytest.approx(0)
    assert found.accuracy is not None and found.accuracy.mean == pytest.approx(right / len(LABELED))
    assert len(found.disagreements) == len(LABELED) - right
    assert {each.verdict for each in found.disagreements} == {"correct"}


def test_a_judge_that_takes_abstention_for_an_error_is_seen_by_verdict() -> None:
    found = measured(lambda prompt, _: oracle(prompt, 0).replace("not attempted", "incorrect"))
    kappas = {name: each.kappa for name, each in found.by_verdict.items()}
    correct, incorrect, abstained = (kappas[name] for name in VERDICTS)
    assert correct is not None and correct.mean == pytest.approx(1)
    assert incorrect is not None and 0 < incorrect.mean < 0.8
    assert abstained is not None and abstained.mean == pytest.approx(0)


def test_a_judge_that_cannot_be_read_has_no_agreement() -> None:
    found = measured(lambda *_: "I cannot say whether this is so.")
    assert (found.read, found.accuracy, found.kappa) == (0, None, None)
    assert found.unread == {NO_VERDICT: len(LABELED)}


def row(number: int, verdict: Any, why_not: str | None = None) -> VerdictRow:
    return VerdictRow(
        "m", f"q{number}", f"d{number % 3}", "near", "a", ("b",), verdict, why_not, "j", "", 0
    )


def test_shares_add_up_and_unread_verdicts_do_not_count() -> None:
    verdicts = ["correct"] * 3 + ["incorrect"] * 2 + ["not attempted"] * 4
    rows = [row(number, each) for number, each in enumerate(verdicts)]
    rows.append(row(9, None, NO_VERDICT))
    found = judged_answers_result({"base": rows}, None)
    (shares,) = found.verdicts
    parts = (shares.correct, shares.incorrect, shares.not_attempted)
    assert [part and part.n for part in parts] == [9, 9, 9]
    assert sum(part.mean for part in parts if part) == pytest.approx(1)
    attempted = shares.correct_if_attempted
    assert attempted is not None and attempted.n == 5 and attempted.mean == pytest.approx(0.6)
    assert shares.unread == {NO_VERDICT: 1} and shares.answers == 10
    (model,) = found.metrics[METRIC].models
    assert model.accuracy == pytest.approx(1 / 3) and model.n == 9
