"""Lengths and places of chosen options, and the calibration of their probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steep.core.formatting import decimal, percent, plural
from steep.evaluation.results import (
    Calibration,
    ChosenOptions,
    ModelCalibration,
    OptionBias,
    OptionShares,
    ReliabilityBin,
)
from steep.report.blocks import (
    Block,
    Cell,
    Column,
    Fold,
    Model,
    Part,
    Table,
    points_cell,
    share_cell,
    table,
    value_cell,
)
from steep.report.results import normalizer_name

BIAS = "Length and place of options"
CHANCE, GOLD = "random choice", "right option"
Extremes = Callable[[OptionShares], tuple[float | None, float | None]]


def short_name(normalizer: str) -> str:
    """Return a normalizer in a word or two, for headings."""
    words = normalizer_name(normalizer).replace("total log-likelihood", "total")
    return words.split("likelihood ")[-1]


def likelihood_bias(found: OptionBias) -> Part:
    """Return the tables of lengths and places, with a column per normalizer."""
    blocks: list[Block] = []
    if found.gold.n_lengths:
        caption = (
            f"How often the option is the shortest / the longest of its question (n = "
            f"{found.gold.n_lengths}; one right option each; lengths in characters). A normalizer "
            "whose shares differ much from those of the right options selects by length."
        )
        blocks.append(_by_normalizer(found, _lengths, "shortest / longest", caption))
    caption = (
        f"How often the option is the first / the last in the file (n = {found.gold.n}). A model "
        "does not see this order. If right options are not as often first or last as a random "
        "choice, shuffle the options before a model is shown them as letters."
    )
    blocks.append(_by_normalizer(found, _places, "first / last", caption))
    return Part(BIAS, blocks, about_questions=True)


def answers_bias(found: OptionBias) -> Part:
    """Return the table of lengths and places of written choices."""
    shares: list[tuple[Cell, OptionShares]] = [(CHANCE, found.chance), (GOLD, found.gold)]
    shares += [(Model(each.name), each) for each in found.models]
    columns: list[Column[tuple[Cell, OptionShares]]] = [
        ("", lambda row: row[0]),
        ("n", lambda row: row[1].n),
        ("first", lambda row: _percent(row[1].first)),
        ("last", lambda row: _percent(row[1].last)),
    ]
    caption = "How often the option is the first or the last as it was shown"
    if found.gold.n_lengths:
        columns += [
            ("shortest", lambda row: _percent(row[1].shortest)),
            ("longest", lambda row: _percent(row[1].longest)),
        ]
        caption += (
            ", and the shortest or the longest in characters "
            f"({plural(found.gold.n_lengths, 'question')} with options that differ in length)"
        )
    caption += ". Questions with one right option; of models, those for which one was chosen."
    return Part(BIAS, [table(shares, columns, caption)], about_questions=True)


def _by_normalizer(found: OptionBias, of: Extremes, detail: str, caption: str) -> Table:
    names = list(dict.fromkeys(each.normalizer or "" for each in found.models))
    by_model: dict[str, list[ChosenOptions]] = {}
    for each in found.models:
        by_model.setdefault(each.name, []).append(each)
    rows: list[tuple[Cell, ...]] = [
        (CHANCE, *(_two(of(found.chance)) for _ in names)),
        (GOLD, *(_two(of(found.gold)) for _ in names)),
    ]
    rows += [(Model(name), *(_two(of(each)) for each in own)) for name, own in by_model.items()]
    return Table(
        ["", *((short_name(name), detail) for name in names)], rows, caption, one_kind=False
    )


def _lengths(each: OptionShares) -> tuple[float | None, float | None]:
    return each.shortest, each.longest


def _places(each: OptionShares) -> tuple[float | None, float | None]:
    return each.first, each.last


def _two(shares: tuple[float | None, float | None]) -> str:
    return " / ".join(map(_percent, shares))


def _percent(share: float | None) -> str:
    return "none" if share is None else percent(share, 0)


# ---- calibration ---------------------------------------------------------------------------------


def calibration_part(found: Sequence[Calibration]) -> Part:
    """Return the tables of calibration by each normalizer, and the reliability of each model."""
    opening = (
        "Probabilities of the options of a question add up to one: the softmax of their "
        "log-likelihoods. A calibrated model is right as often as its choices are probable. With "
        "the total, these are the model's own probabilities; after a division by length, the order "
        "of the options means more than the probabilities."
    )
    return Part(
        "Calibration",
        [
            opening,
            *(_calibration_table(each) for each in found),
            *(
                Fold(f"Reliability by {normalizer_name(each.normalizer)}", _reliability(each))
                for each in found
            ),
        ],
        about_questions=True,
    )


def _calibration_table(found: Calibration) -> Table:
    columns: tuple[Column[ModelCalibration], ...] = (
        ("model", lambda model: Model(model.name)),
        ("probability", lambda model: percent(model.probability)),
        (("minus accuracy", "points"), lambda model: points_cell(model.overconfidence)),
        ("Brier score", lambda model: value_cell(model.brier, 3)),
        ("ECE", lambda model: value_cell(model.ece, 3)),
        ("ECE by chance", lambda model: decimal(model.ece_if_calibrated, 3)),
    )
    caption = (
        f"By {normalizer_name(found.normalizer)} (n = {found.n}), with 95% intervals clustered by "
        "document: the mean probability of the chosen options, what it exceeds accuracy by, the "
        "Brier score (0 is best; equal probabilities for all options have "
        f"{found.guess_brier:.3f}), and the expected calibration error (ECE) in ten bins beside "
        "what a calibrated model stays below in 95% of studies of this size."
    )
    return table(found.models, columns, caption)


def _reliability(found: Calibration) -> list[Block]:
    rows = [(model, each) for model in found.models for each in model.bins]
    columns: tuple[Column[tuple[ModelCalibration, ReliabilityBin]], ...] = (
        ("model", lambda row: Model(row[0].name)),
        ("probability", lambda row: f"{percent(row[1].low, 0)} to {percent(row[1].high, 0)}"),
        ("questions", lambda row: row[1].accuracy.n),
        ("mean probability", lambda row: percent(row[1].probability)),
        ("right", lambda row: share_cell(row[1].accuracy)),
    )
    caption = (
        "Questions by the probability of the chosen option; a bin without questions has no row."
    )
    return [table(rows, columns, caption)]
