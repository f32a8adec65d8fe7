"""Fit the theory's curve to measured accuracies.

    y(x) = y0 + A * shape_lambda(x / tau)

`shape_lambda` is the exact expectation for a world of 1,000 entities, scaled to go from 0 to 1, by
steps per ordered pair; tau is the tokens of one step per pair. For each lambda and tau of a grid,
y0 and A are linear least squares (variable projection).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f, linregress

from steep.core.errors import UserError
from steep.scaling.forms import aicc
from steep.scaling.results import TheoryFit
from steep.scaling.theory import SubtreeSizes, count_subtrees, random_world

Numbers = NDArray[np.float64]
DEGREES = (1.5, 2.0, 3.0, 5.0, 8.0)
SCALES = 160  # of tau, from a hundredth of the least to a hundred times the most tokens
ENTITIES, SOURCES = 1000, 300
PARAMETERS, SPARE = 4, 2
CURVE_POINTS = 60
LEVEL = 0.95


class _Candidate(NamedTuple):
    squares: float
    degree: float
    scale: float
    start: float
    rise: float

    def at(self, tokens: ArrayLike) -> Numbers:
        """Return the accuracy after numbers of tokens."""
        steps = np.asarray(tokens, np.float64) / self.scale
        accuracies: Numbers = self.start + self.rise * shape(self.degree, steps)
        return accuracies


def fit_theory(tokens: Sequence[float], accuracies: Sequence[float]) -> TheoryFit:
    """Fit the theory to points; several points may have the same tokens.

    Args:
        tokens: Synthetic tokens of each point, 0 or more.
        accuracies: The accuracy of each point, 0 to 1.

    Raises:
        UserError: There are too few sizes, a value is impossible, or the curve does not rise.
    """
    x, y = np.asarray(tokens, np.float64), np.asarray(accuracies, np.float64)
    _check(x, y)
    best = _candidates(x, y)
    chosen = min(best, key=lambda each: each.squares)
    freedom = len(x) - PARAMETERS
    excess = 1 + float(f.ppf(LEVEL, 1, freedom)) / freedom
    at = np.geomspace(x[x > 0].min(), x.max(), CURVE_POINTS)
    return TheoryFit(
        degree=chosen.degree,
        degrees=tuple(each.degree for each in best if each.squares <= excess * chosen.squares),
        tokens_per_pair=chosen.scale,
        start=chosen.start,
        rise=chosen.rise,
        residual=float((chosen.squares / freedom) ** 0.5),
        aicc=aicc(chosen.squares / len(x), len(x), PARAMETERS),
        held_out_error=_held_out_error(x, y),
        curve=tuple(zip(at.tolist(), chosen.at(at).tolist(), strict=True)),
    )


def _candidates(x: Numbers, y: Numbers) -> list[_Candidate]:
    """Return the best fit of each lambda."""
    positive = x[x > 0]
    scales = np.geomspace(positive.min() / 100, positive.max() * 100, SCALES)
    return [
        min((_project(x, y, degree, scale) for scale in scales), key=lambda each: each.squares)
        for degree in DEGREES
    ]


def _held_out_error(x: Numbers, y: Numbers) -> float | None:
    """Return predicted minus measured accuracy of the largest size, fitted without it."""
    kept = x < x.max()
    if len(np.unique(x[kept])) < PARAMETERS + 1:
        return None
    best = min(_candidates(x[kept], y[kept]), key=lambda each: each.squares)
    if not np.isfinite(best.squares):  # accuracy does not rise without it
        return None
    return float(best.at(x.max()) - y[~kept].mean())


def shape(degree: float, steps_per_pair: Numbers) -> Numbers:
    """Return the expected share of what can be added, after steps per ordered pair."""
    counted = _counted(degree)
    start = float(counted.density(0))
    share: Numbers = (counted.density(steps_per_pair * counted.pairs) - start) / (
        counted.reachable - start
    )
    return share


@cache
def _counted(degree: float) -> SubtreeSizes:
    return count_subtrees(random_world(ENTITIES, degree, seed=0), SOURCES)


def _project(x: Numbers, y: Numbers, degree: float, scale: float) -> _Candidate:
    """Fit y0 and A for one shape; a curve that falls is no candidate."""
    s = shape(degree, x / scale)
    centered = s - s.mean()
    spread = float(centered @ centered)
    rise = float(centered @ y) / spread if spread > 1e-12 else 0.0
    if rise <= 0:
        return _Candidate(float("inf"), degree, scale, 0.0, 0.0)
    start = float(y.mean() - rise * s.mean())
    return _Candidate(float(((y - start - rise * s) ** 2).sum()), degree, scale, start, rise)


def _check(x: Numbers, y: Numbers) -> None:
    if not (np.isfinite(x).all() and (x >= 0).all() and ((y >= 0) & (y <= 1)).all()):
        raise UserError(
            "These are not the points of a curve.",
            expected="tokens of at least 0, and accuracies from 0 to 1",
            found=f"tokens {x.min():g} to {x.max():g}, accuracies {y.min():g} to {y.max():g}",
        )
    sizes = len(np.unique(x))
    if sizes < PARAMETERS + SPARE:
        raise UserError(
            "There are too few points for the theory's curve.",
            expected=f"at least {PARAMETERS + SPARE} numbers of tokens: it has 4 parameters",
            found=sizes,
        )
    line = linregress(np.log1p(x), y)
    if line.slope <= 0 or line.pvalue > 1 - LEVEL:
        raise UserError(
            "This curve does not rise, so no line is drawn.",
            expected="accuracy that rises with the logarithm of tokens (p below 0.05)",
            found=f"a slope with p {line.pvalue:.2g}, accuracies {y.min():.3f} to {y.max():.3f}",
        )
