"""Check, before anything is spent, that documents fit into the context of the model.

A document beyond the configured context is an error. A context from the price list or from the
endpoint's list of models, or an unknown one, only gives a warning: the number of tokens of a
document is an estimate here, and the endpoint decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.core.token_counts import approximate_tokens
from steep.documents.config import LEAST_SPLIT_TOKENS
from steep.documents.document import Document
from steep.generation.config import GenerateConfig
from steep.generation.setup import answer_limit, base_urls
from steep.ledger.budget import MOST_CHARACTERS_PER_TOKEN

CHARACTERS_PER_TOKEN = 3  # low for most languages, which leaves some for the instructions
SHOWN_NAMES = 5
ANSWER_S = 5.0  # for a list of models, which is optional
LEAST_CONTEXT_TOKENS = 4096  # hardly any server has less
LARGE_CHARACTERS = 120_000  # some 30,000 tokens of English, more than many servers take


def check_context(documents: Sequence[Document], settings: GenerateConfig) -> None:
    """Check that all documents fit into the configured context.

    Raises:
        UserError: A document is larger than the context.
    """
    if settings.context_tokens is None:
        return
    fits = _fitting(settings, settings.context_tokens)
    if fits <= 0:
        raise UserError(
            "The answer alone would fill the context.",
            where="generate.max_tokens",
            expected=f"well under generate.context_tokens, {settings.context_tokens:,}",
            found=f"{answer_limit(settings):,}",
        )
    too_long = [document for document in documents if len(document.text) > fits]
    if too_long:
        longest = max(too_long, key=lambda document: len(document.text))
        raise UserError(
            f"{len(too_long)} of {len(documents)} documents are larger than the context.",
            where=f"the longest is '{longest.id}'",
            expected=f"at most about {fits:,} characters (generate.context_tokens "
            f"{settings.context_tokens:,} less {answer_limit(settings):,} of an answer)",
            found=f"{len(longest.text):,} characters",
            hint=f"set documents.split_tokens to {_split_tokens(fits)} or less",
        )


def context_warnings(
    documents: Sequence[Document], settings: GenerateConfig, *, ask: bool = True
) -> Iterator[str]:
    """Yield warnings about documents beyond the context of the model, and about very long ones.

    With `ask`, endpoints are asked for the context of an unlisted model, if a document may exceed
    `LEAST_CONTEXT_TOKENS`. An endpoint that does not answer within `ANSWER_S` is ignored.
    """
    if not (documents and base_urls(settings)):
        return  # a model in this process knows its context, and skips what exceeds it
    by_length = sorted(documents, key=lambda document: -len(document.text))
    window = settings.context_tokens
    if window is None:
        characters = len(by_length[0].text)
        tokens = characters / CHARACTERS_PER_TOKEN + answer_limit(settings)
        window = _window(settings, ask and tokens > LEAST_CONTEXT_TOKENS)
        yield from _beyond(window, by_length, settings)
    if window is not None:
        yield from _very_long(by_length, _fitting(settings, window))


def _beyond(
    window: int | None, by_length: Sequence[Document], settings: GenerateConfig
) -> Iterator[str]:
    """Yield a warning about documents beyond a context that is not configured, or not known."""
    fits = LARGE_CHARACTERS if window is None else _fitting(settings, window)
    if window is not None and fits <= 0:
        yield (
            f"generate.max_tokens, {answer_limit(settings):,} with generate.reasoning_tokens, "
            f"alone would fill the context of this model, {window:,} tokens; lower it"
        )
        return
    if not (too_long := [each.id for each in by_length if len(each.text) > fits]):
        return
    context, hint = (
        "model, whose context is not known",
        "Set generate.context_tokens to have this checked, or documents.split_tokens",
    )
    if window is not None:
        context = f"context of this model, {window:,} tokens"
        hint = (
            f"Set documents.split_tokens to {_split_tokens(fits)} or less, or "
            "generate.context_tokens if the context is another"
        )
    yield (
        f"{len(too_long):,} of {len(by_length):,} documents may be too long for the {context}: "
        f"{some_of(too_long, SHOWN_NAMES)}. The longest has {len(by_length[0].text):,} "
        f"characters. {hint}"
    )


def _very_long(by_length: Sequence[Document], fits: int) -> Iterator[str]:
    """Yield a warning about documents that fit, but make every prompt very long."""
    found = [each for each in by_length if LARGE_CHARACTERS < len(each.text) <= fits]
    if found:
        tokens = approximate_tokens(found[0].text)
        yield (
            f"{len(found):,} of {len(by_length):,} documents are very long: "
            f"{some_of([each.id for each in found], SHOWN_NAMES)}. Every call about one of them "
            f"reads all of it, up to about {tokens:,} tokens. documents.split_tokens splits them "
            "(docs/documents.md)"
        )


def _fitting(settings: GenerateConfig, context_tokens: int) -> int:
    """Return how many characters of a document fit beside the answer."""
    return (context_tokens - answer_limit(settings)) * CHARACTERS_PER_TOKEN


def _split_tokens(characters: int) -> int:
    """Return the tokens of parts that fit with any tokenizer of the generator."""
    return max(LEAST_SPLIT_TOKENS, int(characters / MOST_CHARACTERS_PER_TOKEN))


def _window(settings: GenerateConfig, ask: bool) -> int | None:
    """Return the smallest context of the model at any endpoint, listed or reported."""
    from genai_prices import Usage, calc_price

    found: list[int | None] = []
    unknown: list[str] = []
    for url in base_urls(settings):
        try:
            listed = calc_price(Usage(), model_ref=settings.model, provider_api_url=url)
            found.append(listed.model.context_window)
        except LookupError:
            found.append(None)
        if found[-1] is None:
            unknown.append(url)
    if ask and unknown:
        found += asyncio.run(_reported_windows(settings, unknown))
    return min(filter(None, found), default=None)


async def _reported_windows(settings: GenerateConfig, urls: Sequence[str]) -> list[int | None]:
    """Ask all endpoints at once for the context of the model; None if unknown."""
    from steep.llm.openai import OpenAIClient

    async def ask(url: str) -> int | None:
        try:
            client = OpenAIClient(url, api_key_env=settings.api_key_env, timeout_s=ANSWER_S)
        except UserError:  # a wrong address or key is reported elsewhere
            return None
        try:
            return await client.context_window(settings.model)
        finally:
            await client.close()

    return await asyncio.gather(*map(ask, urls))
