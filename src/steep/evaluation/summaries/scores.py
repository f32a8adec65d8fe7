"""Scores of the study of summaries: false and salient claims relative to human summaries.

The paper divides a model's count on an article by the human summary's and averages the ratios
(section 4.3). Humans often claim nothing false, and then there is no ratio. So three readings stand
side by side:

- `mean_of_ratios`, the paper's, over documents where the human count is above zero; the others are
  left out and counted. With several human summaries of a document their mean is the human count.
- `ratio_of_sums`: all claims of the model over all of the humans. No document is left out.
- the plain counts for each text, and the precision (true claims among those judged).

Humans are held against one another too: each summary against the mean of the others. The mean of
such ratios is above 1 where counts are small, as a ratio's mean is: it is the yardstick for the
models' own. Claims without a verdict and passages that could not be read make counts too low; they
stand beside them. All intervals are over documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from steep.evaluation.study_results import (
    JudgeAgreement,
    Relative,
    SetDifference,
    SetScores,
    SummariesResult,
    TextSet,
)
from steep.evaluation.summaries.claims import Judged
from steep.evaluation.summaries.counts import (
    GAP,
    MEASURES,
    CountedText,
    Pair,
    by_document,
    count_texts,
    gap_of_ratios,
    gap_of_sums,
    mean_of_ratios,
    mean_over_documents,
    pairs_among,
    pairs_of,
    precision,
    precision_gap,
    ratio_of_sums,
)
from steep.evaluation.summaries.texts import HUMAN, ClaimRow, PassageRow, SummaryRow


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
        return list(dict.fromkeys(map(_set_of, self.summaries)))

    def counted(self, texts: TextSet) -> list[CountedText]:
        """Return the counts of each text of a set."""
        summaries = [row for row in self.summaries if _set_of(row) == texts]
        return count_texts(summaries, self._passages(texts), self._claims(texts))

    def scores(self, texts: TextSet) -> SetScores:
        """Compute the scores of one set."""
        counted, pairs = self.counted(texts), self._pairs(texts)
        own = by_document(counted)
        rows = [row for row in self.summaries if _set_of(row) == texts]
        claims = self._claims(texts)
        return SetScores(
            texts=texts,
            documents=len(own),
            written=len(rows),
            left_out=_reasons(each.why_not for each in counted),
            empty=sum(not row.text and row.finish_reason != "error" for row in rows),
            cut_off=sum(row.finish_reason == "length" for row in rows),
            claims=len(claims),
            repeats=sum(row.repeats for row in claims),
            unread_passages=_reasons(row.why_not for row in self._passages(texts)),
            unjudged=_reasons(row.why_not for row in claims),
            per_text={
                measure: mean_over_documents({key: each.of(measure) for key, each in own.items()})
                for measure in MEASURES
            },
            precision=precision(claims),
            without_human=len(own.keys() - {pair.document_id for pair in pairs}),
            relative={measure: _relative(pairs, measure, texts) for measure in MEASURES},
        )

    def difference(self, a: TextSet, b: TextSet) -> SetDifference:
        """Compute the first set minus the second; None where they share no document."""
        ours, theirs = by_document(self.counted(a)), by_document(self.counted(b))
        human = by_document(self._human())
        shared = [document for document in ours if document in theirs]
        gaps = {
            measure: {key: ours[key].of(measure) - theirs[key].of(measure) for key in shared}
            for measure in MEASURES
        }
        scale = {
            measure: {key: each.of(measure) for key, each in human.items()} for measure in MEASURES
        }
        return SetDifference(
            a=a,
            b=b,
            documents=len(shared),
            per_text={each: mean_over_documents(gaps[each], GAP) for each in MEASURES},
            precision=precision_gap(self._claims(a), self._claims(b), shared),
            mean_of_ratios={each: gap_of_ratios(gaps[each], scale[each]) for each in MEASURES},
            ratio_of_sums={each: gap_of_sums(gaps[each], scale[each]) for each in MEASURES},
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
        human = self._human()
        return pairs_among(human) if texts.writer == HUMAN else pairs_of(self.counted(texts), human)

    def _human(self) -> list[CountedText]:
        return self.counted(TextSet(HUMAN, HUMAN))

    def _claims(self, texts: TextSet) -> list[ClaimRow]:
        return [row for row in self.judged.claims if _set_of(row) == texts]

    def _passages(self, texts: TextSet) -> list[PassageRow]:
        return [row for row in self.judged.passages if _set_of(row) == texts]


def _set_of(row: SummaryRow | PassageRow | ClaimRow) -> TextSet:
    return TextSet(row.writer, row.kind)


def _relative(pairs: Sequence[Pair], measure: str, texts: TextSet) -> Relative:
    measured = {pair.document_id for pair in pairs if pair.human.of(measure)}
    return Relative(
        mean_of_ratios=mean_of_ratios(pairs, measure),
        left_out=len({pair.document_id for pair in pairs} - measured),
        ratio_of_sums=None if texts.writer == HUMAN else ratio_of_sums(pairs, measure),
    )


def _reasons(reasons: Iterable[str | None]) -> dict[str, int]:
    return {reason: count for reason, count in Counter(reasons).most_common() if reason}
