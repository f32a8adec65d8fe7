"""Texts become arrays of token ids, in order, on all cores, in memory that does not grow.

The Rust tokenizers work while Python is free to do other things, so plain threads are enough: each
takes a batch of texts, whatever TOKENIZERS_PARALLELISM says (the tokenizer's own threads make later
forks unsafe, and the command therefore switches them off). A few batches wait at most, and a batch
ends after so many characters, because the tokenizer holds about 200 bytes for every token of it.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

BATCH_CHARACTERS = 2**18
BATCH_TEXTS = 512  # many short texts cost more per text than per character
BATCHES_AHEAD = 2  # done or waiting beyond the ones being worked on

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batch(NamedTuple):
    """Some texts: their ids one after another, how many each has, and what is to be learned."""

    ids: NDArray[np.int64]
    counts: NDArray[np.int64]
    mask: NDArray[np.uint8] | None = None


def tokenised(texts: Iterable[str], tokenizer: Any) -> Generator[Batch]:
    """Tokenise texts, each between BOS and EOS where the tokenizer has them."""
    encode = encoder(tokenizer)
    before = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    after = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]

    def work(batch: list[str]) -> Batch:
        return batch_of(before + ids + after for ids in encode(batch))

    yield from in_order(work, batched(texts, len), threads_for(tokenizer))


def encoder(tokenizer: Any) -> Callable[[list[str]], Iterator[list[int]]]:
    """What gives the ids of texts without special tokens, never padded or cut.

    A text that spells a special token (`<|endoftext|>`) is text: a document about language models
    must not end in the middle of a sentence.
    """
    rust = getattr(tokenizer, "backend_tokenizer", None)
    if rust is None:
        return lambda batch: iter(
            tokenizer(batch, add_special_tokens=False, split_special_tokens=True).input_ids
        )
    rust.no_truncation()
    rust.no_padding()
    rust.encode_special_tokens = True  # means: as the characters that they are
    special = {
        token.content: token_id
        for token_id, token in tokenizer.added_tokens_decoder.items()
        if token.special and token_id != tokenizer.unk_token_id
    }
    forbidden, inside = set(special.values()), _inside(special)

    def encode(batch: list[str]) -> Iterator[list[int]]:
        # Offsets, which only chats need, cost a tenth more.
        encodings = rust.encode_batch_fast(batch, add_special_tokens=False)
        for text, encoding in zip(batch, encodings, strict=True):
            ids = encoding.ids
            yield ids if forbidden.isdisjoint(ids) else _in_pieces(rust, inside.split(text))

    return encode


def _inside(special: Iterable[str]) -> re.Pattern[str]:
    """The places after the first character of every special token that a text spells."""
    places = [f"(?<={re.escape(each[0])})(?={re.escape(each[1:])})" for each in special if each[1:]]
    return re.compile("|".join(places))


def _in_pieces(rust: Any, pieces: Sequence[str]) -> list[int]:
    """Ids of a text that is cut inside every special token it spells.

    Some vocabularies (Unigram) hold the special tokens as words, which they find in whole texts.
    """
    found = rust.encode_batch_fast(list(pieces), add_special_tokens=False)
    return list(chain.from_iterable(each.ids for each in found))


def threads_for(tokenizer: Any) -> int:
    """One thread a core; only one for a tokenizer in Python."""
    return len(os.sched_getaffinity(0)) if hasattr(tokenizer, "backend_tokenizer") else 1


def batch_of(texts: Iterable[list[int]]) -> Batch:
    """Lay lists of ids one after another."""
    lists = list(texts)
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    ids = np.fromiter(chain.from_iterable(lists), np.int64, int(counts.sum()))
    return Batch(ids, counts)


def batched(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Cut items into batches of so many characters; a longer item is a batch of its own."""
    batch: list[Item] = []
    characters = 0
    for item in items:
        if batch and (characters + size(item) > BATCH_CHARACTERS or len(batch) == BATCH_TEXTS):
            yield batch
            batch, characters = [], 0
        batch.append(item)
        characters += size(item)
    if batch:
        yield batch


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[Result]:
    """Yield the results in the order of the items; only a few items are taken ahead."""
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= threads + BATCHES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
