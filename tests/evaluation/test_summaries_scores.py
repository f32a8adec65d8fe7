from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.evaluation.results import Interval, as_json
from steep.evaluation.study_results import HUMAN, MEASURES, TextSet
from steep.evaluation.summaries.claims import Judged
from steep.evaluation.summaries.scores import (
    NOT_JUDGED,
    NOT_READ,
    NOT_WRITTEN,
    Pair,
    SummaryScores,
    VerdictCounts,
    mean_of_ratios,
    ratio_of_sums,
)
from steep.evaluation.summaries.texts import ClaimRow, PassageRow, SummaryRow

Verdict = tuple[bool | None, bool | None]
LETTERS: dict[str, Verdict] = {
    "f": (False, None),
    "s": (True, True),
    "c": (True, False),
    "t": (True, None),
    "?": (None, None),
}
PEOPLE = TextSet(HUMAN, HUMAN)


def rows_of(
    writer: str, kind: str, document: str, number: int, letters: str
) -> tuple[SummaryRow, PassageRow, list[ClaimRow]]:
    """A text whose claims have these verdicts."""
    key = (writer, document, kind, number)
    claims = [
        ClaimRow(
            *key, n, f"claim {n}", 0, "j", *LETTERS[letter],
            "unclear" if letter in "t?" else None, n + 1, "h", "", 0,
        )
        for n, letter in enumerate(letters)
    ]  # fmt: skip
    passage = PassageRow(*key, 0, "text", "j", tuple(c.claim for c in claims), None, "", 0)
    return SummaryRow(*key, "", "text", "stop", 0), passage, claims


def study_of(texts: Mapping[tuple[str, str], Mapping[str, Sequence[str]]]) -> SummaryScores:
    """From {(writer, kind): {document: verdicts of each of its texts}}."""
    made = [
        rows_of(writer, kind, document, number, letters)
        for (writer, kind), documents in texts.items()
        for document, several in documents.items()
        for number, letters in enumerate(several)
    ]
    claims = [claim for _, _, each in made for claim in each]
    return SummaryScores([row for row, _, _ in made], Judged([row for _, row, _ in made], claims))


BY_HAND = {
    (HUMAN, HUMAN): {"d1": ["sssf", "sc"], "d2": ["ssc", "s"], "d3": ["fssss"]},
    ("m", "short"): {"d1": ["ffs"], "d2": ["fs"], "d3": ["fffsscc"]},
    ("m", "long"): {"d1": ["ffffssc"], "d2": ["ffss"], "d3": ["ffffssss"]},
}


def mean(interval: Interval | None) -> float:
    assert interval is not None
    return interval.mean


def test_scores_are_those_counted_by_hand() -> None:
    scores = study_of(BY_HAND).scores(TextSet("m", "short"))
    assert {m: mean(scores.per_text[m]) for m in MEASURES} == pytest.approx(
        {"claims": 12 / 3, "true": 6 / 3, "false": 6 / 3, "salient": 4 / 3, "cosmetic": 2 / 3}
    )
    false, salient = scores.relative["false"], scores.relative["salient"]
    # Human false claims: (1 + 0) / 2, none, 1; salient ones: 2, 1.5, 4.
    assert mean(false.mean_of_ratios) == pytest.approx((2 / 0.5 + 3 / 1) / 2)
    assert false.left_out == 1
    assert mean(false.ratio_of_sums) == pytest.approx(6 / 1.5)
    assert mean(salient.mean_of_ratios) == pytest.approx((1 / 2 + 1 / 1.5 + 2 / 4) / 3)
    assert mean(salient.ratio_of_sums) == pytest.approx(4 / 7.5)
    assert mean(scores.precision) == pytest.approx(6 / 12)
    assert (scores.documents, scores.claims, scores.without_human) == (3, 12, 0)


def test_humans_are_held_against_one_another() -> None:
    scores = study_of(BY_HAND).scores(PEOPLE)
    salient, false = scores.relative["salient"], scores.relative["false"]
    assert mean(salient.mean_of_ratios) == pytest.approx(
        ((3 / 1 + 1 / 3) / 2 + (2 + 1 / 2) / 2) / 2
    )
    assert mean(false.mean_of_ratios) == 0  # the second of d1, beside the first
    assert (salient.left_out, false.left_out) == (0, 1)
    assert scores.without_human == 1  # d3 has a single one
    assert salient.ratio_of_sums is None


def test_differences_are_paired_by_document() -> None:
    found = study_of(BY_HAND).difference(TextSet("m", "long"), TextSet("m", "short"))
    assert found.documents == 3
    assert mean(found.per_text["false"]) == pytest.approx((2 + 1 + 1) / 3)
    assert mean(found.mean_of_ratios["false"]) == pytest.approx((2 / 0.5 + 1 / 1) / 2)
    assert mean(found.ratio_of_sums["salient"]) == pytest.approx(4 / 7.5)
    # One document of three has no human false claim: one draw in 27 would have no ratio.
    assert found.ratio_of_sums["false"] is None
    assert mean(found.precision) == pytest.approx(9 / 19 - 6 / 12)


def test_texts_that_tell_nothing_are_left_out_with_their_reason() -> None:
    study = study_of({("m", "short"): {"d1": ["sf"], "d2": ["??"], "d3": ["s"], "d4": ["s?t"]}})
    summaries = [
        *study.summaries,
        SummaryRow("m", "d5", "short", 0, "", "", "error", 0),
        SummaryRow("m", "d6", "short", 0, "", "", "stop", 0),
        SummaryRow("m", "d7", "short", 0, "", "unread", "length", 0),
    ]
    unread = PassageRow("m", "d7", "short", 0, 0, "unread", "j", (), "prose", "Sure!", 0)
    judged = Judged([*study.judged.passages, unread], study.judged.claims)
    scores = SummaryScores(summaries, judged).scores(TextSet("m", "short"))
    assert scores.left_out == {NOT_WRITTEN: 1, NOT_READ: 1, NOT_JUDGED: 1}
    assert (scores.written, scores.documents, scores.empty, scores.cut_off) == (7, 4, 1, 1)
    assert scores.unread_passages == {"prose": 1}
    assert scores.unjudged == {"unclear": 4}
    assert mean(scores.per_text["claims"]) == pytest.approx((2 + 1 + 3 + 0) / 4)
    assert mean(scores.precision) == pytest.approx(4 / 5)
    assert scores.without_human == 4
    assert all(
        each.mean_of_ratios is None and each.ratio_of_sums is None
        for each in scores.relative.values()
    )


def test_repeats_are_told_and_not_counted() -> None:
    study = study_of({("m", "long"): {"d1": ["sf"]}})
    claims = [replace(row, repeats=7) for row in study.judged.claims]
    scores = replace(study, judged=study.judged._replace(claims=claims)).scores(
        TextSet("m", "long")
    )
    assert (scores.claims, scores.repeats) == (2, 14)
    assert mean(scores.per_text["claims"]) == 2


def test_without_any_false_human_claim_there_is_no_ratio_but_there_are_counts() -> None:
    study = study_of(
        {
            (HUMAN, HUMAN): {"d1": ["ss"], "d2": ["s"]},
            ("a", "short"): {"d1": ["ff"], "d2": ["sf"]},
            ("b", "short"): {"d1": ["f"], "d2": ["s"]},
        }
    )
    false = study.scores(TextSet("a", "short")).relative["false"]
    assert (false.mean_of_ratios, false.left_out, false.ratio_of_sums) == (None, 2, None)
    found = study.difference(TextSet("b", "short"), TextSet("a", "short"))
    assert (found.mean_of_ratios["false"], found.ratio_of_sums["false"]) == (None, None)
    assert mean(found.per_text["false"]) == -1


def test_a_ratio_has_no_upper_bound_where_few_documents_have_human_claims() -> None:
    humans = {f"d{n}": ["f" if n == 0 else "s"] for n in range(8)}
    study = study_of({(HUMAN, HUMAN): humans, ("m", "short"): {each: ["ff"] for each in humans}})
    found = study.scores(TextSet("m", "short")).relative["false"].ratio_of_sums
    assert found is not None
    assert found.mean == pytest.approx(16)
    assert found.high == math.inf
    assert 0 < found.low < 16
    table = json.loads(json.dumps(as_json(study.result()), allow_nan=False))
    (row,) = [each for each in table["sets"] if each["texts"]["writer"] == "m"]
    assert row["relative"]["false"]["ratio_of_sums"]["high"] is None


def test_one_document_has_intervals_without_end() -> None:
    study = study_of({(HUMAN, HUMAN): {"d": ["sf"]}, ("m", "short"): {"d": ["ssf"]}})
    scores = study.scores(TextSet("m", "short"))
    assert scores.per_text["salient"] == Interval(2, 0, math.inf, 1, 1)
    assert scores.relative["salient"].mean_of_ratios == Interval(2, 0, math.inf, 1, 1)
    found = scores.relative["salient"].ratio_of_sums
    assert found is not None
    assert found == Interval(found.mean, 0, math.inf, 1, 1)
    assert found.mean == pytest.approx(2)


def test_the_table_has_every_set_and_compares_like_with_like() -> None:
    texts = {**BY_HAND, ("n", "short"): {"d1": ["s"]}, ("n", "long"): {"d9": ["s"]}}
    table = json.loads(json.dumps(as_json(study_of(texts).result()), allow_nan=False))
    names = [f"{row['texts']['writer']} {row['texts']['kind']}" for row in table["sets"]]
    assert names == ["human human", "m short", "m long", "n short", "n long"]
    pairs = [(*row["a"].values(), *row["b"].values()) for row in table["differences"]]
    assert pairs == [
        ("m", "long", "m", "short"),
        ("n", "short", "m", "short"),
        ("n", "long", "m", "long"),
        ("n", "long", "n", "short"),
    ]
    assert [row["documents"] for row in table["differences"]] == [3, 1, 0, 0]
    assert set(table["differences"][2]["per_text"].values()) == {None}


def test_rows_of_two_judges_are_not_mixed() -> None:
    study = study_of({("m", "long"): {"d1": ["sf"]}})
    claims = [study.judged.claims[0], replace(study.judged.claims[1], judge="k")]
    with pytest.raises(ValueError, match=r"\['j', 'k'\]"):
        replace(study, judged=study.judged._replace(claims=claims))


COUNTS = st.lists(st.integers(0, 9), min_size=2, max_size=8)


def pairs(own: Sequence[float], human: Sequence[float]) -> list[Pair]:
    return [
        Pair(f"d{n}", VerdictCounts(false=a), VerdictCounts(false=b))
        for n, (a, b) in enumerate(zip(own, human, strict=True))
    ]


@given(COUNTS)
def test_who_writes_as_the_humans_do_has_ratios_of_one(counts: list[int]) -> None:
    same = pairs(counts, counts)
    for found in (mean_of_ratios(same, "false"), ratio_of_sums(same, "false")):
        if not any(counts):
            assert found is None
        else:
            assert found is not None
            assert found.mean == pytest.approx(1)
            if found.clusters > 1:
                assert (found.low, found.high) == pytest.approx((1, 1))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=8))
def test_ratios_scale_and_their_intervals_hold_them(counts: list[tuple[int, int]]) -> None:
    own, human = [a for a, _ in counts], [b for _, b in counts]
    measures: list[Any] = [mean_of_ratios, ratio_of_sums]
    for measure in measures:
        once = measure(pairs(own, human), "false")
        twice = measure(pairs([2 * each for each in own], human), "false")
        if once is None:
            assert twice is None and not any(human)
            continue
        assert 0 <= once.low <= once.mean <= once.high
        assert twice.mean == pytest.approx(2 * once.mean)


@given(st.lists(st.text("fsct?", max_size=6), min_size=1, max_size=6))
def test_counts_add_up(texts: list[str]) -> None:
    study = study_of({("m", "short"): {f"d{n}": [each] for n, each in enumerate(texts)}})
    for each, letters in zip(study.counted(TextSet("m", "short")), texts, strict=True):
        if each.counts is None:
            assert letters and set(letters) == {"?"}
            continue
        found = each.counts
        assert found.claims == len(letters)
        assert found.true + found.false == len(letters) - letters.count("?")
        assert found.salient + found.cosmetic == found.true - letters.count("t")
