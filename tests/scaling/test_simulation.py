"""Simulated worlds, against the expectation and against a step-by-step loop of networkx."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest

from steep.core.errors import UserError
from steep.scaling.simulation import MOST_ENTITIES, Simulation
from steep.scaling.theory import LinkGraph, bounds, count_subtrees, random_world

nx = pytest.importorskip("networkx", reason="networkx, the reference, is not installed")

STEPS = 300
RUNS = 200


def graph_of(world: LinkGraph) -> Any:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(world.entities))
    rows, columns = world.links.nonzero()
    graph.add_edges_from(zip(rows.tolist(), columns.tolist(), strict=True))
    return graph


def plain_density(
    world: LinkGraph, graph: Any, seed: int, added: Callable[[list[int]], list[int]]
) -> float:
    """The paper's procedure as it is written: one path, one loop over it, per step."""
    random = np.random.default_rng(seed)
    links = set(graph.edges)
    for _ in range(STEPS):
        x, y = map(int, random.choice(world.entities, 2, replace=False))
        path = nx.single_source_shortest_path(graph, x).get(y, [])
        links.update((x, end) for end in added(path[1:]))
    return len(links) / world.pairs


def test_the_mean_of_runs_is_the_expectation() -> None:
    """The paper's figure 9: V = 100, p = 0.03."""
    world = random_world(100, 3, seed=0)
    steps = np.array([10, 100, 1000, 3000, 10_000, 30_000, 100_000])
    simulation, expected = Simulation(world), count_subtrees(world).density(steps)
    runs = np.array([simulation.density(steps, seed) for seed in range(200)])
    error = runs.std(axis=0, ddof=1) / len(runs) ** 0.5
    assert (abs(runs.mean(axis=0) - expected) < 4 * error + 1e-12).all()
    low, high = bounds(100, 3, steps)
    assert (low < expected).all() and (expected < high).all()
    assert (low < runs).all() and (runs < high).all()
    assert (np.diff(runs, axis=1) >= 0).all()


def plain_runs(world: LinkGraph, added: Callable[[list[int]], list[int]]) -> NDArray[np.float64]:
    graph = graph_of(world)
    return np.array([plain_density(world, graph, seed, added) for seed in range(RUNS)])


def test_runs_have_the_distribution_of_the_plain_procedure() -> None:
    world = random_world(40, 2, seed=3)
    simulation = Simulation(world)
    ours = np.array([float(simulation.density(STEPS, 10_000 + seed)) for seed in range(2000)])
    theirs = plain_runs(world, lambda path: path)
    assert kstest(theirs, ours).pvalue > 0.01
    # Without the entities on the way, the same test sees the difference.
    ends_only = plain_runs(world, lambda path: path[-1:])
    assert kstest(ends_only, ours).pvalue < 1e-9


def test_a_step_adds_the_whole_path() -> None:
    """In one chain, the number of added links tells which pair was drawn."""
    world = random_world(6, 1, seed=0)
    chain = world._replace(links=type(world.links)(np.eye(6, k=1, dtype=np.int8)))
    simulation = Simulation(chain)
    lengths = {len(simulation.added_at(1, seed)) for seed in range(300)}
    assert lengths == set(range(5))  # y = x + 1 is stated, and a path back adds nothing


def test_times_are_ascending_and_the_prefix_of_a_longer_run() -> None:
    simulation = Simulation(random_world(50, 3, seed=0))
    short, long = simulation.added_at(500, seed=4), simulation.added_at(500, seed=4)
    assert (short == long).all()
    assert (np.diff(short) >= 0).all() and short[0] >= 1 and short[-1] <= 500
    assert simulation.density([0, 500], seed=4)[0] == simulation.density(0, seed=9)


def test_steps_are_a_hundred_times_faster_than_those_of_networkx() -> None:
    """About 1,000 times when measured (LOG.md); the trees of all entities are included."""
    world = random_world(2000, 3, seed=0)
    graph, random = graph_of(world), np.random.default_rng(0)
    began = time.process_time()
    for _ in range(1500):
        x, y = map(int, random.choice(2000, 2, replace=False))
        try:
            nx.shortest_path(graph, x, y)
        except nx.NetworkXNoPath:
            continue
    theirs = (time.process_time() - began) / 1500
    began = time.process_time()
    Simulation(world).added_at(6_000_000, seed=0)
    ours = (time.process_time() - began) / 6_000_000
    assert theirs > 100 * ours, (theirs, ours)


def test_a_world_too_large_for_a_matrix_is_refused() -> None:
    world = random_world(2, 1, seed=0)._replace(entities=MOST_ENTITIES + 1)
    with pytest.raises(UserError, match="too large to simulate"):
        Simulation(world)
