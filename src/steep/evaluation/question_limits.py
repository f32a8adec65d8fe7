"""The questions that do not fit a model, known before training from tokenizer and context.

Every local model is the base or trained from it, so one tokenizer and one context are enough. The
context of a served model is known to its server only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from steep.core.errors import UserError
from steep.core.token_ids import text_ids
from steep.documents.document import Document
from steep.evaluation.answers import SHORT_TOKENS, choice_prompts
from steep.evaluation.config import BASE
from steep.evaluation.encoding import encode_question
from steep.evaluation.prompts import LETTERS, closed_book_prompt, continuation, short_answer_prompt
from steep.evaluation.protocols import protocol_of
from steep.evaluation.questions import Question
from steep.evaluation.results import AnswerProtocol
from steep.evaluation.setup import EvaluationSetup
from steep.training.loading import load_tokenizer
from steep.training.models import context_tokens

SPECIAL_TOKENS = 8  # an upper bound of what tokenizers add to the bytes of a text


def not_askable(
    setup: EvaluationSetup,
    questions: Sequence[Question],
    short: Sequence[Question],
    documents: Mapping[str, Document],
) -> dict[str, str]:
    """Return, by question id, the reason why a question cannot be asked by every method.

    Args:
        setup: The settings of the evaluation.
        questions: The questions with options.
        short: The questions with short answers.
        documents: The document of each whole id that questions name.
    """
    reasons = _with_too_many_options(setup, questions)
    fitting = [each for each in questions if each.id not in reasons]
    served = setup.evaluate.servers
    if all(name in served for name in (BASE, *setup.arms)):
        return reasons
    directory, protocol = setup.base_directory(), protocol_of(setup.evaluate)
    limit = context_tokens(directory)
    if limit is None:
        return reasons
    tokenizer = _Lazy(lambda: load_tokenizer(directory))
    needs = {
        "likelihood": lambda: _likelihood_needs(fitting, documents, tokenizer, limit),
        "answers": lambda: _answer_needs(fitting, documents, tokenizer, limit, protocol),
        "short-answers": lambda: _short_needs(short, documents, tokenizer, limit),
    }
    for method in dict.fromkeys(setup.evaluate.methods):
        for question_id, tokens in needs[method]():
            if tokens > limit:
                reasons[question_id] = f"it takes {tokens:,} tokens of a context of {limit:,}"
    return reasons


def _with_too_many_options(setup: EvaluationSetup, questions: Sequence[Question]) -> dict[str, str]:
    if "answers" not in (*setup.evaluate.methods, setup.open_book.method):
        return {}
    return {
        each.id: f"it has {len(each.options)} options, and there are {len(LETTERS)} letters"
        for each in questions
        if len(each.options) > len(LETTERS)
    }


class _Lazy:
    """A tokenizer that is loaded on first use."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._loaded: Any = None

    def get(self) -> Any:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def count(self, text: str) -> int:
        """Count the tokens of a prompt, including BOS."""
        tokenizer = self.get()
        bos = int(tokenizer.bos_token_id is not None)
        return bos + len(text_ids(tokenizer, text))


def _may_outgrow(limit: int, *texts: str) -> bool:
    """Return True if texts may exceed the context: a token is at least a byte."""
    return sum(len(text.encode()) for text in texts) + SPECIAL_TOKENS > limit


def _likelihood_needs(
    questions: Sequence[Question], documents: Mapping[str, Document], tokenizer: _Lazy, limit: int
) -> Iterator[tuple[str, int]]:
    for each in questions:
        prompt = closed_book_prompt(each, documents[each.document_id])
        if _may_outgrow(limit, prompt, max(each.options, key=len)):
            options = [continuation(option) for option in each.options]
            yield each.id, encode_question(tokenizer.get(), prompt, options).context_tokens


def _answer_needs(
    questions: Sequence[Question],
    documents: Mapping[str, Document],
    tokenizer: _Lazy,
    limit: int,
    protocol: AnswerProtocol,
) -> Iterator[tuple[str, int]]:
    prompts, _ = choice_prompts(questions, documents, protocol)
    for each, prompt in zip(questions, prompts, strict=True):
        if _may_outgrow(limit - protocol.max_tokens, prompt):
            yield each.id, tokenizer.count(prompt) + protocol.max_tokens


def _short_needs(
    questions: Sequence[Question], documents: Mapping[str, Document], tokenizer: _Lazy, limit: int
) -> Iterator[tuple[str, int]]:
    for each in questions:
        prompt = short_answer_prompt(each, documents[each.document_id])
        if _may_outgrow(limit - SHORT_TOKENS, prompt, *each.answers):
            longest = max(map(tokenizer.count, each.answers))
            yield each.id, tokenizer.count(prompt) + max(SHORT_TOKENS, longest)


def nothing_fits(reasons: Mapping[str, str]) -> UserError:
    """Return the error for a file without a question that fits."""
    question, reason = next(iter(reasons.items()))
    return UserError(
        "None of the questions can be asked.",
        where="evaluate.questions",
        found=f"{len(reasons)} questions; '{question}': {reason}",
        hint="ask by fewer evaluate.methods (answers have long prompts), lower "
        "evaluate.max_tokens, or take a model with a longer context",
    )
