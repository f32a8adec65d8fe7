"""What `scores.json` says, as tables for a terminal: one function a way of asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import typer

from steep.core.tables import table, wrapped

INTERVALS = "In brackets: 95% intervals clustered by document (general text: by text)."
NONE = "-"


def print_scores(scores: Mapping[str, Any]) -> None:
    """Print every table that there is."""
    for name, lines in LINES.items():
        if found := scores.get(name):
            _print(lines(found))
    _print([f"\n{INTERVALS}"])
    for reason, count in Counter(each["reason"] for each in scores["skipped"]).items():
        many = "question" if count == 1 else "questions"
        _print([f"not asked as a choice: {count} {many}, {reason}"])


def _print(blocks: Iterable[str]) -> None:
    """Print tables as they are, and prose broken at blanks."""
    for block in blocks:
        for line in block.split("\n"):
            typer.echo("\n".join(wrapped(line)))


def _likelihood(found: Mapping[str, Any]) -> Iterator[str]:
    title = f"closed book, likelihood {found['normalizer']}"
    yield from _model_table(found, title, lambda model: [])
    yield from _several_right(found, "; as many are chosen as are right")
    yield from _pair_lines(found)
    if found["lengths"] is not None:
        yield from _length_table(found["lengths"])


def _length_table(found: Mapping[str, Any]) -> Iterator[str]:
    """How often the shortest and the longest option is chosen, beside how often it is right."""
    yield f"\nshortest/longest of the options, % of n = {found['n']}"
    normalizers = list(next(iter(found["models"].values())))
    right = _extremes(found["gold"])
    rows = [["model", *(f"chosen by {name}" for name in normalizers), "right"]]
    for model, shares in found["models"].items():
        rows.append([model, *(_extremes(shares[name]) for name in normalizers), right])
    yield _table(rows)


def _extremes(shares: Mapping[str, float]) -> str:
    return f"{_percent(shares['shortest'])}/{_percent(shares['longest'])}"


def _several_right(found: Mapping[str, Any], more: str = "") -> Iterator[str]:
    if number := found["several_right"]:
        many = "question" if number == 1 else "questions"
        yield f"  {number} {many} with several right options: exactly these count{more}"


def _answers(found: Mapping[str, Any]) -> Iterator[str]:
    protocol = found["protocol"]
    heat = f"T {protocol['temperature']}" if protocol["temperature"] else "greedy"
    title = (
        f"closed book, answers after five examples, {protocol['samples']} per question, {heat}, "
        f"parser {protocol['parser']}, unparsed {protocol['unparsed']}"
    )
    read = ["read"]
    yield from _model_table(
        found, title, lambda model: [f"{model['attempted']}/{model['questions']}"], read
    )
    for model in found["models"]:
        if model["invalid"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in model["invalid"].items())
            yield f"  {model['name']}: of {model['samples']} texts not read: {reasons}"
        if without := model.get("asked_without"):
            yield f"  {model['name']}: not sent as asked: {', '.join(without)} (its server refuses)"
    yield from (f"  warning: {warning}" for warning in found["warnings"])
    yield from _several_right(found)
    yield from _pair_lines(found)


def _short_answers(found: Mapping[str, Any]) -> Iterator[str]:
    for name, title in (("exact_match", "exact match"), ("f1", "F1")):
        yield from _model_table(
            found[name], f"closed book, short answers, {title}", lambda model: []
        )
        yield from _pair_lines(found[name])
    for model, likely in found["likelihood"].items():
        yield (
            f"  {model}: log-likelihood of the accepted answer {likely['nats_per_token']:.2f} "
            f"nats per token, {likely['nats_per_byte']:.2f} per byte"
        )


def _open_book(found: Mapping[str, Any]) -> Iterator[str]:
    if found["retrieval"]:
        yield "\nretrieval: recall@k of the right document, or of the answer"
        yield _retrieval_table(found["retrieval"])
    yield f"\nopen book, by {found['method']}{_guessing(found)}"
    yield _cell_table(found)
    if found["compared"] is None:
        yield "  no best cell: a grid without a validation split is no single score"
    else:
        yield from _pair_lines(found["compared"])
    for key, said in (
        ("over_closed_book", "over closed book"),
        ("under_whole_document", "the whole document over retrieval"),
    ):
        for model, gain in found[key].items():
            yield f"{model}, {said}: {_gain(gain)}"


def _retrieval_table(searches: Sequence[Mapping[str, Any]]) -> str:
    cutoffs = [f"@{k}" for k in searches[0]["document"]["recall"]]
    rows = [["chunk", "chunks", "what", *cutoffs, "MRR"]]
    for row in searches:
        for what in ("document", "answer"):
            if found := row[what]:
                recalls = [f"{_percent(each['value'])}" for each in found["recall"].values()]
                rows.append([
                    str(row["chunk_characters"]), str(row["chunks"]), what, *recalls,
                    f"{found['mrr']['value']:.3f}",
                ])  # fmt: skip
    return _table(rows)


def _cell_table(found: Mapping[str, Any]) -> str:
    rows = [["model", "chunk", "shown", "order", "T", "split", "n", "accuracy", "hit", "miss"]]
    for cell in found["cells"]:
        whole = cell["chunk_characters"] is None
        heat = NONE if cell["temperature"] is None else str(cell["temperature"])
        hits = cell.get("answer_found") or cell.get("document_found") or {}
        rows.append([
            cell["model"],
            "whole" if whole else str(cell["chunk_characters"]),
            str(cell["shown"]), cell["order"].replace("_", " "), heat, cell["split"],
            str(cell["n"]),
            "too long" if cell["left_out"] else _with_interval(cell),
            *(_share(hits.get(side)) for side in ("hit", "miss")),
        ])  # fmt: skip
    return _table(rows)


def _share(part: Mapping[str, Any] | None) -> str:
    if not part or part["accuracy"] is None:
        return NONE
    return f"{_percent(part['accuracy'])} of {part['n']}"


def _model_table(
    found: Mapping[str, Any],
    title: str,
    more: Callable[[Mapping[str, Any]], list[str]],
    more_columns: Sequence[str] = (),
) -> Iterator[str]:
    models = found["models"]
    kinds = list(dict.fromkeys(kind for model in models for kind in model["by_kind"]))
    kinds = kinds if len(kinds) > 1 else []
    sizes = {model["n"] for model in models}
    title += f", n = {sizes.pop()}" if len(sizes) == 1 else ""
    title += _guessing(found)
    yield f"\n{title}"
    rows = [["model", "accuracy", *kinds, *more_columns]]
    for model in models:
        shown = [model["by_kind"].get(kind) for kind in kinds]
        by_kind = [_with_interval(each) if each else NONE for each in shown]
        rows.append([model["name"], _with_interval(model), *by_kind, *more(model)])
    yield _table(rows)


def _guessing(found: Mapping[str, Any]) -> str:
    """The chance level, where a table is about choices."""
    chance = found.get("chance")
    return "" if chance is None else f", guessing {_percent(chance)}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(table(rows, rule=True))


def _pair_lines(found: Mapping[str, Any]) -> Iterator[str]:
    for pair in found["pairs"]:
        holm = pair.get("p_holm")
        corrected = "" if holm is None else f" (Holm {holm:.2g})"
        corrected += "" if pair["planned"] else " (not a planned comparison, not corrected)"
        yield f"{pair['a']} - {pair['b']}: {_gain(pair)}{corrected}"
    if smallest := found["minimum_detectable_difference"]:
        yield f"  a true difference below about {_percent(smallest)} points would often be missed"


def _gain(pair: Mapping[str, Any]) -> str:
    spread = f"[{_percent(pair['low'], sign=True)}, {_percent(pair['high'], sign=True)}]"
    return f"{_percent(pair['difference'], sign=True)} {spread}, p {pair['p']:.2g}"


def _with_interval(score: Mapping[str, Any]) -> str:
    if score["accuracy"] is None:
        return "none read"
    low, high = _percent(score["low"]), _percent(score["high"])
    return f"{_percent(score['accuracy'])} ({low}-{high})"


def _percent(fraction: float, sign: bool = False) -> str:
    return f"{100 * fraction:+.1f}" if sign else f"{100 * fraction:.1f}"


def _summaries(found: Mapping[str, Any]) -> Iterator[str]:
    for judge in found["judge"]:
        yield _judge_line(judge)
    yield "\nsummaries from memory, counts per text"
    beside_human = ["false / human", "salient / human"]
    rows = [["model", "texts", "claims", "true", "false", "salient", *beside_human]]
    for each in found["sets"]:
        counts, beside = each["per_text"], each["relative"]
        rows.append([
            _set_name(each),
            str(each["written"]),
            *(_number(counts.get(name)) for name in ("claims", "true", "false", "salient")),
            *(_number(beside[name]["mean_of_ratios"]) for name in ("false", "salient")),
        ])  # fmt: skip
    yield _table(rows)
    for each in found["sets"]:
        unread = each["left_out"] | each["unread_passages"] | each["unjudged"]
        if unread:
            reasons = ", ".join(f"{count} {reason}" for reason, count in unread.items())
            yield f"  {_set_name(each)}: not counted: {reasons}"


def _set_name(each: Mapping[str, Any]) -> str:
    return f"{each['texts']['writer']} {each['texts']['kind']}".removesuffix(" human")


def _judge_line(judge: Mapping[str, Any]) -> str:
    said = []
    for name in ("truth", "salience"):
        each = judge[name]
        kappa = _number(each["kappa"])
        accuracy = _number(each["accuracy"], 100, 0)
        said.append(f"{name}: {accuracy}% of {each['n']} agree, kappa {kappa}")
    unread = sum(judge["unread"].values())
    return f"judge {judge['judge']} on {judge['claims']} labeled claims: {'; '.join(said)}" + (
        f"; {unread} unread" if unread else ""
    )


def _general_text(found: Mapping[str, Any]) -> Iterator[str]:
    sizes = found["models"][0]
    yield f"\ngeneral text, {sizes['texts']} texts of {sizes['bytes']:,} bytes"
    rows = [["model", "bits per byte", "nats per token"]]
    for model in found["models"]:
        amounts = (model["bits_per_byte"], model["nats_per_token"])
        rows.append([model["name"], *(_number(each, digits=4) for each in amounts)])
    yield _table(rows)
    for pair in found["differences"]:
        yield (
            f"{pair['a']} - {pair['b']}: {_number(pair['bits_per_byte'], 1, 4, True)} bits per byte"
            " (above 0: forgotten)"
        )


def _tasks(found: Mapping[str, Any]) -> Iterator[str]:
    yield "\ntasks of lm-evaluation-harness"
    rows = [["model", "task", "metric", "n", "value"]]
    for model in found["models"]:
        for row in model["scores"]:
            error = "" if row["stderr"] is None else f" (stderr {row['stderr']:.4f})"
            value = f"{row['value']:.4f}{error}"
            rows.append([model["name"], row["task"], row["metric"], str(row["n"]), value])
    yield _table(rows)
    for pair in found["differences"]:
        yield (
            f"{pair['a']} - {pair['b']}, {pair['task']} {pair['metric']}: "
            f"{_number(pair['difference'], 1, 4, True)}"
        )


def _number(
    interval: Mapping[str, Any] | None, scale: float = 1, digits: int = 2, sign: bool = False
) -> str:
    """A mean with its interval; a bound that does not exist is open."""
    if interval is None:
        return NONE
    form = f"{{:{'+' if sign else ''}.{digits}f}}"
    mean, low, high = (
        "" if interval[key] is None else form.format(scale * interval[key])
        for key in ("mean", "low", "high")
    )
    return f"{mean} [{low}, {high}]"


LINES: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "likelihood": _likelihood,
    "answers": _answers,
    "short_answers": _short_answers,
    "open_book": _open_book,
    "summaries": _summaries,
    "general_text": _general_text,
    "tasks": _tasks,
}
