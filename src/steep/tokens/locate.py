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
from numpy.typing import NDArray

from steep.core.arms import PART, recipe_of
from steep.core.errors import UserError
from steep.corpus.passage import TextRow
from steep.tokens.build import is_held_out
from steep.tokens.shard import TokenShard
from steep.tokens.sources import source_of
from steep.tokens.subset import CHOSEN_NAME
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


def rows_of_arm(path: Path, sources: Collection[str], holdout: float) -> Iterator[int]:
    """Yield the rows of a `passages.parquet` that an arm reads, in the order of its shard."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    recipes, has_parts = {recipe_of(name) for name in sources}, any(PART in s for s in sources)
    columns = ["id", "recipe", *(["subset"] if has_parts else [])]
    start = 0
    for batch in pq.ParquetFile(path).iter_batches(ROWS_READ, columns=columns):
        own = np.flatnonzero(pc.is_in(batch.column("recipe"), pa.array(list(recipes))))
        taken = (batch.column(name).take(pa.array(own)).to_pylist() for name in columns)
        for row, passage_id, recipe, *subset in zip(own.tolist(), *taken, strict=True):
            text = TextRow(passage_id, recipe, "", *map(tuple, subset))
            if has_parts and source_of(text, sources) is None:
                continue
            if not (holdout and is_held_out(text, holdout)):
                yield start + row
        start += batch.num_rows


def row_of_text(
    path: Path, sources: Collection[str], holdout: float, text: int, shard: Path
) -> int | None:
    """Return the row of the passage that is text number `text` of a shard; None if there is none.

    The shard of an arm with weights holds some of the texts of its sources, and says which.
    """
    if (chosen := _chosen(shard)) is not None:
        text = int(chosen[text])
    return next(islice(rows_of_arm(path, sources, holdout), text, None), None)


def text_of_row(
    path: Path, sources: Collection[str], holdout: float, row: int, shard: Path
) -> int | None:
    """Return the number of a passage among the texts of a shard; None if it is not one of them."""
    for number, own in enumerate(rows_of_arm(path, sources, holdout)):
        if own >= row:
            return _number_in(shard, number) if own == row else None
    return None


def _chosen(shard: Path) -> NDArray[np.int64] | None:
    path = shard / CHOSEN_NAME
    return np.load(path) if path.exists() else None


def _number_in(shard: Path, number: int) -> int | None:
    """Return the place of a text of the sources in a shard that may hold only some of them."""
    if (chosen := _chosen(shard)) is None:
        return number
    place = int(np.searchsorted(chosen, number))
    return place if place < len(chosen) and chosen[place] == number else None


def is_text(shard: TokenShard, number: int, text: str, tokenizer: Any) -> bool:
    """Return whether a text of the shard is this one, by its token ids."""
    if number >= shard.manifest.texts:
        return False
    first, stop = text_span(shard, number)
    (batch,) = tokenized([text], tokenizer)
    return np.array_equal(batch.ids, shard.ids[first:stop])
