from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from steep.core.files import read_rows, write_rows
from steep.evaluation.methods.answers import CUT_OFF, NOTHING_CAME, answers_result, verdicts
from steep.evaluation.methods.short_answers import short_answers_result
from steep.evaluation.parsers import NO_ANSWER_LINE, NOT_ON_OFFER
from steep.evaluation.protocols import PROTOCOLS, vote
from steep.evaluation.results import AnswerProtocol, AnswersScore
from steep.evaluation.rows import AnswerRow


def row(question: str, sample: int, output: str, **changes: object) -> AnswerRow:
    plain = AnswerRow(
        model="base",
        question_id=question,
        document_id=f"d-{question}",
        kind="near",
        sample=sample,
        seed=sample,
        prompt="Q",
        output=output,
        finish_reason="stop",
        options=("a", "b", "c"),
        order=(2, 0, 1),
        gold=(0,),
        answers=(),
        logprob=-1.5,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


# Option 0 is shown as B, 1 as C, 2 as A.
ROWS = [
    row("q1", 0, "Answer: B."),
    row("q1", 1, "Answer: C."),
    row("q1", 2, "Answer: C."),
    row("q2", 0, "no idea"),
    row("q2", 1, "Answer: D."),
    row("q2", 2, "", finish_reason="error"),
    row("q3", 0, "hm", kind="far", gold=(1, 2)),
    row("q3", 1, "Answer: AC.", kind="far", gold=(1, 2)),
    row("q3", 2, "Answer: A.", kind="far", gold=(1, 2)),
]


def score(rows: list[AnswerRow], protocol: AnswerProtocol) -> AnswersScore:
    (found,) = answers_result({"base": rows}, protocol).models
    return found


def test_a_letter_stands_for_the_option_that_was_shown_there() -> None:
    first, second, third = verdicts(ROWS, "strict", "first-valid")
    assert (first.chosen, first.right, first.row.order) == ((0,), True, (2, 0, 1))
    assert (second.chosen, second.right) == (None, False)
    assert (third.chosen, third.right) == ((1, 2), True)


def test_scores_say_what_was_not_read_and_why() -> None:
    scores = score(ROWS, PROTOCOLS["default"])
    assert scores.accuracy == pytest.approx(2 / 3)
    assert (scores.questions, scores.attempted, scores.samples) == (3, 2, 9)
    assert scores.invalid == {NO_ANSWER_LINE: 2, NOT_ON_OFFER: 1, NOTHING_CAME: 1}
    assert {kind: each.accuracy for kind, each in scores.by_kind.items()} == {
        "near": 0.5,
        "far": 1.0,
    }
    assert {k: each.mean for k, each in scores.by_gold_letter.items()} == {"AC": 1.0, "B": 0.5}
    assert scores.chosen_letters == {"AC": 1, "B": 1}


def test_what_was_not_read_can_be_left_out_of_the_denominator() -> None:
    protocol = AnswerProtocol(unparsed="excluded")
    scores = score(ROWS, protocol)
    assert (scores.accuracy, scores.n) == (1.0, 2)
    assert scores.attempted == 2
    nothing = score(ROWS[3:6], protocol)
    assert (nothing.accuracy, nothing.attempted) == (None, 0)


def test_the_vote_decides_between_samples() -> None:
    assert verdicts(ROWS, "strict", "majority")[0].chosen == (1,)
    drawn = {vote([(0,), (1,), (1,)], f"q{n}", "random-valid") for n in range(50)}
    assert drawn == {(0,), (1,)}
    assert vote([(0,), (1,)], "q", "majority") == (0,)
    assert vote([], "q", "majority") is None


def test_the_same_rows_give_each_protocol_s_score() -> None:
    found = {name: score(ROWS, protocol) for name, protocol in PROTOCOLS.items()}
    rates = {name: each.attempted / each.questions for name, each in found.items()}
    assert rates == pytest.approx({"default": 2 / 3, "paper": 2 / 3, "paper-code": 2 / 3})
    assert found["paper-code"].accuracy == 0.5  # of two letters the last counts


def test_rows_survive_the_disk_and_are_scored_alike(tmp_path: Path) -> None:
    read = [*ROWS, row("q4", 0, "x", answers=("x", "y"))]
    write_rows(tmp_path / "answers.parquet", read, AnswerRow)
    assert read_rows(tmp_path / "answers.parquet", AnswerRow) == read


def test_a_prompt_that_many_samples_share_is_stored_once(tmp_path: Path) -> None:
    prompt = "".join(str(number) for number in range(3000))
    rows = [row("q1", n, f"Answer {n}", prompt=prompt) for n in range(64)]
    write_rows(tmp_path / "answers.parquet", rows, AnswerRow)
    assert (tmp_path / "answers.parquet").stat().st_size < 3 * len(prompt)


def test_short_answers_are_averaged_over_questions() -> None:
    nile, basel = ("Nile", "river nile"), ("Bern",)
    said = (("The Nile.", nile), ("River Nile", nile), ("", nile), ("Basel", basel))
    rows = [
        row(f"s{n}", 0, text, options=(), answers=answers) for n, (text, answers) in enumerate(said)
    ]
    result = short_answers_result({"base": rows}, {})
    assert result.exact_match.models[0].accuracy == pytest.approx(2 / 4)
    assert result.f1.models[0].accuracy == pytest.approx(2 / 4)
    assert (result.f1.models[0].n, result.empty) == (4, {"base": 1})


def test_an_unread_text_that_was_cut_off_says_so() -> None:
    whole = row("q1", 0, "I do not know")
    cut = replace(whole, finish_reason="length")
    found = score([whole, cut], PROTOCOLS["default"])
    assert found.invalid == {
        NO_ANSWER_LINE: 1,
        f"{NO_ANSWER_LINE}: {CUT_OFF}": 1,
    }


def test_a_table_of_answers_has_a_chance_level_and_warns_of_what_was_not_read() -> None:
    one = [row("q1", 0, "**Answer: B.**"), row("q2", 0, "Answer: B.")]
    table = answers_result({"base": one}, PROTOCOLS["default"])
    assert table.chance == pytest.approx(1 / 3)
    assert table.several_right == 0
    (warning,) = table.warnings
    assert "base: only 1 of 2 questions" in warning and "lenient" in warning
    lenient = answers_result({"base": one}, replace(PROTOCOLS["default"], parser="lenient"))
    assert lenient.warnings == () and lenient.models[0].accuracy == 1.0

    several = [*one, row("q3", 0, "Answer: AC.", gold=(1, 2))]
    table = answers_result({"base": several}, PROTOCOLS["paper"])
    assert table.chance == pytest.approx(1 / 7)  # any selection of three options
    assert table.chance_by_kind == {"near": pytest.approx(1 / 7)}
    assert table.several_right == 1
    assert "the parser 'paper' can read one letter only" in table.warnings[-1]
