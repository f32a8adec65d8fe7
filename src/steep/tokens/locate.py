"""From a token of a shard to its text, and from a text of an arm to its row in the corpus.

The texts of an arm's shard are passages of the corpus in their order (see `ShardBuilder.arm`), so a
count of ids and recipes finds the row: no text of a million passages is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from steep.core.errors import UserError
from steep.corpus.passage import TextRow
from steep.tokens.build import is_held_out
from steep.tokens.shard import TokenShard
from steep.tokens.tokenize import tokenized

AROUND = 12  # tokens that are shown on either side
ROWS_READ = 2**16


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """A token in its shard.

    Attributes:
        token: Its position in the shard.
        text: The number of its text in the shard.
        texts: The number of texts in the shard.
        first: The position of the text's first token in the shard.
        tokens: The length of the text in tokens, with those that begin and end it.
        before: The decoded tokens of the same text just before it.
        decoded: The decoded token.
        after: The decoded tokens of the same text just after it.
    """

    token: int
    text: int
    texts: int
    first: int
    tokens: int
    before: str
    decoded: str
    after: str


def locate_token(shard: TokenShard, token: int, tokenizer: Any) -> TokenPlace:
    """Find the text of a token, and decode the token with its neighbors.

    Raises:
        UserError: The shard has no token at this position.
    """
    if not 0 <= token < shard.manifest.tokens:
        raise UserError(
            "There is no such token.",
            where="--token",
            expected=f"a position from 0 to {shard.manifest.tokens - 1:,}",
            found=f"{token:,}",
        )
    text = int(np.searchsorted(shard.ends, token, side="right"))
    first, stop = text_span(shard, text)

    def decoded(start: int, end: int) -> str:
        ids = shard.ids[max(start, first) : min(end, stop)]
        return str(tokenizer.decode(ids.tolist()))

    return TokenPlace(
        token,
        text,
        shard.manifest.texts,
        first,
        stop - first,
        decoded(token - AROUND, token),
        decoded(token, token + 1),
        decoded(token + 1, token + 1 + AROUND),
    )


def text_span(shard: TokenShard, text: int) -> tuple[int, int]:
    """Return the positions of the first token of a text, and of the one after its last."""
    return int(shard.ends[text - 1]) if text else 0, int(shard.ends[text])


def rows_of_arm(path: Path, recipes: Collection[str], holdout: float) -> Iterator[int]:
    """Yield the rows of a `passages.parquet` that an arm reads, in the order of its shard."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    start = 0
    for batch in pq.ParquetFile(path).iter_batches(ROWS_READ, columns=["id", "recipe"]):
        own = np.flatnonzero(pc.is_in(batch.column("recipe"), pa.array(list(recipes))))
        ids, names = (batch.column(name).take(pa.array(own)) for name in ("id", "recipe"))
        rows = zip(own.tolist(), ids.to_pylist(), names.to_pylist(), strict=True)
        for row, passage_id, recipe in rows:
            if not (holdout and is_held_out(TextRow(passage_id, recipe, ""), holdout)):
                yield start + row
        start += batch.num_rows


def row_of_text(path: Path, recipes: Collection[str], holdout: float, text: int) -> int | None:
    """Return the row of the passage that is text number `text` of an arm; None if there is none."""
    return next(islice(rows_of_arm(path, recipes, holdout), text, None), None)


def text_of_row(path: Path, recipes: Collection[str], holdout: float, row: int) -> int | None:
    """Return the number of a passage among the texts of an arm; None if it is not one of them."""
    for number, own in enumerate(rows_of_arm(path, recipes, holdout)):
        if own >= row:
            return number if own == row else None
    return None


def is_text(shard: TokenShard, number: int, text: str, tokenizer: Any) -> bool:
    """Return whether a text of the shard is this one, by its token ids."""
    if number >= shard.manifest.texts:
        return False
    first, stop = text_span(shard, number)
    (batch,) = tokenized([text], tokenizer)
    return np.array_equal(batch.ids, shard.ids[first:stop])
