"""Written answers: how many are right, how many could be read, and whether letters pull."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steep.core.formatting import count, percent, plural, reasons
from steep.report.components import (
    Column,
    PageSection,
    figure,
    section,
    stacked,
    table,
    text_column,
)
from steep.report.html import Child, Html, el
from steep.report.measures import compared, mean
from steep.report.sections.accuracies import accuracy_cell, accuracy_chart, accuracy_table, key
from steep.report.sections.differences import comparison
from steep.report.sections.option_lengths import several_right
from steep.report.sections.results import skipped_questions
from steep.report.sections.short_answers import short_answers
from steep.report.view_models import ReportData

PARSERS = {
    "strict": "its last line must be an answer line and nothing else",
    "lenient": "the last answer that it clearly states counts, with or without markup",
    "paper": "it must end in a letter and a full stop",
    "paper-code": "it is cut at the first answer that is complete, as the paper's code cuts it",
}
VOTES = {
    "first-valid": "the first readable one counts",
    "random-valid": "one of the readable ones, drawn at random, counts",
    "majority": "the commonest readable answer counts",
}
PICTURE = "Accuracy of written answers of each model, over all questions and by kind"


def answers(run: ReportData) -> PageSection | None:
    """Letters and free texts that models wrote, closed book; None where none were asked for."""
    letters, short = run.measured.get("answers"), run.measured.get("short_answers")
    if not letters and not short:
        return None
    opening = (
        "Here models write, with no document before them, and what they wrote is read and counted. "
        "Intervals are 95%, clustered by document."
    )
    parts = [*(_choices(run, letters) if letters else ())]
    parts += [*(short_answers(run, short) if short else ())]
    listed = None if run.scores else skipped_questions(run)
    return section("answers", "Written answers", opening, *parts, listed)


def _choices(run: ReportData, found: Mapping[str, Any]) -> list[Html | None]:
    """Everything about multiple-choice questions."""
    scores = compared(found)
    caption = "Accuracy of what each model wrote, with its 95% interval, clustered by document."
    measure = (
        "a letter that a model wrote after examples, as the parser "
        f"'{found['protocol']['parser']}' reads it"
    )
    readable = any(model.overall for model in scores.models)
    return [
        el("h3", "Multiple choice"),
        el("p", protocol_words(found["protocol"]), class_="prose"),
        *(el("p", each, class_="prose") for each in found.get("warnings") or ()),
        several_right(found),
        figure(accuracy_chart(run, scores, found.get("chance"), PICTURE), caption)
        if readable
        else None,
        accuracy_table(run, scores),
        *comparison(run, scores, measure, found.get("chance")),
        _read_table(run, found),
        _letter_table(run, found),
        _chosen_table(run, found),
    ]


def protocol_words(protocol: Mapping[str, Any]) -> str:
    """How it was asked and counted, in sentences."""
    samples, heat = protocol["samples"], protocol["temperature"]
    how = f"drawn at temperature {heat:g}" if heat else "the likeliest token each time"
    drawn = protocol["order_seed"] is not None
    order = "an order of each question's own" if drawn else "the order of the file"
    parser, vote = protocol["parser"], protocol["vote"]
    unread = (
        "is left out, so a model that is seldom readable has few questions"
        if protocol["unparsed"] == "excluded"
        else "counts as wrong"
    )
    return (
        f"After worked examples each model writes {plural(samples, 'text')} per question, of up to "
        f"{count(protocol['max_tokens'])} tokens, {how}. The options stand in "
        f"{order}. A text is read by the parser '{parser}'"
        + (f": {PARSERS[parser]}" if parser in PARSERS else "")
        + (f"; of a question's texts {VOTES.get(vote, vote)}" if samples > 1 else "")
        + f". A question without a readable answer {unread}."
    )


def _read_table(run: ReportData, found: Mapping[str, Any]) -> Html:
    """What could not be read says as much of a model as its accuracy."""
    columns = [
        text_column("model"),
        Column("questions read"),
        Column("texts"),
        Column("texts not read"),
        text_column("why not"),
    ]
    rows: list[list[Child]] = [
        [
            key(run, model["name"]),
            stacked(
                percent(model["attempted"] / model["questions"]),
                f"{count(model['attempted'])} of {count(model['questions'])}",
            ),
            count(model["samples"]),
            count(sum(model["invalid"].values())),
            reasons(model["invalid"]),
        ]
        for model in found["models"]
    ]
    caption = "A question is read when at least one of its texts is."
    return el("div", el("h3", "What could be read"), table(columns, rows, caption))


def _letters(found: Mapping[str, Any]) -> list[str]:
    """All that were right or chosen; several at once are one entry."""
    named = (
        model[key] for model in found["models"] for key in ("by_gold_letter", "chosen_letters")
    )
    return sorted({letter for each in named for letter in each})


def _letter_table(run: ReportData, found: Mapping[str, Any]) -> Html | None:
    letters = _letters(found)
    if not letters:
        return None
    rows: list[list[Child]] = [
        [
            key(run, model["name"]),
            *(
                accuracy_cell(mean(model["by_gold_letter"].get(letter)), show_n=True, without="-")
                for letter in letters
            ),
        ]
        for model in found["models"]
    ]
    caption = (
        "Accuracy by the letter under which the right option was shown. A model that prefers a "
        "letter is better where that letter is right, and worse elsewhere."
    )
    columns = [text_column("model"), *(Column(f"right is {letter}") for letter in letters)]
    return el("div", el("h3", "By letter"), table(columns, rows, caption))


def _chosen_table(run: ReportData, found: Mapping[str, Any]) -> Html | None:
    """How often each letter was chosen, right or wrong."""
    letters = _letters(found)
    if not letters:
        return None
    rows: list[list[Child]] = []
    for model in found["models"]:
        chosen, total = model["chosen_letters"], sum(model["chosen_letters"].values())
        cells = [
            stacked(percent(chosen.get(letter, 0) / total, 0), count(chosen.get(letter, 0)))
            if total
            else "none read"
            for letter in letters
        ]
        rows.append([key(run, model["name"]), *cells])
    columns = [text_column("model"), *(Column(f"chose {letter}") for letter in letters)]
    caption = "What each model chose, right or wrong: shares and numbers of the questions read."
    return table(columns, rows, caption)
