"""The agreement of a judge with our labels of claims.

Truth is measured on all claims, salience on true ones that the judge calls true. Each has the share
of equal verdicts and Cohen's kappa, which is 0 for a judge that guesses (or says always the same)
and 1 for one that agrees throughout. Both are of the verdicts that could be read; how many could
not be is said with the reasons. Intervals take the claims as independent: they tell how far these
few claims carry, not how well the judge reads other texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.documents.document import Document
from steep.evaluation.bootstrap import bootstrap_interval
from steep.evaluation.compare import grouped
from steep.evaluation.prompts import read_data
from steep.evaluation.results import Interval
from steep.evaluation.statistics import mean_interval
from steep.evaluation.study_results import Agreement, JudgeAgreement
from steep.evaluation.summaries.claims import CLAIMS_PER_CALL
from steep.evaluation.summaries.judging import ClaimBatch, Judge, Verdict

Label = Literal["false", "salient", "cosmetic"]


class LabeledClaim(NamedTuple):
    """A claim about a document, and the right verdict."""

    document: Document
    claim: str
    label: Label


def labeled_claims() -> tuple[LabeledClaim, ...]:
    """Return our labeled claims about two invented stories, in alphabetical order per story.

    A claim is salient when it names a step of the plot or the point of the story, cosmetic when the
    story would be the same with another detail in its place. False claims are of the kinds that
    models make: two people or things exchanged, a number or place changed, an outcome reversed,
    something likely that the text does not say. Stories, claims and labels are our own.
    """
    rows = []
    for row in read_data("judge_claims.jsonl"):
        document = Document(row["id"], row["title"], row["text"], row["author"], row["year"])
        rows += [LabeledClaim(document, each["claim"], each["label"]) for each in row["claims"]]
    return tuple(sorted(rows, key=lambda row: (row.document.id, row.claim)))


def measure_judge(judge: Judge, claims_per_call: int = CLAIMS_PER_CALL) -> JudgeAgreement:
    """Measure a judge on the labeled claims, in batches as in the study that it will judge.

    Raises:
        UserError: The judge fails.
    """
    groups = [
        rows[start : start + claims_per_call]
        for rows in grouped(labeled_claims(), lambda row: row.document.id).values()
        for start in range(0, len(rows), claims_per_call)
    ]
    batches = [ClaimBatch(each[0].document, tuple(row.claim for row in each)) for each in groups]
    rulings = judge.rule(batches)
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
    """Compare pairs of (our verdict, the judge's verdict)."""
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
    """Compute Cohen's kappa from the columns "yes yes", "yes no", "no yes", "no no"."""
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


def _word(verdict: bool) -> str:
    return "yes" if verdict else "no"
