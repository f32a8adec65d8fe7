"""What the tests of this room share: a recipe of a few lines, documents, a client without HTTP."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from steep.core.calls import Call, Completion, Message, Sampling, Usage
from steep.core.ids import stable_hash
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.ledger.ledger import Ledger
from steep.recipes.recipe import Answers, Recipe, Step
from steep.testing.tiny_corpus import DOCUMENTS

TINY = tuple(Document(each.id, each.title, each.text) for each in DOCUMENTS)


class ListedCalls(tuple[Call, ...]):
    """Calls as a sequence with a key."""

    @property
    def key(self) -> str:
        return stable_hash([call.id for call in self])


@dataclass(frozen=True)
class ToyEntities(Step):
    """Asks for entities, up to `attempts` times."""

    recipe: str
    attempts: int
    name: str = "entities"
    one_by_one = True
    counts = False

    def calls(self, document: Document, answers: Answers) -> ListedCalls:
        ask = "Write JSON with a summary and entities."
        return ListedCalls(
            toy_call(self.recipe, document, "entities", (), sample, ask)
            for sample in range(self.attempts)
        )

    def is_enough(self, document: Document, texts: Sequence[str | None]) -> bool:
        return bool(entities_in(texts))

    def expected_calls(self, document: Document) -> Range:
        return Range(1, 1, self.attempts)

    def specimen(self, document: Document) -> Call:
        return self.calls(document, {})[0]

    def passage(self, call: Call, text: str) -> str | None:
        return None


@dataclass(frozen=True)
class ToyPairs(Step):
    """Asks for a text about each of the first `pairs` pairs of entities."""

    recipe: str
    pairs: int
    name: str = "pairs"
    needs: ClassVar[tuple[str, ...]] = ("entities",)

    def calls(self, document: Document, answers: Answers) -> ListedCalls:
        pairs = itertools.combinations(entities_in(answers["entities"]), 2)
        return ListedCalls(
            toy_call(self.recipe, document, "pairs", pair, 0, f"- {pair[0]}\n- {pair[1]}")
            for pair in itertools.islice(pairs, self.pairs)
        )

    def expected_calls(self, document: Document) -> Range:
        return Range(1, 3, self.pairs)

    def specimen(self, document: Document) -> Call:
        return toy_call(self.recipe, document, "pairs", ("Ada", "Bo"), 0, "- Ada\n- Bo")


def toy_recipe(pairs: int = 6, attempts: int = 2, name: str = "toy") -> Recipe:
    """A step that asks for entities, and one that asks for a text about each pair."""
    return Recipe(name, (ToyEntities(name, attempts), ToyPairs(name, pairs)))


def entities_in(texts: Sequence[str | None]) -> list[str]:
    for text in filter(None, texts):
        try:
            return [str(name) for name in json.loads(text)["entities"]]
        except ValueError:
            continue
    return []


def toy_call(
    recipe: str, document: Document, step: str, subset: tuple[str, ...], sample: int, tail: str
) -> Call:
    schema = '{"type":"object"}' if step == "entities" else None
    return Call(
        recipe=recipe,
        stage=step,
        document_id=document.id,
        subset=subset,
        sample=sample,
        model="toy",
        messages=(
            Message("system", ("You study documents.",)),
            Message("user", (f"{document.title}\n{document.text}\n", tail)),
        ),
        sampling=Sampling(json_schema=schema),
    )


def completion(call: Call, text: str = "A text about it.", **fields: object) -> Completion:
    values = {
        "call_id": call.id,
        "text": text,
        "finish_reason": "stop",
        "usage": Usage(10, 4, 5),
        "cost_usd": 0.5,
        "latency_s": 0.1,
        "endpoint": "toy",
        "attempts": 1,
        **fields,
    }
    return Completion(**values)  # type: ignore[arg-type]


def entities_json(*names: str) -> str:
    return json.dumps({"summary": "About them.", "entities": names})


def answer_everything(call: Call) -> Completion:
    if call.stage == "entities":
        return completion(call, entities_json("Ada", "Bo", "Cy"))
    return completion(call, f"How {' and '.join(call.subset)} met in {call.document_id}.")


@dataclass
class ToyClient:
    """Answers in this process, and remembers every batch that it was sent."""

    answer: Callable[[Call], Completion] = answer_everything
    batch_size: int = 1
    concurrency: int = 4
    delay_s: float = 0.0
    endpoint: str = "toy"
    batches: list[list[Call]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        self.batches.append(list(calls))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay_s)
            return [self.answer(call) for call in calls]
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        return None

    @property
    def calls(self) -> list[Call]:
        return [call for batch in self.batches for call in batch]


def view_of(
    documents: Sequence[Document], recipe: Recipe, ledger: Ledger, **options: Any
) -> PlanView:
    """The plan of one recipe."""
    return PlanView(documents, (recipe,), ledger, **options)


def first_call(recipe: Recipe, document: Document) -> Call:
    """The first call of the first step."""
    return recipe.steps[0].calls(document, {})[0]


def calls_about(recipe: Recipe, document: Document, *texts: str) -> list[Call]:
    """The calls of the second step, if the first one gave these texts."""
    calls = recipe.steps[1].calls(document, {"entities": texts})
    return [calls[rank] for rank in range(len(calls))]
