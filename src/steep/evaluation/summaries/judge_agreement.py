"""How far a judge can be believed: its verdicts beside ours on the labeled claims.

Truth is measured on all claims, salience on true ones that the judge calls true. Each has the share
of equal verdicts and Cohen's kappa, which is 0 for a judge that guesses (or says always the same)
and 1 for one that agrees throughout. Both are of the verdicts that could be read; how many could
not be is said with the reasons. Intervals take the claims as independent: they tell how far these
few claims carry, not how well the judge reads other texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steep.evaluation.bootstrap import bootstrap_interval
from steep.evaluation.engines import Progress, no_progress
from steep.evaluation.statistics import Interval, mean_interval
from steep.evaluation.summaries.claims import CLAIMS_PER_CALL
from steep.evaluation.summaries.judge_answers import Verdict
from steep.evaluation.summaries.judge_examples import LabeledClaim, labeled_claims
from steep.evaluation.summaries.judging import ClaimBatch, Judge


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two labellers on one yes-or-no question.

    Attributes:
        n: Claims that have both verdicts.
        accuracy: The share of equal verdicts; None where there are no claims.
        kappa: Cohen's; None where it does not exist, as both always say the same one thing.
        table: How often (we, the judge) said so: "yes yes", "yes no", "no yes", "no no".
    """

    n: int
    accuracy: Interval | None
    kappa: Interval | None
    table: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class JudgeAgreement:
    """Of a judge with our labels. `unread` are claims without a full verdict, by reason."""

    judge: str
    claims: int
    truth: Agreement
    salience: Agreement
    unread: Mapping[str, int]


def measure_judge(
    judge: Judge,
    examples: Sequence[LabeledClaim] | None = None,
    *,
    claims_per_call: int = CLAIMS_PER_CALL,
    on_progress: Progress = no_progress,
) -> JudgeAgreement:
    """Let a judge weigh the labeled claims, in batches as in a study.

    Args:
        judge: Who is measured.
        examples: Ours where none are given.
        claims_per_call: As in the study that it will judge.
        on_progress: Told the calls done and their total.

    Raises:
        UserError: The judge cannot be asked.
    """
    labeled = labeled_claims() if examples is None else examples
    groups = _groups(labeled, claims_per_call)
    batches = [ClaimBatch(each[0].document, tuple(row.claim for row in each)) for each in groups]
    rulings = judge.rule(batches, on_progress)
    verdicts = [verdict for ruling in rulings for verdict in ruling.verdicts]
    return compare_verdicts(judge.name, [row for each in groups for row in each], verdicts)


def compare_verdicts(
    judge: str, labeled: Sequence[LabeledClaim], verdicts: Sequence[Verdict]
) -> JudgeAgreement:
    """Compare verdicts with labels."""
    both = list(zip(labeled, verdicts, strict=True))
    truth = [(row.label != "false", said.true) for row, said in both if said.true is not None]
    salience = [
        (row.label == "salient", said.salient)
        for row, said in both
        if row.label != "false" and said.salient is not None
    ]
    unread = Counter(said.why_not for said in verdicts if said.why_not)
    return JudgeAgreement(
        judge=judge,
        claims=len(both),
        truth=agreement(truth),
        salience=agreement(salience),
        unread=dict(unread.most_common()),
    )


def agreement(pairs: Sequence[tuple[bool, bool]]) -> Agreement:
    """Compare pairs of (our verdict, the judge's)."""
    names = [f"claim {number}" for number in range(len(pairs))]
    same = [float(ours == theirs) for ours, theirs in pairs]
    table = Counter(pairs)
    return Agreement(
        n=len(pairs),
        accuracy=mean_interval(same, names) if pairs else None,
        kappa=_kappa_interval(pairs, names),
        table={
            f"{_word(ours)} {_word(theirs)}": table[ours, theirs]
            for ours in (True, False)
            for theirs in (True, False)
        },
    )


def kappa(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's kappa of the columns "yes yes", "yes no", "no yes", "no no"."""
    shares = sums / sums.sum(axis=-1, keepdims=True)
    both, only_ours, only_theirs, none = (shares[..., place] for place in range(4))
    ours, theirs = both + only_ours, both + only_theirs
    chance = ours * theirs + (1 - ours) * (1 - theirs)
    found: NDArray[np.float64] = (both + none - chance) / (1 - chance)
    return found


def _kappa_interval(pairs: Sequence[tuple[bool, bool]], names: Sequence[str]) -> Interval | None:
    if len(set(pairs)) < 2 and (not pairs or pairs[0][0] == pairs[0][1]):
        return None
    cells = ((True, True), (True, False), (False, True), (False, False))
    return bootstrap_interval(
        [[float(pair == each) for each in cells] for pair in pairs], names, kappa
    )


def _groups(labeled: Sequence[LabeledClaim], most: int) -> list[list[LabeledClaim]]:
    by_document: dict[str, list[LabeledClaim]] = {}
    for row in labeled:
        by_document.setdefault(row.document.id, []).append(row)
    return [
        rows[start : start + most]
        for rows in by_document.values()
        for start in range(0, len(rows), most)
    ]


def _word(verdict: bool) -> str:
    return "yes" if verdict else "no"
