"""What `steep theory` shows: the curve of a world, its regimes, bounds and approximation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.scaling.simulation import Simulation
from steep.scaling.theory import (
    LinkGraph,
    SubtreeSizes,
    bounds,
    branching_density,
    count_subtrees,
    random_world,
)

STEPS_PER_PAIR = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
MOST_EXACT = 2000  # entities up to which all sources are counted
SAMPLED_SOURCES = 200
MOST_SIMULATED = 200  # entities up to which runs are simulated: 0.1 s for each
RUNS = 50
MOST_LINKS = 20_000_000  # seconds per source, and 100 MB
LINEAR = 0.9  # of the first slope: growth is linear while it is at least that
PLATEAU = 0.95  # of all links that can be added


@dataclass(frozen=True, kw_only=True)
class TheoryPoint:
    """Link densities after a number of steps, as shares of all ordered pairs.

    Attributes:
        expected: The expectation for this world.
        error: Standard error of `expected` from sampling sources; 0 if all were counted.
        simulated: Mean of simulated runs; None for large worlds.
        simulated_error: Standard error of that mean.
        low: Theorem 1's lower bound; None, like the next two, if lambda is at most 1.
        high: Its upper bound.
        branching: The Galton-Watson approximation.
    """

    steps: int
    expected: float
    error: float
    simulated: float | None
    simulated_error: float | None
    low: float | None
    high: float | None
    branching: float | None


@dataclass(frozen=True, kw_only=True)
class TheoryResult:
    """The theory's curve of one random world.

    Attributes:
        sources: Entities whose breadth-first trees were counted.
        links: Stated pairs.
        reachable: Share of the pairs with a path: the limit of the density.
        linear_until: Steps up to which growth has at least 90% of its first slope.
        plateau_from: Steps from which 95% of what can be added is expected to be.
    """

    entities: int
    degree: float
    seed: int
    sources: int
    links: int
    reachable: float
    linear_until: int
    plateau_from: int
    points: tuple[TheoryPoint, ...]


def compute_theory(
    entities: int, degree: float, *, sources: int | None = None, seed: int = 0
) -> TheoryResult:
    """Draw a world and compute its curve.

    Args:
        entities: V.
        degree: lambda, the expected number of links per entity.
        sources: Entities whose trees are counted; None: all, or a sample of 200 in large worlds.
        seed: Of the world, the sample and the runs.

    Raises:
        UserError: There is no such world, it is too large, or no link can be added in it.
    """
    if entities * degree > MOST_LINKS:
        raise UserError(
            "This world is too large.",
            expected=f"at most {MOST_LINKS:,} links, entities times degree",
            found=f"{entities:,} x {degree:g}",
        )
    world = random_world(entities, degree, seed)
    if sources is None and entities > MOST_EXACT:
        sources = SAMPLED_SOURCES
    counted = count_subtrees(world, sources, derive_seed(seed, "sources"))
    if not counted.counts.any():
        raise UserError(
            "No path of two links was found in this world, so nothing can be deduced.",
            expected="more links per entity (lambda), or more entities or sources",
            found=f"{world.links.nnz:,} links of {entities:,} entities",
        )
    low, high = _regimes(counted)
    return TheoryResult(
        entities=entities,
        degree=degree,
        seed=seed,
        sources=int(counted.sources.sum()),
        links=world.links.nnz,
        reachable=counted.reachable,
        linear_until=low,
        plateau_from=high,
        points=_points(world, counted, seed),
    )


def _points(world: LinkGraph, counted: SubtreeSizes, seed: int) -> tuple[TheoryPoint, ...]:
    wanted = {max(1, round(share * world.pairs)) for share in STEPS_PER_PAIR}
    steps = np.array([0, *sorted(wanted)])
    missing = [None] * len(steps)
    columns: dict[str, list[float] | list[None]] = {
        "expected": counted.density(steps).tolist(),
        "error": counted.standard_error(steps).tolist(),
        "simulated": missing,
        "simulated_error": missing,
        "low": missing,
        "high": missing,
        "branching": missing,
    }
    if world.entities <= MOST_SIMULATED:
        simulation = Simulation(world)
        runs = np.array(
            [simulation.density(steps, derive_seed(seed, "run", run)) for run in range(RUNS)]
        )
        columns["simulated"] = runs.mean(axis=0).tolist()
        columns["simulated_error"] = (runs.std(axis=0, ddof=1) / RUNS**0.5).tolist()
    if world.degree > 1:
        low, high = bounds(world.entities, world.degree, steps)
        columns["low"], columns["high"] = low.tolist(), high.tolist()
        branching = branching_density(world.entities, world.degree, steps)
        columns["branching"] = branching.tolist()
    rows = zip(*columns.values(), strict=True)
    return tuple(
        TheoryPoint(steps=step, **dict(zip(columns, row, strict=True)))
        for step, row in zip(steps.tolist(), rows, strict=True)
    )


def _regimes(counted: SubtreeSizes) -> tuple[int, int]:
    """Return the last step of linear growth, and the first step of the plateau."""
    start, end = float(counted.density(0)), counted.reachable
    first = float(counted.density(1)) - start

    def first_step(is_past: Callable[[int], bool]) -> int:  # the conditions change once
        low, high = 1, 64 * counted.pairs
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if is_past(middle) else (middle + 1, high)
        return low

    bent = first_step(lambda t: float(counted.density(t)) - start < LINEAR * first * t)
    full = first_step(lambda t: float(counted.density(t)) - start >= PLATEAU * (end - start))
    return bent - 1, full
