"""From summaries to judged claims, and the agreement of a judge with our labels of claims.

A text is split into passages of some hundred words. So the list of a passage's claims is short
enough to be finished, however long the text, and an answer that cannot be read costs one passage
and not the text. Small models repeat themselves: an equal passage of a text is asked about once,
and a claim that comes again is counted once, with the number of repeats beside it. Batches hold
claims of one text only, and the judge never learns whose.

Agreement on truth is measured on all claims with a verdict that could be read (`unread` counts the
others), on salience on true ones that the judge calls true. Each has the share of equal verdicts
and Cohen's kappa, which is 0 for a judge that guesses (or always gives the same verdict) and 1 for
one that agrees throughout. Intervals take the claims as independent: they show how precise these
few claims are, not how well the judge reads other texts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.ids import stable_hash
from steep.core.words import word_spans
from steep.documents.document import Document
from steep.documents.sentences import ends_sentence
from steep.evaluation.compare import counted_reasons, grouped
from steep.evaluation.engines import Progress, no_progress
from steep.evaluation.judged_results import Agreement
from steep.evaluation.prompts import read_data
from steep.evaluation.results import Interval
from steep.evaluation.statistics import bootstrap_interval, mean_interval
from steep.evaluation.study_results import JudgeAgreement
from steep.evaluation.summaries.judging import (
    ClaimBatch,
    Judge,
    JudgedPassage,
    Ruling,
    Verdict,
)
from steep.evaluation.summaries.texts import ClaimRow, PassageRow, SummaryRow

PASSAGE_WORDS = 120
CLAIMS_PER_CALL = 20


class Judged(NamedTuple):
    """The rows of a judge about some texts."""

    passages: list[PassageRow]
    claims: list[ClaimRow]


class _Pending(NamedTuple):
    """Claims of one text that are judged together: (number, claim, repeats) of each."""

    summary: SummaryRow
    claims: tuple[tuple[int, str, int], ...]


def judge_summaries(
    judge: Judge,
    summaries: Sequence[SummaryRow],
    sources: Mapping[str, Document],
    *,
    claims_per_call: int = CLAIMS_PER_CALL,
    on_progress: Progress = no_progress,
) -> Judged:
    """Split texts into claims and judge them.

    `sources` are the whole documents, see `whole_documents`; an empty text has no passages.
    `on_progress` is called with the number of finished calls and their total, for each step.
    """
    passages = split_summaries(judge, summaries, on_progress)
    pending = list(_pending(summaries, passages, claims_per_call))
    batches = [
        ClaimBatch(sources[each.summary.document_id], tuple(claim for _, claim, _ in each.claims))
        for each in pending
    ]
    rulings = judge.rule(batches, on_progress)
    claims = [
        row
        for each, ruling in zip(pending, rulings, strict=True)
        for row in _claim_rows(judge.name, each, ruling)
    ]
    return Judged(passages, claims)


def split_summaries(
    judge: Judge, summaries: Sequence[SummaryRow], on_progress: Progress = no_progress
) -> list[PassageRow]:
    """Return the passages of all texts, in their order, with their claims."""
    texts = [passages_of(summary.text) for summary in summaries]
    asked = [
        JudgedPassage(text, before)
        for passages in texts
        for text, before in _first_mentions(passages).items()
    ]
    answers = iter(judge.split(asked, on_progress))
    rows: list[PassageRow] = []
    for summary, passages in zip(summaries, texts, strict=True):
        by_text = {text: next(answers) for text in _first_mentions(passages)}
        for number, text in enumerate(passages):
            claims, why_not, output, seed = by_text[text]
            row = PassageRow(*summary.key, number, text, judge.name, claims, why_not, output, seed)
            rows.append(row)
    return rows


def passages_of(text: str, most_words: int = PASSAGE_WORDS) -> list[str]:
    """Cut a text at ends of sentences into passages of at most so many words; no word is lost."""
    text = " ".join(text.split())
    words = word_spans(text)
    starts = [*(start for start, _ in words), len(text)]
    cuts, first = [0], 0
    while len(words) - first > most_words:
        last = first + most_words
        ends = (
            end
            for end in range(last, first, -1)
            if ends_sentence(text[slice(*words[end - 1])], text[words[end - 1][1] : starts[end]])
        )
        first = next(ends, last)  # in the middle of a sentence that is too long
        cuts.append(starts[first])
    cuts.append(len(text))
    return [text[start:stop].rstrip() for start, stop in pairwise(cuts) if stop > start]


def _first_mentions(passages: Sequence[str]) -> dict[str, str]:
    """Return the distinct passages, each with the one before it."""
    found: dict[str, str] = {}
    for before, text in pairwise(["", *passages]):
        found.setdefault(text, before)
    return found


def _pending(
    summaries: Sequence[SummaryRow], passages: Sequence[PassageRow], most: int
) -> Iterator[_Pending]:
    by_text = grouped(passages, lambda row: row.key)
    for summary in summaries:
        rows = by_text.get(summary.key, ())
        counted = tuple(_counted([claim for row in rows for claim in row.claims]))
        for start in range(0, len(counted), most):
            yield _Pending(summary, counted[start : start + most])


def _counted(claims: Sequence[str]) -> Iterator[tuple[int, str, int]]:
    """Yield each distinct claim with its number and the number of its repeats."""
    times = Counter(map(_key, claims))
    first = {_key(claim): claim for claim in reversed(claims)}
    for number, (key, count) in enumerate(times.items()):
        yield number, first[key], count - 1


def _key(claim: str) -> str:
    return " ".join(claim.casefold().split()).rstrip(".!\u3002\uff01")


def _claim_rows(judge: str, pending: _Pending, ruling: Ruling) -> Iterator[ClaimRow]:
    judged = zip(pending.claims, ruling.verdicts, strict=True)
    for place, (claim, verdict) in enumerate(judged, start=1):
        yield ClaimRow(
            *pending.summary.key,
            *claim,
            judge,
            *verdict,
            shown_as=place,
            prompt_hash=stable_hash(ruling.prompt, 16),
            output=ruling.output,
            seed=ruling.seed,
        )


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
    """Measure a judge on the labeled claims, in batches as in the study that it will judge."""
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
    truth = [
        (row.label != "false", verdict.true) for row, verdict in both if verdict.true is not None
    ]
    salience = [
        (row.label == "salient", verdict.salient)
        for row, verdict in both
        if row.label != "false" and verdict.salient is not None
    ]
    return JudgeAgreement(
        judge=judge,
        claims=len(both),
        truth=agreement(truth),
        salience=agreement(salience),
        unread=counted_reasons(verdict.why_not for verdict in verdicts),
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
    """Compute Cohen's kappa from counts, shaped (..., k * k): our k verdicts by the judge's k.

    Of two verdicts the columns are "yes yes", "yes no", "no yes", "no no".
    """
    verdicts = math.isqrt(sums.shape[-1])
    shares = (sums / sums.sum(axis=-1, keepdims=True)).reshape(*sums.shape[:-1], verdicts, verdicts)
    equal = np.trace(shares, axis1=-2, axis2=-1)
    chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    found: NDArray[np.float64] = (equal - chance) / (1 - chance)
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
