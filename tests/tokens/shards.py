"""What the tests of this room share: shards in memory whose token ids say where they come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steep.tokens.shard import ShardManifest, TokenShard


def memory_shard(
    lengths: Sequence[int], first_id: int = 0, loss_mask: Sequence[int] | None = None
) -> TokenShard:
    """Texts of these lengths; no two of their tokens have the same id."""
    ids = np.arange(first_id, first_id + sum(lengths), dtype=np.uint32)
    manifest = ShardManifest(len(lengths), len(ids), "uint32", 2**32, "none", "none")
    mask = None if loss_mask is None else np.array(loss_mask, np.uint8)
    return TokenShard(manifest, ids, np.cumsum(lengths, dtype=np.int64), mask)
