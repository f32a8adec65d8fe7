"""Documents that are too short for a recipe."""

from __future__ import annotations

from steep.core.words import count_words
from steep.documents.document import Document


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
