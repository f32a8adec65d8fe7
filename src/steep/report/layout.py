"""Where the nodes of a graph lie, and where their names fit: pure, deterministic, no randomness.

A force layout after Fruchterman and Reingold (all nodes repel, edges attract, the heat goes down),
with a pull towards the middle of a node's group, so that each document forms an island and what
several documents share lies between them. O(nodes^2) an iteration: meant for some hundred nodes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ITERATIONS = 400
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class Box:
    """The area that may be used, in pixels."""

    width: float
    height: float
    margin: float


class Label(NamedTuple):
    """Where a name is written: the start of its baseline and how it is anchored."""

    x: float
    y: float
    anchor: str


class _Rectangle(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Rectangle) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def place_nodes(
    groups: Sequence[int],
    edges: Sequence[tuple[int, int, float]],
    radii: Sequence[float],
    box: Box,
) -> list[tuple[float, float]]:
    """Positions of the nodes inside the box; `edges` are (node, node, weight between 0 and 1)."""
    if not groups:
        return []
    group_of = np.asarray(groups)
    attraction = np.zeros((len(groups), len(groups)))
    for a, b, weight in edges:
        attraction[a, b] = attraction[b, a] = weight
    centres = _group_centres(group_of)
    positions = _start(group_of, centres)
    for step in range(ITERATIONS):
        heat = 0.08 * (1 - step / ITERATIONS)
        positions = _cool_step(positions, attraction, group_of, centres, heat)
    fitted = _fit(positions, box)
    separated = _separate(fitted, np.asarray(radii, dtype=np.float64), box)
    return [(round(float(x), 1), round(float(y), 1)) for x, y in separated]


def _group_centres(group_of: NDArray[np.int_]) -> Array:
    """The middles of the groups, on a circle in the unit square; a single one in its middle."""
    total = int(group_of.max()) + 1
    if total == 1:
        return np.array([[0.5, 0.5]])
    angles = 2 * np.pi * np.arange(total) / total - np.pi / 2
    return 0.5 + 0.36 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _start(group_of: NDArray[np.int_], centres: Array) -> Array:
    """Each group as a sunflower around its middle."""
    positions = np.empty((len(group_of), 2))
    for group in range(len(centres)):
        members = np.flatnonzero(group_of == group)
        order = np.arange(len(members))
        radius = 0.03 * np.sqrt(order + 0.5)
        angle = order * GOLDEN_ANGLE
        offset = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        positions[members] = centres[group] + offset
    return positions


def _cool_step(
    positions: Array, attraction: Array, group_of: NDArray[np.int_], centres: Array, heat: float
) -> Array:
    """Move every node along its force, by `heat` at most."""
    spacing = 0.9 / math.sqrt(len(positions))
    delta = positions[:, None, :] - positions[None, :, :]
    distance = np.maximum(np.sqrt((delta**2).sum(axis=2)), 1e-3)
    push = spacing**2 / distance**2
    pull = attraction * distance / spacing * 0.12
    force = (delta * (push - pull)[:, :, None]).sum(axis=1)
    force += 1.2 * (centres[group_of] - positions)
    length = np.maximum(np.sqrt((force**2).sum(axis=1, keepdims=True)), 1e-9)
    moved: Array = positions + force / length * np.minimum(length, heat)
    return moved


def _fit(positions: Array, box: Box) -> Array:
    """Stretch to the box; one axis alone may be stretched more, names are wide and not high."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    extent = np.where(high - low > 1e-6, high - low, 1.0)
    size = np.array([box.width - 2 * box.margin, box.height - 2 * box.margin])
    centred = np.where(high - low > 1e-6, (positions - low) / extent, 0.5)
    fitted: Array = box.margin + centred * size
    return fitted


def _separate(positions: Array, radii: Array, box: Box) -> Array:
    """Push apart what still touches."""
    wanted = radii[:, None] + radii[None, :] + 10
    np.fill_diagonal(wanted, 0)
    for _ in range(60):
        delta = positions[:, None, :] - positions[None, :, :]
        distance = np.maximum(np.sqrt((delta**2).sum(axis=2)), 1e-3)
        overlap = np.maximum(wanted - distance, 0)
        if not overlap.any():
            break
        positions = positions + (delta / distance[:, :, None] * overlap[:, :, None]).sum(axis=1) / 3
        limits = np.array([box.width - box.margin, box.height - box.margin])
        positions = np.clip(positions, box.margin, limits)
    return positions


def place_labels(
    positions: Sequence[tuple[float, float]],
    radii: Sequence[float],
    widths: Sequence[float],
    text_height: float,
    box: Box,
) -> list[Label | None]:
    """A free place for each name, in the order given; None where there is none."""
    taken = [
        _Rectangle(x - radius, y - radius, x + radius, y + radius)
        for (x, y), radius in zip(positions, radii, strict=True)
    ]
    labels: list[Label | None] = []
    for index, ((x, y), radius, width) in enumerate(zip(positions, radii, widths, strict=True)):
        others = taken[:index] + taken[index + 1 :]
        found = _free_label(x, y, radius, width, text_height, box, others)
        labels.append(found[0] if found else None)
        if found:
            taken.append(found[1])
    return labels


def _free_label(
    x: float,
    y: float,
    radius: float,
    width: float,
    height: float,
    box: Box,
    taken: Sequence[_Rectangle],
) -> tuple[Label, _Rectangle] | None:
    side, below, above = radius + 4, y + radius + height, y - radius - 5
    candidates = (
        Label(x + side, y + height / 3, "start"),
        Label(x - side, y + height / 3, "end"),
        Label(x, below, "middle"),
        Label(x, above, "middle"),
        Label(x + side * 0.7, below - 3, "start"),
        Label(x - side * 0.7, below - 3, "end"),
        Label(x + side * 0.7, above + 3, "start"),
        Label(x - side * 0.7, above + 3, "end"),
    )
    for label in candidates:
        left = label.x - {"start": 0.0, "middle": width / 2, "end": width}[label.anchor]
        space = _Rectangle(left, label.y - height * 0.85, left + width, label.y + height * 0.25)
        inside = space.left >= 0 and space.right <= box.width and space.top >= 0
        if inside and space.bottom <= box.height and not any(map(space.overlaps, taken)):
            return label, space
    return None
