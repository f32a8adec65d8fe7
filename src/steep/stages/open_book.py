"""Stage 6, open book: every cell of the grid for one model, an artifact each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.errors import UserError
from steep.core.progress import Progress
from steep.evaluation.answer_rows import read_answers, write_answers
from steep.evaluation.answering import ask
from steep.evaluation.compare import Grade
from steep.evaluation.engines import AnswerEngine, NoLikelihoods, PromptTooLong, no_progress
from steep.evaluation.engines import Progress as ToldProgress
from steep.evaluation.normalizers import Normalizer, OptionScores
from steep.evaluation.open_book import GridPoint, chosen_way
from steep.evaluation.prompts import open_book_prompt
from steep.evaluation.protocols import Protocol
from steep.evaluation.questions import Question
from steep.evaluation.rows import make_rows, read_rows, write_rows
from steep.evaluation.tables import answer_grades, answers_chance, likelihood_grades, mean_chance
from steep.project import Artifact
from steep.stages.closed_book import OUTPUTS_NAME, ROWS_NAME, kept, told
from steep.stages.document_index import Library
from steep.stages.eval_models import Examinee
from steep.stages.harness import Identity, build, log
from steep.stages.question_set import QuestionSet, asking_fields, protocol_of

VERSION = 2
STAGE = "open-book"


@dataclass(frozen=True)
class Way:
    """How texts are shown; without a chunk size it is the whole document."""

    chunk_characters: int | None
    shown: int
    order: str
    temperature: float | None  # None where likelihoods are compared

    def __str__(self) -> str:
        if self.chunk_characters is None:
            return "whole document"
        heat = "" if self.temperature is None else f", temperature {self.temperature}"
        order = self.order.replace("_", " ")
        return f"{self.shown} chunks of {self.chunk_characters}, {order}{heat}"


def check(config: Config, exam: QuestionSet) -> None:
    """Refuse what cannot be asked, before anything is spent.

    Raises:
        UserError: The embedder or reranker lacks its name, or there is nothing to choose by.
    """
    settings = config.open_book
    if not exam.everything:
        raise UserError(
            "An open book needs questions with options.",
            where="evaluate.questions",
            hint="set open_book.chunk_characters to [] to ask short answers only",
        )
    for part, kinds in (("embedder", {"endpoint", "sentence-transformers"}),
                        ("reranker", {"endpoint", "cross-encoder"})):  # fmt: skip
        kind = getattr(settings, part)
        field = f"{part}_server" if kind == "endpoint" else f"{part}_model"
        if kind in kinds and not getattr(settings, field):
            expected = "base_url and model" if kind == "endpoint" else "the directory of its model"
            raise UserError(
                f"The {part} '{kind}' is not described.",
                where=f"open_book.{field}",
                expected=expected,
            )
    if settings.choose_on_validation:
        for side in ("validation", "test"):
            if not exam.side(side):
                raise UserError(
                    f"There is no question about a {side} document, to choose the best way by.",
                    where="open_book.choose_on_validation",
                    expected="documents enough: sorted by title, the first fifth is for validation",
                    hint="set it to false: the whole grid is then asked of all questions",
                )


def run(exam: QuestionSet, examinee: Examinee, library: Library) -> Iterator[Artifact]:
    """Ask one model the whole grid, and the best cell of it again where one is chosen."""
    settings = examinee.config.open_book
    if settings.models and examinee.name not in settings.models:
        return
    if settings.method == "likelihood" and not examinee.gives_likelihoods:
        log.warning("%s: not asked open book, a chat endpoint has no likelihoods", examinee.name)
        return
    try:
        yield from _grid(exam, examinee, library)
    except NoLikelihoods as error:
        log.warning("%s: not asked open book. %s", examinee.name, error)


def _grid(exam: QuestionSet, examinee: Examinee, library: Library) -> Iterator[Artifact]:
    settings, ways = examinee.config.open_book, ways_of(examinee.config)
    if settings.choose_on_validation:
        yield from _chosen(exam, examinee, library, ways)
    else:
        for way in ways:
            yield from _cell(exam, examinee, library, way, exam.split)
    if settings.oracle:
        whole = Way(None, 1, settings.orders[0], ways[0].temperature)
        split = "test" if settings.choose_on_validation else exam.split
        yield from _cell(exam, examinee, library, whole, split)


def _chosen(
    exam: QuestionSet, examinee: Examinee, library: Library, ways: Sequence[Way]
) -> Iterator[Artifact]:
    """The whole grid on the validation split, and its best way on the test split."""
    cells = []
    for way in ways:
        *before, artifact = _cell(exam, examinee, library, way, "validation")
        yield from (*before, artifact)
        cells.append(cell_of(artifact, examinee.config))
    if best := chosen_way(cells):
        way = ways[cells.index(best)]
        log.info("open book %s: best on validation: %s", examinee.name, way)
        yield from _cell(exam, examinee, library, way, "test")


def ways_of(config: Config) -> list[Way]:
    """Every combination of the configuration."""
    settings = config.open_book
    heats: Sequence[float | None] = (None,)
    if settings.method == "answers":
        heats = settings.temperatures or (protocol_of(config.evaluate).temperature,)
    grid = product(settings.chunk_characters, settings.shown, settings.orders, heats)
    return [Way(*each) for each in grid]


def _cell(
    exam: QuestionSet, examinee: Examinee, library: Library, way: Way, split: str
) -> Iterator[Artifact]:
    """The artifact of one cell, after that of the retrieval that it shows."""
    settings = examinee.config.open_book
    questions = exam.questions if split == exam.split else exam.side(split)
    inputs = {"documents": exam.documents, **examinee.inputs}
    if way.chunk_characters is not None:
        inputs["retrieve"] = library.retrieve(way.chunk_characters, examinee)
        yield inputs["retrieve"]
    protocol = protocol_at(examinee.config, way)
    fields = {
        **examinee.fields,
        "evaluate.questions": exam.content,
        "evaluate.split": split,
        "open_book.method": settings.method,
        "open_book.chunk_characters": way.chunk_characters,
        "open_book.shown": way.shown,
        "open_book.order": way.order,
        **(asking_fields(protocol, examinee.config.evaluate.seed) if protocol else {}),
    }

    def make(directory: Path) -> dict[str, Any]:
        manifest = {"model": examinee.name, "way": str(way), "questions": len(questions)}
        try:
            _ask(exam, examinee, library, way, questions, protocol, directory)
        except PromptTooLong as error:
            log.warning("open book %s, %s: left out. %s", examinee.name, way, error.problem)
            return {**manifest, "left_out": " ".join(str(error).split())}
        return manifest

    yield build(examinee.project, Identity(STAGE, VERSION, fields, inputs), make, one_of_many=True)


def _ask(
    exam: QuestionSet,
    examinee: Examinee,
    library: Library,
    way: Way,
    questions: Sequence[Question],
    protocol: Protocol | None,
    directory: Path,
) -> None:
    texts = contexts(library, examinee, way, questions)
    label = f"open book {examinee.name}, {way}"
    if protocol is None:
        options = sum(len(question.options) for question in questions)
        progress = Progress(label, options, "options")
        scores = option_scores(
            exam, examinee.engine, questions, texts, lambda done, _: progress.update(done)
        )
        progress.finish(f"{len(questions)} questions")
        write_rows(directory / ROWS_NAME, make_rows(questions, scores))
        return
    rows = ask(
        kept(examinee, directory), examinee.name, questions, exam.by_id, protocol,
        seed=examinee.config.evaluate.seed, contexts=texts,
        on_progress=told(label, len(questions) * protocol.samples),
    )  # fmt: skip
    write_answers(directory / ROWS_NAME, rows)
    (directory / OUTPUTS_NAME).unlink(missing_ok=True)


def contexts(
    library: Library, examinee: Examinee, way: Way, questions: Sequence[Question]
) -> list[list[str]]:
    """The texts that are shown before each question.

    A plan, whose library is in memory, does not wait for models of this machine.
    """
    if way.chunk_characters is None:
        return library.whole_documents(questions)
    if library.in_memory and library.is_slow:
        return [library.first_chunks(way.chunk_characters, way.shown)] * len(questions)
    return library.contexts(way.chunk_characters, examinee, questions, way.shown, way.order)


def option_scores(
    exam: QuestionSet,
    engine: AnswerEngine,
    questions: Sequence[Question],
    texts: Sequence[Sequence[str]],
    on_progress: ToldProgress = no_progress,
) -> list[OptionScores]:
    """The likelihoods of the options of every question, after its texts."""
    asked = zip(questions, texts, strict=True)
    prompts = [open_book_prompt(q, exam.by_id[q.document_id], shown) for q, shown in asked]
    return engine.logprobs(prompts, [question.options for question in questions], on_progress)


def protocol_at(config: Config, way: Way) -> Protocol | None:
    """How answers are asked for at the temperature of a cell; None for likelihoods."""
    if config.open_book.method == "likelihood":
        return None
    named = protocol_of(config.evaluate)
    return named if way.temperature is None else replace(named, temperature=way.temperature)


def chance_of(artifact: Artifact) -> float | None:
    """The accuracy of guessing in a finished cell; None where it was left out."""
    if artifact.manifest.get("left_out"):
        return None
    if artifact.manifest["identity"]["fields"]["open_book.method"] == "likelihood":
        return mean_chance(read_rows(artifact.path / ROWS_NAME))
    return answers_chance(read_answers(artifact.path / ROWS_NAME))


def cell_of(artifact: Artifact, config: Config) -> GridPoint:
    """Count the rows of a finished cell, under the configuration's reading of answers."""
    fields = artifact.manifest["identity"]["fields"]
    way = {key: fields[f"open_book.{key}"] for key in ("chunk_characters", "shown", "order")}
    return GridPoint(
        model=fields["arm"],
        temperature=fields.get("evaluate.temperature"),
        split=fields["evaluate.split"],
        left_out=artifact.manifest.get("left_out"),
        grades=tuple(_grades(artifact, config)),
        **way,
    )


def _grades(artifact: Artifact, config: Config) -> Sequence[Grade]:
    path = artifact.path / ROWS_NAME
    if artifact.manifest.get("left_out"):
        return ()
    if artifact.manifest["identity"]["fields"]["open_book.method"] == "likelihood":
        normalizer: Normalizer = config.evaluate.normalizer
        return likelihood_grades(read_rows(path), normalizer)
    return answer_grades(read_answers(path), protocol_of(config.evaluate))
