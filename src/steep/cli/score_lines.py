"""The results of an evaluation as tables for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import typer

from steep.core.formatting import plural
from steep.core.tables import table, wrapped
from steep.evaluation.results import (
    AnswersResult,
    AnswersScore,
    Estimate,
    ExtremeLengths,
    Interval,
    LikelihoodResult,
    MetricsResult,
    ModelComparison,
    OptionLengths,
    ShortAnswersResult,
    TestedDifference,
)
from steep.evaluation.scores import Scores
from steep.evaluation.study_results import (
    GeneralTextResult,
    HitSplit,
    JudgeAgreement,
    OpenBookResult,
    RetrievalScore,
    SetScores,
    SummariesResult,
    TasksResult,
)

INTERVALS = "In brackets: 95% intervals clustered by document (general text: by text)."
NONE = "-"


def print_scores(scores: Scores) -> None:
    """Print a table for each result."""
    for name, result in scores.results.items():
        _print(LINES.get(name, _metrics)(result))
    _print([f"\n{INTERVALS}"])
    for reason, count in Counter(each.reason for each in scores.skipped).items():
        _print([f"not asked as a choice: {plural(count, 'question')}, {reason}"])


def _print(blocks: Iterable[str]) -> None:
    """Print tables as they are, and break prose at spaces."""
    for block in blocks:
        for line in block.split("\n"):
            typer.echo("\n".join(wrapped(line)))


def _likelihood(result: LikelihoodResult) -> Iterator[str]:
    title = f"closed book, likelihood {result.normalizer}"
    yield from _model_table(result, title, result.chance)
    yield from _several_right(result.several_right, "; as many are chosen as are right")
    yield from _pair_lines(result)
    if result.lengths is not None:
        yield from _length_table(result.lengths)


def _length_table(lengths: OptionLengths) -> Iterator[str]:
    yield f"\nshortest/longest of the options, % of n = {lengths.n}"
    normalizers = list(next(iter(lengths.models.values())))
    right = _extremes(lengths.gold)
    rows = [["model", *(f"chosen by {name}" for name in normalizers), "right"]]
    for model, shares in lengths.models.items():
        rows.append([model, *(_extremes(shares[name]) for name in normalizers), right])
    yield _table(rows)


def _extremes(shares: ExtremeLengths) -> str:
    return f"{_percent(shares.shortest)}/{_percent(shares.longest)}"


def _several_right(number: int, more: str = "") -> Iterator[str]:
    if number:
        many = plural(number, "question")
        yield f"  {many} with several right options: exactly these count{more}"


def _answers(result: AnswersResult) -> Iterator[str]:
    protocol = result.protocol
    heat = f"T {protocol.temperature}" if protocol.temperature else "greedy"
    title = (
        f"closed book, answers after five examples, {protocol.samples} per question, {heat}, "
        f"parser {protocol.parser}, unparsed {protocol.unparsed}"
    )
    yield from _model_table(result, title, result.chance, {"read": _read_share})
    for model in result.models:
        if model.invalid:
            reasons = ", ".join(f"{count} {reason}" for reason, count in model.invalid.items())
            yield f"  {model.name}: of {model.samples} texts not read: {reasons}"
        if without := model.asked_without:
            yield f"  {model.name}: not sent as asked: {', '.join(without)} (its server refuses)"
    yield from (f"  warning: {warning}" for warning in result.warnings)
    yield from _several_right(result.several_right)
    yield from _pair_lines(result)


def _read_share(model: AnswersScore) -> str:
    return f"{model.attempted}/{model.questions}"


def _metrics(result: MetricsResult) -> Iterator[str]:
    for name, compared in result.metrics.items():
        yield from _model_table(compared, f"{result.title}, {name}")
        yield from _pair_lines(compared)
    if result.caveat:
        yield f"  note: {result.caveat}"


def _short_answers(result: ShortAnswersResult) -> Iterator[str]:
    yield from _metrics(result)
    for model, likely in result.likelihood.items():
        yield (
            f"  {model}: log-likelihood of the accepted answer {likely.nats_per_token:.2f} "
            f"nats per token, {likely.nats_per_byte:.2f} per byte"
        )


def _open_book(result: OpenBookResult) -> Iterator[str]:
    if result.retrieval:
        yield "\nretrieval: recall@k of the right document, or of the answer"
        yield _retrieval_table(result.retrieval)
    yield f"\nopen book, by {result.method}{_guessing(result.chance)}"
    yield _grid_table(result)
    if result.compared is None:
        yield "  no best cell: a grid without a validation split is no single score"
    else:
        yield from _pair_lines(result.compared)
    for gains, said in (
        (result.over_closed_book, "over closed book"),
        (result.under_whole_document, "the whole document over retrieval"),
    ):
        for model, gain in gains.items():
            yield f"{model}, {said}: {_gain(gain)}"


def _retrieval_table(searches: Sequence[RetrievalScore]) -> str:
    cutoffs = [f"@{k}" for k in searches[0].document.recall]
    rows = [["chunk", "chunks", "what", *cutoffs, "MRR"]]
    for row in searches:
        for what, found in (("document", row.document), ("answer", row.answer)):
            if found:
                recalls = [_percent(each.value) for each in found.recall.values()]
                sizes = (str(row.chunk_characters), str(row.chunks))
                rows.append([*sizes, what, *recalls, f"{found.mrr.value:.3f}"])
    return _table(rows)


def _grid_table(result: OpenBookResult) -> str:
    rows = [["model", "chunk", "shown", "order", "T", "split", "n", "accuracy", "hit", "miss"]]
    for cell in result.cells:
        found: HitSplit | None = cell.answer_found or cell.document_found
        hits = (found.hit, found.miss) if found else (None, None)
        rows.append([
            cell.model,
            "whole" if cell.chunk_characters is None else str(cell.chunk_characters),
            str(cell.shown),
            cell.order.replace("_", " "),
            NONE if cell.temperature is None else str(cell.temperature),
            cell.split,
            str(cell.n),
            "too long" if cell.left_out else _with_interval(cell),
            *map(_share, hits),
        ])  # fmt: skip
    return _table(rows)


def _share(part: Estimate | None) -> str:
    if part is None or part.accuracy is None:
        return NONE
    return f"{_percent(part.accuracy)} of {part.n}"


def _model_table(
    result: ModelComparison,
    title: str,
    chance: float | None = None,
    more: Mapping[str, Callable[[Any], str]] | None = None,
) -> Iterator[str]:
    """Yield the accuracy of each model, by kind of question, and `more` columns."""
    models, more = result.models, more or {}
    kinds = list(dict.fromkeys(kind for model in models for kind in model.by_kind))
    kinds = kinds if len(kinds) > 1 else []
    sizes = {model.n for model in models}
    title += f", n = {sizes.pop()}" if len(sizes) == 1 else ""
    yield f"\n{title}{_guessing(chance)}"
    rows = [["model", "accuracy", *kinds, *more]]
    for model in models:
        shown = [model.by_kind.get(kind) for kind in kinds]
        by_kind = [_with_interval(each) if each else NONE for each in shown]
        others = [column(model) for column in more.values()]
        rows.append([model.name, _with_interval(model), *by_kind, *others])
    yield _table(rows)


def _guessing(chance: float | None) -> str:
    return "" if chance is None else f", guessing {_percent(chance)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(table(rows, rule=True))


def _pair_lines(result: ModelComparison) -> Iterator[str]:
    for pair in result.pairs:
        corrected = "" if pair.p_holm is None else f" (Holm {pair.p_holm:.2g})"
        corrected += "" if pair.planned else " (not a planned comparison, not corrected)"
        yield f"{pair.a} - {pair.b}: {_gain(pair)}{corrected}"
    if smallest := result.minimum_detectable_difference:
        yield f"  a true difference below about {_percent(smallest)} points would often be missed"


def _gain(pair: TestedDifference) -> str:
    spread = f"[{_percent(pair.low, sign=True)}, {_percent(pair.high, sign=True)}]"
    return f"{_percent(pair.difference, sign=True)} {spread}, p {pair.p:.2g}"


def _with_interval(score: Estimate) -> str:
    if score.accuracy is None or score.low is None or score.high is None:
        return "none read"
    return f"{_percent(score.accuracy)} ({_percent(score.low)}-{_percent(score.high)})"


def _percent(fraction: float, sign: bool = False) -> str:
    return f"{100 * fraction:+.1f}" if sign else f"{100 * fraction:.1f}"


def _summaries(result: SummariesResult) -> Iterator[str]:
    yield from map(_judge_line, result.judge)
    yield "\nsummaries from memory, counts per text"
    counted = ("claims", "true", "false", "salient")
    rows = [["model", "texts", *counted, "false / human", "salient / human"]]
    for each in result.sets:
        rows.append([
            _set_name(each),
            str(each.written),
            *(_number(each.per_text.get(name)) for name in counted),
            *(_number(each.relative[name].mean_of_ratios) for name in ("false", "salient")),
        ])  # fmt: skip
    yield _table(rows)
    for each in result.sets:
        if unread := {**each.left_out, **each.unread_passages, **each.unjudged}:
            reasons = ", ".join(f"{count} {reason}" for reason, count in unread.items())
            yield f"  {_set_name(each)}: not counted: {reasons}"


def _set_name(each: SetScores) -> str:
    return f"{each.texts.writer} {each.texts.kind}".removesuffix(" human")


def _judge_line(judge: JudgeAgreement) -> str:
    said = [
        f"{name}: {_number(each.accuracy, 100, 0)}% of {each.n} agree, kappa {_number(each.kappa)}"
        for name, each in (("truth", judge.truth), ("salience", judge.salience))
    ]
    unread = sum(judge.unread.values())
    return f"judge {judge.judge} on {judge.claims} labeled claims: {'; '.join(said)}" + (
        f"; {unread} unread" if unread else ""
    )


def _general_text(result: GeneralTextResult) -> Iterator[str]:
    sizes = result.models[0]
    yield f"\ngeneral text, {sizes.texts} texts of {sizes.bytes:,} bytes"
    rows = [["model", "bits per byte", "nats per token"]]
    for model in result.models:
        amounts = (model.bits_per_byte, model.nats_per_token)
        rows.append([model.name, *(_number(each, digits=4) for each in amounts)])
    yield _table(rows)
    for pair in result.differences:
        yield (
            f"{pair.a} - {pair.b}: {_number(pair.bits_per_byte, 1, 4, True)} bits per byte"
            " (above 0: forgotten)"
        )


def _tasks(result: TasksResult) -> Iterator[str]:
    yield "\ntasks of lm-evaluation-harness"
    rows = [["model", "task", "metric", "n", "value"]]
    for model in result.models:
        for row in model.scores:
            error = "" if row.stderr is None else f" (stderr {row.stderr:.4f})"
            rows.append([model.name, row.task, row.metric, str(row.n), f"{row.value:.4f}{error}"])
    yield _table(rows)
    for pair in result.differences:
        change = _number(pair.difference, 1, 4, True)
        yield f"{pair.a} - {pair.b}, {pair.task} {pair.metric}: {change}"


def _number(
    interval: Interval | None, scale: float = 1, digits: int = 2, sign: bool = False
) -> str:
    """Return a mean with its interval; a bound that does not exist is left blank."""
    if interval is None:
        return NONE
    form = f"{{:{'+' if sign else ''}.{digits}f}}"
    mean, low, high = (
        form.format(scale * each) if isfinite(each) else ""
        for each in (interval.mean, interval.low, interval.high)
    )
    return f"{mean} [{low}, {high}]"


LINES: dict[str, Callable[[Any], Iterator[str]]] = {
    "likelihood": _likelihood,
    "answers": _answers,
    "short_answers": _short_answers,
    "open_book": _open_book,
    "summaries": _summaries,
    "general_text": _general_text,
    "tasks": _tasks,
}
