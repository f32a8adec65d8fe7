"""What may be concluded and what the numbers mean: sentences made from the data, no fixed claims.

A difference counts as found when its p, clustered by document and corrected for the planned
comparisons (Holm), is below 0.05; when only the uncorrected one is, it is a hint, and otherwise the
page says that nothing can be told apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from steep.core.formatting import (
    UNKNOWN,
    count,
    interval,
    listing,
    p_value,
    percent,
    plural,
    points,
)
from steep.report.components import model_names
from steep.report.view_models import (
    RAW_RECIPE,
    Compared,
    Generation,
    ModelScore,
    PairScore,
    ReportData,
    Scores,
)

SIGNIFICANT_P = 0.05
FEW_DOCUMENTS = 20  # with fewer clusters, clustered intervals are known to come out too narrow
IN_PROCESS = "in process"  # the endpoint of models that ran in the process of Steep
ABOVE_CHANCE, OPEN_CHANCE = "is above guessing", "cannot be told from guessing"
MOST_GAINS = 3  # comparisons that the first sentence names
Verdict = Literal["found", "hint", "open"]

NORMALIZERS = {
    "sum": "total log-likelihood",
    "per_token": "log-likelihood per token",
    "per_character": "log-likelihood per character",
    "per_byte": "log-likelihood per byte",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A short heading and what it means."""

    heading: str
    text: str


def normalizer_name(name: str) -> str:
    """A normalizer in words."""
    return NORMALIZERS.get(name, name)


def oriented(pair: PairScore) -> tuple[str, str, float]:
    """The better model of a pair, the other, and by how much."""
    better = pair.overall.value >= 0
    first, second = (pair.a, pair.b) if better else (pair.b, pair.a)
    return first, second, abs(pair.overall.value)


def verdict(pair: PairScore) -> Verdict:
    """Whether the two models of a pair can be told apart."""
    if pair.p_holm is not None and pair.p_holm < SIGNIFICANT_P:
        return "found"
    return "hint" if pair.p < SIGNIFICANT_P else "open"


def headline(scores: Compared, how: str) -> str:
    """The first sentence of the page: which planned differences are there, by which measure."""
    pairs = [pair for pair in scores.pairs if pair.planned]
    found = [pair for pair in pairs if verdict(pair) == "found"]
    asked = f"{_asked(scores)}, {how}"
    if not pairs:
        return f"One model was measured on {asked}; there is nothing to compare it with."
    if not found:
        return f"On {asked}, no two models can be told apart with confidence."
    found.sort(key=lambda pair: -abs(pair.overall.value))
    said = listing([_gain(pair) for pair in found[:MOST_GAINS]])
    if len(pairs) > MOST_GAINS:
        share = f"{len(found)} of {len(pairs)} planned comparisons show a difference"
        return f"On {asked}, {share}. The largest: {said}."
    rest = [f"{pair.a} and {pair.b}" for pair in pairs if verdict(pair) != "found"]
    tail = f" {_capital(listing(rest))} cannot be told apart with confidence." if rest else ""
    return f"On {asked}, {said}.{tail}"


def conclusion(pair: PairScore, scores: Compared) -> str:
    """What one pair shows, and what it does not."""
    first, second, difference = oriented(pair)
    size = f"{points(difference, sign=False)} percentage points"
    tested = f"p {p_value(pair.p)}"
    if pair.p_holm is not None:
        tested = f"Holm-corrected p {p_value(pair.p_holm)}"
    spread = f"95% interval {_oriented_interval(pair)}, {tested}"
    kind = verdict(pair)
    gain = f"{_capital(first)} is {size} above {second} ({spread})"
    if kind == "found":
        return f"{gain}: the interval excludes zero, so chance alone is an unlikely explanation."
    if kind == "hint" and pair.p_holm is None:
        return (
            f"{gain}: the interval excludes zero, but this comparison was not planned and is not "
            "corrected, so this is a hint and not a finding."
        )
    if kind == "hint":
        return (
            f"{gain}: the interval excludes zero, but not after correction for the number of "
            "comparisons, so this is a hint and not a finding."
        )
    nothing = points(difference, sign=False) == points(0.0, sign=False)
    how = (
        "the difference of 0 points" if nothing else f"the difference of {size} in favor of {first}"
    )
    return (
        f"{_capital(pair.a)} and {pair.b} cannot be told apart: {how} "
        f"has an interval that includes zero ({spread}).{_smallest(scores)}"
    )


def against_chance(model: ModelScore, chance: float | None) -> str | None:
    """Whether a model does better than guessing."""
    if model.overall is None or chance is None:
        return None
    low, high = model.overall.low, model.overall.high
    if low is None or high is None:
        return None
    how = _beside_chance(low, high, chance)
    share = f"{percent(model.overall.value)} {interval(low, high)}"
    return f"{_capital(model.name)}, at {share}, {how} ({percent(chance, 0)})."


def _beside_chance(low: float, high: float, chance: float) -> str:
    if low > chance:
        return ABOVE_CHANCE
    return "is below guessing" if high < chance else OPEN_CHANCE


def uneven_intervals(models: Sequence[ModelScore], chance: float | None) -> str | None:
    """Explain how a model is above guessing when another with no lower accuracy may not be."""
    readings = [
        (model.overall.value, _beside_chance(model.overall.low, model.overall.high, chance))
        for model in models
        if chance is not None
        and model.overall is not None
        and model.overall.low is not None
        and model.overall.high is not None
    ]
    above = [value for value, how in readings if how == ABOVE_CHANCE]
    unsure = [value for value, how in readings if how == OPEN_CHANCE]
    if not above or not unsure or max(unsure) < min(above):
        return None
    return (
        "This is no contradiction: an interval is wider where a model does well on some documents "
        "and badly on others, so the same accuracy may be above guessing for one model and not for "
        "another."
    )


def limits(measure: str) -> str:
    """What no number under a table can show."""
    return (
        "Nothing here speaks for other documents, other questions, another size of model or "
        f"another way of asking: the measure is {measure}."
    )


def notes(run: ReportData) -> list[Note]:
    """Everything that a reader must know to read the numbers right."""
    found = [
        _generator_note(run),
        _recorded_note(run),
        *(_score_notes(run, run.scores) if run.scores else []),
        _budget_note(run),
        _seed_note(run),
        _rejected_note(run),
        _cost_note(run),
    ]
    return [note for note in found if note is not None]


def _gain(pair: PairScore) -> str:
    first, second, difference = oriented(pair)
    return f"{first} is {points(difference, 0, sign=False)} points above {second}"


def _asked(scores: Compared) -> str:
    return f"{plural(scores.questions, 'question')} about {plural(scores.documents, 'document')}"


def _smallest(scores: Compared) -> str:
    smallest = scores.minimum_detectable_difference
    if smallest is None:
        return ""
    return (
        f" By a rough estimate, a study of this size often misses a true difference below "
        f"{points(smallest, sign=False)} points, so this is no proof that there is none."
    )


def _oriented_interval(pair: PairScore) -> str:
    low, high = pair.overall.low, pair.overall.high
    if pair.overall.value < 0 and low is not None and high is not None:
        low, high = -high, -low
    return interval(low, high, signed=True)


def _capital(text: str) -> str:
    """Names of arms are the user's own words, so only the first letter of a sentence changes."""
    return text[:1].upper() + text[1:]


def _generator_note(run: ReportData) -> Note | None:
    generation = run.generation
    if generation is None:
        return Note(
            "This run generated nothing itself", "Its texts were imported or are the documents."
        )
    recipes = list(run.setting("generate", "recipes") or {})
    if run.arms and not any(set(recipes) & set(run.reads(arm.name)) for arm in run.arms):
        return Note(
            f"{generation.model} wrote, but no model was trained on it",
            f"The texts of {listing(recipes)} were written during this run, {_where(generation)}. "
            "No arm reads them: what the trained models learned comes from other texts.",
        )
    if run.embedded_generator:
        return Note(
            f"The writer was {generation.model}",
            "It ran in this process, on the machine named below. So small a model "
            "writes weak text: it repeats itself, loses the thread and often states what the "
            "documents do not say. What the trained model learned includes those mistakes. Read "
            "the sampled passages below before trusting any number; a stronger generator is a "
            "change of one section of the configuration.",
        )
    return Note(
        f"The writer was {generation.model}",
        f"All synthetic text was written {_where(generation)}. Nobody has checked it fact by fact "
        "against the documents, so what it invented was learned as well.",
    )


def _where(generation: Generation) -> str:
    """`in this process` or `by https://...`, for models in process have no endpoint."""
    if generation.endpoint == IN_PROCESS:
        return "in this process"
    return f"by {generation.endpoint}" if generation.endpoint else "by an unnamed endpoint"


def _recorded_note(run: ReportData) -> Note | None:
    """Imported texts are shown as what they are."""
    if run.corpus is None or not run.corpus.imported:
        return None
    passages = Counter(passage.recipe for passage in run.corpus.passages)
    aside = Counter(row.recipe for row in run.corpus.rejected_rows)
    named = [
        f"{recipe} ({count(passages[recipe])} of {plural(passages[recipe] + aside[recipe], 'text')}"
        f" passed the filters; written by {model_names(models)})"
        for recipe, models in run.corpus.imported.items()
    ]
    readers = [
        arm.name for arm in run.ordered_arms if {*run.reads(arm.name)} & {*run.corpus.imported}
    ]
    read = f" Trained on them: {listing(readers)}." if readers else " No arm was trained on them."
    return Note(
        "Recorded texts were imported",
        f"{_capital(listing(named))}: recorded texts, written elsewhere at another time and "
        f"imported at no cost.{read} Nobody has checked them fact by fact.",
    )


def _score_notes(run: ReportData, scores: Scores) -> list[Note]:
    skipped = (
        f" Left out: {plural(len(run.skipped), 'question')} that could not be scored (listed)."
        if run.skipped
        else ""
    )
    return [
        interval_note(scores.compared),
        Note(
            "A choice is not an answer",
            "Where options are chosen by likelihood, no model wrote anything. Each option was "
            f"scored by its {normalizer_name(scores.normalizer)} after the question, without the "
            "document, and the likeliest counts as the choice. A model that picks the right option "
            "may still be unable to say it, and another normalizer can change the figures: all of "
            "them are in the table of normalizers." + skipped,
        ),
    ]


def interval_note(scores: Compared) -> Note:
    """What the intervals take as the sample."""
    documents = scores.documents
    few = (
        f" {documents} is few: the intervals are wide, and with fewer than {FEW_DOCUMENTS} "
        "documents they tend to be too narrow still."
        if documents < FEW_DOCUMENTS
        else ""
    )
    return Note(
        "How sure the accuracies are",
        "Questions about one document stand and fall together, so the intervals take the "
        f"{plural(documents, 'document')}, and not the {plural(scores.questions, 'question')}, as "
        f"the sample.{few}",
    )


def _budget_note(run: ReportData) -> Note | None:
    budgets = {arm.name: int(arm.train.get("tokens") or 0) for arm in run.ordered_arms}
    if len(budgets) < 2:
        return None
    each = listing([f"{name} {count(tokens)}" for name, tokens in budgets.items()])
    if len(set(budgets.values())) > 1:
        return Note(
            "The arms did not train equally long",
            f"Training tokens: {each}. Part of any difference may be the amount of training.",
        )
    passes = listing(
        [f"{arm.name} {float(arm.train.get('epochs') or 0):.1f}" for arm in run.ordered_arms]
    )
    return Note(
        "Every arm had the same training",
        f"{count(next(iter(budgets.values())))} tokens each, replayed general text included, from "
        f"the same base model. What differs is the text: passes over it were {passes}. Many passes "
        "over little text teach its wording first.",
    )


def _seed_note(run: ReportData) -> Note | None:
    if not run.arms:
        return None
    seed = run.setting("train", "seed")
    covered = (
        "The intervals cover which documents and questions were asked, not how much a second "
        "training would differ."
        if run.measured
        else "A second training with another seed would give somewhat other losses."
    )
    return Note(
        "Each arm was trained once",
        f"With one seed{'' if seed is None else f' ({seed})'}. {covered}",
    )


def _rejected_note(run: ReportData) -> Note | None:
    if run.corpus is None:
        return None
    synthetic = sum(passage.recipe != RAW_RECIPE for passage in run.corpus.passages)
    aside = len(run.corpus.rejected_rows)
    counted = Counter(row.reason for row in run.corpus.rejected_rows).most_common()
    named = listing([f"{count(n)} {reason}" for reason, n in counted]) if counted else ""
    reasons = f" Reasons: {named}." if named else ""
    trimmed = run.corpus.counts.get("trimmed", 0)
    cut = (
        f" {plural(trimmed, 'text was', 'texts were')} cut back to whole sentences."
        if trimmed
        else ""
    )
    return Note(
        f"{count(aside)} of {plural(synthetic + aside, 'synthetic text')} rejected",
        f"{plural(synthetic, 'passage')} remained.{reasons} The filters cannot see whether a "
        f"passage is true.{cut}",
    )


def _cost_note(run: ReportData) -> Note | None:
    if run.generation is None or run.generation.cost_usd is not None:
        return None
    return Note(
        f"The cost is {UNKNOWN}",
        "No price is known for this endpoint, so none is shown. Unknown does not mean free: set "
        "the prices per million tokens in the configuration to have it computed.",
    )
