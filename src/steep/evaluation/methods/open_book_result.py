"""The result of the open book: what retrieval found, and accuracy with it and without.

A grid point is one model in one variant: chunk size, number of chunks, order, temperature. Its
accuracy is split by hit and miss: whether a chunk of the right document was among those shown,
and, where the answer is a known text, whether a chunk with the answer was. All of it is computed
from rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from steep.core.artifacts import Artifact
from steep.core.files import read_rows
from steep.evaluation import document_index
from steep.evaluation.compare import Grade, compare, difference, estimate
from steep.evaluation.eval_models import name_of
from steep.evaluation.methods import answers, likelihood
from steep.evaluation.methods.common import ROWS_NAME
from steep.evaluation.methods.retrieval_share import retrieval_shares
from steep.evaluation.protocols import protocol_of
from steep.evaluation.results import TestedDifference
from steep.evaluation.rows import AnswerRow, QuestionRow
from steep.evaluation.setup import EvaluationSetup, PlannedComparisons
from steep.evaluation.statistics import mean_interval
from steep.evaluation.study_results import (
    GridScore,
    GridVariant,
    HitSplit,
    OpenBookResult,
    RetrievalMean,
    RetrievalRanks,
    RetrievalScore,
)
from steep.retrieval.measures import RetrievalQuality, RetrievalRow

STAGE = "open-book"
RECALLS = (1, 2, 4, 5, 8, 16)


@dataclass(frozen=True, slots=True)
class GridPoint:
    """The grades of one model in one variant."""

    model: str
    variant: GridVariant
    grades: tuple[Grade, ...]  # one per question
    left_out: str | None = None  # why it was not asked, if prompts outgrow the model's context
    chance: float | None = None  # the accuracy of guessing


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What a search found with chunks of one size: rows by model, which share them as a rule."""

    rows: Mapping[str, Sequence[RetrievalRow]]
    chunks: int = 0
    blank: int = 0


def open_book_result(
    method: str,
    cells: Sequence[GridPoint],
    retrieved: Mapping[int, Retrieved],
    closed: Mapping[str, Sequence[Grade]],
    planned: PlannedComparisons | None = None,
) -> OpenBookResult:
    """Compute the grid, the quality of retrieval, and the models at their best variants.

    The best variant of a model is that with the highest accuracy on the validation split (the first
    of equal ones), and it is scored on the test split; a single variant is the best one. A grid
    without a split has no best variant: the highest of many is too high.

    `retrieved` is by size of chunks; `closed` are closed-book grades, counted in the same way.
    """
    models = dict.fromkeys(cell.model for cell in cells)
    best = {model: cell for model in models if (cell := best_cell(cells, model))}
    oracle = {cell.model: cell for cell in cells if _is_whole(cell) and cell.grades}
    asked = {name: cell for name, cell in best.items() if cell.grades}
    grades = {name: cell.grades for name, cell in asked.items()}
    return OpenBookResult(
        method=method,
        retrieval=tuple(retrieval_score(size, found) for size, found in retrieved.items()),
        cells=tuple(_score(cell, retrieved) for cell in cells),
        best={name: cell.variant for name, cell in asked.items()},
        compared=compare(grades, planned) if grades else None,
        over_closed_book=_gains(asked, closed),
        under_whole_document=_gains(oracle, grades),
        chance=next((cell.chance for cell in cells if cell.chance is not None), None),
        shares=tuple(retrieval_shares(closed, grades)),
    )


def best_cell(cells: Sequence[GridPoint], model: str) -> GridPoint | None:
    """Return the grid point that is reported for a model; None if that would be a choice."""
    own = [cell for cell in cells if cell.model == model and not _is_whole(cell)]
    if {cell.variant.split for cell in own} == {"validation", "test"}:
        own = [cell for cell in own if cell.variant.split == "test"]
    return own[0] if len(own) == 1 else None


def _is_whole(cell: GridPoint) -> bool:
    return cell.variant.chunk_characters is None


def chosen_variant(cells: Sequence[GridPoint]) -> GridPoint | None:
    """Return the best of one model's validation grid points; None if none could be asked."""
    scored = [(estimate(cell.grades).accuracy, cell) for cell in cells if cell.grades]
    known = [(accuracy, cell) for accuracy, cell in scored if accuracy is not None]
    return max(known, key=lambda each: each[0])[1] if known else None


def retrieval_score(chunk_characters: int, found: Retrieved) -> RetrievalScore:
    """Compute recall at several k and the mean reciprocal rank: of the document, and the answer."""
    rows = next(iter(found.rows.values()))
    answered = [(row.answer, row.document_id) for row in rows if row.answer is not None]
    return RetrievalScore(
        chunk_characters=chunk_characters,
        document=_ranks([(row.document, row.document_id) for row in rows]),
        answer=_ranks(answered) if answered else None,
        answers_in_no_chunk=sum(quality.relevant == 0 for quality, _ in answered),
        chunks=found.chunks,
        blank=found.blank,
    )


def _ranks(found: Sequence[tuple[RetrievalQuality, str]]) -> RetrievalRanks:
    documents = [document for _, document in found]

    def mean(value: Callable[[RetrievalQuality], float]) -> RetrievalMean:
        interval = mean_interval([value(each) for each, _ in found], documents)
        return RetrievalMean(value=interval.mean, low=interval.low, high=interval.high)

    recalls = {str(k): mean(lambda each, k=k: each.recall(k)) for k in RECALLS}  # type: ignore[misc]
    return RetrievalRanks(n=len(found), recall=recalls, mrr=mean(lambda each: each.reciprocal_rank))


def _score(cell: GridPoint, retrieved: Mapping[int, Retrieved]) -> GridScore:
    document = answer = None
    if (size := cell.variant.chunk_characters) is not None and cell.grades:
        rows = retrieved[size].rows[cell.model]
        document = _by_hit(cell, {row.question_id: row.document for row in rows})
        answer = _by_hit(cell, {row.question_id: row.answer for row in rows if row.answer})
    return GridScore(
        model=cell.model,
        left_out=cell.left_out,
        document_found=document,
        answer_found=answer,
        **vars(cell.variant),
        **vars(estimate(cell.grades)),
    )


def _by_hit(cell: GridPoint, found: Mapping[str, RetrievalQuality]) -> HitSplit | None:
    """Split accuracy by whether the text was among the chunks shown."""
    known = [grade for grade in cell.grades if grade.question_id in found]
    if not known:
        return None
    hits = {
        grade.question_id: found[grade.question_id].recall(cell.variant.shown) > 0
        for grade in known
    }
    return HitSplit(
        hit=estimate(grade for grade in known if hits[grade.question_id]),
        miss=estimate(grade for grade in known if not hits[grade.question_id]),
    )


def _gains(
    cells: Mapping[str, GridPoint], before: Mapping[str, Sequence[Grade]]
) -> dict[str, TestedDifference]:
    """Return what each model gains on the questions that were asked in both ways."""
    gains = {}
    for name, cell in cells.items():
        other = {grade.question_id: grade for grade in before.get(name, ())}
        both = [grade for grade in cell.grades if grade.question_id in other]
        found = difference(both, [other[grade.question_id] for grade in both]) if both else None
        if found:
            gains[name] = found
    return gains


def cell_of(artifact: Artifact, setup: EvaluationSetup) -> GridPoint:
    """Return the grid point of an artifact, under the current reading of answers."""
    fields = artifact.manifest["identity"]["fields"]
    variant = GridVariant(
        chunk_characters=fields["open_book.chunk_characters"],
        shown=fields["open_book.shown"],
        order=fields["open_book.order"],
        temperature=fields.get("evaluate.temperature"),
        split=fields["evaluate.split"],
    )
    if left_out := artifact.manifest.get("left_out"):
        return GridPoint(fields["arm"], variant, (), left_out)
    grades, chance = _graded(artifact, is_by_likelihood(artifact), setup)
    return GridPoint(fields["arm"], variant, tuple(grades), chance=chance)


def _graded(
    artifact: Artifact, by_likelihood: bool, setup: EvaluationSetup
) -> tuple[list[Grade], float]:
    """Return the grades of an artifact of rows, and the accuracy of guessing."""
    path = artifact.path / ROWS_NAME
    if by_likelihood:
        scored = read_rows(path, QuestionRow)
        grades = likelihood.likelihood_grades(scored, setup.evaluate.normalizer)
        return grades, likelihood.mean_chance(scored)
    answered = read_rows(path, AnswerRow)
    grades = answers.answer_grades(answered, protocol_of(setup.evaluate))
    return grades, answers.answers_chance(answered)


def is_by_likelihood(artifact: Artifact) -> bool:
    """Return True if the rows of an open-book artifact are likelihoods."""
    return bool(artifact.manifest["identity"]["fields"]["open_book.method"] == "likelihood")


def _retrieved(rows: Sequence[Artifact], models: Sequence[str]) -> dict[int, Retrieved]:
    found: dict[int, Retrieved] = {}
    for each in (artifact for artifact in rows if artifact.stage == document_index.STAGE):
        own = each.manifest["identity"]["fields"].get("arm")
        size = each.manifest["chunk_characters"]
        ranks = read_rows(each.path / document_index.ROWS_NAME, RetrievalRow)
        before = found[size].rows if size in found else {}
        by_model = {**before, **dict.fromkeys([own] if own else models, ranks)}
        found[size] = Retrieved(by_model, each.manifest["chunks"], len(each.manifest["blank"]))
    return found


def result_of(
    artifacts: Sequence[Artifact], rows: Sequence[Artifact], setup: EvaluationSetup
) -> OpenBookResult:
    """Compute the result from the artifacts of the grid and all other artifacts."""
    cells = [cell_of(artifact, setup) for artifact in artifacts]
    models = list(dict.fromkeys(cell.model for cell in cells))
    by_likelihood = is_by_likelihood(artifacts[0])
    closed_book = likelihood.STAGE if by_likelihood else answers.STAGE
    return open_book_result(
        "likelihood" if by_likelihood else "answers",
        cells,
        _retrieved(rows, models),
        {
            name_of(each): _graded(each, by_likelihood, setup)[0]
            for each in rows
            if each.stage == closed_book
        },
        setup.planned_comparisons(models),
    )
