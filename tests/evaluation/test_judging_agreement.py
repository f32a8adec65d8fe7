from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.evaluation.engines import Progress, no_progress
from steep.evaluation.summaries.claims import agreement, labeled_claims, measure_judge
from steep.evaluation.summaries.judging import (
    COSMETIC,
    FALSE,
    LEFT_OUT,
    SALIENT,
    ClaimBatch,
    Judge,
    Ruling,
    Verdict,
)

VERDICT_OF = {"false": FALSE, "salient": SALIENT, "cosmetic": COSMETIC}
LABEL_OF = {row.claim: row.label for row in labeled_claims()}


class Oracle(Judge):
    """Knows the labels, but for some claims that it has its own opinion of."""

    def __init__(self, opinions: Mapping[str, Verdict] | None = None) -> None:
        no_engine: Any = None
        super().__init__(no_engine, "oracle")
        self.opinions = opinions or {}
        self.batches: list[ClaimBatch] = []

    def rule(
        self, batches: Sequence[ClaimBatch], on_progress: Progress = no_progress
    ) -> list[Ruling]:
        self.batches += batches
        return [Ruling(tuple(map(self._verdict, each.claims)), "", "", 0) for each in batches]

    def _verdict(self, claim: str) -> Verdict:
        return self.opinions.get(claim, VERDICT_OF[LABEL_OF[claim]])


def test_the_labelled_set_is_consistent() -> None:
    rows = labeled_claims()
    assert len(rows) >= 40 and len(LABEL_OF) == len(rows)
    assert min(Counter(row.label for row in rows).values()) >= 10
    assert min(Counter((row.document.id, row.label) for row in rows).values()) >= 8
    for story in {row.document.id: row.document for row in rows}.values():
        assert 250 <= len(story.text.split()) <= 400
        labels = [row.label for row in rows if row.document.id == story.id]
        assert set(labels) == set(VERDICT_OF)
        assert len(set(pairwise(labels))) >= 6, "labels stand in blocks"


def test_a_judge_that_knows_all_agrees_throughout() -> None:
    oracle = Oracle()
    found = measure_judge(oracle, claims_per_call=10)
    assert all(len(batch.claims) <= 10 for batch in oracle.batches)
    assert found.claims == found.truth.n == len(LABEL_OF)
    for part in (found.truth, found.salience):
        assert part.accuracy is not None and part.kappa is not None
        assert (part.accuracy.mean, part.kappa.mean) == (1, 1)
        assert part.accuracy.low < 1
    assert found.salience.n == sum(label != "false" for label in LABEL_OF.values())
    assert found.unread == {}


def test_a_judge_that_always_says_the_same_has_no_kappa_to_speak_of() -> None:
    found = measure_judge(Oracle(dict.fromkeys(LABEL_OF, SALIENT)))
    assert found.truth.kappa is not None and found.truth.kappa.mean == pytest.approx(0)
    assert found.salience.table["no yes"] == sum(each == "cosmetic" for each in LABEL_OF.values())
    assert (found.truth.table["yes no"], found.truth.table["no no"]) == (0, 0)


def test_verdicts_that_could_not_be_read_are_counted() -> None:
    lost = [claim for claim, label in LABEL_OF.items() if label == "false"][:4]
    half = [claim for claim, label in LABEL_OF.items() if label == "salient"][:3]
    opinions = dict.fromkeys(lost, Verdict(None, None, LEFT_OUT))
    opinions |= dict.fromkeys(half, Verdict(True, None, "half"))
    found = measure_judge(Oracle(opinions))
    assert found.unread == {LEFT_OUT: 4, "half": 3}
    assert found.truth.n == found.claims - 4
    assert found.salience.n == sum(label != "false" for label in LABEL_OF.values()) - 3


def test_kappa_is_that_computed_by_hand() -> None:
    # Cohen's own kind of example: 20 + 15 of 50 agree; chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10
    found = agreement(pairs + [(False, False)] * 15)
    assert found.accuracy is not None and found.kappa is not None
    assert found.accuracy.mean == pytest.approx(0.7)
    assert found.kappa.mean == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert found.table == {"yes yes": 20, "yes no": 5, "no yes": 10, "no no": 15}


def test_nothing_to_compare_has_no_agreement() -> None:
    found = agreement([])
    assert (found.n, found.accuracy, found.kappa) == (0, None, None)
    assert agreement([(True, True)] * 3).kappa is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_kappa_is_symmetric_and_at_most_the_accuracy(pairs: list[tuple[bool, bool]]) -> None:
    found, turned = agreement(pairs), agreement([(b, a) for a, b in pairs])
    assert found.accuracy is not None
    if found.kappa is None:
        assert turned.kappa is None and found.accuracy.mean == 1
        return
    assert turned.kappa is not None
    assert found.kappa.mean == pytest.approx(turned.kappa.mean)
    assert -1 <= found.kappa.mean <= found.accuracy.mean + 1e-9
    assert found.kappa.low <= found.kappa.mean <= found.kappa.high
