"""The scaling study: accuracy by tokens, the fits, what it took and gained, and forgetting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from steep.core.formatting import (
    UNKNOWN,
    count,
    decimal,
    dollars,
    duration,
    listing,
    percent,
    plural,
    points,
    some_of,
)
from steep.evaluation.config import BASE
from steep.evaluation.environment import described, mixed
from steep.evaluation.results import Environment
from steep.report.blocks import (
    ERRORS_HEADING,
    Block,
    Bullets,
    Cell,
    Column,
    Figure,
    Fold,
    Model,
    PageSection,
    Part,
    Stacked,
    Strong,
    Table,
    errors_cell,
    points_cell,
    share_cell,
    table,
)
from steep.report.cost_per_point import CAPTION, dollars_per_point, time_per_point
from steep.report.scaling_chart import scaling_chart
from steep.report.sections.theory import theory_part
from steep.scaling.results import (
    RETRIEVAL,
    ArmCurve,
    ArmGains,
    Bounded,
    Forgotten,
    FormFit,
    MetricStudy,
    Price,
    ReachedTarget,
    StudyResult,
)

SHOWN_MISSING = 5
MOST_ROWS = 12  # of a table that is not folded
NOT_MEASURED = "not measured"
INTERVALS = (
    "95% intervals over documents and seeds. Standard errors are those of questions, clustered by "
    "document, and of training, between seeds; with one model the latter is unknown, and the "
    "interval holds for that model."
)


def scaling(study: StudyResult) -> PageSection:
    """Return the section."""
    opening = (
        f"{plural(study.models, 'model')} were trained on nested subsets of the texts and "
        f"evaluated, in {duration(3600 * study.hours)} of training and evaluation."
    )
    missing = (
        f"{plural(len(study.missing), 'model')} of the study are not finished: "
        f"{some_of(study.missing, SHOWN_MISSING)}. Arms with missing models have no fit."
    )
    return PageSection(
        "scaling",
        "Accuracy by tokens",
        opening,
        [
            missing if study.missing else None,
            evaluated_on(study.environments),
            *(_metric(each, study) for each in study.metrics),
            _forgotten(study.forgotten) if study.forgotten else None,
        ],
    )


def evaluated_on(environments: Sequence[Environment]) -> str | None:
    """Return where models were evaluated, with a warning if that was in several environments."""
    if warning := mixed(environments):
        return warning
    named = "; ".join(map(described, environments))
    return f"Evaluated on {named}." if named else None


def _metric(found: MetricStudy, study: StudyResult) -> Part:
    caption = (
        f"{found.metric.capitalize()} by tokens of text, on a logarithmic axis. Marks are means of "
        "the models of a size, and small dots single models. Lines are fits; dark areas are 95% "
        "bands of the mean of many models, light areas those of a single new model."
    )
    if any(curve.theory for curve in found.curves):
        caption += " Dotted lines are the paper's theory."
    blocks: list[Block] = [
        Figure(caption, lambda series: scaling_chart(found, series)),
        Bullets([_fit_sentence(curve) for curve in found.curves]),
        _folded(_scores(found)),
        _form_table(found),
        theory_part(found),
        _targets(found),
        _gate(found, study),
    ]
    return Part(found.metric.capitalize(), blocks)


def _folded(found: Table) -> Block:
    """Fold a long table on the page."""
    if len(found.rows) <= MOST_ROWS:
        return found
    return Fold(f"Accuracy of each size ({len(found.rows)} rows)", [found], is_printed=True)


def _scores(found: MetricStudy) -> Table:
    rows: list[list[Cell]] = [[Model(BASE), "", "", "", *_accuracy(found.base), ""]]
    if found.retrieval:
        rows.append([Model(RETRIEVAL), "", "", "", *_accuracy(found.retrieval), ""])
    for curve in found.curves:
        for size in curve.sizes:
            seeds = ", ".join(percent(each) for each in size.by_seed.values())
            accuracy = _accuracy(size.accuracy)
            trained = count(size.training_tokens)
            tokens = f"({count(size.tokens)})" if curve.matched else count(size.tokens)
            rows.append(
                [Model(curve.arm), tokens, trained, str(size.models), *accuracy, seeds],
            )
    left_out = f"; {count(found.left_out)} do not count for every model" if found.left_out else ""
    caption = (
        f"{plural(found.questions, 'question')} on {plural(found.documents, 'document')}{left_out}."
        f" Guessing gives {percent(found.chance)}. {INTERVALS} Tokens in brackets are those of the "
        "size that an arm without synthetic texts matches in training tokens."
    )
    headings = (
        "model",
        "tokens",
        "training tokens",
        "models",
        ("accuracy", "95% interval"),
        ERRORS_HEADING,
        "each",
    )
    return Table(headings, rows, caption)


def _accuracy(found: Bounded) -> tuple[Cell, Cell]:
    return share_cell(found), errors_cell(found.errors)


# ---- fits ----------------------------------------------------------------------------------------


def _form_table(found: MetricStudy) -> Table | None:
    rows: list[list[Cell]] = []
    for curve in found.curves:
        least = min((form.aicc for form in curve.fit.forms), default=math.inf)
        for form in curve.fit.forms:
            name = Strong(form.label) if form.form in curve.fit.best else form.label
            rows.append([Model(curve.arm), name, *_form_cells(form, least)])
    caption = (
        "AICc is relative to the best form of the arm; forms within 2 are equally supported. "
        "Held-out error: predicted minus measured accuracy of the largest size, in points, by "
        "a fit without it. In the mixtures, r is the decay per million tokens."
    )
    headings = ("arm", "form", ("AICc", "relative"), "held-out error", "parameters")
    return Table(headings, rows, caption, texts=(0, 1, 4)) if rows else None


def _form_cells(form: FormFit, least: float) -> tuple[Cell, ...]:
    if form.refused:
        return "", "", f"not fitted: {form.refused}"
    difference = decimal(form.aicc - least, 1) if math.isfinite(form.aicc) else UNKNOWN
    error = UNKNOWN if form.held_out_error is None else points(form.held_out_error)
    parameters = [f"{name} {_parameter(name, each)}" for name, each in form.parameters.items()]
    return difference, error, "; ".join(parameters)


def _parameter(name: str, found: Bounded) -> str:
    def shown(value: float) -> str:
        if name.startswith("r"):
            return decimal(value, 4)
        if name == "plateau from tokens":
            return count(value)
        return points(value, sign=False)

    return f"{shown(found.value)} [{shown(found.low)}, {shown(found.high)}]"


def _fit_sentence(curve: ArmCurve) -> str:
    fit = curve.fit
    if fit.refused:
        return f"{curve.arm}: no line is drawn. {fit.refused[0].upper()}{fit.refused[1:]}."
    labels = {form.form: form.label for form in fit.forms}
    names = [labels[name] for name in fit.best]
    if fit.chosen is None:
        return f"{curve.arm}: undecided between {listing(names)}; the first of them is drawn."
    only = sum(not form.refused for form in fit.forms) == 1
    why = "the only form that these sizes allow" if only else "by AICc and by the held-out size"
    return f"{curve.arm}: {names[0]}, {why}."


def _targets(found: MetricStudy) -> Table | None:
    rows: list[list[Cell]] = [
        [Model(curve.arm), percent(each.accuracy), _label(curve, each), _tokens(each)]
        for curve in found.curves
        for each in curve.targets
    ]
    if not rows:
        return None
    caption = (
        "Tokens of text at which a fitted curve reaches an accuracy. The interval is that of the "
        "form alone: it does not include the choice of the form."
    )
    headings = ("arm", "accuracy", "form", ("tokens", "95% interval"))
    return Table(headings, rows, caption, texts=(0, 2))


def _label(curve: ArmCurve, target: ReachedTarget) -> str:
    return next(form.label for form in curve.fit.forms if form.form == target.form)


def _tokens(target: ReachedTarget) -> Stacked:
    value, low, high = (
        count(each) if math.isfinite(each) else "never"
        for each in (target.tokens.value, target.tokens.low, target.tokens.high)
    )
    return Stacked(value, f"[{low}, {high}]")


# ---- costs and gains ------------------------------------------------------------


def _dollars(usd: float | None) -> str:
    return UNKNOWN if usd is None else dollars(usd)


SPENT: Mapping[str, Callable[[Price], str]] = {
    "spent: training a model": lambda price: duration(3600 * price.training_hours),
    "spent: its evaluation": lambda price: duration(3600 * price.evaluation_hours),
    "spent: the texts": lambda price: _dollars(price.generation_usd),
    "spent: GPUs for training": lambda price: _dollars(price.training_usd),
}


def _gate(found: MetricStudy, study: StudyResult) -> Table | None:
    """Return one column per arm with synthetic texts: spent, gained, and the verdict."""
    if not found.gains:
        return None
    prices = {each.arm: each for each in study.prices}
    over = dict.fromkeys(gain.over for arm in found.gains for gain in arm.gains)
    rows: list[list[Cell]] = [["tokens of text", *(count(each.tokens) for each in found.gains)]]
    for name, shown in SPENT.items():
        rows.append([name, *(shown(prices[each.arm]) for each in found.gains)])
    for name in over:
        gained = [_gain(each, name) for each in found.gains]
        own = [prices[each.arm] for each in found.gains]
        pairs = list(zip(own, gained, strict=True))
        errors = (errors_cell(each.errors) if each else NOT_MEASURED for each in gained)
        rows += [
            [
                f"gained over {name}, points",
                *(points_cell(each) if each else NOT_MEASURED for each in gained),
            ],
            ["standard errors of questions, training", *errors],
            ["dollars per point", *(dollars_per_point(_total_usd(p), gain) for p, gain in pairs)],
            [
                "training time per point",
                *(time_per_point(price.training_hours, gain) for price, gain in pairs),
            ],
        ]
    if RETRIEVAL not in over:
        rows.append([f"gained over {RETRIEVAL}, points", *[NOT_MEASURED] * len(found.gains)])
    rows.append(["better than retrieval?", *(_verdict(each) for each in found.gains)])
    caption = (
        "The largest size of each arm, as the mean of its models, against the base, the base with "
        "retrieved texts, and arms with equal training tokens. Dollars are those of texts, and of "
        f"GPUs where they have a price. {CAPTION} " + _reading(found, study)
    )
    return Table(["", *(each.arm for each in found.gains)], rows, caption, one_kind=False)


def _reading(found: MetricStudy, study: StudyResult) -> str:
    said = []
    if found.retrieval is None:
        said.append("Retrieval is measured with a single variant in open_book.chunk_characters.")
    if any(price.generation_usd is None for price in study.prices):
        said.append("The cost of texts is unknown where they were imported or have no price.")
    if any(price.training_usd is None for price in study.prices):
        said.append("The cost of training needs train.gpu_hour_usd.")
    return " ".join(said)


def _gain(arm: ArmGains, over: str) -> Bounded | None:
    return next((gain.points for gain in arm.gains if gain.over == over), None)


def _total_usd(price: Price) -> float | None:
    """Return the dollars of texts, and of training where it has a price; None is unknown."""
    if price.generation_usd is None:
        return None
    return price.generation_usd + (price.training_usd or 0.0)


def _verdict(arm: ArmGains) -> str:
    found = next((gain for gain in arm.gains if gain.over == RETRIEVAL), None)
    if found is None:
        return NOT_MEASURED
    if not found.excludes_zero:
        return "undecided: the interval includes zero"
    return "yes: the interval excludes zero" if found.points.value > 0 else "no, worse"


def _forgotten(found: tuple[Forgotten, ...]) -> Part:
    columns: tuple[Column[Forgotten], ...] = (
        ("arm", lambda each: Model(each.arm)),
        ("tokens", lambda each: count(each.tokens)),
        (("bits per byte", "over the models"), _change),
    )
    caption = (
        "Loss on general text minus that of the base, in bits per byte: above zero, something was "
        "forgotten. In brackets, the lowest and highest of the models."
    )
    return Part("Forgetting", [table(found, columns, caption)])


def _change(found: Forgotten) -> Stacked:
    mean, low, high = (
        decimal(each, 4, signed=True) for each in (found.mean, found.lowest, found.highest)
    )
    return Stacked(mean, f"[{low}, {high}]")
