"""Contamination: questions in the synthetic texts and their prompts, and scores without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steep.core.formatting import count, decimal, listing, percent, plural, shorten
from steep.evaluation.contamination_results import (
    PARAPHRASE,
    CleanScore,
    ContaminationResult,
    Overlap,
    PromptCheck,
    PromptOverlap,
)
from steep.report.blocks import (
    Block,
    Cell,
    Column,
    Model,
    PageSection,
    Part,
    Table,
    share_cell,
    table,
)
from steep.report.results import ResultTables

SHOWN = 12  # questions in a list
SHOWN_CHARACTERS = 160
OPENING = (
    "A question is contaminated if a synthetic text has a run of its words, or of the words of a "
    "right answer, that the source documents do not have: its author may have known the question, "
    "or asked the same. Shorter questions count as a whole. A question that quotes its document is "
    "not contaminated by texts with the same quotation."
)


def contamination(tables: ResultTables) -> PageSection | None:
    """Return the section; None if contamination was not checked."""
    found = tables.contamination
    if found is None:
        return None
    blocks: list[Block] = [
        _counts(found),
        _recipes(found),
        _prompts(found.prompts),
        _scores(found),
        _questions(found.found),
    ]
    return PageSection("contamination", "Contamination", OPENING, blocks)


def _counts(found: ContaminationResult) -> Table:
    rows = [
        (
            each.measure,
            each.contaminated,
            percent(each.contaminated / found.questions if found.questions else None),
            each.quoted,
            each.in_source,
        )
        for each in found.measures
    ]
    headings = (
        "in common",
        ("contaminated", "questions"),
        ("share", "of all"),
        ("quoted", "also in source"),
        ("in source", "documents"),
    )
    caption = (
        f"{plural(found.questions, 'question')} and {plural(found.passages, 'synthetic passage')}."
    )
    if found.embedder is not None:
        caption += (
            f" A paraphrase is a question in a passage with a cosine of at least "
            f"{found.similarity} to an evaluation question, by {found.embedder}; "
            f"{count(found.compared)} distinct questions compared, of {count(found.sentences)} "
            "in all passages."
        )
    return Table(headings, rows, caption)


def _recipes(found: ContaminationResult) -> Table:
    names = [each.measure for each in found.measures]
    rows: list[Sequence[Cell]] = [
        (
            recipe,
            listing(arms) if arms else "no model",
            *(m.by_recipe.get(recipe, 0) for m in found.measures),
        )
        for recipe, arms in found.read_by.items()
    ]
    caption = "Contaminated questions by the recipe of the texts, and the models that read them."
    return Table(("recipe", "read by", *names), rows, caption, range(2))


def _prompts(check: PromptCheck) -> Part:
    total = sum(check.calls.values())
    searched = (
        f"All messages of {plural(total, 'call')} in the ledger were searched for the same runs of "
        "words, except for those of the source documents."
    )
    if not check.calls:
        searched = "The ledger has no calls."
    blocks: list[Block] = [" ".join([searched, *_verdicts(check)])]
    if check.found:
        blocks.append(_prompt_table(check))
    return Part("Questions in prompts", blocks)


def _verdicts(check: PromptCheck) -> Iterator[str]:
    if check.calls and not check.unintended:
        yield "No question was in any prompt" + (
            f", except for {listing(check.by_design)}, which use questions by design."
            if check.by_design
            else "."
        )
    if check.unintended:
        number = len({each.question_id for each in check.unintended})
        recipes = listing(sorted({each.recipe for each in check.unintended}))
        yield f"Words of {plural(number, 'question')} were in prompts of {recipes}."
    if check.imported:
        texts = plural(check.imported, "imported text")
        yield f"The prompts of {texts} are unknown, so nothing is proven about them."


def _prompt_table(check: PromptCheck) -> Table:
    columns: tuple[Column[PromptOverlap], ...] = (
        ("question", lambda each: each.question_id),
        ("recipe", lambda each: each.recipe),
        ("in common", lambda each: each.measure),
        ("call", lambda each: each.call_id[:12]),
        ("excerpt", lambda each: shorten(each.excerpt, SHOWN_CHARACTERS)),
        ("calls", lambda each: each.calls),
    )
    caption = f"The first {SHOWN} of {len(check.found)}." if len(check.found) > SHOWN else None
    return table(check.found[:SHOWN], columns, caption, range(5), quotes=True)


def _scores(found: ContaminationResult) -> Part | None:
    if not found.scores:
        return None
    names = [each.measure for each in found.measures]
    rows: list[Sequence[Cell]] = [
        (
            Model(each.model),
            each.metric,
            share_cell(each.everything, show_n=True),
            *(_clean_cell(each, name) for name in names),
        )
        for each in found.scores
    ]
    headings = ("model", "metric", "all questions", *(("without", name) for name in names))
    caption = "Mean grades on all questions, and on those that are not contaminated."
    return Part("Scores on clean questions", [Table(headings, rows, caption, range(2))])


def _clean_cell(score: CleanScore, measure: str) -> Cell:
    clean = score.clean[measure]
    return "the same" if clean.n == score.everything.n else share_cell(clean, "none", show_n=True)


def _questions(found: Sequence[Overlap]) -> Part | None:
    if not found:
        return None
    columns: tuple[Column[Overlap], ...] = (
        ("question", lambda each: each.question_id),
        ("in common", _in_common),
        ("recipe", lambda each: each.recipe),
        ("passage", lambda each: each.passage_id[:12]),
        ("excerpt", lambda each: shorten(each.excerpt, SHOWN_CHARACTERS)),
        ("passages", lambda each: each.passages),
    )
    caption = "steep status --question ID shows the texts of one question."
    if len(found) > SHOWN:
        caption = f"The strongest {SHOWN} of {len(found)}; {caption}"
    return Part(
        "Contaminated questions", [table(found[:SHOWN], columns, caption, range(5), quotes=True)]
    )


def _in_common(each: Overlap) -> str:
    if each.measure == PARAPHRASE:
        return f"paraphrase, {decimal(each.similarity or 0.0, 2)}"
    return plural(each.words, "word")
