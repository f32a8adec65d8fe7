"""The comparison of recipes: accuracy, gains with paired intervals, texts, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from steep.core.formatting import (
    UNKNOWN,
    count,
    decimal,
    dollars,
    duration,
    listing,
    percent,
    plural,
    some_of,
)
from steep.evaluation.config import BASE
from steep.report.blocks import (
    ERRORS_HEADING,
    Block,
    Bullets,
    Cell,
    Figure,
    Model,
    PageSection,
    Part,
    Series,
    Table,
    errors_cell,
    points_cell,
    share_cell,
)
from steep.report.charts import Whisker, WhiskerGroup, whisker_chart
from steep.report.comparisons import accuracy_axis, accuracy_whisker
from steep.report.cost_per_point import CAPTION, dollars_per_point, time_per_point
from steep.report.html import Html
from steep.report.results import IntervalEstimate
from steep.report.sections.scaling import INTERVALS, SHOWN_MISSING, evaluated_on
from steep.scaling.comparison_results import (
    ComparedTexts,
    ComparisonResult,
    MetricComparison,
    RecipeDifference,
)
from steep.scaling.results import Bounded

Spent = Mapping[tuple[str, int], ComparedTexts]  # by recipe and size


def comparison(found: ComparisonResult) -> PageSection:
    """Return the section."""
    if found.tokens is not None:
        equal = f"{count(found.tokens)} training tokens per model, without replay"
    else:
        assert found.cost_usd is not None
        equal = f"{dollars(found.cost_usd)} per recipe for generation"
    opening = (
        f"{plural(len(found.recipes), 'recipe')} at {equal}, {found.epochs:g} passes, "
        f"{plural(found.seeds, 'seed')}; {duration(3600 * found.hours)} of training and "
        "evaluation."
    )
    missing = (
        f"{plural(len(found.missing), 'model')} of the comparison are not finished: "
        f"{some_of(found.missing, SHOWN_MISSING)}. Recipes with missing models have no gains."
    )
    return PageSection(
        "comparison",
        "Recipes compared",
        opening,
        [
            missing if found.missing else None,
            evaluated_on(found.environments),
            *(_metric(each, found) for each in found.metrics),
            _texts(found),
        ],
    )


def _metric(found: MetricComparison, result: ComparisonResult) -> Part:
    several = len({each.size for each in found.scores}) > 1
    spent = {(each.recipe, each.size): each for each in result.texts}
    rows: list[list[Cell]] = [
        [Model(BASE), "", share_cell(found.base), errors_cell(found.base.errors), *[""] * 5]
    ]
    for score in found.scores:
        texts = spent.get((score.recipe, score.size))
        rows.append(
            [
                Model(score.recipe, detail=f"size {count(score.size)}" if several else ""),
                str(score.models),
                share_cell(score.accuracy),
                errors_cell(score.accuracy.errors),
                _gain(score.over_documents),
                _gain_errors(score.over_documents),
                _gain(score.over_first),
                dollars_per_point(texts.generation_usd if texts else None, score.over_documents),
                time_per_point(texts.training_hours if texts else None, score.over_documents),
            ]
        )
    left_out = f"; {count(found.left_out)} do not count for every model" if found.left_out else ""
    caption = (
        f"{plural(found.questions, 'question')} on {plural(found.documents, 'document')}{left_out}."
        f" Guessing gives {percent(found.chance)}. Gains are in percentage points, over the "
        f"documents alone with the same training tokens, and over the first recipe, "
        f"{result.recipes[0]}. {INTERVALS} Each interval is that of a single difference, without a "
        "correction for their number. Cost of generation and time of training a model are per "
        f"point gained over the documents. {CAPTION}"
    )
    headings = (
        "recipe",
        "models",
        ("accuracy", "95% interval"),
        ERRORS_HEADING,
        "over documents",
        ("standard errors", "over documents"),
        "over first",
        "cost per point",
        "training time per point",
    )
    blocks: list[Block] = [
        _chart(found, spent),
        Bullets(list(_conclusions(found))),
        Table(headings, rows, caption),
    ]
    return Part(found.metric.capitalize(), blocks)


def _chart(found: MetricComparison, spent: Spent) -> Figure:
    """Return the accuracy of each recipe beside the cost of its texts."""
    chance = f"; the dashed line is guessing ({percent(found.chance, 0)})" if found.chance else ""
    caption = (
        f"{found.metric.capitalize()} with 95% intervals, and the cost of the texts of each recipe"
        f"{chance}."
    )

    def draw(series: Series) -> Html:
        rows = [_whisker(BASE, found.base, series)]
        for score in found.scores:
            texts = spent.get((score.recipe, score.size))
            rows.append(_whisker(score.recipe, score.accuracy, series, texts))
        group = WhiskerGroup(found.metric, f"n = {count(found.questions)}", rows)
        return whisker_chart([group], accuracy_axis(found.chance or None), caption)

    return Figure(caption, draw)


def _whisker(
    name: str, found: Bounded, series: Series, texts: ComparedTexts | None = None
) -> Whisker:
    estimate = IntervalEstimate(0, found.value, found.low, found.high)
    whisker = accuracy_whisker(name, series.get(name, 0), estimate)
    cost = texts.generation_usd if texts else None
    return whisker if cost is None else replace(whisker, note=f"{whisker.note} {dollars(cost)}")


def _gain(found: Bounded | None) -> Cell:
    return "" if found is None else points_cell(found)


def _gain_errors(found: Bounded | None) -> str:
    return "" if found is None else errors_cell(found.errors)


def _conclusions(found: MetricComparison) -> Iterator[str]:
    """Yield which differences are decided, and which are not."""
    decided = [each for each in found.differences if each.excludes_zero]
    undecided = [each for each in found.differences if not each.excludes_zero]
    for each in decided:
        value, (better, worse) = each.points.value, _in_order(each)
        yield f"{better} is better than {worse} by {decimal(100 * abs(value), 1)} points."
    if undecided:
        pairs = [f"{each.recipe} and {each.over}" for each in undecided]
        yield f"Undecided, as the interval includes zero: {listing(pairs)}."
    gains = [each for each in found.scores if each.over_documents is not None]
    for verb, those in (
        ("better than the documents alone", [e for e in gains if _bound(e.over_documents) > 0]),
        ("undecided against the documents", [e for e in gains if _bound(e.over_documents) == 0]),
        ("worse than the documents alone", [e for e in gains if _bound(e.over_documents) < 0]),
    ):
        if those:
            names = listing([each.recipe for each in those])
            yield f"{verb[0].upper()}{verb[1:]}, with equal training tokens: {names}."


def _bound(gain: Bounded | None) -> int:
    """Return the sign of an interval: 0 if it includes zero."""
    assert gain is not None
    return (gain.low > 0) - (gain.high < 0)


def _in_order(each: RecipeDifference) -> tuple[str, str]:
    return (each.recipe, each.over) if each.points.value > 0 else (each.over, each.recipe)


def _texts(found: ComparisonResult) -> Part:
    rows: list[list[Cell]] = [_text_row(each) for each in found.texts]
    caption = (
        "Texts that the models read. A recipe with fewer tokens is read more often, so that the "
        "training tokens (with replay) are equal. Cost: of the calls of the recipe, preparing "
        "calls included, in proportion to the tokens; unknown for imported texts and calls "
        "without a price. A higher gzip ratio is more repetition, a higher share of distinct "
        "4-grams less (of at most 20,000 words; compare rows of about the same tokens)."
    )
    headings = (
        "recipe",
        "texts",
        "tokens",
        "passes",
        "training tokens",
        "cost",
        "gzip ratio",
        "distinct 4-grams",
    )
    return Part("Texts", [Table(headings, rows, caption)])


def _text_row(each: ComparedTexts) -> list[Cell]:
    cost = each.generation_usd
    return [
        Model(each.recipe),
        each.texts,
        each.tokens,
        decimal(each.passes, 1),
        UNKNOWN if each.training_tokens is None else count(each.training_tokens),
        UNKNOWN if cost is None else dollars(cost),
        UNKNOWN if each.compression_ratio is None else decimal(each.compression_ratio, 2),
        UNKNOWN if each.distinct_4grams is None else percent(each.distinct_4grams),
    ]
