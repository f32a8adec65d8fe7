"""The expected density of a world, against brute force, the theorem and the approximation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.core.errors import UserError
from steep.scaling.theory import (
    bounds,
    branching_density,
    count_subtrees,
    levels_of,
    random_world,
    subtree_sizes,
    survival,
    tree_of,
)

worlds = st.builds(
    random_world,
    st.integers(2, 40),
    st.floats(0.2, 2),
    st.integers(0, 2**32),
)


@given(worlds, st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_tree_has_shortest_paths_and_its_subtrees_add_up(world, pick) -> None:  # type: ignore[no-untyped-def]
    root = pick % world.entities
    tree = tree_of(world, root)
    above, starts = levels_of(tree)
    depths = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    reached = {root: 0}
    queue = [root]
    for entity in queue:
        for end in world.links[[entity]].indices:
            if int(end) not in reached:
                reached[int(end)] = reached[entity] + 1
                queue.append(int(end))
    assert dict(zip(tree.order.tolist(), depths.tolist(), strict=True)) == reached
    sizes = subtree_sizes(above, starts)
    assert sizes[0] == len(reached)
    children = np.bincount(above[1:], sizes[1:], len(sizes))
    assert (sizes == 1 + children).all()
    assert sizes[1:].sum() == sum(reached.values())  # each entity counts for all above it


@given(worlds)
@settings(max_examples=40, deadline=None)
def test_the_expectation_is_that_of_all_steps_enumerated(world) -> None:  # type: ignore[no-untyped-def]
    entities = world.entities
    draws = np.zeros((entities, entities))  # of the N draws, those that add a pair
    for x in range(entities):
        tree = tree_of(world, x)
        for y in map(int, tree.order[1:]):
            end = y
            while end != x:
                draws[x, end] += 1
                end = int(tree.parents[end])
    steps = np.array([0, 1, 7, 300, 10**6])
    stated = world.links.toarray() > 0
    kept = (1 - draws[None] / world.pairs) ** steps[:, None, None]
    expected = np.where(stated, 1, 1 - kept).sum(axis=(1, 2)) / world.pairs
    counted = count_subtrees(world)
    np.testing.assert_allclose(counted.density(steps), expected, rtol=1e-9, atol=1e-12)
    assert counted.reachable == pytest.approx((draws > 0).mean() * entities / (entities - 1))
    assert not counted.standard_error(steps).any()


def test_a_random_world_has_the_degree_it_was_given() -> None:
    world = random_world(4000, 3, seed=1)
    assert world.links.diagonal().sum() == 0
    assert world.links.data.max() == 1
    # Mean 3 * 3999 / 4000, standard error sqrt(3 / 4000).
    assert world.links.nnz / 4000 == pytest.approx(3, abs=4 * (3 / 4000) ** 0.5)
    ends = np.bincount(world.links.indices, minlength=4000)
    assert ends.var() == pytest.approx(3, rel=0.12)  # Poisson, also of incoming links


@pytest.mark.parametrize("degree, squared", [(1.5, 0.340), (2, 0.635), (3, 0.885)])
def test_survival_solves_its_equation(degree: float, squared: float) -> None:
    died = 1 - survival(degree)
    assert died == pytest.approx(np.exp(degree * (died - 1)))
    assert survival(degree) ** 2 == pytest.approx(squared, abs=5e-4)
    assert survival(0.8) == 0


@pytest.mark.parametrize("entities, degree", [(1000, 2), (1000, 3), (1000, 5), (300, 10)])
def test_the_expectation_lies_within_the_bounds(entities: int, degree: float) -> None:
    """They hold as V grows: at V = 100 or lambda = 1.2, some worlds lie outside (next test)."""
    for seed in range(3):
        world = random_world(entities, degree, seed)
        steps = np.geomspace(1, 20 * world.pairs, 60)
        density = count_subtrees(world, sources=300).density(steps)
        low, high = bounds(entities, degree, steps)
        assert (low <= density).all() and (density <= high).all()


def test_small_worlds_of_few_links_lie_outside_the_bounds() -> None:
    outside = 0
    for seed in range(3):
        world = random_world(100, 1.2, seed)
        steps = np.geomspace(1, 20 * world.pairs, 60)
        density = count_subtrees(world).density(steps)
        low, high = bounds(100, 1.2, steps)
        outside += bool((density < low).any() or (density > high).any())
    assert outside == 3


@pytest.mark.parametrize("entities", [1000, 4000])
def test_the_branching_form_is_off_by_the_documented_range(entities: int) -> None:
    """At lambda = 3: right at both ends, 12% high as growth begins, then 14% low.

    Its trees have an infinite mean size; those of a graph have that of its shortest paths.
    """
    world = random_world(entities, 3, seed=0)
    steps = np.geomspace(1, 100 * world.pairs, 200)
    density = count_subtrees(world, sources=1000).density(steps)
    ratio = branching_density(entities, 3, steps) / density
    assert ratio[0] == pytest.approx(1, abs=0.03)
    assert ratio[-1] == pytest.approx(1, abs=0.03)
    assert 0.84 < ratio.min() < 0.89
    assert 1.10 < ratio.max() < 1.16
    assert density[ratio.argmax()] < 0.02 < 0.15 < density[ratio.argmin()] < 0.4


def test_the_branching_form_is_the_sum_of_equation_2() -> None:
    """With the sizes of 200,000 drawn trees instead of a generating function."""
    degree = 2.0
    entities, steps = 60, np.array([1.0, 500.0, 5000.0, 50_000.0])
    pairs, died = entities * (entities - 1), 1 - survival(degree)
    random = np.random.default_rng(0)
    runs, missing = 200_000, np.zeros(len(steps))
    alive, size = np.ones(runs, np.int64), np.ones(runs, np.int64)
    for generation in range(12):
        weight = (degree - 1) / degree ** (generation + 1)
        kept = np.exp(-np.outer(steps, size) / pairs).mean(axis=1)
        missing += weight * kept
        alive = random.poisson(degree * alive)
        size = size + alive
    expected = degree / entities + (1 - died) ** 2 * (1 - missing)
    # Generations from 12 on have a weight of 2^-12.
    np.testing.assert_allclose(branching_density(entities, degree, steps), expected, atol=2e-3)


def test_a_sample_of_sources_is_within_its_error() -> None:
    world = random_world(1500, 3, seed=5)
    steps = np.geomspace(1e3, 1e7, 9)
    exact = count_subtrees(world).density(steps)
    scores = []
    for seed in range(25):
        some = count_subtrees(world, sources=100, seed=seed)
        scores.append((some.density(steps) - exact) / some.standard_error(steps))
    spread = float(np.sqrt(np.mean(np.square(scores))))
    assert 0.7 < spread < 1.4, spread


def test_a_large_world_is_sampled() -> None:
    world = random_world(100_000, 3, seed=0)
    counted = count_subtrees(world, sources=40)
    steps = world.pairs * np.array([0.01, 0.1, 1])
    density, error = counted.density(steps), counted.standard_error(steps)
    low, high = bounds(100_000, 3, steps)
    assert (low < density).all() and (density < high).all()
    assert (error > 0).all() and (error < 0.2 * density).all()


@pytest.mark.parametrize("entities, degree", [(1, 1), (0, 1), (10, 0), (10, -1), (10, 11)])
def test_impossible_worlds_are_refused(entities: int, degree: float) -> None:
    with pytest.raises(UserError, match="no such random graph"):
        random_world(entities, degree, seed=0)


@pytest.mark.parametrize("function", [bounds, branching_density])
def test_the_theorem_needs_more_than_one_link_per_entity(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="connected"):
        function(100, 1.0, [1, 2])
