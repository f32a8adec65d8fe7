"""The table of the summarization study: false and salient claims beside those of human summaries.

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from steep.evaluation.statistics import Interval, finite
from steep.evaluation.summaries.claims import Judged
from steep.evaluation.summaries.counts import (
    MEASURES,
    CountedText,
    Pair,
    by_document,
    count_texts,
    pairs_among,
    pairs_of,
)
from steep.evaluation.summaries.measures import (
    GAP,
    gap_of_ratios,
    gap_of_sums,
    mean_of_ratios,
    mean_over_documents,
    precision,
    precision_gap,
    ratio_of_sums,
)
from steep.evaluation.summaries.rows import HUMAN, ClaimRow, PassageRow, SummaryRow


@dataclass(frozen=True, slots=True)
class TextSet:
    """What one writer wrote of one kind."""

    writer: str
    kind: str


@dataclass(frozen=True, slots=True)
class Relative:
    """A count beside the humans', in two readings; None where there is no such ratio.

    `left_out` documents have human counts of zero and no place in the mean of ratios. Humans among
    themselves have no ratio of sums: it is 1, whatever they wrote.
    """

    mean_of_ratios: Interval | None
    left_out: int
    ratio_of_sums: Interval | None


@dataclass(frozen=True, slots=True)
class SetScores:
    """The scores of one set of texts.

    Attributes:
        texts: Whose scores these are.
        documents: Of how many there are counts.
        written: How many texts there are.
        left_out: How many of them have no counts, by reason.
        empty: How many say nothing.
        cut_off: How many were ended by the token limit.
        claims: Distinct claims.
        repeats: Further mentions of them.
        unread_passages: Passages whose claims could not be read, by reason.
        unjudged: Claims without a full verdict, by reason.
        per_text: Each count, averaged over a document's texts, then over documents.
        precision: True claims among those judged true or false.
        without_human: Documents that have no human counts to be measured by.
        relative: Each count beside the humans'.
    """

    texts: TextSet
    documents: int
    written: int
    left_out: Mapping[str, int]
    empty: int
    cut_off: int
    claims: int
    repeats: int
    unread_passages: Mapping[str, int]
    unjudged: Mapping[str, int]
    per_text: Mapping[str, Interval | None]
    precision: Interval | None
    without_human: int
    relative: Mapping[str, Relative]


@dataclass(frozen=True, slots=True)
class Difference:
    """One set minus another, on the `documents` that both have counts of."""

    a: TextSet
    b: TextSet
    documents: int
    per_text: Mapping[str, Interval | None]
    precision: Interval | None
    mean_of_ratios: Mapping[str, Interval | None]
    ratio_of_sums: Mapping[str, Interval | None]


@dataclass(frozen=True)
class SummaryScores:
    """All texts of a study, and what one judge said of them."""

    summaries: Sequence[SummaryRow]
    judged: Judged

    def __post_init__(self) -> None:
        judges = {row.judge for row in self.judged.passages}
        judges |= {row.judge for row in self.judged.claims}
        if len(judges) > 1:
            raise ValueError(f"expected the rows of one judge, found {sorted(judges)}")

    def sets(self) -> list[TextSet]:
        """Who wrote what, in the order of the rows."""
        return list(dict.fromkeys(map(_set_of, self.summaries)))

    def counted(self, texts: TextSet) -> list[CountedText]:
        """The counts of each text of a set."""
        summaries = [row for row in self.summaries if _set_of(row) == texts]
        return count_texts(summaries, self._passages(texts), self._claims(texts))

    def scores(self, texts: TextSet) -> SetScores:
        """The scores of one set."""
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

    def difference(self, a: TextSet, b: TextSet) -> Difference:
        """The first set minus the second; all None where they share no document."""
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
        return Difference(
            a=a,
            b=b,
            documents=len(shared),
            per_text={each: mean_over_documents(gaps[each], GAP) for each in MEASURES},
            precision=precision_gap(self._claims(a), self._claims(b), shared),
            mean_of_ratios={each: gap_of_ratios(gaps[each], scale[each]) for each in MEASURES},
            ratio_of_sums={each: gap_of_sums(gaps[each], scale[each]) for each in MEASURES},
        )

    def table(self) -> dict[str, Any]:
        """All scores, and the differences of models and of lengths, ready for JSON.

        A later model minus an earlier one, and of each model the later kind minus the earlier one;
        a bound that does not exist is null.
        """
        models = [each for each in self.sets() if each.writer != HUMAN]
        differences = [
            self.difference(later, earlier)
            for earlier, later in combinations(models, 2)
            if later.kind == earlier.kind or later.writer == earlier.writer
        ]
        table: dict[str, Any] = finite(
            {
                "sets": [asdict(self.scores(each)) for each in self.sets()],
                "differences": [asdict(each) for each in differences],
            }
        )
        return table

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
