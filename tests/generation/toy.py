"""What the tests of this room share: a recipe of a few lines, documents, a client without HTTP."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from steep.core.calls import Call, Completion, Message, Sampling, Usage
from steep.core.ids import stable_hash
from steep.documents.document import Document
from steep.testing.tiny_corpus import DOCUMENTS

TINY = tuple(Document(each.id, each.title, each.text) for each in DOCUMENTS)


class ListedCalls(tuple[Call, ...]):
    """Calls as a sequence with a key."""

    @property
    def key(self) -> str:
        return stable_hash([call.id for call in self])


@dataclass(frozen=True)
class ToyRecipe:
    """An opening that asks for entities, up to `tries` times; then a text about each pair."""

    pairs: int = 6
    tries: int = 2
    name: str = "toy"

    def opening(self, document: Document, texts: Sequence[str | None]) -> Call | None:
        if len(texts) >= self.tries or self.entities(texts):
            return None
        ask = "Write JSON with a summary and entities."
        return self._call(document, "entities", (), len(texts), ask)

    def calls(self, document: Document, texts: Sequence[str | None]) -> ListedCalls:
        pairs = itertools.combinations(self.entities(texts), 2)
        return ListedCalls(
            self._call(document, "pair", pair, 0, f"- {pair[0]}\n- {pair[1]}")
            for pair in itertools.islice(pairs, self.pairs)
        )

    def passage(self, call: Call, text: str) -> str | None:
        return text if call.stage == "pair" else None

    def entities(self, texts: Sequence[str | None]) -> list[str]:
        for text in filter(None, texts):
            try:
                return [str(name) for name in json.loads(text)["entities"]]
            except ValueError:
                continue
        return []

    def _call(
        self, document: Document, stage: str, subset: tuple[str, ...], sample: int, tail: str
    ) -> Call:
        schema = '{"type":"object"}' if stage == "entities" else None
        return Call(
            recipe=self.name,
            stage=stage,
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
