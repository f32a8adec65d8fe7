"""Closed book by generated answers: multiple choice, and short answers in free text."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.formatting import UNKNOWN, count, decimal, percent, plural, reasons
from steep.evaluation.results import (
    AnswerLikelihood,
    AnswerProtocol,
    AnswersResult,
    AnswersScore,
    ShortAnswersResult,
)
from steep.report.comparisons import (
    accuracy_chart,
    accuracy_table,
    comparison,
    holm_cell,
    key,
    pair_name,
)
from steep.report.components import (
    PageSection,
    figure,
    fold,
    part,
    points_cell,
    prose,
    section,
    share_cell,
    stacked,
    table,
)
from steep.report.conclusions import verdict
from steep.report.html import Child, Html
from steep.report.sections.likelihood import several_right, skipped_questions
from steep.report.view_models import ReportData, estimate, kinds, question_count

PARSERS = {
    "strict": "the last line must be an answer line and nothing else",
    "lenient": "the last clearly stated answer counts, with or without markup",
    "paper": "the answer must end in a letter and a period",
    "paper-code": "the text is cut after the first complete answer, as in the paper's code",
}
VOTES = {
    "first-valid": "the first parsed answer counts",
    "random-valid": "a random one of the parsed answers counts",
    "majority": "the most frequent parsed answer counts",
}


def answers(run: ReportData) -> PageSection | None:
    """Return the section; None if no answers were generated."""
    letters, short = run.tables.answers, run.tables.short_answers
    if not letters and not short:
        return None
    return section(
        "answers",
        "Closed book: generated answers",
        "Models generate answers without a document, and a parser reads them. Intervals are 95%, "
        "clustered by document.",
        *(_multiple_choice(run, letters) if letters else ()),
        *(_short_answers(run, short) if short else ()),
        None if run.tables.likelihood else skipped_questions(run),
    )


# ---- multiple choice -----------------------------------------------------------------------------


def _multiple_choice(run: ReportData, found: AnswersResult) -> Iterator[Html | None]:
    yield part("Multiple choice", prose(protocol_text(found.protocol)))
    yield from (prose(each) for each in found.warnings)
    yield several_right(found)
    if any(estimate(model) for model in found.models):
        title = "Accuracy of generated answers of each model, over all questions and by kind"
        caption = "Accuracy of generated answers, with 95% intervals clustered by document."
        yield figure(accuracy_chart(run, found, title), caption)
    yield accuracy_table(run, found)
    parser = found.protocol.parser
    measure = f"a letter generated after worked examples, read by the parser '{parser}'"
    yield from comparison(run, found, measure)
    yield _parsed_table(run, found)
    if letters := _letters(found):
        yield _gold_table(run, found, letters)
        yield _chosen_table(run, found, letters)


def protocol_text(protocol: AnswerProtocol) -> str:
    """Return how answers were generated, parsed and counted."""
    heat, parser, vote = protocol.temperature, protocol.parser, protocol.vote
    unparsed = (
        "is left out, so a model whose answers are rarely parsed has few questions"
        if protocol.unparsed == "excluded"
        else "counts as wrong"
    )
    return (
        "After worked examples, each model generates "
        f"{plural(protocol.samples, 'text')} per question of up to {count(protocol.max_tokens)} "
        f"tokens, {f'sampled at temperature {heat:g}' if heat else 'by greedy decoding'}. Options "
        f"are in {'file' if protocol.order_seed is None else 'random'} order. "
        f"The parser is '{parser}'"
        + (f": {PARSERS[parser]}" if parser in PARSERS else "")
        + (f"; {VOTES.get(vote, vote)}" if protocol.samples > 1 else "")
        + f". A question without a parsed answer {unparsed}."
    )


def _parsed_table(run: ReportData, found: AnswersResult) -> Html:
    rows = [
        (
            key(run, model.name),
            _parsed(model),
            model.samples,
            sum(model.invalid.values()),
            reasons(model.invalid),
        )
        for model in found.models
    ]
    headings = ("model", "questions parsed", "texts", "texts not parsed", "reasons")
    caption = "A question is parsed if at least one of its texts is."
    return part("Parsed answers", table(headings, rows, caption, texts={0, 4}))


def _parsed(row: AnswersScore) -> Html:
    below = f"{count(row.attempted)} of {count(row.questions)}"
    return stacked(percent(row.attempted / row.questions), below)


def _letters(found: AnswersResult) -> list[str]:
    """Return all letters that were right or chosen; several at once are one entry."""
    return sorted(
        {x for model in found.models for x in (*model.by_gold_letter, *model.chosen_letters)}
    )


def _gold_table(run: ReportData, found: AnswersResult, letters: list[str]) -> Html:
    rows = [
        (
            key(run, model.name),
            *(share_cell(model.by_gold_letter.get(x), "-", show_n=True) for x in letters),
        )
        for model in found.models
    ]
    caption = (
        "Accuracy by the letter of the right option. A model that prefers a letter is more "
        "accurate where that letter is right, and less accurate elsewhere."
    )
    headings = ["model", *(f"{letter} is right" for letter in letters)]
    return part("Position bias", table(headings, rows, caption))


def _chosen_table(run: ReportData, found: AnswersResult, letters: list[str]) -> Html:
    rows = [
        (key(run, model.name), *(_chosen(model, letter) for letter in letters))
        for model in found.models
    ]
    caption = "Chosen letters, right or wrong: shares and numbers of parsed questions."
    return table(["model", *(f"{letter} chosen" for letter in letters)], rows, caption)


def _chosen(model: AnswersScore, letter: str) -> Child:
    chosen, total = model.chosen_letters.get(letter, 0), sum(model.chosen_letters.values())
    return stacked(percent(chosen / total, 0), count(chosen)) if total else "none parsed"


# ---- short answers -------------------------------------------------------------------------------


def _short_answers(run: ReportData, found: ShortAnswersResult) -> Iterator[Html]:
    lede = (
        "Questions with answers of a few words. Exact match requires the words of an accepted "
        "answer, ignoring case, articles and punctuation; F1 measures the overlap of words."
    )
    yield part("Short answers", prose(lede), _short_table(run, found))
    if found.f1.pairs:
        yield _short_pair_table(found)
    for name, scores in (("exact match", found.exact_match), ("F1", found.f1)):
        if kinds(scores):
            yield fold(f"{name} by kind of question", accuracy_table(run, scores))


def _short_table(run: ReportData, found: ShortAnswersResult) -> Html:
    rows = [
        (
            key(run, exact.name),
            share_cell(exact),
            share_cell(f1),
            *_nats(found.likelihood.get(exact.name)),
            found.empty.get(exact.name, 0),
        )
        for exact, f1 in zip(found.exact_match.models, found.f1.models, strict=True)
    ]
    headings = (
        "model",
        ("exact match", f"n = {question_count(found.exact_match)}"),
        ("F1", f"n = {question_count(found.f1)}"),
        ("nats per token", "accepted answer"),
        ("nats per byte", "accepted answer"),
        "empty texts",
    )
    caption = (
        "Nats: mean log-likelihood of the likeliest accepted answer; closer to zero is likelier. "
        "Unknown for servers that return no log-likelihoods."
    )
    return table(headings, rows, caption)


def _nats(likely: AnswerLikelihood | None) -> tuple[str, str]:
    if likely is None:
        return UNKNOWN, UNKNOWN
    return decimal(likely.nats_per_token, 2), decimal(likely.nats_per_byte, 3)


def _short_pair_table(found: ShortAnswersResult) -> Html:
    """Return each comparison by both metrics; only exact match has a test."""
    rows = [
        (
            pair_name(exact),
            verdict(exact),
            exact.n,
            points_cell(exact),
            holm_cell(exact),
            points_cell(f1),
        )
        for exact, f1 in zip(found.exact_match.pairs, found.f1.pairs, strict=True)
    ]
    headings = (
        "comparison",
        "verdict on exact match",
        "n",
        ("exact match", "points, 95% interval"),
        ("p", "exact match, Holm-corrected"),
        ("F1", "points, 95% interval"),
    )
    caption = "Holm's correction covers the planned comparisons by exact match."
    return table(headings, rows, caption, texts=range(2))
