"""Contamination as artifacts: equal words and prompts in one, paraphrases in another.

The first takes seconds and no model, so it is made whenever questions and synthetic texts are
there. The second embeds sentences and may cost money, so it is made if a similarity is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.config import identity_fields
from steep.core.files import write_rows
from steep.core.progress import Progress
from steep.documents.split import whole_documents
from steep.evaluation.callers import Callers
from steep.evaluation.contamination.phrases import PhraseIndex
from steep.evaluation.contamination.scan import scan_prompts, scan_texts
from steep.evaluation.contamination_results import Overlap, PromptOverlap
from steep.evaluation.question_set import QuestionSet
from steep.evaluation.questions import Question
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.synthetic_texts import SyntheticTexts
from steep.ledger.ledger import open_ledger
from steep.ledger.prompts import count_imported, last_call

VERSION = 1
STAGE = "contamination"
PARAPHRASE_STAGE = "paraphrase"
OVERLAPS_NAME, PROMPTS_NAME = "overlaps.parquet", "prompts.parquet"
EMBEDDER_FIELDS = ("embedder", "embedder_model", "embedder_server")


def contamination_artifacts(
    setup: EvaluationSetup, question_set: QuestionSet, texts: SyntheticTexts, callers: Callers
) -> Iterator[Artifact]:
    """Build the artifacts with the overlaps of questions and synthetic texts.

    Raises:
        UserError: The embedder fails, or the limits of the project are reached.
    """
    settings = setup.contamination
    if not settings.check:
        return
    questions = _questions(question_set)
    yield _build_phrases(setup, question_set, questions, texts)
    if settings.similarity is not None:
        yield _build_paraphrases(setup, question_set, questions, texts, callers)


def _questions(question_set: QuestionSet) -> list[Question]:
    """Return every question that is asked, by any method."""
    own = (*question_set.short, *question_set.questions)
    return list({each.id: each for each in reversed(own)}.values())[::-1]


def _build_phrases(
    setup: EvaluationSetup,
    question_set: QuestionSet,
    questions: list[Question],
    texts: SyntheticTexts,
) -> Artifact:
    with open_ledger(setup.project) as ledger:

        def make(directory: Path) -> dict[str, Any]:
            source = whole_documents(question_set.texts).values()
            index = PhraseIndex(questions, [f"{each.title}\n{each.text}" for each in source])
            found = scan_texts(questions, index, _shown(texts))
            prompts = scan_prompts(questions, index, ledger)
            write_rows(directory / OVERLAPS_NAME, found.overlaps, Overlap)
            write_rows(directory / PROMPTS_NAME, prompts.overlaps, PromptOverlap)
            recipes = sorted({recipe for _, recipe, _, _ in texts.places()})
            return {
                "questions": len(questions),
                "passages": found.passages,
                "recipes": recipes,
                "calls": prompts.calls,
                "imported": count_imported(ledger, recipes),
            }

        calls, last = last_call(ledger)
        fields = {**question_set.fields, "calls in the ledger": [calls, last]}
        inputs = {"corpus": texts.corpus, "documents": question_set.documents}
        return build(setup.project, Identity(STAGE, VERSION, fields, inputs), make)


def _build_paraphrases(
    setup: EvaluationSetup,
    question_set: QuestionSet,
    questions: list[Question],
    texts: SyntheticTexts,
    callers: Callers,
) -> Artifact:
    settings, embedding = setup.contamination, setup.open_book
    assert settings.similarity is not None
    similarity = settings.similarity

    def make(directory: Path) -> dict[str, Any]:
        from steep.evaluation.contamination.paraphrases import (
            find_paraphrases,
            question_sentences,
            sample_questions,
        )
        from steep.retrieval.embed import open_embedder

        is_served = embedding.embedder == "endpoint"
        caller = callers.open("open_book.embedder_server") if is_served else None
        embedder = open_embedder(embedding, setup.project.root, caller)
        sample = sample_questions(_shown(texts), settings.max_sentences)
        wholes = whole_documents(question_set.texts).values()
        source = [each for whole in wholes for each in question_sentences(whole.text)]
        rows = find_paraphrases(embedder, questions, sample.questions, source, similarity)
        write_rows(directory / OVERLAPS_NAME, rows, Overlap)
        return {
            "sentences": sample.sentences,
            "compared": len(sample.questions),
            "embedder": embedder.name,
            "similarity": similarity,
        }

    named = identity_fields("open_book", embedding)
    fields = {
        **question_set.fields,
        **{name: each for name, each in named.items() if name.split(".")[1] in EMBEDDER_FIELDS},
        "contamination.similarity": similarity,
        "contamination.max_sentences": settings.max_sentences,
    }
    inputs = {"corpus": texts.corpus, "documents": question_set.documents}
    return build(setup.project, Identity(PARAPHRASE_STAGE, VERSION, fields, inputs), make)


def _shown(texts: SyntheticTexts) -> Iterator[tuple[str, str, str]]:
    """Yield the synthetic texts, and show how many have passed."""
    progress, number = Progress("contamination", None, "passages"), 0
    for each in progress.over(texts.texts()):
        number += 1
        yield each
    progress.finish(f"{number:,} passages")
