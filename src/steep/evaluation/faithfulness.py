"""Faithfulness: a judge compares the claims of a sample of synthetic texts with their documents.

The judge, its prompts and its calibration are those of the study of summaries. The sample is
balanced: each document gives one text of each recipe before any gives two, in a seeded order, so
that a larger sample contains a smaller one, whose answers are in the ledger.

A limit in dollars covers all judging of faithfulness in the project. Where it ends the work, the
texts that were judged whole by then are the result, and a higher limit continues with the others.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.config import identity_fields
from steep.core.files import read_json, read_rows, write_json, write_rows
from steep.core.ids import derive_seed
from steep.core.permutation import Permutation
from steep.core.progress import Progress
from steep.documents.split import whole_documents
from steep.documents.store import documents_of
from steep.evaluation.callers import Callers, EndpointUse, PurposeLimit, check_price
from steep.evaluation.compare import counted_reasons, grouped
from steep.evaluation.methods.common import Method
from steep.evaluation.results import from_json
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.statistics import mean_interval
from steep.evaluation.study_results import (
    FaithfulnessResult,
    JudgeAgreement,
    RecipeFaithfulness,
    UnsupportedClaim,
)
from steep.evaluation.summaries.claims import judge_summaries, measure_judge
from steep.evaluation.summaries.judging import Judge
from steep.evaluation.summaries.texts import ClaimRow, PassageRow, SummaryRow
from steep.evaluation.synthetic_texts import SyntheticTexts
from steep.ledger import requests
from steep.ledger.caller import OverBudget

log = logging.getLogger("steep")

VERSION = 1
STAGE = "faithfulness"
SECTION, PURPOSE = "faithfulness.judge", "faithfulness"
TEXTS_NAME, PASSAGES_NAME, CLAIMS_NAME = "texts.parquet", "passages.parquet", "claims.parquet"
AGREEMENT_NAME = "agreement.json"
ROUND_TEXTS = 8  # judged between two looks at the limit
EXAMPLES_PER_RECIPE = 5


@dataclass(frozen=True, slots=True)
class SampledText:
    """A synthetic text of the sample, with its rank among those of its document and recipe."""

    id: str
    recipe: str
    document_id: str
    rank: int
    text: str

    @property
    def row(self) -> SummaryRow:
        """The text as the judge takes it."""
        return SummaryRow(
            self.recipe, self.document_id, "synthetic", self.rank, "", self.text, "stop", 0
        )


def check(setup: EvaluationSetup) -> None:
    """Check that a limit in dollars can be kept.

    Raises:
        UserError: The price of the judge is unknown.
    """
    settings = setup.faithfulness
    if settings.judge is not None and settings.max_cost_usd is not None:
        check_price(EndpointUse(SECTION, settings.judge, False), "faithfulness.max_cost_usd")


def identity_of(setup: EvaluationSetup) -> dict[str, Any]:
    """Return the fields that decide the result."""
    assert setup.faithfulness.judge is not None
    return identity_fields("faithfulness", setup.faithfulness)


def is_finished(setup: EvaluationSetup) -> bool:
    """Return whether a sample was judged with these settings, of these texts or of other ones."""
    fields = identity_of(setup)
    made = setup.project.finished(STAGE)
    return any(each.manifest["identity"]["fields"] == fields for each in made)


def faithfulness_artifact(
    setup: EvaluationSetup, documents: Artifact, texts: SyntheticTexts
) -> Artifact:
    """Build the artifact with the judged claims of a sample.

    Raises:
        UserError: The judge fails, or the limits of the project are reached.
    """
    settings = setup.faithfulness

    def make(directory: Path) -> dict[str, Any]:
        sample = sample_texts(texts, settings.max_texts, settings.seed)
        study = _Study(setup, documents, directory)
        judged = study.judge_all(sample)
        write_rows(directory / TEXTS_NAME, judged, SampledText)
        return {"wanted": len(sample), "judged": len(judged), **study.cost()}

    inputs = {"documents": documents, "corpus": texts.corpus}
    return build(setup.project, Identity(STAGE, VERSION, identity_of(setup), inputs), make)


class _Study:
    """Judges texts, in rounds where a limit in dollars may end the work."""

    def __init__(self, setup: EvaluationSetup, documents: Artifact, directory: Path) -> None:
        self._setup, self._directory = setup, directory
        self._sources = whole_documents(documents_of(documents))
        self._limit = PurposeLimit(setup, PURPOSE, setup.faithfulness.max_cost_usd)
        self._costs: list[requests.PurposeCost] = []

    def judge_all(self, sample: Sequence[SampledText]) -> list[SampledText]:
        """Calibrate the judge, judge the texts, and write the rows; return the judged texts."""
        settings = self._setup.faithfulness
        assert settings.judge is not None
        passages: list[PassageRow] = []
        claims: list[ClaimRow] = []
        judged: list[SampledText] = []
        own = replace(self._setup, open_budget=self._limit.open_budget)
        progress = Progress("faithfulness", len(sample), "texts")
        with Callers(own) as callers:
            judge = Judge(callers.engine(SECTION, PURPOSE), settings.judge.model)
            try:
                agreement = measure_judge(judge, settings.claims_per_call)
                write_json(self._directory / AGREEMENT_NAME, asdict(agreement))
                size = len(sample) if settings.max_cost_usd is None else ROUND_TEXTS
                for start in range(0, len(sample), max(1, size)):
                    some = sample[start : start + size]
                    found = judge_summaries(
                        judge,
                        [each.row for each in some],
                        self._sources,
                        claims_per_call=settings.claims_per_call,
                        on_progress=partial(_show_calls, progress, len(judged)),
                    )
                    passages += found.passages
                    claims += found.claims
                    judged += some
                    progress.update(len(judged))
            except OverBudget:
                if not self._limit.is_lower:
                    raise
                text = "faithfulness: faithfulness.max_cost_usd is reached after %d of %d texts"
                log.warning(text, len(judged), len(sample))
            self._costs = [each for each in callers.costs() if each.purpose == PURPOSE]
        write_rows(self._directory / PASSAGES_NAME, passages, PassageRow)
        write_rows(self._directory / CLAIMS_NAME, claims, ClaimRow)
        progress.finish(f"{len(judged)} of {len(sample)} texts judged")
        return judged

    def cost(self) -> dict[str, Any]:
        """Return the requests of all judging of faithfulness in the project, and their cost."""
        return {
            "requests": sum(each.requests for each in self._costs),
            "known_usd": sum(each.known_usd for each in self._costs),
            "unpriced": sum(each.unpriced for each in self._costs),
        }


def sample_texts(texts: SyntheticTexts, most: int, seed: int) -> list[SampledText]:
    """Return at most so many synthetic texts, balanced by document and recipe."""
    groups: Counter[tuple[str, str]] = Counter()
    for _, recipe, document_id, rank in texts.places():
        group = (document_id, recipe)
        groups[group] = max(groups[group], rank + 1)
    wanted = list(islice(_in_turns(groups, seed), most))
    places = {place: number for number, place in enumerate(wanted)}
    ids = {
        passage_id: places[document_id, recipe, rank]
        for passage_id, recipe, document_id, rank in texts.places()
        if (document_id, recipe, rank) in places
    }
    found = []
    for passage_id, recipe, text in texts.texts():
        if passage_id in ids:
            document_id, _, rank = wanted[ids[passage_id]]
            found.append(SampledText(passage_id, recipe, document_id, rank, text))
    return sorted(found, key=lambda each: ids[each.id])


def _in_turns(groups: Mapping[tuple[str, str], int], seed: int) -> Iterator[tuple[str, str, int]]:
    """Yield (document, recipe, rank): one text of each recipe and document, then the next ones."""
    documents = sorted({document for document, _ in groups})
    order = Permutation(len(documents), derive_seed(seed, "faithfulness"))
    shuffled = [documents[order[place]] for place in range(len(documents))]
    by_document = grouped(sorted(groups), lambda group: group[0])
    left = sum(groups.values())
    for turn in count():
        if not left:
            return
        for document in shuffled:
            for group in by_document[document]:
                if turn < groups[group]:
                    ranks = Permutation(groups[group], derive_seed(seed, *group))
                    left -= 1
                    yield (*group, ranks[turn])


def result_of(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], __: EvaluationSetup
) -> FaithfulnessResult:
    """Compute the result from the rows."""
    (artifact,) = artifacts
    path, made = artifact.path, artifact.manifest
    texts = read_rows(path / TEXTS_NAME, SampledText)
    passages = grouped(read_rows(path / PASSAGES_NAME, PassageRow), lambda row: row.writer)
    claims = grouped(read_rows(path / CLAIMS_NAME, ClaimRow), lambda row: row.writer)
    agreement = path / AGREEMENT_NAME
    by_recipe = grouped(sorted(texts, key=lambda each: each.recipe), lambda each: each.recipe)
    return FaithfulnessResult(
        judge=from_json(JudgeAgreement, read_json(agreement)) if agreement.is_file() else None,
        wanted=made["wanted"],
        judged=made["judged"],
        recipes=tuple(
            _of_recipe(recipe, own, passages.get(recipe, []), claims.get(recipe, []))
            for recipe, own in by_recipe.items()
        ),
        examples=tuple(
            example
            for recipe, own in by_recipe.items()
            for example in islice(_unsupported(own, claims.get(recipe, [])), EXAMPLES_PER_RECIPE)
        ),
        requests=made["requests"],
        known_usd=made["known_usd"],
        unpriced=made["unpriced"],
    )


def _of_recipe(
    recipe: str,
    texts: Sequence[SampledText],
    passages: Sequence[PassageRow],
    claims: Sequence[ClaimRow],
) -> RecipeFaithfulness:
    judged = [row for row in claims if row.true is not None]
    values = [float(bool(row.true)) for row in judged]
    return RecipeFaithfulness(
        recipe=recipe,
        texts=len(texts),
        documents=len({each.document_id for each in texts}),
        claims=len(claims),
        judged=len(judged),
        supported=mean_interval(values, [row.document_id for row in judged]) if judged else None,
        unread_passages=counted_reasons(row.why_not for row in passages),
        unjudged=counted_reasons(row.why_not for row in claims if row.true is None),
    )


def _unsupported(
    texts: Sequence[SampledText], claims: Sequence[ClaimRow]
) -> Iterator[UnsupportedClaim]:
    """Yield claims that the judge found unsupported; one of each text first."""
    ids = {each.row.key: each.id for each in texts}
    seen: Counter[str] = Counter()
    ordered = []
    for row in claims:
        if row.true is False:
            passage_id = ids[row.key]
            example = UnsupportedClaim(row.writer, row.document_id, passage_id, row.claim)
            ordered.append((seen[passage_id], example))
            seen[passage_id] += 1
    yield from (example for _, example in sorted(ordered, key=lambda each: each[0]))


METHOD = Method(STAGE, lambda *_: iter(()), result_of, chosen=False, about=None)


def _show_calls(progress: Progress, judged: int, done: float, total: int) -> None:
    progress.update(judged, facts={"calls": f"{done:,.0f} of {total:,}"})
