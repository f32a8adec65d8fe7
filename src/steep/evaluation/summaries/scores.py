"""Scores of the study of summaries: false and salient claims relative to human summaries.

The paper divides a model's count on an article by the human summary's and averages the ratios
(section 4.3). Humans often claim nothing false, and then there is no ratio. So three readings stand
side by side:

- `mean_of_ratios`, the paper's, over documents where the human count is above zero; the others are
  counted as left out. With several human summaries of a document their mean is the human count.
- `ratio_of_sums`: all claims of the model over all of the humans. No document is left out.
- the plain counts for each text, and the precision (true claims among those judged).

Each human summary is compared with the mean of the others, too. The mean of such ratios is above 1
where counts are small: it is the reference for the models' own.

A claim without a verdict is a claim, but neither true nor false. A text of which nothing could be
read or judged has no counts, and the reason: counted as zero it would look free of errors. An empty
text has counts, all zero.

All intervals are over documents. With one document an interval spans the range of the measure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from steep.evaluation.compare import counted_reasons, grouped
from steep.evaluation.engines import TOO_LONG
from steep.evaluation.results import Interval
from steep.evaluation.statistics import (
    Score,
    bootstrap_interval,
    mean_interval,
    ratio,
    ratio_difference,
)
from steep.evaluation.study_results import (
    HUMAN,
    MEASURES,
    JudgeAgreement,
    Relative,
    SetDifference,
    SetScores,
    SummariesResult,
    TextSet,
)
from steep.evaluation.summaries.claims import Judged
from steep.evaluation.summaries.texts import ClaimRow, PassageRow, SummaryRow

Row = TypeVar("Row", SummaryRow, PassageRow, ClaimRow)
Value = TypeVar("Value")
NOT_WRITTEN = "the engine gave no text"
NOT_READ = "no list of claims could be read"
NOT_JUDGED = "none of its claims could be judged"
RARE = 0.01  # of resamples: so many without any human claim may be left out of an interval
Bounds = tuple[float, float]
COUNT: Bounds = (0.0, math.inf)
SHARE: Bounds = (0.0, 1.0)
SHARE_GAP: Bounds = (-1.0, 1.0)
GAP: Bounds = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Claims of a text, or their mean over texts. `claims` also holds those without a verdict."""

    claims: float = 0.0
    true: float = 0.0
    false: float = 0.0
    salient: float = 0.0
    cosmetic: float = 0.0

    def of(self, measure: str) -> float:
        """Return the count of this name."""
        value: float = getattr(self, measure)
        return value


class CountedText(NamedTuple):
    """A text with its counts, or the reason why it has none."""

    document_id: str
    counts: VerdictCounts | None
    why_not: str | None = None


class Pair(NamedTuple):
    """The counts of a document, and the human counts that they are compared with."""

    document_id: str
    own: VerdictCounts
    human: VerdictCounts


def by_document(texts: Iterable[CountedText]) -> dict[str, VerdictCounts]:
    """Return the mean counts of each document, over its texts with counts."""
    return {document: mean_counts(each) for document, each in _counts_of(texts).items()}


def pairs_among(human: Sequence[CountedText]) -> list[Pair]:
    """Pair each human summary with the mean of the others of its document, if there are others."""
    return [
        Pair(document, own, mean_counts(others))
        for document, each in _counts_of(human).items()
        for place, own in enumerate(each)
        if (others := each[:place] + each[place + 1 :])
    ]


def mean_counts(counts: Sequence[VerdictCounts]) -> VerdictCounts:
    """Return the mean of each count."""
    return VerdictCounts(*(fmean(each.of(measure) for each in counts) for measure in MEASURES))


def _counts_of(texts: Iterable[CountedText]) -> dict[str, list[VerdictCounts]]:
    counted = [(each.document_id, each.counts) for each in texts if each.counts is not None]
    by_document = grouped(counted, lambda each: each[0])
    return {key: [counts for _, counts in own] for key, own in by_document.items()}


def _counted(
    summary: SummaryRow, passages: Sequence[PassageRow], claims: Sequence[ClaimRow]
) -> CountedText:
    why_not = None
    if summary.finish_reason == TOO_LONG:
        why_not = NOT_WRITTEN
    elif passages and all(row.why_not for row in passages):
        why_not = NOT_READ
    elif claims and all(row.true is None for row in claims):
        why_not = NOT_JUDGED
    return CountedText(summary.document_id, None if why_not else _count(claims), why_not)


def _count(claims: Sequence[ClaimRow]) -> VerdictCounts:
    return VerdictCounts(
        claims=len(claims),
        true=sum(row.true is True for row in claims),
        false=sum(row.true is False for row in claims),
        salient=sum(row.salient is True for row in claims),
        cosmetic=sum(row.salient is False for row in claims),
    )


def mean_over_documents(values: Mapping[str, float], bounds: Bounds = COUNT) -> Interval | None:
    """Return the mean of one value per document."""
    return _interval([(value, 1.0) for value in values.values()], list(values), ratio, bounds)


def mean_of_ratios(pairs: Sequence[Pair], measure: str) -> Interval | None:
    """Return the mean over documents of own by human count, where the latter is above zero.

    Several pairs of a document count as their mean.
    """
    known = grouped(
        (pair for pair in pairs if pair.human.of(measure)), lambda pair: pair.document_id
    )
    return mean_over_documents(
        {
            document: fmean(each.own.of(measure) / each.human.of(measure) for each in own)
            for document, own in known.items()
        }
    )


def ratio_of_sums(pairs: Sequence[Pair], measure: str) -> Interval | None:
    """Return all own claims by all human ones; None if there are no human ones.

    Resampled is own / (own + human), which exists without human claims, too, where the ratio
    has no upper bound: a resample without them pulls the upper end to infinity, as it should.
    """
    columns = [(pair.own.of(measure), pair.human.of(measure)) for pair in pairs]
    if not any(human for _, human in columns):
        return None
    share = _interval(columns, [pair.document_id for pair in pairs], _share_of_first, SHARE)
    if share is None:
        return None
    shares = (share.mean, share.low, share.high)
    mean, low, high = (each / (1 - each) if each < 1 else math.inf for each in shares)
    return Interval(mean, low, high, share.n, share.clusters)


def precision(claims: Sequence[ClaimRow]) -> Interval | None:
    """Return the share of true claims among those judged true or false."""
    judged = [(float(row.true), row.document_id) for row in claims if row.true is not None]
    return mean_interval(*zip(*judged, strict=True)) if judged else None


def precision_gap(
    a: Sequence[ClaimRow], b: Sequence[ClaimRow], documents: Collection[str]
) -> Interval | None:
    """Return the precision of the first minus that of the second, on these documents."""
    sums = {document: [0.0] * 4 for document in documents}
    for side, claims in enumerate((a, b)):
        for row in claims:
            if row.true is not None and row.document_id in sums:
                sums[row.document_id][2 * side] += row.true
                sums[row.document_id][2 * side + 1] += 1
    return _interval(list(sums.values()), list(sums), ratio_difference, SHARE_GAP)


def gap_of_ratios(gaps: Mapping[str, float], human: Mapping[str, float]) -> Interval | None:
    """Return the mean over documents of a difference by the human count, where it is above zero."""
    ratios = {each: gap / human[each] for each, gap in gaps.items() if human.get(each)}
    return mean_over_documents(ratios, GAP)


def gap_of_sums(gaps: Mapping[str, float], human: Mapping[str, float]) -> Interval | None:
    """Return all differences by all human claims; None if too many resamples have none of these."""
    shared = [document for document in gaps if document in human]
    bare = sum(human[document] == 0 for document in shared)
    if not shared or (bare / len(shared)) ** len(shared) > RARE:
        return None
    columns = [(gaps[document], human[document]) for document in shared]
    return _interval(columns, shared, _ratio_or_nothing, GAP)


def _interval(
    columns: Sequence[Sequence[float]], documents: Sequence[str], score: Score, bounds: Bounds
) -> Interval | None:
    """Return the bootstrap interval; None if there is no score."""
    if not columns:
        return None
    try:
        found = bootstrap_interval(columns, documents, score)
    except ValueError:
        return None
    if found.clusters == 1:
        return Interval(found.mean, *bounds, found.n, 1)
    return found


def _share_of_first(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = sums[..., 0] / sums.sum(axis=-1)
    return share


def _ratio_or_nothing(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(sums[..., 1] > 0, ratio(sums), np.nan)


@dataclass(frozen=True)
class SummaryScores:
    """All texts of a study, and the verdicts of one judge."""

    summaries: Sequence[SummaryRow]
    judged: Judged

    def __post_init__(self) -> None:
        judges = {row.judge for row in self.judged.passages}
        judges |= {row.judge for row in self.judged.claims}
        if len(judges) > 1:
            raise ValueError(f"expected the rows of one judge, found {sorted(judges)}")

    def sets(self) -> list[TextSet]:
        """Return the sets of texts, in the order of the rows."""
        return list(dict.fromkeys(row.texts for row in self.summaries))

    def counted(self, texts: TextSet) -> list[CountedText]:
        """Return the counts of each text of a set, or the reason why it has none."""
        passages = grouped(_of(texts, self.judged.passages), lambda row: row.key)
        claims = grouped(_of(texts, self.judged.claims), lambda row: row.key)
        return [
            _counted(row, passages.get(row.key, []), claims.get(row.key, []))
            for row in _of(texts, self.summaries)
        ]

    def scores(self, texts: TextSet) -> SetScores:
        """Compute the scores of one set."""
        counted, pairs = self.counted(texts), self._pairs(texts)
        own = by_document(counted)
        rows, claims = _of(texts, self.summaries), _of(texts, self.judged.claims)
        unread = (row.why_not for row in _of(texts, self.judged.passages))
        return SetScores(
            texts=texts,
            documents=len(own),
            written=len(rows),
            left_out=counted_reasons(each.why_not for each in counted),
            empty=sum(not row.text and row.finish_reason != TOO_LONG for row in rows),
            cut_off=sum(row.finish_reason == "length" for row in rows),
            claims=len(claims),
            repeats=sum(row.repeats for row in claims),
            unread_passages=counted_reasons(unread),
            unjudged=counted_reasons(row.why_not for row in claims),
            per_text=_by_measure(lambda name: mean_over_documents(_values(own, name))),
            precision=precision(claims),
            without_human=len(own.keys() - {pair.document_id for pair in pairs}),
            relative=_by_measure(lambda name: _relative(pairs, name, texts)),
        )

    def difference(self, a: TextSet, b: TextSet) -> SetDifference:
        """Compute the first set minus the second; None where they share no document."""
        ours, theirs = by_document(self.counted(a)), by_document(self.counted(b))
        human = by_document(self._human())
        shared = [document for document in ours if document in theirs]

        def gaps(name: str) -> dict[str, float]:
            return {key: ours[key].of(name) - theirs[key].of(name) for key in shared}

        claims = self.judged.claims
        return SetDifference(
            a=a,
            b=b,
            documents=len(shared),
            per_text=_by_measure(lambda name: mean_over_documents(gaps(name), GAP)),
            precision=precision_gap(_of(a, claims), _of(b, claims), shared),
            mean_of_ratios=_by_measure(lambda n: gap_of_ratios(gaps(n), _values(human, n))),
            ratio_of_sums=_by_measure(lambda n: gap_of_sums(gaps(n), _values(human, n))),
        )

    def result(self, judges: Sequence[JudgeAgreement] = ()) -> SummariesResult:
        """Compute all scores, and the differences of models and of lengths.

        A later model minus an earlier one, and of each model the later kind minus the earlier one.
        """
        models = [each for each in self.sets() if each.writer != HUMAN]
        differences = [
            self.difference(later, earlier)
            for earlier, later in combinations(models, 2)
            if later.kind == earlier.kind or later.writer == earlier.writer
        ]
        return SummariesResult(
            judge=tuple(judges),
            sets=tuple(self.scores(each) for each in self.sets()),
            differences=tuple(differences),
        )

    def _pairs(self, texts: TextSet) -> list[Pair]:
        """Pair each document with the mean of its human summaries that have counts."""
        human = self._human()
        if texts.writer == HUMAN:
            return pairs_among(human)
        reference, own = by_document(human), by_document(self.counted(texts))
        return [Pair(key, own[key], reference[key]) for key in own if key in reference]

    def _human(self) -> list[CountedText]:
        return self.counted(TextSet(HUMAN, HUMAN))


def _of(texts: TextSet, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.texts == texts]


def _values(counts: Mapping[str, VerdictCounts], measure: str) -> dict[str, float]:
    return {document: each.of(measure) for document, each in counts.items()}


def _by_measure(value: Callable[[str], Value]) -> dict[str, Value]:
    return {measure: value(measure) for measure in MEASURES}


def _relative(pairs: Sequence[Pair], measure: str, texts: TextSet) -> Relative:
    measured = {pair.document_id for pair in pairs if pair.human.of(measure)}
    return Relative(
        mean_of_ratios=mean_of_ratios(pairs, measure),
        left_out=len({pair.document_id for pair in pairs} - measured),
        ratio_of_sums=None if texts.writer == HUMAN else ratio_of_sums(pairs, measure),
    )
