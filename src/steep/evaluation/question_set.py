"""The question set: the questions that every model is asked, and their documents."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.files import content_hash
from steep.core.ids import stable_hash
from steep.documents.document import Document
from steep.documents.store import documents_of
from steep.evaluation.config import EvaluateConfig
from steep.evaluation.questions import (
    Question,
    Questions,
    questions_on,
    read_questions,
    read_short_answers,
    split_documents,
)
from steep.evaluation.scores import SkippedQuestion
from steep.evaluation.setup import EvaluationSetup

log = logging.getLogger("steep")


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one evaluation.

    Attributes:
        documents: The artifact of the documents.
        texts: Its documents, or parts of them.
        content: A hash of the file of questions.
        split: The documents that are asked about.
        limit: Maximum number of questions; None: no limit.
        questions: Questions with options; those with short answers have other answers as options.
        short: Questions with short answers.
        everything: The questions with options about all documents, in every split.
        skipped: Questions that cannot be asked, with reasons.
        unfit: Ids of those that do not fit a model, e.g. because they are too long.
    """

    documents: Artifact
    texts: Sequence[Document]
    content: str
    split: str
    limit: int | None
    questions: Sequence[Question]
    short: Sequence[Question]
    everything: Sequence[Question]
    skipped: Sequence[SkippedQuestion]
    unfit: Sequence[str] = ()

    @cached_property
    def by_id(self) -> Mapping[str, Document]:
        """The document (or any part of it) of each id in questions, for its name only."""
        return {document.whole_id: document for document in self.texts}

    @property
    def fields(self) -> dict[str, Any]:
        """The identity fields of all answers; documents are an input."""
        split = {} if self.split == "all" else {"evaluate.split": self.split}
        limit = {} if self.limit is None else {"evaluate.limit": self.limit}
        unfit = {"left_out": stable_hash(sorted(self.unfit), 16)} if self.unfit else {}
        return {"evaluate.questions": self.content, **split, **limit, **unfit}

    def on_split(self, split: str) -> Sequence[Question]:
        """Return the questions with options on a split, "all", "validation" or "test"."""
        if split == self.split:
            return self.questions
        return questions_on(self.everything, split_documents(self.texts)[split])


def read_question_set(
    setup: EvaluationSetup, documents: Artifact, *, check_length: bool = True
) -> QuestionSet | None:
    """Read the questions; None if the settings name no file.

    Args:
        setup: The settings of the evaluation.
        documents: The artifact of the documents.
        check_length: Leave out questions that are too long for a local model; reads its tokenizer.

    Raises:
        UserError: The questions cannot be read, or none of them can be asked.
    """
    settings = setup.evaluate
    if settings.questions is None:
        return None
    texts = documents_of(documents)
    short = _short(settings.questions, texts, settings.methods)
    found = _choices(settings.questions, texts, short)
    asked_shortly = {question.id for question in short.questions}
    skipped = [
        SkippedQuestion(id_, f"{reason}; asked as a short answer only")
        if id_ in asked_shortly
        else SkippedQuestion(id_, reason)
        for id_, reason in found.skipped
    ]
    question_set = QuestionSet(
        documents,
        texts,
        content_hash(settings.questions),
        settings.split,
        settings.limit,
        found.questions,
        short.questions,
        found.questions,
        skipped,
    )
    if check_length:
        question_set = _that_fits(question_set, setup)
    return _limited(question_set if settings.split == "all" else _on_split(question_set, settings))


def _that_fits(question_set: QuestionSet, setup: EvaluationSetup) -> QuestionSet:
    """Keep the questions that fit every model; the others become skipped ones.

    Raises:
        UserError: No question is left.
    """
    from steep.evaluation.question_limits import not_askable, nothing_fits

    reasons = not_askable(setup, question_set.questions, question_set.short, question_set.by_id)
    if not reasons:
        return question_set
    questions = [each for each in question_set.questions if each.id not in reasons]
    short = [each for each in question_set.short if each.id not in reasons]
    if not (questions or short):
        raise nothing_fits(reasons)
    return replace(
        question_set,
        questions=questions,
        short=short,
        everything=questions,
        skipped=[*question_set.skipped, *(SkippedQuestion(*each) for each in reasons.items())],
        unfit=tuple(reasons),
    )


def _limited(question_set: QuestionSet) -> QuestionSet:
    """Keep the first questions of every method."""
    if question_set.limit is None:
        return question_set
    found = max(len(question_set.questions), len(question_set.short))
    if question_set.limit < found:
        log.info("evaluate: asking the first %d of %d questions", question_set.limit, found)
    return replace(
        question_set,
        questions=question_set.questions[: question_set.limit],
        short=question_set.short[: question_set.limit],
        everything=question_set.everything[: question_set.limit],
    )


def _short(path: Path, texts: Sequence[Document], methods: Sequence[str]) -> Questions:
    """Read the short-answer questions; none is an error only if no other method is configured."""
    if "short-answers" not in methods:
        return Questions((), ())
    try:
        return read_short_answers(path, texts)
    except UserError:
        if set(methods) == {"short-answers"}:
            raise
        log.warning("evaluate: no question has a short answer; short-answers is skipped")
        return Questions((), ())


def _choices(path: Path, texts: Sequence[Document], short: Questions) -> Questions:
    """Read the questions with options; none is an error only without short answers."""
    try:
        return read_questions(path, texts)
    except UserError:
        if not short.questions:
            raise
        reason = "nothing could be a wrong option"
        odd = tuple(SkippedQuestion(question.id, reason) for question in short.questions)
        return Questions((), odd + short.skipped)


def _on_split(question_set: QuestionSet, settings: EvaluateConfig) -> QuestionSet:
    ids = split_documents(question_set.texts)[settings.split]
    questions, short = (
        questions_on(question_set.questions, ids),
        questions_on(question_set.short, ids),
    )
    if not (questions or short):
        raise UserError(
            f"No question is about a document of the {settings.split} split.",
            where="evaluate.split",
            expected="of the documents, sorted by title, the first fifth is for validation",
            found=f"{len(ids)} documents in this split",
            hint="set evaluate.split to all",
        )
    return replace(question_set, questions=questions, short=short)
