"""Sentences that the measured differences support, and no fixed claims.

A difference is significant if its p-value, clustered by document and corrected for the planned
comparisons (Holm), is below 0.05; it is suggestive if only the uncorrected p-value is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from steep.core.formatting import interval, listing, p_value, percent, plural, points
from steep.evaluation.results import Comparison, ModelComparison, ModelScore
from steep.report.html import Html, el
from steep.report.results import chance_of, document_count, estimate, question_count

SIGNIFICANT_P = 0.05
ABOVE_CHANCE, AT_CHANCE = "is above chance", "does not differ significantly from chance"
MOST_GAINS = 3  # comparisons named in the headline
Verdict = Literal["significant", "suggestive", "not significant"]


def verdict(pair: Comparison) -> Verdict:
    """Return whether the two models of a pair differ."""
    if pair.p_holm is not None and pair.p_holm < SIGNIFICANT_P:
        return "significant"
    return "suggestive" if pair.p < SIGNIFICANT_P else "not significant"


def headline(scores: ModelComparison, how: str) -> str:
    """Return the first sentence of the page: the significant planned differences."""
    asked = f"On {questions(scores)}, closed book and scored by {how}"
    pairs = [pair for pair in scores.pairs if pair.planned]
    found = [pair for pair in pairs if verdict(pair) == "significant"]
    if not pairs and scores.pairs:
        return f"{asked}, no planned comparison was made; all comparisons are exploratory."
    if not pairs:
        return f"{asked}, one model was evaluated; there is no other model to compare it with."
    if not found:
        return f"{asked}, no two models differ significantly."
    found.sort(key=lambda pair: -abs(pair.difference))
    gains = listing([_gain(pair) for pair in found[:MOST_GAINS]])
    if len(pairs) > MOST_GAINS:
        share = f"{len(found)} of {len(pairs)} planned comparisons are significant"
        return f"{asked}, {share}. The largest differences: {gains}."
    rest = [f"{pair.a} and {pair.b}" for pair in pairs if verdict(pair) != "significant"]
    tail = f" {capitalized(listing(rest))} do not differ significantly." if rest else ""
    return f"{asked}, {gains}.{tail}"


def conclusions(scores: ModelComparison, measure: str) -> Html:
    """Return the box with all that a table of accuracies shows, in sentences."""
    chance = chance_of(scores)
    seeded = {name for arm in scores.arms for name in arm.by_model}
    models = [*(each for each in scores.models if each.name not in seeded), *scores.arms]
    levels = [against_chance(model, chance) for model in models]
    levels.append(uneven_intervals(models, chance))
    pairs = [el("li", conclusion(pair, scores)) for pair in scores.pairs]
    sentences = " ".join(filter(None, levels))
    scope = (
        "These results hold for these documents, questions and models, and for one measure: "
        f"{measure}."
    )
    parts = [
        el("ul", *pairs) if pairs else None,
        el("p", sentences) if sentences else None,
        el("p", scope),
    ]
    return el("div", el("h3", "Conclusions"), *parts, class_="reading")


def conclusion(pair: Comparison, scores: ModelComparison) -> str:
    """Return what one pair shows."""
    first, second, size = _oriented(pair)
    gain = f"{points(size, sign=False)} percentage points"
    found = estimate(pair)
    low, high = (found.low, found.high) if found else (None, None)
    if pair.difference < 0 and low is not None and high is not None:
        low, high = -high, -low
    test = "p" if pair.p_holm is None else "Holm-corrected p"
    p = p_value(pair.p if pair.p_holm is None else pair.p_holm)
    spread = f"95% interval {interval(low, high, signed=True)}, {test} {p}"
    kind = verdict(pair)
    if kind == "not significant":
        side = f" in favor of {first}" if pair.difference else ""
        return (
            f"{capitalized(pair.a)} and {pair.b} do not differ significantly: the difference is "
            f"{gain}{side} ({spread}).{_smallest(scores)}"
        )
    shown = f"{capitalized(first)} is {gain} above {second} ({spread})"
    if kind == "significant":
        return f"{shown}. The difference is significant."
    why = (
        "the comparison is exploratory and its p-value is not corrected"
        if pair.p_holm is None
        else "it is not significant after correction for the number of comparisons"
    )
    return f"{shown}. The difference is only suggestive: {why}."


def against_chance(model: ModelScore, chance: float | None) -> str | None:
    """Compare the accuracy of a model with that of guessing."""
    found = estimate(model)
    if found is None or chance is None or found.low is None or found.high is None:
        return None
    level = f"{percent(found.value)} {interval(found.low, found.high)}"
    how = _beside_chance(found.low, found.high, chance)
    return f"{capitalized(model.name)}, at {level}, {how} ({percent(chance, 0)})."


def _beside_chance(low: float, high: float, chance: float) -> str:
    if low > chance:
        return ABOVE_CHANCE
    return "is below chance" if high < chance else AT_CHANCE


def uneven_intervals(models: Sequence[ModelScore], chance: float | None) -> str | None:
    """Explain how a model is above chance when another of no lower accuracy may not be."""
    if chance is None:
        return None
    levels: dict[str, list[float]] = {ABOVE_CHANCE: [], AT_CHANCE: []}
    for found in map(estimate, models):
        if found and found.low is not None and found.high is not None:
            how = _beside_chance(found.low, found.high, chance)
            levels.setdefault(how, []).append(found.value)
    above, unsure = levels[ABOVE_CHANCE], levels[AT_CHANCE]
    if not above or not unsure or max(unsure) < min(above):
        return None
    return (
        "Models with the same accuracy may differ here: the interval is wider for a model that is "
        "accurate on some documents and inaccurate on others."
    )


def questions(scores: ModelComparison) -> str:
    """Return the size of an evaluation: `60 questions about 6 documents`."""
    documents = plural(document_count(scores), "document")
    return f"{plural(question_count(scores), 'question')} about {documents}"


def capitalized(text: str) -> str:
    """Capitalize the first letter of a sentence; names of arms stay as they are."""
    return text[:1].upper() + text[1:]


def _gain(pair: Comparison) -> str:
    first, second, size = _oriented(pair)
    return f"{first} is {points(size, 0, sign=False)} points above {second}"


def _oriented(pair: Comparison) -> tuple[str, str, float]:
    """Return the better model of a pair, the other, and the difference."""
    better = pair.difference >= 0
    first, second = (pair.a, pair.b) if better else (pair.b, pair.a)
    return first, second, abs(pair.difference)


def _smallest(scores: ModelComparison) -> str:
    smallest = scores.minimum_detectable_difference
    if smallest is None:
        return ""
    return (
        f" A study of this size often misses true differences below about "
        f"{points(smallest, sign=False)} points, so this does not show that the models are equal."
    )
