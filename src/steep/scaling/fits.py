"""Fit a scaling curve, choose among its forms, and extrapolate to larger corpora.

The forms are compared by AICc over all models, and by the error with which a fit without the
largest size predicts it. A form is chosen if no other one is within 2 of its AICc and none predicts
better; otherwise the curve is undecided among the forms that are named. A curve is refused where no
line can be defended: too few sizes, no rise, or accuracy that is not above guessing.

Intervals are 95% intervals by resampling documents, and the models of each size. Confidence bands
are those of the mean over seeds; prediction bands add the spread of a single model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steep.core.formatting import percent
from steep.scaling.curve import LEAST_DOCUMENTS, AccuracyCurve
from steep.scaling.forms import FORMS, Fitted, Form, aicc
from steep.scaling.results import BandPoint, Bounded, CurveFit, FormFit, ReachedTarget

Numbers = NDArray[np.float64]
RESAMPLES = 1000
UNDECIDED = 2.0  # difference of AICc
SPARE_POINTS = 2  # sizes beyond the number of parameters
BAND_POINTS = 60
FARTHEST = 1000.0  # an extrapolation ends at so many times the largest size


def fit_curve(
    curve: AccuracyCurve,
    chance: float,
    *,
    targets: Sequence[float] = (),
    resamples: int = RESAMPLES,
    seed: int = 0,
    forms: Sequence[Form] = FORMS,
) -> tuple[CurveFit, tuple[ReachedTarget, ...]]:
    """Fit all forms to a curve, and find the tokens at which it reaches each target accuracy.

    Args:
        curve: The grades of the trained models.
        chance: The accuracy of guessing.
        targets: Accuracies from 0 to 1.
        resamples: Number of resamples of documents and models.
        seed: Of the resamples.
        forms: The forms that are tried.
    """
    drawn = curve.resampled_means(resamples, seed)
    if refused := _refusal(curve, chance, drawn, forms):
        return no_fit(refused), ()
    usable = {form.name: form for form in forms if _spare(curve, form) >= SPARE_POINTS}
    fits = {name: _Fit.of(form, curve, drawn) for name, form in usable.items()}
    results = tuple(
        fits[form.name].result if form.name in fits else _too_few(form, curve) for form in forms
    )
    best = _best([each for each in results if not each.refused])
    return (
        CurveFit(
            forms=results,
            chosen=best[0] if len(best) == 1 else None,
            best=best,
            refused="",
            band=fits[best[0]].band(curve),
            doubled=fits[best[0]].doubled(curve),
        ),
        tuple(fits[name].target(curve, accuracy) for accuracy in targets for name in best),
    )


def no_fit(why: str) -> CurveFit:
    """Return the result for points through which no line can be drawn."""
    return CurveFit(forms=(), chosen=None, best=(), refused=why, band=())


def _refusal(curve: AccuracyCurve, chance: float, drawn: Numbers, forms: Sequence[Form]) -> str:
    """Return why no line can be drawn through these points, or nothing."""
    if not curve.enough_documents:
        return (
            f"the questions are about {len(set(curve.documents))} documents; an interval over "
            f"documents needs at least {LEAST_DOCUMENTS}"
        )
    sizes = len(curve.sizes)
    least = min(form.parameters for form in forms) + SPARE_POINTS
    if sizes < least:
        return f"{sizes} sizes; a curve needs at least {least} (two more than its parameters)"
    if (low := float(np.quantile(drawn[:, -1], curve.levels[0]))) <= chance:
        return (
            f"the accuracy of the largest size, {percent(curve.means[-1])}, is not above guessing "
            f"({percent(chance)}): its interval begins at {percent(low)}"
        )
    logs = np.log(curve.sizes)
    slopes = drawn @ (logs - logs.mean())
    low, high = np.quantile(slopes, curve.levels)
    if low <= 0 <= high:
        rise = curve.means[-1] - curve.means[0]
        return (
            f"flat: the interval of its slope includes zero ({percent(curve.means[0])} at the "
            f"smallest size, {100 * rise:+.1f} points at the largest)"
        )
    return ""


def _spare(curve: AccuracyCurve, form: Form) -> int:
    return len(curve.sizes) - form.parameters


def _too_few(form: Form, curve: AccuracyCurve) -> FormFit:
    need = form.parameters + SPARE_POINTS
    return FormFit(
        form=form.name,
        label=form.label,
        parameters={},
        aicc=math.inf,
        held_out_error=None,
        refused=f"{form.parameters} parameters need {need} sizes; there are {len(curve.sizes)}",
    )


def _best(fits: Sequence[FormFit]) -> tuple[str, ...]:
    """Return the form that AICc and the held-out size prefer, or all that are not excluded."""
    ordered = sorted(fits, key=lambda each: each.aicc)
    first = ordered[0]

    def rivals(other: FormFit) -> bool:
        near = not other.aicc - first.aicc > UNDECIDED  # both may be infinite
        if other.held_out_error is None or first.held_out_error is None:
            return near
        return near or abs(other.held_out_error) < abs(first.held_out_error)

    return (first.form, *(each.form for each in ordered[1:] if rivals(each)))


@dataclass(frozen=True)
class _Fit:
    """A form, fitted to the points and to each resample."""

    form: Form
    fitted: Fitted  # one curve
    resampled: Fitted
    result: FormFit

    @classmethod
    def of(cls, form: Form, curve: AccuracyCurve, drawn: Numbers) -> _Fit:
        x, weights = curve.sizes, curve.seeds.astype(np.float64)
        fitted = form.fit(x, curve.means[None], weights)
        resampled = form.fit(x, drawn, weights)
        values, spreads = form.named(fitted), form.named(resampled)
        parameters = {}
        for name, value in values.items():
            spread = spreads[name][~np.isnan(spreads[name])]  # resamples may need fewer terms
            if np.isfinite(value[0]) and len(spread):
                low, high = np.quantile(spread, curve.levels)
                parameters[name] = Bounded(value=float(value[0]), low=float(low), high=float(high))
        result = FormFit(
            form=form.name,
            label=form.label,
            parameters=parameters,
            aicc=aicc(
                float((_residuals(curve, form, fitted) ** 2).mean()),
                len(curve.tokens),
                form.parameters,
            ),
            held_out_error=_held_out_error(curve, form),
        )
        return cls(form, fitted, resampled, result)

    def band(self, curve: AccuracyCurve) -> tuple[BandPoint, ...]:
        """Return the fitted curve from the smallest to the largest size."""
        x = np.geomspace(curve.sizes[0], curve.sizes[-1], BAND_POINTS)
        (values,), all_values = (
            self.form.predict(x, self.fitted),
            self.form.predict(x, self.resampled),
        )
        random = np.random.default_rng(0)
        spread = _model_spread(curve, self.form, self.fitted)
        new = all_values + random.normal(0, spread, all_values.shape)
        bands = (
            np.quantile(all_values, curve.levels, axis=0),
            np.quantile(new, curve.levels, axis=0),
        )
        return tuple(
            BandPoint(
                tokens=float(tokens),
                value=float(value),
                low=float(min(value, low)),
                high=float(max(value, high)),
                new_low=float(min(value, new_low)),
                new_high=float(max(value, new_high)),
            )
            for tokens, value, low, high, new_low, new_high in zip(
                x, values, *bands[0], *bands[1], strict=True
            )
        )

    def doubled(self, curve: AccuracyCurve) -> Bounded:
        """Return the gain from twice the tokens of the largest size."""
        x = curve.sizes[-1] * np.array([1.0, 2.0])
        gain = float(np.diff(self.form.predict(x, self.fitted)[0])[0])
        low, high = np.quantile(np.diff(self.form.predict(x, self.resampled))[:, 0], curve.levels)
        return Bounded(value=gain, low=float(min(low, gain)), high=float(max(high, gain)))

    def target(self, curve: AccuracyCurve, accuracy: float) -> ReachedTarget:
        """Return the tokens at which the curve reaches an accuracy."""
        found = _first_reached(self.form, self.fitted, curve, accuracy)[0]
        spread = _first_reached(self.form, self.resampled, curve, accuracy)
        low, high = np.quantile(spread, curve.levels, method="nearest")
        tokens = Bounded(
            value=float(found), low=float(min(low, found)), high=float(max(high, found))
        )
        return ReachedTarget(accuracy=accuracy, form=self.form.name, tokens=tokens)


def _first_reached(form: Form, fitted: Fitted, curve: AccuracyCurve, accuracy: float) -> Numbers:
    """Return, for each curve, the tokens at which it reaches an accuracy, to 2%; or infinity."""
    x = np.geomspace(curve.sizes[0] / FARTHEST, curve.sizes[-1] * FARTHEST, 1000)
    reached = form.predict(x, fitted) >= accuracy
    return np.where(reached.any(axis=1), x[reached.argmax(axis=1)], np.inf)


def _residuals(curve: AccuracyCurve, form: Form, fitted: Fitted) -> Numbers:
    """Return measured minus fitted accuracy of each model."""
    (values,) = form.predict(np.asarray(curve.tokens, np.float64), fitted)
    residuals: Numbers = curve.accuracies - values
    return residuals


def _model_spread(curve: AccuracyCurve, form: Form, fitted: Fitted) -> float:
    """Return the standard deviation of a model around the curve."""
    residuals = _residuals(curve, form, fitted)
    degrees = max(1, len(residuals) - form.parameters)
    return math.sqrt(float((residuals**2).sum()) / degrees)


def _aicc(curve: AccuracyCurve, form: Form, fitted: Fitted) -> float:
    residuals = _residuals(curve, form, fitted)
    return aicc(float((residuals**2).mean()), len(residuals), form.parameters)


def _held_out_error(curve: AccuracyCurve, form: Form) -> float | None:
    """Return predicted minus measured accuracy of the largest size, fitted without it."""
    others = curve.without_largest()
    if len(others.sizes) < form.parameters + 1:
        return None
    fitted = form.fit(others.sizes, others.means[None], others.seeds.astype(np.float64))
    (predicted,) = form.predict(curve.sizes[-1:], fitted)[0]
    return float(predicted - curve.means[-1])
