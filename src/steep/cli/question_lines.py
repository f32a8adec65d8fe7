"""What `steep questions` prints: the plan, and the counts of gates and kinds."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.formatting import cost_of, count, dollars, percent, plural, reasons, span
from steep.core.tables import table
from steep.evaluation.writing.plan import WritingPlan
from steep.evaluation.writing.results import WritingResult, is_same_model

OFF = "off"
SHOWN_DOCUMENTS = 5


def of_writing_plan(plan: WritingPlan, generator: str) -> Iterator[str]:
    """Yield the lines of a plan; `generator` is the model that writes the corpus."""
    yield f"{plural(plan.questions, 'question')} about {plural(plan.documents, 'document')}: " + (
        ", ".join(f"{count(number)} {kind}" for kind, number in plan.by_kind.items())
    )
    yield "expected (low to high: all rounds, each question reaching the last gate)"
    for each in plan.steps:
        yield f"  {each.step}: {each.model} at {each.base_url} ({each.section})"
        yield f"    calls      {span(each.calls)}"
        yield f"    tokens in  {span(each.tokens_in)}"
        yield f"    tokens out {span(each.tokens_out)}"
        if each.cost_usd is None:
            yield (
                f"    cost       unknown: set {each.section}.usd_per_million_input_tokens and "
                + ("..._output_tokens")
            )
        else:
            yield f"    cost       {span(each.cost_usd, dollars)}"
    if plan.asks_base:
        yield "  the base model (train.model) is asked closed book"
    if (cost := plan.cost_usd) is not None:
        yield f"cost: {dollars(cost.expected)}, at most {dollars(_most(plan, cost.high))}"
    if plan.completed:
        spent = cost_of(plan.spent_usd, plan.unpriced)
        yield (
            f"completed in this project, not paid again: {plural(plan.completed, 'request')}, "
            + (f"cost {spent}")
        )
    yield from same_model_warning(plan.steps[0].model, generator)


def _most(plan: WritingPlan, most_usd: float) -> float:
    if plan.max_cost_usd is None:
        return most_usd
    return min(most_usd, max(0.0, plan.max_cost_usd - plan.spent_usd))


def of_writing(result: WritingResult, generator: str) -> Iterator[str]:
    """Yield the lines of a result; `generator` is the model that writes the corpus."""
    yield f"QUESTIONS written by {result.writer}"
    yield (
        f"{plural(result.candidates, 'candidate')} in {plural(result.rounds, 'round')} = "
        f"{count(result.accepted)} accepted + {count(result.rejected)} rejected"
        + (f" + {count(result.spare)} spare" if result.spare else "")
        + (f" + {count(result.unfinished)} not checked" if result.unfinished else "")
    )
    yield ""
    yield from table(
        [("kind", "wanted", "accepted")]
        + [(each.kind, count(each.wanted), count(each.accepted)) for each in result.kinds]
    )
    yield ""
    yield from table([("gate", "checked", "rejected", "share"), *gate_rows(result)])
    yield ""
    yield f"right options: {reasons(result.letters)}"
    if set(result.marks) - {"written"}:
        yield f"review: {reasons(result.marks)}"
    cost = cost_of(result.known_usd, result.unpriced)
    yield f"cost of all questions in this project: {plural(result.requests, 'request')}, {cost}"
    yield from warnings(result, generator)


def gate_rows(result: WritingResult) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row per gate: checked and rejected candidates, and the share."""
    for each in result.gates:
        if each.checked is None:
            if each.gate != "rejected in review":
                yield each.gate, OFF, "", ""
        else:
            share = percent(each.rejected / each.checked) if each.checked else ""
            yield each.gate, count(each.checked), count(each.rejected), share


def warnings(result: WritingResult, generator: str) -> Iterator[str]:
    """Yield what the user should know before using the questions."""
    if result.accepted < result.wanted:
        why = (
            "questions.max_cost_usd ended the work; a higher limit continues it"
            if result.limit_reached
            else "the gates rejected the others; more questions.rounds write further ones"
        )
        yield f"warning: {count(result.accepted)} of {count(result.wanted)} wanted questions: {why}"
    if result.without_questions:
        shown = ", ".join(result.without_questions[:5])
        yield (
            f"warning: {plural(len(result.without_questions), 'document')} without a question "
            + (f"({shown}{', ...' if len(result.without_questions) > 5 else ''})")
        )
    if result.is_public_knowledge():
        yield (
            "warning: the blind gate rejected most questions: models know these documents without "
            "reading them (public knowledge, such as Wikipedia), so questions about them measure "
            "little. Use documents that models have not seen, or set questions.blind_gate=false "
            "(and base_gate=false) and compare arms with each other only"
        )
    yield from same_model_warning(result.writer, generator)


def same_model_warning(writer: str, generator: str) -> Iterator[str]:
    """Yield a warning if one model writes questions and corpus."""
    if is_same_model(writer, generator):
        yield (
            f"warning: {writer} also generates the corpus (generate.model), which favors what it "
            "finds notable itself; use another model as questions.writer"
        )
