"""The paper's theory beside the fitted forms of a scaling study."""

from __future__ import annotations

import math
from collections.abc import Iterator

from steep.core.formatting import UNKNOWN, count, decimal, listing, percent, points
from steep.report.blocks import Bullets, Cell, Column, Model, Part, Stacked, table
from steep.scaling.results import ArmCurve, FormFit, MetricStudy, TheoryFit

NEAR = 2.0  # difference of AICc below which two curves are equally supported
Fitted = tuple[ArmCurve, TheoryFit]


def theory_part(found: MetricStudy) -> Part | None:
    """Return how well the theory fits each arm; None if no arm reads synthetic texts."""
    refused = [
        f"{curve.arm}: the theory is not fitted. {curve.theory_refused}"
        for curve in found.curves
        if curve.theory_refused
    ]
    fits = [(curve, curve.theory) for curve in found.curves if curve.theory]
    if not fits:
        return Part("Theory", [Bullets(refused)]) if refused else None
    columns: tuple[Column[Fitted], ...] = (
        ("arm", lambda each: Model(each[0].arm)),
        (("lambda", "not excluded"), lambda each: _degrees(each[1])),
        (("tau", "tokens"), lambda each: count(each[1].tokens_per_pair)),
        ("start", lambda each: percent(each[1].start)),
        ("plateau", lambda each: percent(each[1].start + each[1].rise)),
        (("residual", "points"), lambda each: points(each[1].residual, 2, sign=False)),
        (("AICc", "relative to forms"), lambda each: _relative(*each)),
        (("held-out error", "points"), lambda each: _error(each[1].held_out_error)),
    )
    caption = (
        "The curve that the paper derives from a random graph of entities (steep theory). Lambda: "
        "links per entity that the documents state. Tau: tokens of one step per pair of entities; "
        "smaller values reach the plateau earlier. Start and plateau: accuracy without synthetic "
        "texts and with unlimited ones. Residual: root mean square. AICc and held-out error as "
        "for the forms above; AICc below zero is better than all of them."
    )
    sentences = [each for curve, fit in fits for each in _sentences(curve, fit)]
    return Part("Theory", [Bullets([*sentences, *refused]), table(fits, columns, caption)])


def _degrees(fit: TheoryFit) -> Cell:
    others = ", ".join(f"{degree:g}" for degree in fit.degrees)
    return Stacked(f"{fit.degree:g}", others)


def _error(value: float | None) -> str:
    return UNKNOWN if value is None else points(value)


def _forms(curve: ArmCurve) -> list[FormFit]:
    return [form for form in curve.fit.forms if not form.refused]


def _difference(curve: ArmCurve, fit: TheoryFit) -> float | None:
    """Return the AICc of the theory minus that of the best form; None if it is unknown."""
    best = min((form.aicc for form in _forms(curve)), default=math.inf)
    difference = fit.aicc - best
    return difference if math.isfinite(difference) else None


def _relative(curve: ArmCurve, fit: TheoryFit) -> str:
    difference = _difference(curve, fit)
    return UNKNOWN if difference is None else decimal(difference, 1, signed=True)


def _sentences(curve: ArmCurve, fit: TheoryFit) -> Iterator[str]:
    yield f"{curve.arm}: {_support(curve, fit)}{_prediction(curve, fit)}."
    if not fit.reaches_plateau:
        yield (
            f"{curve.arm}: the plateau of the theory ({percent(fit.start + fit.rise)}) is beyond "
            "the largest size, so the points do not determine it."
        )


def _support(curve: ArmCurve, fit: TheoryFit) -> str:
    difference = _difference(curve, fit)
    if difference is None:
        return "the theory and the forms cannot be compared with so few models"
    if abs(difference) <= NEAR:
        return "the theory is supported as well as the best form"
    return f"the theory fits {'better' if difference < 0 else 'worse'} than the best form"


def _prediction(curve: ArmCurve, fit: TheoryFit) -> str:
    if fit.held_out_error is None:
        return "; there are too few sizes to hold out the largest"
    others = [
        f"{form.label} {points(form.held_out_error)}"
        for form in _forms(curve)
        if form.held_out_error is not None
    ]
    beside = f" ({listing(others)})" if others else ""
    return (
        f"; fitted without the largest size, it misses it by {points(fit.held_out_error)} "
        f"points{beside}"
    )
