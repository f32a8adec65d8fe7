"""What `steep questions` prints: the plan, and the counts of gates and kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steep.core.formatting import cost_of, count, dollars, plural, reasons, span
from steep.core.tables import table
from steep.evaluation.writing.about import cautions, gate_rows, same_model, unrelated
from steep.evaluation.writing.plan import WritingPlan
from steep.evaluation.writing.results import REJECTED_NAME, WritingResult
from steep.evaluation.writing.separation import Separation
from steep.evaluation.writing.session import INSTALL, without_packages

SHORT_METHOD = "short-answers"  # of evaluate.methods


def of_writing_plan(plan: WritingPlan, generator: str) -> Iterator[str]:
    """Yield the lines of a plan; `generator` is the model that writes the corpus."""
    yield f"{plural(plan.questions, 'question')} about {plural(plan.documents, 'document')}: " + (
        ", ".join(f"{count(number)} {kind}" for kind, number in plan.by_kind.items())
    )
    if plan.is_finished:
        spent = cost_of(plan.spent_usd, plan.unpriced)
        paid = f"{plural(plan.completed, 'request')}, cost {spent}"
        yield f"completed ({paid}); a rerun costs nothing"
        return
    yield "expected (low to high: all rounds, each question reaching the last gate)"
    for each in plan.steps:
        yield f"  {each.step}: {each.model} at {each.base_url} ({each.section})"
        yield f"    calls      {span(each.calls)}"
        yield f"    tokens in  {span(each.tokens_in)}"
        yield f"    tokens out {span(each.tokens_out)}"
        if each.cost_usd is None:
            yield "    cost       unknown"
        else:
            yield f"    cost       {span(each.cost_usd, dollars)}"
    for section in dict.fromkeys(each.section for each in plan.steps if each.cost_usd is None):
        yield (
            f"cost unknown: set {section}.usd_per_million_input_tokens and "
            "..._output_tokens to know it"
        )
    if plan.missing_packages:
        yield f"warning: {without_packages(plan.missing_packages)} {INSTALL}"
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
    if plan.unrelated:
        yield f"note: {unrelated(plan.unrelated, plan.documents)}"
    yield from (f"warning: {each}" for each in same_model(plan.steps[0].model, generator))


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
    if result.is_reviewed:
        parts = ", ".join(f"{count(number)} {name}" for name, number in result.decisions.items())
        yield f"review: {parts}"
    cost = cost_of(result.known_usd, result.unpriced)
    yield f"cost of all questions in this project: {plural(result.requests, 'request')}, {cost}"
    yield from (f"warning: {each}" for each in cautions(result, generator))


def of_separation(found: Separation) -> Iterator[str]:
    """Yield whether prompts of recipes have anything of the questions."""
    if not found.calls:
        yield (
            "separation: not checked, as no call of a recipe is in the ledger; the prompts of "
            "imported texts are unknown"
        )
        return
    searched = f"separation: the prompts of {plural(found.calls, 'call')} of recipes searched"
    if not found.leaks:
        yield f"{searched}; none has a question, or a pair of supporting sentences"
        return
    first = found.found[0]
    yield f"{searched}; {count(found.leaks)} times one has something of a question"
    yield (
        f"warning: call {first.call_id[:12]} of {first.recipe} has the {first.what} of "
        f"{first.question_id}; steep status --call shows it. Leave such questions out, or such "
        "documents (questions must not be among the documents)"
    )


def of_none(result: WritingResult) -> str:
    """Return what to do after a writing without an accepted question."""
    unreadable = sum(each.rejected for each in result.gates if each.gate == "unreadable")
    if result.candidates and unreadable == result.candidates:
        return (
            f"no question was accepted: the answers were not in the asked form; see "
            f"{REJECTED_NAME}; try another writer (questions.writer)"
        )
    return f"no question was accepted; see the reasons in {REJECTED_NAME}"


def of_short_answers(result: WritingResult, methods: Sequence[str]) -> Iterator[str]:
    """Yield how the short answers among the questions are asked, unless they are anyway."""
    if result.short_answers and SHORT_METHOD not in methods:
        yield (
            f"note: add {SHORT_METHOD} to evaluate.methods, or most of the "
            f"{plural(result.short_answers, 'short-answer question')} cannot be asked"
        )
