"""The question set: the questions that every model is asked, and their documents."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.files import content_hash
from steep.core.ids import stable_hash
from steep.core.token_ids import token_ids
from steep.documents.document import Document
from steep.documents.store import documents_of
from steep.evaluation.config import BASE, EvaluateConfig
from steep.evaluation.encoding import encode_question
from steep.evaluation.prompts import LETTERS, closed_book_prompt, continuation, short_answer_prompt
from steep.evaluation.protocols import protocol_of
from steep.evaluation.questions import (
    Question,
    Questions,
    questions_on,
    read_questions,
    read_short_answers,
    split_documents,
)
from steep.evaluation.results import SkippedQuestion
from steep.evaluation.rows import SHORT_TOKENS, choice_prompts
from steep.evaluation.setup import EvaluationSetup
from steep.training.loading import load_tokenizer
from steep.training.models import context_tokens

log = logging.getLogger("steep")

SPECIAL_TOKENS = 8  # an upper bound of what tokenizers add to the bytes of a text
SHORT_ONLY = "; asked as a short answer only"  # the end of a reason


@dataclass(frozen=True)
class QuestionSet:
    """The questions of one evaluation.

    Attributes:
        questions: Questions with options; those with short answers have other answers as options.
        unfit: Ids of those that do not fit a model, e.g. because they are too long.
    """

    documents: Artifact
    texts: Sequence[Document]  # the documents, or parts of them
    content: str  # a hash of the file of questions
    split: str  # the documents that are asked about
    limit: int | None
    questions: Sequence[Question]
    short: Sequence[Question]
    everything: Sequence[Question]  # the questions with options about all documents, in every split
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

    With `check_length`, which reads the tokenizer, questions that are too long for a local model
    are left out.

    Raises:
        UserError: The questions cannot be read, or none of them can be asked.
    """
    settings = setup.evaluate
    if settings.questions is None:
        return None
    texts = documents_of(documents)
    short, skipped = _short(settings.questions, texts, settings.methods)
    choices, not_choices = _choices(settings.questions, texts, Questions(short, skipped))
    ids = {question.id for question in short}
    reasons = [
        SkippedQuestion(id_, f"{reason}{SHORT_ONLY}" if id_ in ids else reason)
        for id_, reason in not_choices
    ]
    content, split = content_hash(settings.questions), settings.split
    question_set = QuestionSet(
        documents, texts, content, split, settings.limit, choices, short, choices, reasons
    )
    if check_length:
        question_set = _that_fits(question_set, setup)
    return _limited(question_set if settings.split == "all" else _on_split(question_set, settings))


def _that_fits(question_set: QuestionSet, setup: EvaluationSetup) -> QuestionSet:
    """Keep the questions that fit every model; the others become skipped ones."""
    reasons = _not_askable(setup, question_set.questions, question_set.short, question_set.by_id)
    if not reasons:
        return question_set
    questions = [each for each in question_set.questions if each.id not in reasons]
    short = [each for each in question_set.short if each.id not in reasons]
    if not (questions or short):
        question, reason = next(iter(reasons.items()))
        raise UserError(
            "None of the questions can be asked.",
            where="evaluate.questions",
            found=f"{len(reasons)} questions; '{question}': {reason}",
            hint="ask by fewer evaluate.methods (answers have long prompts), lower "
            "evaluate.max_tokens, or take a model with a longer context",
        )
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
    limit = question_set.limit
    if limit is None:
        return question_set
    found = max(len(question_set.questions), len(question_set.short))
    if limit < found:
        log.info("evaluate: asking the first %d of %d questions", limit, found)
    return replace(
        question_set,
        questions=question_set.questions[:limit],
        short=question_set.short[:limit],
        everything=question_set.everything[:limit],
    )


def _short(path: Path, texts: Sequence[Document], methods: Sequence[str]) -> Questions:
    """Read the short-answer questions; there must be some if no other method is configured."""
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
    """Read the questions with options; there must be some without short answers."""
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
    questions = questions_on(question_set.questions, ids)
    short = questions_on(question_set.short, ids)
    if not (questions or short):
        raise UserError(
            f"No question is about a document of the {settings.split} split.",
            where="evaluate.split",
            expected="of the documents, sorted by title, the first fifth is for validation",
            found=f"{len(ids)} documents in this split",
            hint="set evaluate.split to all",
        )
    return replace(question_set, questions=questions, short=short)


class _Need(NamedTuple):
    """The texts and further tokens of a question; `tokens` counts all with the tokenizer."""

    question_id: str
    texts: Sequence[str]
    further_tokens: int
    tokens: Callable[[Any], int]


def _not_askable(
    setup: EvaluationSetup,
    questions: Sequence[Question],
    short: Sequence[Question],
    documents: Mapping[str, Document],
) -> dict[str, str]:
    """Return, by question id, the reason why a question cannot be asked by every method.

    Every local model is the base or trained from it, so one tokenizer and one context are enough.
    The context of a served model is known to its server only.
    """
    reasons = {}
    if "answers" in (*setup.evaluate.methods, setup.open_book.method):
        reasons = {
            each.id: f"it has {len(each.options)} options, and there are {len(LETTERS)} letters"
            for each in questions
            if len(each.options) > len(LETTERS)
        }
    if all(name in setup.evaluate.servers for name in (BASE, *setup.arms)):
        return reasons
    directory = setup.base_directory()
    limit = context_tokens(directory)
    if limit is None:
        return reasons
    fitting = [each for each in questions if each.id not in reasons]
    tokenizer = cache(partial(load_tokenizer, directory))
    for need in _needs(setup, fitting, short, documents):
        most = sum(len(text.encode()) for text in need.texts) + SPECIAL_TOKENS + need.further_tokens
        # A token is at least a byte, so most questions need no tokenizer.
        if most > limit and (tokens := need.tokens(tokenizer())) > limit:
            reasons[need.question_id] = f"it takes {tokens:,} tokens of a context of {limit:,}"
    return reasons


def _needs(
    setup: EvaluationSetup,
    questions: Sequence[Question],
    short: Sequence[Question],
    documents: Mapping[str, Document],
) -> Iterator[_Need]:
    """Yield what each question needs by each method."""
    methods = setup.evaluate.methods
    for each in questions if "likelihood" in methods else ():
        prompt = closed_book_prompt(each, documents[each.document_id])
        longest = max(each.options, key=len)
        yield _Need(each.id, (prompt, longest), 0, partial(_option_tokens, prompt, each.options))
    if "answers" in methods:
        protocol = protocol_of(setup.evaluate)
        further = protocol.max_tokens
        prompts, _ = choice_prompts(questions, documents, protocol)
        for each, prompt in zip(questions, prompts, strict=True):
            yield _Need(each.id, (prompt,), further, partial(_text_tokens, prompt, (), further))
    for each in short if "short-answers" in methods else ():
        prompt = short_answer_prompt(each, documents[each.document_id])
        count = partial(_text_tokens, prompt, each.answers, SHORT_TOKENS)
        yield _Need(each.id, (prompt, *each.answers), SHORT_TOKENS, count)


def _option_tokens(prompt: str, options: Sequence[str], tokenizer: Any) -> int:
    return encode_question(tokenizer, prompt, [*map(continuation, options)]).context_tokens


def _text_tokens(prompt: str, answers: Sequence[str], least: int, tokenizer: Any) -> int:
    """Count the tokens of a prompt and its longest answer, both with BOS."""
    counts = [len(token_ids(tokenizer, text)) for text in (prompt, *answers)]
    return counts[0] + max(least, *counts[1:], 0)
