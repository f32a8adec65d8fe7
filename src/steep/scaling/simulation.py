"""The process of the theory, step by step.

All steps are taken at once: the parents of every entity in every breadth-first tree are one matrix,
and all draws climb from y to x together. A link's first step decides the density from then on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steep.core.errors import UserError
from steep.scaling.theory import LinkGraph, tree_of

MOST_ENTITIES = 10_000  # two matrices of V x V: 1.2 GB
STEPS_AT_ONCE = 1 << 20


class Simulation:
    """Simulates one world, any number of times."""

    def __init__(self, world: LinkGraph) -> None:
        """Compute the breadth-first trees of all entities.

        Raises:
            UserError: The world is too large to keep a matrix of its pairs.
        """
        if world.entities > MOST_ENTITIES:
            raise UserError(
                "This world is too large to simulate.",
                expected=f"at most {MOST_ENTITIES:,} entities",
                found=f"{world.entities:,}",
                hint="the exact expectation needs no simulation",
            )
        self._world = world
        self._parents = np.empty((world.entities, world.entities), np.int32)
        for root in range(world.entities):
            self._parents[root] = tree_of(world, root).parents

    def density(self, steps: ArrayLike, seed: int) -> NDArray[np.float64]:
        """Return the link density of one run after each number of steps, in their shape."""
        wanted = np.asarray(steps, np.int64)
        added = self.added_at(int(wanted.max(initial=0)), seed)
        links = self._world.links.nnz
        density: NDArray[np.float64] = (
            links + np.searchsorted(added, wanted.ravel(), side="right")
        ) / self._world.pairs
        return density.reshape(wanted.shape)

    def added_at(self, steps: int, seed: int) -> NDArray[np.int64]:
        """Return the steps, counted from 1, at which new links are added, ascending."""
        entities, random = self._world.entities, np.random.default_rng(seed)
        never = steps + 1
        first = np.full(entities * entities, never, np.int64)
        for start in range(0, steps, STEPS_AT_ONCE):
            count = min(STEPS_AT_ONCE, steps - start)
            x = random.integers(entities, size=count)
            y = random.integers(entities - 1, size=count)
            y += y >= x
            self._climb(first, x, y, np.arange(start + 1, start + count + 1))
        matrix = self._world.links
        rows = np.repeat(np.arange(entities), np.diff(matrix.indptr))
        first[rows * entities + matrix.indices] = never
        return np.sort(first[first <= steps])

    def _climb(
        self,
        first: NDArray[np.int64],
        x: NDArray[np.int64],
        y: NDArray[np.int64],
        at: NDArray[np.int64],
    ) -> None:
        """Note the first step of each link on the paths from x to y.

        A link that an earlier step has added ends the climb: that step has added, or will add, all
        links above it.
        """
        entities = self._world.entities
        parents, keys = self._parents.ravel(), x * entities + y
        kept = parents[keys] >= 0  # y can be reached
        while True:
            kept &= at < first[keys]
            x, keys, at = x[kept], keys[kept], at[kept]
            if not len(x):
                return
            first[keys[::-1]] = at[::-1]  # of equal keys the earliest step is written last
            y = parents[keys]
            kept, keys = y != x, x * entities + y
