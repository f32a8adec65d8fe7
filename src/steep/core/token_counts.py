"""The number of tokens of a text: of a tokenizer file, or about, without one, in any script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from steep.core.calls import byte_count

BYTES_PER_TOKEN = 4  # of UTF-8: four letters of English, one and a third Chinese characters


def approximate_tokens(text: str) -> int:
    """Return about how many tokens a text has: its bytes in UTF-8 divided by four."""
    return -(-byte_count(text) // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts the tokens of a text.

    Attributes:
        count: Returns the number of tokens.
        tokenizer: Hash of the tokenizer's file; None if tokens are estimated from bytes.
    """

    count: Callable[[str], int] = approximate_tokens
    tokenizer: str | None = None


ESTIMATE = TokenCounter()


def token_counter(path: Path) -> TokenCounter:
    """Return the counter of a `tokenizer.json`."""
    from tokenizers import Tokenizer

    from steep.core.files import content_hash

    tokenizer = Tokenizer.from_file(str(path))
    return TokenCounter(
        lambda text: len(tokenizer.encode(text, add_special_tokens=False)), content_hash(path)
    )
