"""Fits of scaling curves: recovery of known curves, coverage, choice of a form, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from curves import MILLION, paper, simulated

from steep.scaling.curve import AccuracyCurve, Numbers
from steep.scaling.fits import fit_curve
from steep.scaling.forms import FORMS, ExponentialMixture, LogLinear, Plateau
from steep.scaling.results import Bounded, CurveFit, FormFit

SIZES = np.geomspace(0.05, 50, 8) * MILLION
RESAMPLES = 200


def log_linear(tokens: Numbers) -> Numbers:
    return np.asarray(0.3 + 0.03 * np.log2(tokens / SIZES[0]), np.float64)


def plateau(tokens: Numbers) -> Numbers:
    return log_linear(np.minimum(tokens, 1.5 * MILLION))


def saturating(tokens: Numbers) -> Numbers:
    return np.asarray(0.7 - 0.4 * np.exp(-tokens / MILLION), np.float64)


def form(fit: CurveFit, name: str) -> FormFit:
    return next(each for each in fit.forms if each.form == name)


def holds(found: Bounded, truth: float) -> bool:
    return found.low <= truth <= found.high


def test_the_fit_of_the_paper_is_recovered_within_its_own_interval() -> None:
    sizes = np.geomspace(0.3, 455, 12) * MILLION
    curve = simulated(paper, sizes, seed=3, questions=4609, documents=265, models=1)
    fit, _ = fit_curve(curve, 0.25, resamples=RESAMPLES, forms=[ExponentialMixture(3)])
    found = form(fit, "3 exponentials")
    assert holds(found.parameters["a"], 0.645456)
    assert holds(found.parameters["b1"], 0.138352) and holds(found.parameters["r1"], 0.9989)
    assert holds(found.parameters["b2"], 0.084705) and holds(found.parameters["r2"], 0.8961)
    middle = [point for point in fit.band if holds_point(point.low, point.high, point.tokens)]
    assert len(middle) >= 0.95 * len(fit.band)
    widths = [point.high - point.low for point in fit.band]
    assert max(widths) < 0.05, "an interval that holds everything would recover anything"


def holds_point(low: float, high: float, tokens: float) -> bool:
    return low <= float(paper(np.array([tokens]))[0]) <= high


def test_exact_points_of_the_paper_give_its_parameters() -> None:
    sizes = np.geomspace(0.3, 455, 14) * MILLION
    fitted = ExponentialMixture(3).fit(sizes, paper(sizes)[None], np.ones(len(sizes)))
    named = {name: float(value[0]) for name, value in ExponentialMixture(3).named(fitted).items()}
    wanted = {
        "a": 0.645456, "b1": 0.138352, "r1": 0.9989,
        "b2": 0.084705, "r2": 0.8961, "b3": 0.03932, "r3": 0.0546,
    }  # fmt: skip
    assert named == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize(
    ("truth", "name"),
    [(log_linear, "log-linear"), (plateau, "plateau"), (saturating, "1 exponential")],
)
def test_the_form_of_a_known_curve_is_among_the_best(truth: object, name: str) -> None:
    curve = simulated(truth, SIZES, seed=1, questions=6000, models=3)  # type: ignore[arg-type]
    fit, _ = fit_curve(curve, 0.25, resamples=RESAMPLES, forms=FORMS[:3])
    assert not fit.refused
    assert name in fit.best
    assert fit.best[0] == name, fit.forms


def test_forms_that_predict_alike_are_undecided() -> None:
    curve = simulated(saturating, SIZES[:5], seed=1, questions=300, models=2)
    fit, _ = fit_curve(curve, 0.2, resamples=50)
    assert fit.chosen is None
    assert set(fit.best) == {"1 exponential", "log-linear", "plateau"}


def test_a_form_with_too_many_parameters_is_refused_with_its_reason() -> None:
    curve = simulated(log_linear, SIZES[:5], seed=5, questions=2000)
    fit, _ = fit_curve(curve, 0.2, resamples=50)
    assert form(fit, "2 exponentials").refused == "5 parameters need 7 sizes; there are 5"
    assert not form(fit, "2 exponentials").parameters


def test_intervals_of_the_slope_cover_the_truth() -> None:
    slope = 0.03
    covered = 0
    for seed in range(60):
        curve = simulated(
            log_linear, SIZES[:6], seed=seed, questions=240, documents=24,
            models=2, document_spread=0.1, model_spread=0.03,
        )  # fmt: skip
        fit, _ = fit_curve(curve, 0.0, resamples=300, seed=seed, forms=[LogLinear()])
        covered += holds(form(fit, "log-linear").parameters["per doubling"], slope)
    assert covered >= 52, covered  # of 60; 95% coverage gives fewer in 1% of such tests


def test_intervals_of_the_mean_cover_the_truth() -> None:
    covered = 0
    for seed in range(60):
        curve = simulated(
            log_linear, SIZES[:4], seed=seed, questions=240, documents=12,
            models=3, document_spread=0.1, model_spread=0.05,
        )  # fmt: skip
        low, high = np.quantile(curve.resampled_means(300, seed)[:, 0], curve.levels)
        covered += low <= 0.3 <= high
    assert covered >= 52, covered


# ---- extrapolation -------------------------------------------------------------------------------


def test_an_accuracy_that_is_reached_later_is_extrapolated_with_an_interval() -> None:
    curve = simulated(log_linear, SIZES, seed=2, questions=4000, models=3)
    _, targets = fit_curve(curve, 0.25, targets=[0.66], resamples=RESAMPLES, forms=[LogLinear()])
    truth = SIZES[0] * 2 ** (0.36 / 0.03)
    assert targets[0].tokens.low <= truth <= targets[0].tokens.high
    assert targets[0].tokens.value == pytest.approx(truth, rel=0.7)


def test_an_accuracy_above_a_plateau_is_never_reached() -> None:
    curve = simulated(plateau, SIZES, seed=2, questions=6000, models=3)
    _, targets = fit_curve(curve, 0.25, targets=[0.9], resamples=RESAMPLES, forms=[Plateau()])
    assert math.isinf(targets[0].tokens.value) and math.isinf(targets[0].tokens.high)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [2, 3])
def test_few_points_are_refused(sizes: int) -> None:
    fit, targets = fit_curve(simulated(log_linear, SIZES[:sizes], seed=0), 0.2, targets=[0.6])
    assert f"{sizes} sizes; a curve needs at least 4" in fit.refused
    assert not fit.band and not fit.best and not targets


def test_a_flat_curve_is_refused() -> None:
    flat = simulated(lambda x: np.full(len(x), 0.5), SIZES, seed=0)
    fit, _ = fit_curve(flat, 0.25, resamples=RESAMPLES)
    assert fit.refused.startswith("flat: the interval of its slope includes zero")


@pytest.mark.parametrize("mean", [0.15, 0.25])
def test_accuracy_that_is_not_above_guessing_is_refused(mean: float) -> None:
    curve = simulated(lambda x: mean - 0.02 + 0.02 * (x == x[-1]), SIZES, seed=0)
    fit, _ = fit_curve(curve, 0.25, resamples=RESAMPLES)
    assert "is not above guessing (25.0%)" in fit.refused


def test_few_documents_are_refused() -> None:
    fit, _ = fit_curve(simulated(log_linear, SIZES, seed=0, documents=3), 0.2)
    assert "about 3 documents" in fit.refused and "at least 4" in fit.refused


# ---- curves --------------------------------------------------------------------------------------


def test_bands_of_a_new_model_are_wider_than_those_of_the_mean() -> None:
    curve = simulated(log_linear, SIZES, seed=0, model_spread=0.05, models=3)
    fit, _ = fit_curve(curve, 0.2, resamples=RESAMPLES, forms=[LogLinear()])
    assert all(point.new_low < point.low < point.high < point.new_high for point in fit.band)


def test_one_draw_of_documents_holds_for_all_models() -> None:
    random = np.random.default_rng(0)
    row = (random.random(60) < 0.5).astype(float)
    documents = [f"d{each % 6}" for each in range(60)]
    drawn = AccuracyCurve([1, 2], np.stack([row, row]), documents).resampled_means(50, 0)
    assert np.array_equal(drawn[:, 0], drawn[:, 1]) and len(set(drawn[:, 0])) > 5
