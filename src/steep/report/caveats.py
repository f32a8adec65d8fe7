"""Caveats: what a reader must know to interpret the numbers, one note per subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from steep.core.calls import RAW_RECIPE
from steep.core.formatting import UNKNOWN, count, listing, plural
from steep.evaluation.environment import mixed
from steep.evaluation.results import LikelihoodResult, ModelComparison
from steep.report.blocks import PageSection
from steep.report.conclusions import capitalized
from steep.report.html import el
from steep.report.results import document_count, normalizer_name, question_count
from steep.report.run_data import CorpusSummary, Generation, ReportData
from steep.report.sections.corpus import model_names

FEW_DOCUMENTS = 20  # with fewer clusters, clustered intervals are known to be too narrow
IN_PROCESS = "in process"  # the endpoint of models that ran in the process of Steep
Note = tuple[str, str]  # heading and text

METHOD_NOTES: dict[str, Note] = {
    "answers": (
        "Generated answers depend on format",
        "An answer counts only in the requested format. A small model may know more than it can "
        "express in it, and a model that learned the format looks better without knowing more: "
        "compare the shares of parsed answers.",
    ),
    "open_book": (
        "Open book measures reading",
        "With text in the prompt, a model has to read rather than remember. Closed-book accuracy "
        "shows what training taught; open-book accuracy shows what retrieval adds. A retrieval "
        "setting is only chosen on questions about other documents than those it is scored on.",
    ),
    "summaries": (
        "The judge is a model",
        "All counts of claims depend on its verdicts. Its agreement with labels was measured on "
        "other, shorter texts than these: it shows whether the judge is usable at all, not how "
        "large its error is here.",
    ),
    "general_text": (
        "Loss on general text is not ability",
        "The loss can change where no task does, so a small increase is a reason to look closer, "
        "not proof of damage. Other kinds of text may have suffered more, or less.",
    ),
}


def caveats(run: ReportData) -> PageSection:
    """Return the section with all caveats that apply to a run."""
    items = [
        el("div", el("h3", heading), el("p", text), class_="note-item")
        for heading, text in notes(run)
    ]
    return PageSection("caveats", "Caveats", None, [el("div", *items, class_="notes")])


def notes(run: ReportData) -> Iterator[Note]:
    """Yield the caveats that apply to a run."""
    yield _generator(run)
    if run.corpus and run.corpus.imported:
        yield _recorded(run, run.corpus)
    yield from _accuracies(run)
    if (warning := mixed(run.tables.environments)) is not None:
        yield ("Models were evaluated in different environments", warning)
    yield from _training(run)
    if run.corpus:
        yield _filters(run.corpus)
    if run.generation and run.generation.cost_usd is None:
        yield (
            f"The cost is {UNKNOWN}",
            "The price of this endpoint is not configured. Unknown does not mean free: set the "
            "prices per million tokens in the configuration to have the cost computed.",
        )
    for name, note in METHOD_NOTES.items():
        if getattr(run.tables, name):
            yield note


def _generator(run: ReportData) -> Note:
    generation = run.generation
    if generation is None:
        return ("No text was generated", "All texts were imported or are the documents.")
    recipes = list(run.setting("generate", "recipes") or {})
    if (
        recipes
        and run.arms
        and not any(set(recipes) & set(run.reads(arm.name)) for arm in run.arms)
    ):
        return (
            f"No model was trained on the texts of {generation.model}",
            f"The texts of {listing(recipes)} were generated in this run, {_where(generation)}, "
            "but no arm reads them: the models were trained on other texts.",
        )
    if run.embedded_generator:
        return (
            f"The generator was {generation.model}",
            "It ran in this process. A model of this size repeats itself and often states what the "
            "documents do not say, and the trained model learns those mistakes. Read some of its "
            "passages before you rely on any number; a stronger generator is a change of one "
            "section of the configuration.",
        )
    return (
        f"The generator was {generation.model}",
        f"All synthetic text was generated {_where(generation)}. It was not checked against the "
        "documents, so the trained model also learned what the generator invented.",
    )


def _where(generation: Generation) -> str:
    if generation.endpoint == IN_PROCESS:
        return "in this process"
    return f"by {generation.endpoint or generation.model or 'an unnamed endpoint'}"


def _recorded(run: ReportData, corpus: CorpusSummary) -> Note:
    passages = Counter(passage.recipe for passage in corpus.passages)
    rejected = Counter(row.recipe for row in corpus.rejected_rows)
    named = [
        f"{recipe} ({count(passages[recipe])} of "
        f"{plural(passages[recipe] + rejected[recipe], 'text')} passed the filters; written by "
        f"{model_names(models)})"
        for recipe, models in corpus.imported.items()
    ]
    readers = [arm.name for arm in run.ordered_arms if {*run.reads(arm.name)} & {*corpus.imported}]
    trained = f"Trained on them: {listing(readers)}." if readers else "No arm was trained on them."
    return (
        "Recorded texts were imported",
        f"{capitalized(listing(named))}: generated elsewhere at another time and imported at no "
        f"cost. {trained} They were not checked against the documents.",
    )


def _accuracies(run: ReportData) -> Iterator[Note]:
    """Yield how certain the first table of accuracies is, and what a likelihood measures."""
    tables = [table for table, _ in run.tables.closed_book()]
    if run.tables.open_book and run.tables.open_book.compared:
        tables.append(run.tables.open_book.compared)
    if tables:
        yield _certainty(tables[0])
    if run.tables.likelihood:
        yield _likelihood(run, run.tables.likelihood)


def _certainty(scores: ModelComparison) -> Note:
    documents = document_count(scores)
    few = (
        f" With {documents} documents the intervals are wide, and with fewer than {FEW_DOCUMENTS} "
        "clusters they still tend to be too narrow."
        if documents < FEW_DOCUMENTS
        else ""
    )
    return (
        "Intervals are clustered by document",
        "Answers to questions about the same document are correlated, so the sample size is the "
        f"{plural(documents, 'document')}, not the {plural(question_count(scores), 'question')}."
        f"{few}",
    )


def _likelihood(run: ReportData, scores: LikelihoodResult) -> Note:
    skipped = len(run.tables.skipped)
    left_out = f" {plural(skipped, 'question')} could not be scored (listed)." if skipped else ""
    return (
        "Choosing an option is not answering",
        "By likelihood, a model generates nothing: each option is scored by its "
        f"{normalizer_name(scores.normalizer)} after the question, and the likeliest option counts "
        "as the choice. A model that chooses the right option may be unable to state it, and "
        f"another normalizer can change the accuracies: see the table of normalizers.{left_out}",
    )


def _training(run: ReportData) -> Iterator[Note]:
    tokens = {arm.name: arm.tokens or 0 for arm in run.ordered_arms}
    if len(tokens) > 1 and len(set(tokens.values())) > 1:
        each = listing([f"{name} {count(number)}" for name, number in tokens.items()])
        yield (
            "The arms differ in training tokens",
            f"Training tokens: {each}. The amount of training may explain part of any difference.",
        )
    elif len(tokens) > 1:
        epochs = listing([f"{arm.name} {arm.epochs or 0:.1f}" for arm in run.ordered_arms])
        yield (
            "All arms had the same number of training tokens",
            f"Each arm was trained on {count(run.ordered_arms[0].tokens or 0)} tokens, including "
            f"replay, from the same base model. The arms differ in their text; epochs: {epochs}. "
            "Many epochs over little text teach its wording first.",
        )
    if run.arms:
        yield _variance_of_training(run)


def _variance_of_training(run: ReportData) -> Note:
    seeds = run.setting("train", "seeds") or 1
    if seeds > 1:
        return (
            f"Each arm was trained {count(seeds)} times",
            "Once per seed. The intervals of an arm include the variance between these training "
            "runs; those of a single model do not.",
        )
    seed = run.setting("train", "seed")
    return (
        "Each arm was trained once",
        f"With one seed{'' if seed is None else f' ({seed})'}. "
        + (
            "The intervals cover the choice of documents and questions, not the variance "
            "between training runs."
            if run.tables
            else "Another seed would give somewhat different losses."
        ),
    )


def _filters(corpus: CorpusSummary) -> Note:
    synthetic = sum(passage.recipe != RAW_RECIPE for passage in corpus.passages)
    rejected = len(corpus.rejected_rows)
    counted = Counter(row.reason for row in corpus.rejected_rows).most_common()
    named = listing([f"{count(n)} {reason}" for reason, n in counted]) if counted else ""
    trimmed = corpus.counts.get("trimmed", 0)
    cut = plural(trimmed, "text was", "texts were")
    return (
        f"{count(rejected)} of {plural(synthetic + rejected, 'synthetic text')} rejected",
        f"{plural(synthetic, 'passage')} remained."
        + (f" Reasons: {named}." if named else "")
        + " The filters cannot detect false statements."
        + (f" {cut} trimmed to whole sentences." if trimmed else ""),
    )
