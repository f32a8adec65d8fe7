"""The lines that `steep status` prints; `steep.stages.status` says what is in each dictionary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steep.core.arms import SourceUse
from steep.core.calls import RAW_RECIPE, STATUSES
from steep.core.formatting import cost_of, dollars, duration, plural, reasoned

Found = Mapping[str, Any]

SHOWN_REASONS = 5
SHOWN_DIGITS = 12  # of the id of a call, in lists; enough to find the call
LONGEST_MESSAGE = 1200  # characters; --call shows longer ones in full


def of_status(found: Found) -> Iterator[str]:
    """Yield the totals of the plan, the spending, the batches and the artifacts."""
    if found["plan"]:
        yield f"plan: {_sum(found)}"
        yield from _reasoning(found)
        yield from _new_information(found)
        if found["asked_again"]:
            answers = plural(found["asked_again"], "answer")
            yield f"  {answers} without text will be requested again by the next run"
        yield from _rest(found)
        yield from _reasons(found["failures"])
        yield from _without_texts(found)
    ledger = found["ledger"]
    failed = f" and {ledger['failed']:,} failed" if ledger["failed"] else ""
    yield f"ledger: {plural(ledger['calls'], 'call')}{failed}, {_spending(ledger)}"
    if ledger["not_in_plan"]:
        yield f"  of these, {plural(ledger['not_in_plan'], 'call')} outside this plan"
    yield f"  {plural(ledger['imported'], 'imported text')}, not counted above"
    if (lost := ledger["lost"])["attempts"]:
        attempts = plural(lost["attempts"], "further attempt")
        price = "cost unknown" if lost["unpriced"] else dollars(lost["cost_usd"])
        yield f"  {attempts} returned nothing usable: at most {lost['tokens']:,} tokens, {price}"
    limits = found["limits"]
    if limits["spent_tokens"]:
        usd = "" if limits["spent_usd"] is None else f", {dollars(limits['spent_usd'])}"
        yield f"  counted against the limits in total: {limits['spent_tokens']:,} tokens{usd}"
    for each in found["requests"]:
        failed = f" and {each['failed']:,} failed" if each["failed"] else ""
        done = plural(each["requests"], "request")
        yield f"{each['purpose']} ({each['model']}): {done}{failed}, {_spending(each)}"
    for batch in found["batches"]:
        name, calls = batch["batch_id"] or batch["token"], plural(batch["calls"], "call")
        yield (
            f"batch {name}: {batch['status']}, submitted {_moment(batch['submitted_at'])}, "
            f"{batch['waiting']:,} of {calls} pending"
        )
    for each in found["artifacts"]:
        label = " ".join(part for part in (each["stage"], each["arm"]) if part)
        label += f" ({each['variant']})" if each["variant"] else ""
        rate = each["tokens_per_second"]
        speed = f", {rate:,.1f} tokens per second" if rate else ""
        device = f" on {each['device']}" if each["device"] else ""
        yield f"{label}: {each['path']} ({duration(each['wall_s'])}{device}{speed})"
        for use in each["mix"]:
            yield f"  {SourceUse(**use)}"


def of_documents(found: Found) -> Iterator[str]:
    """Yield the cost of each document, most expensive first."""
    shown = found["documents"]
    for each in shown:
        yield f"{each['document_id']}: {_outcomes(each)}; {_spending(each)}"
    yield f"{len(shown):,} of {found['of']:,} documents shown; in all: {_spending(found['total'])}"


def of_document(found: Found) -> Iterator[str]:
    """Yield the cost and the calls of one document."""
    yield f"document {found['document_id']}: {_outcomes(found)}"
    yield f"  {_spending(found)}"
    if found["why_nothing"]:
        yield f"  nothing to write about: {found['why_nothing']}"
    for each in found["calls"]:
        yield f"  {_brief(each)}"
    yield _shown(len(found["calls"]), found["of"], "calls and imported texts")


def of_entity(found: Found) -> Iterator[str]:
    """Yield texts, each after the messages that requested it."""
    for number, each in enumerate(found["texts"], start=1):
        yield f"=== {number}: document {each['document_id']}, {_brief(each)}"
        yield from _messages(each["messages"], LONGEST_MESSAGE)
        yield "--- text"
        yield each["text"]
        yield ""
    yield _shown(len(found["texts"]), found["of"], f"texts about {found['entity']}")


def of_failures(found: Found) -> Iterator[str]:
    """Yield reasons with their numbers of calls and documents, and an example."""
    if not found["of"]:
        yield "nothing failed"
        return
    for each in found["reasons"]:
        number = each["documents"]
        where = f"in {plural(number, 'document')}" if number else "outside of generation"
        yield f"{each['calls']:,} {each['status']} {where}: {each['reason']}"
        yield f"  for example: steep status --call {each['example'][:SHOWN_DIGITS]}"
    shown = _shown(len(found["reasons"]), found["of"], "reasons")
    yield f"{shown}; {plural(found['calls'], 'call')} in all"


def of_call(found: Found) -> Iterator[str]:
    """Yield everything about a call, the text last."""
    if "purpose" in found:
        yield from _request(found)
        return
    yield f"call {found['call_id']}: {found['status']}"
    yield f"  document {found['document_id']}, {found['recipe']} {found['stage']}, {_subset(found)}"
    yield f"  model {found['model']}, sample {found['sample']}, at {found['endpoint']}"
    sampling = ", ".join(f"{name} {value}" for name, value in found["sampling"].items() if value)
    yield f"  sampling: {sampling or 'unknown'}"
    yield from _outcome(found)
    if found["batch"]:
        yield f"  pending in the provider batch {found['batch']}"
    yield from _messages(found["messages"], None)
    yield "--- text"
    yield found["text"]


def _request(found: Found) -> Iterator[str]:
    """Yield everything about a request of an evaluation, the result last."""
    yield f"request {found['call_id']}: {found['status']}"
    yield f"  {found['purpose']}, {found['kind']}, model {found['model']}, at {found['endpoint']}"
    parameters = ", ".join(f"{name} {value}" for name, value in found["parameters"].items())
    yield f"  parameters: {parameters or 'none'}"
    yield from _outcome(found)
    yield "--- sent"
    separator = "" if found["kind"] in ("chat", "completion", "echo") else "\n"
    yield _shortened(separator.join(found["parts"]), LONGEST_MESSAGE)
    if found["result"] is not None:
        yield "--- result"
        text = found["result"].get("text")
        yield _shortened(str(found["result"]) if text is None else text, LONGEST_MESSAGE)


def _outcome(found: Found) -> Iterator[str]:
    """Yield the tokens, cost, time and error of a call or request."""
    yield f"  {_tokens(found['usage'])}, {_dollars(found['cost_usd'])}"
    yield (
        f"  recorded {_moment(found['recorded_at'])}, {plural(found['attempts'], 'attempt')}, "
        f"{found['latency_s']:.1f} s, finish reason '{found['finish_reason']}'"
    )
    if found["error"]:
        yield f"  error: {found['error']}"


def _sum(found: Found) -> str:
    """Return the planned calls as the sum of their outcomes."""
    plan = found["plan"]
    ended = [f"{plan[status]:,} {status}" for status in STATUSES]
    to_do = f"{plan['to_do']:,} to do"
    if found["submitted"]:
        to_do += f" ({found['submitted']:,} of them pending in provider batches)"
    beyond = found["beyond_target"]
    limit = "generate.stop_when" if found["exhausted"] else "the target"
    more = f"; {beyond:,} beyond {limit} are not needed" if beyond else ""
    return f"{plan['planned']:,} planned = {' + '.join(ended)} + {to_do}{more}"


def _reasoning(found: Found) -> Iterator[str]:
    if not (answers := found["plan"]["reasoning"]):
        return
    tokens = found["reasoning_tokens"]
    took = f" ({tokens:,} tokens)" if tokens else ""
    yield (
        f"  {plural(answers, 'answer')} with reasoning only{took}; "
        "see generate.reasoning_tokens and generate.max_tokens"
    )


def _new_information(found: Found) -> Iterator[str]:
    """Yield what the last window of answers brought, relative to the first one."""
    for recipe, windows in found["new_information"].items():
        first, last = windows[0], windows[-1]
        per_word = [new / words if words else 0.0 for _, words, new in (first, last)]
        line = (
            f"  {recipe}: {per_word[0]:.2f} new 4-grams per word in its first {first[0]:,} answers"
        )
        if len(windows) > 1:
            line += f", {per_word[1]:.2f} in the last {last[0]:,}"
        yield line + ("; ended by generate.stop_when" if recipe in found["exhausted"] else "")


def _rest(found: Found) -> Iterator[str]:
    if not (rest := found["rest"]):
        return
    verb = "is" if rest["documents"] == 1 else "are"
    line = (
        f"  more calls will follow: {plural(rest['documents'], 'document')} {verb} not prepared yet"
    )
    if rest["prepared"]:
        line += (
            f"; {plural(rest['prepared'], 'other')} had {rest['mean_calls']:,} more calls each"
            f" ({rest['fewest_calls']:,} to {rest['most_calls']:,})"
        )
    yield line


def _without_texts(found: Found) -> Iterator[str]:
    from steep.generation.checks import count_without

    for recipe in dict.fromkeys(each["recipe"] for each in found["without_texts"]):
        without = [e["document_id"] for e in found["without_texts"] if e["recipe"] == recipe]
        said = count_without(without, found["documents"])
        yield f"  {recipe}: {said}; steep status --document ID tells why"


def _reasons(failures: list[Found]) -> Iterator[str]:
    for each in failures[:SHOWN_REASONS]:
        yield f"  {each['calls']:,} x: {each['reason']}"
    if len(failures) > SHOWN_REASONS:
        shown = _shown(SHOWN_REASONS, len(failures), "reasons")
        yield f"  {shown}; all: steep status --failed"


def _spending(sums: Found) -> str:
    return f"{_tokens(sums['usage'])}, cost {cost_of(sums['known_usd'], sums['unpriced'])}"


def _tokens(usage: Found) -> str:
    return (
        f"{usage['prompt_tokens']:,} tokens in ({usage['cached_tokens']:,} cached), "
        f"{usage['completion_tokens']:,} out{reasoned(usage['reasoning_tokens'])}"
    )


def _dollars(usd: float | None) -> str:
    return "cost unknown" if usd is None else dollars(usd)


def _outcomes(cost: Found) -> str:
    counts = cost["counts"]
    calls = plural(sum(counts.values()), "call")
    if counts:
        order = [name for name in (*STATUSES, "submitted") if counts.get(name)]
        calls += f" = {' + '.join(f'{counts[name]:,} {name}' for name in order)}"
    return calls + (f", {plural(cost['imported'], 'imported text')}" if cost["imported"] else "")


def _brief(call: Found) -> str:
    if call["imported"]:
        return f"{call['call_id'][:SHOWN_DIGITS]} imported"
    parts = [call["call_id"][:SHOWN_DIGITS], call["status"], call["stage"]]
    parts += [_subset(call)] if call["subset"] else []
    parts.append(call["error"] or _dollars(call["cost_usd"]))
    return "  ".join(parts)


def _subset(call: Found) -> str:
    return " + ".join(call["subset"]) or "no entities"


def _messages(messages: list[Found], longest: int | None) -> Iterator[str]:
    for message in messages:
        yield f"--- {message['role']}"
        yield _shortened(message["content"], longest)


def _shortened(text: str, longest: int | None) -> str:
    """Return the beginning and the end of a long text: prompts differ at their ends."""
    if longest is None or len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters ...]\n{text[-half:]}"


def _shown(shown: int, total: int, what: str) -> str:
    return f"{shown:,} of {total:,} {what} shown"


def _moment(iso: str) -> str:
    return iso[:19].replace("T", " ") + " UTC"


def of_question(found: Found) -> Iterator[str]:
    """Yield one question, and what each model chose or generated."""
    yield f"{found['question_id']}: {found['question'] or ''}".rstrip(": ")
    for number, option in enumerate(found.get("options", ())):
        yield f"  {number}. {option}{'  (right)' if number in found['gold'] else ''}"
    for answer in found.get("answers", ()):
        yield f"  accepted: {answer}"
    for result in found["results"]:
        variant = f", {result['variant']}" if result["variant"] else ""
        yield f"{result['model']}, {result['method']}{variant}: {_verdict_on(result)}"
        for text in result.get("texts", ()):
            yield f"    {' '.join(text.split())}"
    for each in found["in_texts"]:
        yield _overlap(each)


def _overlap(each: Found) -> str:
    """Return what a question has in common with the texts of a recipe."""
    if each["similarity"] is None:
        common = plural(each["words"], "equal word")
    else:
        common = f"paraphrase, cosine {each['similarity']:.2f}"
    if each["recipe"] == RAW_RECIPE:
        return f"in the source documents: {each['measure']}"
    kind = "" if each["passages"] else ", also in the source documents"
    number = plural(each["passages"] or each["quoting"], "passage")
    where = f"{number} of {each['recipe']}, e.g. {each['passage_id'][:SHOWN_DIGITS]}"
    return f"in {where} ({common}{kind}): {each['excerpt']}"


def _verdict_on(result: Found) -> str:
    if "row" in result:
        return ", ".join(f"{name} {value}" for name, value in result["row"].items())
    if "grades" in result:
        return ", ".join(f"{name} {max(each):.2f}" for name, each in result["grades"].items())
    if result["chosen"] is None:
        return "not parsed"
    chosen = ", ".join(map(str, result["chosen"]))
    return f"{'right' if result['right'] else 'wrong'}, chose {chosen}"
