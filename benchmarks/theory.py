"""Steps/s of the simulated theory, against a plain loop over networkx, in one run.

    python -m benchmarks.theory [--entities 2000] [--degree 3] [--runs 40] [--run-steps 1000]

Both take steps in the same world. The plain loop calls `networkx.shortest_path` once per step, as
the paper's procedure is written; its steps all cost the same, so some tens of thousands are enough.
Ours includes the breadth-first trees of all entities. A Kolmogorov-Smirnov test compares the link
densities of the runs of both.
"""

from __future__ import annotations

import argparse
import time

import networkx as nx
import numpy as np
from scipy.stats import kstest

from steep.scaling.simulation import Simulation
from steep.scaling.theory import random_world

OUR_STEPS_PER_PAIR = 3  # to the plateau


def main() -> None:
    """Time both, and compare their distributions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entities", type=int, default=2000)
    parser.add_argument("--degree", type=float, default=3)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--run-steps", type=int, default=1000)
    options = parser.parse_args()
    world = random_world(options.entities, options.degree, seed=0)
    rows, columns = world.links.nonzero()
    graph = nx.DiGraph(list(zip(rows.tolist(), columns.tolist(), strict=True)))
    graph.add_nodes_from(range(world.entities))
    began = time.process_time()
    theirs = [plain_run(graph, options.run_steps, seed) for seed in range(options.runs)]
    their_s = (time.process_time() - began) / (options.runs * options.run_steps)
    steps = OUR_STEPS_PER_PAIR * world.pairs
    began = time.process_time()
    simulation = Simulation(world)
    reached = float(simulation.density(steps, seed=0))
    our_s = (time.process_time() - began) / steps
    ours = [float(simulation.density(options.run_steps, seed)) for seed in range(1000)]
    test = kstest(theirs, ours)
    print(f"networkx: {1e6 * their_s:.1f} us per step ({options.runs} runs)")
    print(f"steep: {1e6 * our_s:.3f} us per step ({steps:,} steps, to density {reached:.3f})")
    print(f"ratio {their_s / our_s:,.0f}; KS statistic {test.statistic:.3f}, p {test.pvalue:.2f}")


def plain_run(graph: nx.DiGraph, steps: int, seed: int) -> float:
    """Return the link density after one run, one path and one loop per step."""
    random = np.random.default_rng(seed)
    entities, links = len(graph), set(graph.edges)
    for x, y in random.integers(entities, size=(steps, 2)).tolist():
        while y == x:
            y = int(random.integers(entities))
        try:
            path = nx.shortest_path(graph, x, y)
        except nx.NetworkXNoPath:
            continue
        links.update((x, end) for end in path[1:])
    return len(links) / (entities * (entities - 1))


if __name__ == "__main__":
    main()
