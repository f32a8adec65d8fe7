"""Seconds for the order of an epoch, and for a row at any position, of a million texts.

    python -m benchmarks.tokens.order [--texts 1000000]

The order was once a loop over the entries of the permutation; that loop is timed beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from benchmarks.generation.measuring import conditions, table
from steep.core.permutation import Permutation
from steep.tokens.mixture import Mixture, MixtureShare
from steep.tokens.order import Stream
from steep.tokens.shard import ShardManifest, TokenShard

CONTEXT_TOKENS = 2048
TEXT_TOKENS = 450  # of one synthetic passage in the paper's corpus: 455M tokens, about a million
ROWS = 2000


def shard(texts: int) -> TokenShard:
    """Random ids; texts of 300 to 600 tokens."""
    draw = np.random.default_rng(0)
    ends = np.cumsum(draw.integers(300, 2 * TEXT_TOKENS - 300, texts))
    tokens = int(ends[-1])
    ids = draw.integers(0, 2**16, tokens, np.uint16)
    return TokenShard(ShardManifest(texts, tokens, "uint16", 2**16, "", ""), ids, ends)


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Time and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=1_000_000)
    options = parser.parse_args()
    print(conditions(["numpy"]), end="\n\n", flush=True)
    permutation = Permutation(options.texts, 7)
    loop_s = seconds(lambda: [permutation[index] for index in range(len(permutation))])
    array_s = seconds(permutation.as_array)
    corpus, replay = (Stream(shard(size), 1) for size in (options.texts, 1000))
    rows_of_epoch = corpus.shard.manifest.tokens // CONTEXT_TOKENS
    plain = Mixture(corpus, (MixtureShare("replay", replay, 0.1),), CONTEXT_TOKENS)
    isolated = Mixture(corpus, plain.shares, CONTEXT_TOKENS, "replace", isolate_documents=True)
    first_s = seconds(lambda: plain.rows(1000 * rows_of_epoch, 1))
    places = np.random.default_rng(0).integers(0, rows_of_epoch // 2, ROWS).tolist()
    lines = [("order, a loop over its entries", loop_s), ("order, as_array", array_s)]
    lines.append(("first row of a run that starts in epoch 1,000", first_s))
    for name, mixture in (("added replay", plain), ("replaced, isolated", isolated)):
        mixture.rows(0, 1)
        each_s = seconds(lambda m=mixture: [m.rows(row, 1) for row in places]) / ROWS  # type: ignore[misc]
        lines.append((f"a row anywhere in an epoch, {name}", each_s))
        batch_s = seconds(lambda m=mixture: [m.rows(row, 16) for row in places]) / ROWS  # type: ignore[misc]
        lines.append((f"16 rows anywhere in an epoch, {name}", batch_s))
    rows = 2 * rows_of_epoch
    lines.append((f"ledger of {rows:,} rows, replaced", seconds(lambda: isolated.ledger(rows))))
    print(table(("what", "ms"), ((name, f"{taken_s * 1000:,.3f}") for name, taken_s in lines)))


if __name__ == "__main__":
    main()
