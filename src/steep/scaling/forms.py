"""Forms of a curve, fitted by variable projection.

Every form is linear in most of its parameters once the others (time constants, a knee) are fixed.
The fit tries a grid of these, solves each linear problem for all resamples at once, keeps the best
solution that obeys the bounds, and then refines the one of the original points.

x is in tokens, y is accuracy from 0 to 1.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

Numbers = NDArray[np.float64]
TIME_CONSTANTS = 28  # of the grid
BEYOND = 10.0  # time constants lie between a third of the first size and 10 times the last one
KNEES = 40
MILLION = 1e6


class Fitted(NamedTuple):
    """Curves of one form, one for each row of y."""

    fixed: Numbers  # nonlinear parameters, shape (B, F); NaN where a curve has fewer terms
    linear: Numbers  # linear parameters, shape (B, L)
    residual: Numbers  # weighted sum of squares, shape (B,)


class Form(ABC):
    """A family of curves."""

    name: str
    label: str
    parameters: int

    @abstractmethod
    def fit(self, x: Numbers, y: Numbers, weights: Numbers) -> Fitted:
        """Fit each row of y, shape (B, X), at x, shape (X,), by weighted least squares."""

    @abstractmethod
    def predict(self, x: Numbers, fitted: Fitted) -> Numbers:
        """Return the values of each fitted curve, shape (B, len(x))."""

    @abstractmethod
    def named(self, fitted: Fitted) -> Mapping[str, Numbers]:
        """Return the parameters of each curve by their names, each of shape (B,)."""


def aicc(mean_square: float, n: int, parameters: int) -> float:
    """Return AICc of `n` Gaussian residuals with unknown variance, which is a parameter, too.

    It is infinite if there are too few residuals.
    """
    k = parameters + 1
    if n - k - 1 <= 0:
        return math.inf
    return n * math.log(max(mean_square, 1e-12)) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def _solved(design: Numbers, y: Numbers, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Solve weighted least squares for each row of y; return coefficients and residuals."""
    root = np.sqrt(weights)
    scaled = y * root
    coefficients = scaled @ np.linalg.pinv(design * root[:, None]).T
    residual = ((scaled - (coefficients @ design.T) * root) ** 2).sum(axis=1)
    return coefficients, residual


@dataclass(frozen=True)
class LogLinear(Form):
    """y = alpha + beta ln x: equal gains for equal factors of tokens."""

    name: str = "log-linear"
    label: str = "log-linear"
    parameters: int = 2

    def fit(self, x: Numbers, y: Numbers, weights: Numbers) -> Fitted:
        """Fit by linear least squares."""
        linear, residual = _solved(np.stack([np.ones_like(x), np.log(x)], axis=1), y, weights)
        return Fitted(np.empty((len(y), 0)), linear, residual)

    def predict(self, x: Numbers, fitted: Fitted) -> Numbers:
        """Return alpha + beta ln x."""
        values: Numbers = fitted.linear @ np.stack([np.ones_like(x), np.log(x)])
        return values

    def named(self, fitted: Fitted) -> Mapping[str, Numbers]:
        """Return the value at one million tokens, and the gain per doubling."""
        alpha, beta = fitted.linear.T
        return {
            "at 1M tokens": alpha + beta * math.log(MILLION),
            "per doubling": beta * math.log(2),
        }


@dataclass(frozen=True)
class Plateau(Form):
    """y = alpha + beta ln min(x, knee): log-linear up to a knee, then constant."""

    name: str = "plateau"
    label: str = "log-linear, then a plateau"
    parameters: int = 3

    def fit(self, x: Numbers, y: Numbers, weights: Numbers) -> Fitted:
        """Fit by linear least squares for each knee of a grid between the first and last size."""
        knees = np.geomspace(x[0], x[-1], KNEES + 2)[1:-1]
        best = Fitted(np.zeros((len(y), 1)), np.zeros((len(y), 2)), np.full(len(y), np.inf))
        for knee in knees:
            design = np.stack([np.ones_like(x), np.log(np.minimum(x, knee))], axis=1)
            _keep_better(best, np.array([knee]), *_solved(design, y, weights))
        return best

    def predict(self, x: Numbers, fitted: Fitted) -> Numbers:
        """Return alpha + beta ln min(x, knee)."""
        alpha, beta = fitted.linear.T[..., None]
        values: Numbers = alpha + beta * np.log(np.minimum(x, fitted.fixed))
        return values

    def named(self, fitted: Fitted) -> Mapping[str, Numbers]:
        """Return the plateau, the tokens at which it begins, and the gain per doubling before."""
        alpha, beta = fitted.linear.T
        knee = fitted.fixed[:, 0]
        return {
            "plateau": alpha + beta * np.log(knee),
            "plateau from tokens": knee,
            "per doubling": beta * math.log(2),
        }


@dataclass(frozen=True)
class ExponentialMixture(Form):
    """y = a - sum of b_k exp(-x / tau_k), as in section 6 of the paper; b_k >= 0, a <= 1.

    With x in millions of tokens, the paper's r_k is exp(-1e6 / tau_k). A curve with a negative b_k
    obeys its bound with fewer terms, so the best one with at most K terms is among the
    unconstrained solutions of all smaller sets of time constants, with a free or equal to 1.
    """

    terms: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the form."""
        return f"{self.terms} exponential{'s' if self.terms > 1 else ''}"

    @property
    def label(self) -> str:  # type: ignore[override]
        """The form in words."""
        return f"mixture of {self.name}"

    @property
    def parameters(self) -> int:  # type: ignore[override]
        """The asymptote, and two for each term."""
        return 1 + 2 * self.terms

    def fit(self, x: Numbers, y: Numbers, weights: Numbers) -> Fitted:
        """Fit all sets of time constants of a grid; a single curve is then refined."""
        grid = np.geomspace(x[0] / 3, x[-1] * BEYOND, TIME_CONSTANTS)
        best = Fitted(
            np.full((len(y), self.terms), np.nan),
            np.zeros((len(y), 1 + self.terms)),
            np.full(len(y), np.inf),
        )
        constant = _solved(np.ones((len(x), 1)), y, weights)  # of a curve that falls
        _keep_better(best, np.empty(0), *constant)
        for constants in _subsets(grid, self.terms):
            decays = -np.exp(-x[:, None] / constants)
            for asymptote in (None, 1.0):
                _keep_better(best, constants, *_within_bounds(decays, y, weights, asymptote))
        return self._refined(x, y, weights, best) if len(y) == 1 else best

    def predict(self, x: Numbers, fitted: Fitted) -> Numbers:
        """Return a - sum of b_k exp(-x / tau_k)."""
        constants = np.nan_to_num(fitted.fixed, nan=1.0)
        decays = np.exp(-x / constants[..., None])
        values: Numbers = fitted.linear[:, :1] - np.einsum(
            "bk,bkx->bx", fitted.linear[:, 1:], decays
        )
        return values

    def named(self, fitted: Fitted) -> Mapping[str, Numbers]:
        """Return the asymptote a, and b and r of each term (x in millions), slowest first."""
        found = {"a": fitted.linear[:, 0]}
        order = np.argsort(-np.nan_to_num(fitted.fixed, nan=0.0), axis=1)
        constants = np.take_along_axis(fitted.fixed, order, axis=1)
        heights = np.take_along_axis(fitted.linear[:, 1:], order, axis=1)
        for term in range(self.terms):
            found[f"b{term + 1}"] = heights[:, term]
            found[f"r{term + 1}"] = np.exp(-MILLION / constants[:, term])
        return found

    def _refined(self, x: Numbers, y: Numbers, weights: Numbers, start: Fitted) -> Fitted:
        """Refine the time constants, with the linear parameters solved for each trial."""
        used = np.isfinite(start.fixed[0])
        root = np.sqrt(weights)

        def solve(logs: Numbers) -> tuple[Numbers, Numbers]:
            decays = -np.exp(-x[:, None] / np.exp(logs))
            # a = 1 - c with c >= 0, so that all unknowns are at least 0.
            design = np.concatenate([-np.ones((len(x), 1)), decays], axis=1)
            found, _ = nnls(design * root[:, None], (y[0] - 1) * root)
            return found, (1 + design @ found - y[0]) * root

        if not used.any():
            return start
        bounds = (math.log(x[0] / 10), math.log(x[-1] * BEYOND * 2))
        logs = np.log(start.fixed[0, used])
        result = least_squares(lambda at: solve(at)[1], logs, bounds=bounds)
        linear, residuals = solve(result.x)
        if (residuals**2).sum() >= start.residual[0]:
            return start
        fixed, heights = np.full(self.terms, np.nan), np.zeros(self.terms)
        fixed[: len(logs)], heights[: len(logs)] = np.exp(result.x), linear[1:]
        return Fitted(
            fixed[None],
            np.concatenate([[1 - linear[0]], heights])[None],
            (residuals**2).sum()[None],
        )


def _subsets(grid: Numbers, most: int) -> Iterator[Numbers]:
    for size in range(1, most + 1):
        for each in itertools.combinations(grid.tolist(), size):
            yield np.array(each)


def _within_bounds(
    decays: Numbers, y: Numbers, weights: Numbers, asymptote: float | None
) -> tuple[Numbers, Numbers]:
    """Solve for heights, and for the asymptote unless given; what breaks a bound is infinite."""
    if asymptote is None:
        design = np.concatenate([np.ones((len(decays), 1)), decays], axis=1)
        linear, residual = _solved(design, y, weights)
    else:
        heights, residual = _solved(decays, y - asymptote, weights)
        linear = np.concatenate([np.full((len(y), 1), asymptote), heights], axis=1)
    allowed = (linear[:, 0] <= 1) & (linear[:, 1:] >= 0).all(axis=1)
    return linear, np.where(allowed, residual, np.inf)


def _keep_better(best: Fitted, fixed: Numbers, linear: Numbers, residual: Numbers) -> None:
    """Replace, in place, the curves that another choice of nonlinear parameters fits better."""
    better = residual < best.residual
    best.fixed[better, : len(fixed)] = fixed
    best.fixed[better, len(fixed) :] = np.nan
    best.linear[better] = 0.0
    best.linear[better, : linear.shape[1]] = linear[better]
    best.residual[better] = residual[better]


FORMS: Sequence[Form] = (
    LogLinear(),
    Plateau(),
    ExponentialMixture(1),
    ExponentialMixture(2),
    ExponentialMixture(3),
)
