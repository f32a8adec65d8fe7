"""The lines that `steep trace` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from steep.core.formatting import UNKNOWN, dollars, plural

if TYPE_CHECKING:
    from steep.corpus.trace import Trace
    from steep.ledger.records import CallRecord
    from steep.stages.trace import TextTraces, TokenTrace

SHOWN = 600  # characters of a prompt, from its end, and of a text; --full shows all


def of_token(found: TokenTrace, full: bool) -> Iterator[str]:
    """Yield the place of a token in its shard, and its origin."""
    from steep.corpus.trace import Trace

    place, origin = found.place, found.origin
    yield f"token {place.token:,} of {found.arm} ({found.shard}), between [[ and ]]:"
    yield f"  {place.before}[[{place.decoded}]]{place.after}".replace("\n", "\\n")
    yield (
        f"text {place.text + 1:,} of {place.texts:,} in the shard: {plural(place.tokens, 'token')} "
        f"from token {place.first:,}"
    )
    if isinstance(origin, Trace):
        yield from _origin(origin, full)
    else:
        yield f"replay: general text {origin.number + 1:,} of {origin.file}, which has no call"
        yield from _text(origin.text, full)


def of_text(found: TextTraces, full: bool) -> Iterator[str]:
    """Yield the origin of each passage with the text."""
    shown = len(found.traces)
    more = f"; the first {shown}" if shown < found.passages else ""
    contain = "contains" if found.passages == 1 else "contain"
    yield f"{plural(found.passages, 'passage')} of {found.corpus} {contain} this text{more}"
    for each in found.traces:
        yield ""
        yield from _origin(each.origin, full)
        if each.is_held_out:
            yield "held out of training: it is only used to measure the loss"
        elif found.arm is not None and each.tokens is None:
            yield f"not among the texts of {found.arm}"
        elif each.tokens is not None:
            yield f"tokens {each.tokens[0]:,} to {each.tokens[1] - 1:,} of {found.arm}"


def _origin(trace: Trace, full: bool) -> Iterator[str]:
    passage, call = trace.passage, trace.call
    yield (
        f"passage {passage.id}: {passage.recipe}, rank {passage.rank} of its document, "
        f"{plural(passage.words, 'word')}"
    )
    if passage.subset:
        yield f"  about {', '.join(passage.subset)}"
    first, *others = trace.documents
    yield f"document {first.id}: {first.title or UNKNOWN} ({first.source or 'no source'})"
    for other in others:
        is_part = other.source == first.source and other.title.startswith(first.title)
        why = "the part" if is_part else "the document with an equal text"
        yield f"  the call names {other.id}: {why} that it was made for ({other.source})"
        if other.title not in ("", first.title):
            yield f"  its title: {other.title}"
    if call is None and passage.call_id is None:
        yield "a raw document: it has no call"
    elif call is None:
        yield f"call {passage.call_id}: the ledger does not have it"
    elif trace.is_imported:
        source = trace.imported_from or "a file that was not recorded"
        yield f"imported from {source}: no call, no prompt, no cost"
        yield f"  model {call.model}, sample {call.sample}, imported {_moment(call)}"
    else:
        yield from _call(trace, call, full)
    yield from _text(passage.text, full)


def _call(trace: Trace, call: CallRecord, full: bool) -> Iterator[str]:
    completion, usage = call.completion, call.completion.usage
    yield f"call {call.call_id}: step {call.stage}, sample {call.sample}, {call.status}"
    yield f"  model {call.model} at {completion.endpoint}, {_moment(call)}"
    cost = UNKNOWN if completion.cost_usd is None else dollars(completion.cost_usd)
    yield (
        f"  {usage.prompt_tokens:,} prompt tokens ({usage.cached_tokens:,} cached) + "
        f"{usage.completion_tokens:,} completion tokens, cost {cost}"
    )
    if trace.parameters:
        yield f"  {', '.join(f'{name} {value}' for name, value in trace.parameters.items())}"
    prompt = "\n".join(f"[{each.role}] {each.content}" for each in trace.messages)
    hidden = len(prompt) - SHOWN
    if full or hidden <= 0:
        yield "--- prompt"
        yield prompt
    else:
        yield f"--- prompt, without its first {hidden:,} characters (--full shows them)"
        yield prompt[hidden:]


def _text(text: str, full: bool) -> Iterator[str]:
    yield "--- text"
    hidden = len(text) - SHOWN
    yield text if full or hidden <= 0 else text[:SHOWN]
    if hidden > 0 and not full:
        yield f"--- and {hidden:,} characters more (--full shows them)"


def _moment(call: CallRecord) -> str:
    return f"{call.finished_at[:16].replace('T', ' ')} UTC"
