"""Tokenize texts in order, on all cores, in bounded memory.

Rust tokenizers release the GIL, so threads are enough: each takes a batch of texts, for any value
of TOKENIZERS_PARALLELISM (the command disables the tokenizer's own threads, which make later forks
unsafe). Only a few batches wait, and the characters of a batch are limited, since the tokenizer
needs about 200 bytes per token of it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from steep.core.token_ids import encoder

BATCH_CHARACTERS = 2**18
BATCH_TEXTS = 512  # many short texts cost more per text than per character
BATCHES_AHEAD = 2  # completed or waiting, beyond those in progress

Item = TypeVar("Item")
Result = TypeVar("Result")


class TextBatch(NamedTuple):
    """Token ids of consecutive texts, the count of each text, and a mask of learned tokens."""

    ids: NDArray[np.int64]
    counts: NDArray[np.int64]
    mask: NDArray[np.uint8] | None = None


def tokenized(texts: Iterable[str], tokenizer: Any) -> Generator[TextBatch]:
    """Tokenize texts, each between BOS and EOS where the tokenizer has them."""
    encode = encoder(tokenizer)
    before = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    after = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]

    def work(batch: list[str]) -> TextBatch:
        return batch_of(before + ids + after for ids in encode(batch))

    yield from in_order(work, batched(texts, len), threads_for(tokenizer))


def threads_for(tokenizer: Any) -> int:
    """Return one thread per core, or one for a tokenizer in Python."""
    return len(os.sched_getaffinity(0)) if hasattr(tokenizer, "backend_tokenizer") else 1


def batch_of(texts: Iterable[list[int]]) -> TextBatch:
    """Concatenate lists of ids."""
    lists = list(texts)
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    ids = np.fromiter(chain.from_iterable(lists), np.int64, int(counts.sum()))
    return TextBatch(ids, counts)


def batched(items: Iterable[Item], size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Cut items into batches of limited characters; a longer item is a batch of its own."""
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
    """Yield results in the order of the items, with only a few items read ahead."""
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
