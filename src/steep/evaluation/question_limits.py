"""The questions that do not fit a model, known before training from tokenizer and context.

Every local model is the base or trained from it, so one tokenizer and one context are enough. The
context of a served model is known to its server only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from steep.core.errors import UserError
from steep.core.token_ids import text_ids
from steep.documents.document import Document
from steep.evaluation.answers import SHORT_TOKENS, choice_prompts
from steep.evaluation.config import BASE
from steep.evaluation.encoding import encode_question
from steep.evaluation.prompts import LETTERS, closed_book_prompt, continuation, short_answer_prompt
from steep.evaluation.protocols import protocol_of
from steep.evaluation.questions import Question
from steep.evaluation.setup import EvaluationSetup
from steep.training.loading import load_tokenizer
from steep.training.models import context_tokens

SPECIAL_TOKENS = 8  # an upper bound of what tokenizers add to the bytes of a text


class _Need(NamedTuple):
    """The texts and further tokens of a question; `tokens` counts all with the tokenizer."""

    question_id: str
    texts: Sequence[str]
    further_tokens: int
    tokens: Callable[[Any], int]

    def may_exceed(self, limit: int) -> bool:
        """Return True if the context may be too short: a token is at least a byte."""
        size = sum(len(text.encode()) for text in self.texts) + SPECIAL_TOKENS
        return size + self.further_tokens > limit


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
        if need.may_exceed(limit) and (tokens := need.tokens(tokenizer())) > limit:
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
        texts = (prompt, max(each.options, key=len))
        yield _Need(each.id, texts, 0, partial(_option_tokens, prompt, each.options))
    if "answers" in methods:
        protocol = protocol_of(setup.evaluate)
        prompts, _ = choice_prompts(questions, documents, protocol)
        for each, prompt in zip(questions, prompts, strict=True):
            further = protocol.max_tokens
            yield _Need(each.id, (prompt,), further, partial(_text_tokens, prompt, (), further))
    for each in short if "short-answers" in methods else ():
        prompt = short_answer_prompt(each, documents[each.document_id])
        count = partial(_text_tokens, prompt, each.answers, SHORT_TOKENS)
        yield _Need(each.id, (prompt, *each.answers), SHORT_TOKENS, count)


def _option_tokens(prompt: str, options: Sequence[str], tokenizer: Any) -> int:
    return encode_question(tokenizer, prompt, [*map(continuation, options)]).context_tokens


def _text_tokens(prompt: str, answers: Sequence[str], least: int, tokenizer: Any) -> int:
    """Count the tokens of a prompt and its longest answer, both with BOS."""
    bos = int(tokenizer.bos_token_id is not None)
    counts = [bos + len(text_ids(tokenizer, text)) for text in (prompt, *answers)]
    return counts[0] + max(least, *counts[1:], 0)


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
