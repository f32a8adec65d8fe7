"""What every model is asked: the questions of a run, their documents, and how they are answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.core.files import content_hash
from steep.core.ids import stable_hash
from steep.documents.document import Document
from steep.evaluation.config import EvaluateConfig
from steep.evaluation.protocols import PROTOCOLS, Protocol
from steep.evaluation.questions import (
    Question,
    Questions,
    SkippedQuestion,
    read_questions,
    read_short_answers,
)
from steep.evaluation.splits import questions_on, split_documents
from steep.stages import documents as documents_stage

log = logging.getLogger("steep")

# Of a protocol what changes the texts; how they are read and counted does not.
ASKING = ("samples", "temperature", "max_tokens", "order_seed")
ORDER_SEED = 0  # of shuffled options, as the default protocol has it


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one configuration.

    Attributes:
        documents: The artifact of the documents.
        texts: Its documents, or parts of them.
        content: A hash of the file of questions.
        split: Which of the documents are asked about.
        limit: How many of the questions are asked at most; None is no limit.
        questions: Choices; a question with short answers is one among other answers.
        short: Questions with short answers, as they are.
        everything: The choices about all documents, whatever the split.
        skipped: What cannot be asked, and why.
        unfit: Those of them that models cannot be asked, e.g. because they are too long.
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
        """A document, or any part of it, by the id that questions have: for its name only."""
        return {document.whole_id: document for document in self.texts}

    @property
    def fields(self) -> dict[str, Any]:
        """What belongs to the identity of all answers; documents are an input."""
        split = {} if self.split == "all" else {"evaluate.split": self.split}
        limit = {} if self.limit is None else {"evaluate.limit": self.limit}
        unfit = {"left_out": stable_hash(sorted(self.unfit), 16)} if self.unfit else {}
        return {"evaluate.questions": self.content, **split, **limit, **unfit}

    def side(self, name: str) -> list[Question]:
        """The choices about the validation or the test documents."""
        return questions_on(self.everything, getattr(split_documents(self.texts), name))


def read_question_set(
    config: Config, project: Project, documents: Artifact, *, check_length: bool = True
) -> QuestionSet | None:
    """Read the questions; None where the configuration names none.

    Args:
        config: The configuration.
        project: Where models lie.
        documents: The artifact of the documents.
        check_length: Whether to leave out questions that are too long for a model of this machine,
            for which its tokenizer is read.

    Raises:
        UserError: They cannot be read, or none of them can be asked.
    """
    settings = config.evaluate
    if settings.questions is None:
        return None
    texts = documents_stage.load(documents)
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
        question_set = _that_fits(question_set, config, project)
    return _limited(question_set if settings.split == "all" else _on_split(question_set, settings))


def _that_fits(question_set: QuestionSet, config: Config, project: Project) -> QuestionSet:
    """The questions that every model can be asked; the others are named.

    Raises:
        UserError: There is none.
    """
    from steep.stages.question_limits import not_askable, nothing_fits

    protocol = protocol_of(config.evaluate)
    reasons = not_askable(
        config, project, protocol, question_set.questions, question_set.short, question_set.by_id
    )
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
    """The first questions of every kind of asking."""
    if question_set.limit is None:
        return question_set
    found = max(len(question_set.questions), len(question_set.short))
    if question_set.limit < found:
        log.info("evaluate: the first %d of %d questions are asked", question_set.limit, found)
    return replace(
        question_set,
        questions=question_set.questions[: question_set.limit],
        short=question_set.short[: question_set.limit],
        everything=question_set.everything[: question_set.limit],
    )


def _short(path: Path, texts: Sequence[Document], methods: Sequence[str]) -> Questions:
    """The questions with short answers, if they are asked for; beside others none is no error."""
    if "short-answers" not in methods:
        return Questions((), ())
    try:
        return read_short_answers(path, texts)
    except UserError:
        if set(methods) == {"short-answers"}:
            raise
        log.warning("evaluate: no question has a short answer, so none is asked")
        return Questions((), ())


def _choices(path: Path, texts: Sequence[Document], short: Questions) -> Questions:
    """The questions with options; none is no error where there are short answers to ask."""
    try:
        return read_questions(path, texts)
    except UserError:
        if not short.questions:
            raise
        reason = "nothing could be a wrong option"
        odd = tuple(SkippedQuestion(question.id, reason) for question in short.questions)
        return Questions((), odd + short.skipped)


def _on_split(question_set: QuestionSet, settings: EvaluateConfig) -> QuestionSet:
    ids = getattr(split_documents(question_set.texts), settings.split)
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


def protocol_of(settings: EvaluateConfig) -> Protocol:
    """The named protocol with the fields that the configuration sets itself."""
    named = PROTOCOLS[settings.protocol]
    given = {
        key: value
        for key in asdict(named)
        if key != "order_seed" and (value := getattr(settings, key)) is not None
    }
    if settings.shuffle_options is not None:
        given["order_seed"] = ORDER_SEED if settings.shuffle_options else None
    return replace(named, **given)


def asking_fields(protocol: Protocol, seed: int) -> dict[str, Any]:
    """The same as fields of an identity."""
    return {**{f"evaluate.{name}": getattr(protocol, name) for name in ASKING}, "seed": seed}


def check_protocol(settings: EvaluateConfig) -> None:
    """Refuse to pay for the same text several times.

    Raises:
        UserError: There are several samples without a temperature.
    """
    protocol = protocol_of(settings)
    if "answers" in settings.methods and protocol.samples > 1 and protocol.temperature == 0:
        raise UserError(
            "Several samples at temperature 0 are all the same text.",
            where="evaluate.samples",
            expected="1, or a temperature above 0",
            found=protocol.samples,
            hint="set evaluate.temperature, e.g. to 0.7",
        )


def reading_fields(settings: EvaluateConfig) -> dict[str, Any]:
    """How rows are counted, for the identity of the tables."""
    protocol = protocol_of(settings)
    return {
        "evaluate.normalizer": settings.normalizer,
        "evaluate.parser": protocol.parser,
        "evaluate.vote": protocol.vote,
        "evaluate.unparsed": protocol.unparsed,
    }
