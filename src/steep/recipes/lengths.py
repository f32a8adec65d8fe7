"""The length of texts as recipes need it: without a tokenizer, and in any script."""

from __future__ import annotations

from steep.core.calls import byte_count
from steep.core.words import count_words
from steep.documents.document import Document

BYTES_PER_TOKEN = 4  # of UTF-8: four letters of English, one and a third Chinese characters


def approximate_tokens(text: str) -> int:
    """Return about how many tokens a text has: its bytes in UTF-8 divided by four."""
    return -(-byte_count(text) // BYTES_PER_TOKEN)


def too_short(document: Document, least_words: int) -> str | None:
    """Return that a document has fewer words, for `Recipe.unsuitable`; None if it has not."""
    if len(document.text) > 100 * least_words:
        return None
    words = count_words(document.text)
    return (
        None
        if words >= least_words
        else f"the document has {words} words, fewer than {least_words}"
    )
