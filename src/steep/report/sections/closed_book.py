"""Closed book: the likelihood of options, generated letters, and short answers in free text."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.formatting import UNKNOWN, count, decimal, listing, percent, plural, reasons
from steep.evaluation.results import (
    AnswerProtocol,
    AnswersResult,
    AnswersScore,
    LikelihoodResult,
    ModelScore,
    ShortAnswersResult,
)
from steep.report.blocks import (
    Block,
    Cell,
    Column,
    Fold,
    Model,
    PageSection,
    Part,
    Stacked,
    Table,
    share_cell,
    table,
)
from steep.report.comparisons import (
    accuracies,
    common_n,
    scores_part,
)
from steep.report.results import NORMALIZERS, ResultTables, normalizer_name
from steep.report.sections.choices import (
    answers_bias,
    calibration_part,
    likelihood_bias,
    short_name,
)
from steep.report.sections.judged_answers import judged_answers

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


def skipped_questions(tables: ResultTables) -> Fold | None:
    """Return the folded table of questions that were not asked."""
    skipped = tables.skipped
    if not skipped:
        return None
    rows = Table(("question", "reason"), skipped, texts=range(2))
    return Fold(f"{plural(len(skipped), 'question')} not scored", [rows])


def _several_right(found: LikelihoodResult | AnswersResult) -> str | None:
    """Return how questions with several right options are scored, if there are any."""
    if not found.several_right:
        return None
    text = (
        f"{plural(found.several_right, 'question has', 'questions have')} several right options: "
        "exactly these must be chosen."
    )
    if isinstance(found, LikelihoodResult):
        text += " Their number is given, so that many of the likeliest options are chosen."
    return text


def _model(model: ModelScore) -> Model:
    return Model(model.name)


# ---- likelihood ----------------------------------------------------------------------------------


def likelihood(tables: ResultTables) -> PageSection | None:
    """Return the section of the likelihood of options."""
    found = tables.likelihood
    if found is None:
        return None
    normalizer = normalizer_name(found.normalizer)
    title = "Accuracy of each model, over all questions and by kind, with 95% intervals"
    caption = (
        "Accuracy by model and kind of question, with 95% intervals clustered by document. The "
        "dashed line is the accuracy of guessing."
    )
    return PageSection(
        "results",
        "Closed book: likelihood",
        "All models answer the same multiple-choice questions without a document. A model's choice "
        f"is the option with the highest {normalizer}. Intervals are 95%, clustered by document.",
        [
            _several_right(found),
            *accuracies(
                tables, found, title, caption, f"the choice among given options by {normalizer}"
            ),
            _normalizer_table(found),
            likelihood_bias(found.bias) if found.bias else None,
            calibration_part(found.calibration) if found.calibration else None,
            skipped_questions(tables),
        ],
    )


def _normalizer_table(found: LikelihoodResult) -> Block:
    names = list(dict.fromkeys(name for model in found.models for name in model.by_normalizer))
    if not names:
        return None
    names.sort(key=[*NORMALIZERS, *names].index)
    n = common_n(found)
    caption = (
        f"Accuracy over all questions{f' (n = {n})' if n else ''}. If the order of the models "
        "depends on the normalizer, do not base a claim on a single one."
    )
    headings = [
        (short_name(name), "used above" if name == found.normalizer else "") for name in names
    ]
    rows: list[tuple[Cell, ...]] = [
        (_model(model), *(percent(model.by_normalizer.get(name)) for name in names))
        for model in found.models
    ]
    found_by = Table(["model", *headings], rows, caption)
    return Part("Accuracy by normalizer", [found_by], is_detail=True)


# ---- generated letters ---------------------------------------------------------------------------


def answers(tables: ResultTables) -> PageSection | None:
    """Return the section of generated letters and short answers."""
    letters, short = tables.answers, tables.short_answers
    if not letters and not short:
        return None
    return PageSection(
        "answers",
        "Closed book: generated answers",
        "Models generate answers without a document, and a parser reads them. Intervals are 95%, "
        "clustered by document.",
        [
            *(_multiple_choice(tables, letters) if letters else ()),
            *(_short_answers(short) if short else ()),
            *(judged_answers(tables.judged_answers) if tables.judged_answers else ()),
            None if tables.likelihood else skipped_questions(tables),
        ],
    )


def _multiple_choice(tables: ResultTables, found: AnswersResult) -> Iterator[Block]:
    yield Part("Multiple choice", [protocol_text(found.protocol)])
    yield from found.warnings
    yield _several_right(found)
    title = "Accuracy of generated answers of each model, over all questions and by kind"
    caption = "Accuracy of generated answers, with 95% intervals clustered by document."
    parser = found.protocol.parser
    measure = f"a letter generated after worked examples, read by the parser '{parser}'"
    yield from accuracies(tables, found, title, caption, measure)
    yield Part("Parsed answers", [_parsed_table(found), *_asked_without(found)])
    if letters := list(found.letters):
        shown = [_gold_table(found, letters), _chosen_table(found, letters)]
        yield Part("Letters", shown, about_questions=True)
    if found.bias:
        yield answers_bias(found.bias)


def protocol_text(protocol: AnswerProtocol) -> str:
    """Return how answers were generated, parsed and counted."""
    parser, vote, temperature = protocol.parser, protocol.vote, protocol.temperature
    decoding = f"sampled at temperature {temperature:g}" if temperature else "by greedy decoding"
    unparsed = (
        "is left out, so a model whose answers are rarely parsed has few questions"
        if protocol.unparsed == "excluded"
        else "counts as wrong"
    )
    return (
        "After worked examples, each model generates "
        f"{plural(protocol.samples, 'text')} per question of up to {count(protocol.max_tokens)} "
        f"tokens, {decoding}. Options "
        f"are in {'file' if protocol.order_seed is None else 'random'} order. "
        f"The parser is '{parser}'"
        + (f": {PARSERS[parser]}" if parser in PARSERS else "")
        + (f"; {VOTES.get(vote, vote)}" if protocol.samples > 1 else "")
        + f". A question without a parsed answer {unparsed}."
    )


def _parsed_table(found: AnswersResult) -> Table:
    columns: tuple[Column[AnswersScore], ...] = (
        ("model", _model),
        (
            "questions parsed",
            lambda model: Stacked(
                percent(model.attempted / model.questions),
                f"{count(model.attempted)} of {count(model.questions)}",
            ),
        ),
        ("texts", lambda model: model.samples),
        ("texts not parsed", lambda model: sum(model.invalid.values())),
        ("reasons", lambda model: reasons(model.invalid)),
    )
    caption = "A question is parsed if at least one of its texts is."
    return table(found.models, columns, caption, texts={0, 4})


def _asked_without(found: AnswersResult) -> Iterator[str]:
    """Yield the parameters that were not sent because the server of a model rejects them."""
    for model in found.models:
        if model.asked_without:
            names = listing(model.asked_without)
            yield f"{model.name} was asked without {names}: its server rejects such a parameter."


def _gold_table(found: AnswersResult, letters: list[str]) -> Table:
    rows = [
        (
            _model(model),
            *(share_cell(model.by_gold_letter.get(x), "-", show_n=True) for x in letters),
        )
        for model in found.models
    ]
    caption = (
        "Accuracy by the letter of the right option. A model that prefers a letter is more "
        "accurate where that letter is right, and less accurate elsewhere. Guessing has an "
        f"accuracy of {percent(found.chance, 0)}."
    )
    return Table(["model", *(f"{letter} is right" for letter in letters)], rows, caption)


def _chosen_table(found: AnswersResult, letters: list[str]) -> Table:
    shares = [found.letters[x] for x in letters]
    rows: list[tuple[Cell, ...]] = [
        ("random choice", *(percent(each.chance, 0) for each in shares)),
        ("right option", *(percent(each.gold, 0) for each in shares)),
    ]
    rows += [(_model(model), *(_chosen(model, x) for x in letters)) for model in found.models]
    caption = (
        "Chosen letters, right or wrong: shares and numbers of parsed questions. A model whose "
        "shares differ from those of the right options prefers letters."
    )
    return Table(["model", *(f"{letter} chosen" for letter in letters)], rows, caption)


def _chosen(model: AnswersScore, letter: str) -> Cell:
    chosen, total = model.chosen_letters.get(letter, 0), sum(model.chosen_letters.values())
    return Stacked(percent(chosen / total, 0), count(chosen)) if total else "none parsed"


# ---- short answers -------------------------------------------------------------------------------


def _short_answers(found: ShortAnswersResult) -> Iterator[Block]:
    lede = (
        "Questions with answers of a few words. Exact match requires the words of an accepted "
        "answer, ignoring case, articles and punctuation; F1 measures the overlap of words."
    )
    yield Part("Short answers", [lede])
    for name, scores in (("Exact match", found.exact_match), ("F1", found.f1)):
        yield scores_part(name, scores)
    rows = [(_model(each), *_nats(found, each.name)) for each in found.exact_match.models]
    headings = ("model", "nats per token", "nats per byte", "empty texts")
    caption = (
        "Mean log-likelihood of the likeliest accepted answer; closer to zero is likelier. Unknown "
        "for servers that return no log-likelihoods."
    )
    yield Part("Likelihood of the accepted answers", [Table(headings, rows, caption)])


def _nats(found: ShortAnswersResult, model: str) -> tuple[str, str, int]:
    likely, empty = found.likelihood.get(model), found.empty.get(model, 0)
    if likely is None:
        return UNKNOWN, UNKNOWN, empty
    return decimal(likely.nats_per_token, 2), decimal(likely.nats_per_byte, 3), empty
