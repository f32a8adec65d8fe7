"""Whether documents fit into the context of the model: said before anything is spent.

What the configuration says is believed, and a document beyond it is refused. A window from the list
of prices, or a mere suspicion, is a warning: the endpoint has the last word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steep.config import GenerateConfig
from steep.core.errors import UserError
from steep.core.listing import some_of
from steep.documents.document import Document
from steep.stages.pricing import base_urls

CHARACTERS_A_TOKEN = 3  # few for most languages, which leaves room for the instructions
CHARACTERS_A_WORD = 8  # likewise many
SHOWN_NAMES = 5
LARGE_CHARACTERS = 120_000  # some 30,000 tokens of English, more than many servers take


def check_context(documents: Sequence[Document], settings: GenerateConfig) -> None:
    """Refuse documents that cannot fit.

    Raises:
        UserError: A document is larger than the context.
    """
    if settings.context_tokens is None:
        return
    room = _room(settings, settings.context_tokens)
    if room <= 0:
        raise UserError(
            "The answer alone would fill the context.",
            where="generate.max_tokens",
            expected=f"well under generate.context_tokens, {settings.context_tokens:,}",
            found=f"{_answer(settings):,}",
        )
    too_long = [document for document in documents if len(document.text) > room]
    if too_long:
        longest = max(too_long, key=lambda document: len(document.text))
        raise UserError(
            f"{len(too_long)} of {len(documents)} documents are larger than the context.",
            where=f"the longest is '{longest.id}'",
            expected=f"at most about {room:,} characters (generate.context_tokens "
            f"{settings.context_tokens:,} less {_answer(settings):,} of an answer)",
            found=f"{len(longest.text):,} characters",
            hint=f"set documents.split_words to {_words(room)} or less",
        )


def context_warnings(documents: Sequence[Document], settings: GenerateConfig) -> Iterator[str]:
    """Yield what is to be feared of long documents where the configuration names no context."""
    if settings.context_tokens is not None or not (documents and base_urls(settings)):
        return  # a model in this process knows its context, and skips what exceeds it
    longest = max(documents, key=lambda document: len(document.text))
    characters = len(longest.text)
    window = _listed_window(settings)
    room = LARGE_CHARACTERS if window is None else _room(settings, window)
    too_long = sum(len(document.text) > room for document in documents)
    if not too_long:
        return
    many = f"{too_long:,} of {len(documents):,} documents"
    which = f"the longest is '{longest.id}' with {characters:,} characters"
    if window is None:
        yield (
            f"{many} may be too long for the model, whose context is not known; {which}. "
            "Set generate.context_tokens to have this checked, or documents.split_words"
        )
    else:
        yield (
            f"{many} may be too long for the context of this model, {window:,} tokens; {which}. "
            f"Set documents.split_words to {_words(room)} or less"
        )


def tell_beyond(manifest: dict[str, Any]) -> None:
    """Say which documents the endpoint has found too long, so that nothing is written about them.

    Raises:
        UserError: There are some.
    """
    beyond: list[str] = manifest["beyond_context"]
    if beyond:
        raise UserError(
            f"{len(beyond):,} of {manifest['documents']:,} documents exceed the context of the "
            "model, and cannot be read whole.",
            where=f"{manifest['endpoint']}, model '{manifest['model']}'",
            found=some_of(beyond, SHOWN_NAMES),
            hint="set documents.split_words, so that long documents are read in parts "
            "(steep status --failed tells what the endpoint said); all others are done",
        )


def _answer(settings: GenerateConfig) -> int:
    """Tokens of an answer and the thought before it at most."""
    return settings.max_tokens + settings.reasoning_tokens


def _room(settings: GenerateConfig, context_tokens: int) -> int:
    """Characters of a document that fit beside the answer."""
    return (context_tokens - _answer(settings)) * CHARACTERS_A_TOKEN


def _words(room: int) -> int:
    return max(50, room // CHARACTERS_A_WORD)


def _listed_window(settings: GenerateConfig) -> int | None:
    """The context of the model in the list of prices: the smallest at any of the endpoints."""
    from genai_prices import Usage, calc_price

    windows = []
    for url in base_urls(settings):
        try:
            model = calc_price(Usage(), model_ref=settings.model, provider_api_url=url).model
        except LookupError:
            continue
        if model.context_window is not None:
            windows.append(model.context_window)
    return min(windows, default=None)
