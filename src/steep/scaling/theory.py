"""The paper's theory of EntiGraph: how link density grows with the number of steps (section 6).

The source documents state each of the N = V(V - 1) ordered pairs of V entities with probability
p = lambda / V. Each step draws a pair (x, y) and adds what a shortest path from x to y implies: the
link from x to every entity of the path. Link density is the share of all ordered pairs that are
stated or added.

Given the source graph, the expected density needs no simulation. A step adds the pair (i, j) if it
draws i and an entity below j in the breadth-first tree of i, j included:

    q_ij = (size of the subtree of j in the tree of i) / N
    density(t) = (links + sum over reachable pairs without a link of 1 - (1 - q_ij)^t) / N

so the numbers of pairs by subtree size decide the whole curve (`SubtreeSizes`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order
from scipy.special import lambertw

from steep.core.errors import UserError

Numbers = NDArray[np.float64]
VALUES_AT_ONCE = 1 << 22  # of a matrix of steps and subtree sizes: 32 MB
GROUPS = 20  # of sources, whose spread gives the error of a sample
EPSILON = 0.1  # slack of the bounds; at V = 100 the limit alone is some 4% below the theorem's
LEAST_WEIGHT = 1e-15


class LinkGraph(NamedTuple):
    """A random directed graph of entities.

    Attributes:
        entities: V, the number of entities.
        links: CSR matrix of shape (V, V); row i has the entities that i is linked to.
        degree: lambda, the expected number of links of an entity.
    """

    entities: int
    links: csr_array
    degree: float

    @property
    def pairs(self) -> int:
        """N, the number of ordered pairs of different entities."""
        return self.entities * (self.entities - 1)


def random_world(entities: int, degree: float, seed: int) -> LinkGraph:
    """Draw a graph in which each ordered pair is linked with probability degree / entities.

    The number of links of each entity is binomial, and their ends are drawn without replacement,
    which is the same distribution as a coin for each pair, in O(links) memory.

    Raises:
        UserError: There are fewer than two entities, or the degree is not in (0, entities].
    """
    if entities < 2 or not 0 < degree <= entities:
        raise UserError(
            "There is no such random graph.",
            expected="at least 2 entities, and a degree between 0 and their number",
            found=f"{entities:,} entities of degree {degree:g}",
        )
    random = np.random.default_rng(seed)
    counts = random.binomial(entities - 1, degree / entities, entities)
    rows = [
        _without(random.choice(entities - 1, count, replace=False, shuffle=False), entity)
        for entity, count in enumerate(counts)
    ]
    ends = np.concatenate([[0], np.cumsum(counts)])
    columns = np.concatenate(rows).astype(np.int32)
    data = np.ones(len(columns), np.int8)
    return LinkGraph(entities, csr_array((data, columns, ends), shape=(entities, entities)), degree)


def _without(drawn: NDArray[np.int64], entity: int) -> NDArray[np.int64]:
    """Map numbers of all other entities to entities, in order."""
    return np.sort(drawn + (drawn >= entity))


class Tree(NamedTuple):
    """The breadth-first tree of an entity: its parent array, and reached entities in order."""

    order: NDArray[np.int32]  # the root first
    parents: NDArray[np.int32]  # by entity; negative where there is none


def tree_of(world: LinkGraph, root: int) -> Tree:
    """Return the breadth-first tree of a root; links of lower number come first."""
    return Tree(*breadth_first_order(world.links, root, directed=True, return_predecessors=True))


def levels_of(tree: Tree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the levels of a tree.

    Returns:
        The place of each reached entity's parent in breadth-first order (that of the root is 0),
        and the place at which each level starts, with the number of reached entities last.
    """
    places = np.empty(len(tree.parents), np.int64)
    places[tree.order] = np.arange(len(tree.order))
    above = np.zeros(len(tree.order), np.int64)
    above[1:] = places[tree.parents[tree.order[1:]]]
    starts = [0, 1]
    while starts[-1] < len(above):  # parents are in order, so each level is one slice
        starts.append(1 + int(np.searchsorted(above[1:], starts[-1])))
    return above, np.array(starts)


def subtree_sizes(above: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the size of the subtree of each reached entity, in breadth-first order."""
    sizes = np.ones(len(above), np.int64)
    for level in range(len(starts) - 2, 0, -1):
        low, first, stop = starts[level - 1 : level + 2]
        added = np.bincount(above[first:stop] - low, sizes[first:stop], first - low)
        sizes[low:first] += added.astype(np.int64)
    return sizes


@dataclass(frozen=True)
class SubtreeSizes:
    """What the expected density of a world depends on, counted for groups of source entities.

    Attributes:
        entities: V.
        sources: Number of entities in each group, shape (groups,).
        links: Stated pairs of the entities of each group, shape (groups,).
        sizes: The subtree sizes k that occur, shape (K,).
        counts: Reachable pairs that are not stated, by group and k, shape (groups, K).
    """

    entities: int
    sources: NDArray[np.int64]
    links: NDArray[np.int64]
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]

    @property
    def pairs(self) -> int:
        """N, the number of ordered pairs of different entities."""
        return self.entities * (self.entities - 1)

    @property
    def reachable(self) -> float:
        """The share of pairs with a path: the limit of the density."""
        counted = int(self.sources.sum()) * (self.entities - 1)
        return float(self.links.sum() + self.counts.sum()) / counted

    def density(self, steps: ArrayLike) -> Numbers:
        """Return the expected link density after each number of steps, in the shape of `steps`."""
        wanted = np.asarray(steps, np.float64)
        counted = self.sources.sum() * (self.entities - 1)
        found = self._added(wanted.ravel(), self.counts.sum(axis=0))
        density: Numbers = ((self.links.sum() + found) / counted).reshape(wanted.shape)
        return density

    def standard_error(self, steps: ArrayLike) -> Numbers:
        """Return the standard error of `density` that comes from counting a sample of sources."""
        wanted = np.asarray(steps, np.float64)
        groups, sampled = len(self.sources), int(self.sources.sum())
        if sampled == self.entities or groups < 2:
            return np.full(wanted.shape, 0.0 if sampled == self.entities else np.nan)
        added = np.array([self._added(wanted.ravel(), each) for each in self.counts])
        counted = self.sources * (self.entities - 1)
        by_group = (self.links[:, None] + added) / counted[:, None]
        left = 1 - sampled / self.entities  # sources are drawn without replacement
        error: Numbers = by_group.std(axis=0, ddof=1) * math.sqrt(left / groups)
        return error.reshape(wanted.shape)

    def _added(self, steps: Numbers, counts: NDArray[np.int64]) -> Numbers:
        """Return the expected number of added pairs."""
        per_step = np.log1p(-self.sizes / self.pairs)
        found = np.empty(len(steps))
        rows = max(1, VALUES_AT_ONCE // max(1, len(per_step)))
        for first in range(0, len(steps), rows):
            some = slice(first, first + rows)
            found[some] = -np.expm1(np.outer(steps[some], per_step)) @ counts
        return found


def count_subtrees(world: LinkGraph, sources: int | None = None, seed: int = 0) -> SubtreeSizes:
    """Count the subtree sizes in the breadth-first trees of all entities, or of a sample.

    O(sources * links) time, in compiled code for each tree.
    """
    entities = world.entities
    if sources is None or sources >= entities:
        roots = np.arange(entities)
    else:
        roots = np.random.default_rng(seed).choice(entities, sources, replace=False)
    groups = np.array_split(roots, min(GROUPS, len(roots)))
    histograms = np.zeros((len(groups), entities), np.int64)
    links = np.zeros(len(groups), np.int64)
    for group, members in enumerate(groups):
        for root in members:
            above, starts = levels_of(tree_of(world, int(root)))
            if len(starts) < 3:  # without links
                continue
            links[group] += starts[2] - 1
            added = subtree_sizes(above, starts)[starts[2] :]
            np.add.at(histograms[group], added, 1)
    (sizes,) = np.nonzero(histograms.any(axis=0))
    counted = np.array([len(members) for members in groups])
    return SubtreeSizes(entities, counted, links, sizes, histograms[:, sizes])


def survival(degree: float) -> float:
    """Return 1 - rho: the chance that a Poisson(degree) branching process never dies out."""
    if degree <= 1:
        return 0.0
    return 1 + float(lambertw(-degree * math.exp(-degree)).real) / degree


def bounds(entities: int, degree: float, steps: ArrayLike) -> tuple[Numbers, Numbers]:
    """Return Theorem 1's lower and upper bound of the density, in the shape of `steps`.

    They hold with a probability that tends to 1 as V grows, for any fixed `EPSILON` > 0.

    Raises:
        UserError: The degree is at most 1, or there are fewer than two entities.
    """
    _check_supercritical(entities, degree)
    wanted = np.asarray(steps, np.float64)
    pairs, limit = entities * (entities - 1), survival(degree) ** 2
    longest = (1 + EPSILON) * math.log(entities) / math.log(degree)
    low = degree / entities + limit * -np.expm1(wanted * math.log1p(-1 / pairs))
    high = degree / entities + limit * -np.expm1(wanted * math.log1p(-min(1 / 2, longest / pairs)))
    return low * (1 - EPSILON), high * (1 + EPSILON)


def branching_density(entities: int, degree: float, steps: ArrayLike) -> Numbers:
    """Return the paper's Galton-Watson approximation of the density, in the shape of `steps`.

    Equation 2 mixes (1 - k/N)^t over the size k of a Poisson(degree) branching process cut at
    generation l, whose distribution over l is geometric. With (1 - k/N)^t as exp(-t k/N), which
    differs by a share of about k/N, the inner sum is the generating function of the cut process at
    s = exp(-t/N): G_0(s) = s, and G_l+1(s) = s exp(degree (G_l(s) - 1)).

    Raises:
        UserError: The degree is at most 1, or there are fewer than two entities.
    """
    _check_supercritical(entities, degree)
    wanted = np.asarray(steps, np.float64)
    s = np.exp(-wanted / (entities * (entities - 1)))
    generating, weight, missing = s.copy(), 1 - 1 / degree, np.zeros_like(s)
    while weight > LEAST_WEIGHT:
        missing += weight * generating
        generating = s * np.exp(degree * (generating - 1))
        weight /= degree
    density: Numbers = degree / entities + survival(degree) ** 2 * (1 - missing)
    return density


def _check_supercritical(entities: int, degree: float) -> None:
    if entities < 2 or degree <= 1:
        raise UserError(
            "The theory needs a connected world.",
            expected="at least 2 entities, and more than one link per entity (lambda > 1)",
            found=f"{entities:,} entities with {degree:g} links each",
        )
