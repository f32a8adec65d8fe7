"""The calls of `workload` as a plan of Steep: documents, and a recipe that needs no opening."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.generation import workload
from steep.core.calls import Call, Message, Sampling
from steep.core.ids import stable_hash
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.recipe import Answers, Recipe, Step

SAMPLING = Sampling(max_tokens=workload.MAX_TOKENS)


def documents(calls: int) -> list[Document]:
    """The documents that so many calls are about."""
    number = -(-calls // workload.CALLS_PER_DOCUMENT)
    return [Document(f"d{n:06}", f"Ledger {n}", workload.document(n)) for n in range(number)]


@dataclass(frozen=True)
class BenchmarkStep(Step):
    """So many calls, a hundred about each document."""

    planned: int
    name: str = "texts"

    def calls(self, document: Document, answers: Answers) -> BenchmarkCalls:
        """Return the calls about a document."""
        number = int(document.id[1:])
        left = self.planned - number * workload.CALLS_PER_DOCUMENT
        return BenchmarkCalls(document, number, min(left, workload.CALLS_PER_DOCUMENT))

    def expected_calls(self, document: Document) -> Range:
        """Return the exact number."""
        return Range.exactly(len(self.calls(document, {})))

    def specimen(self, document: Document) -> Call:
        """Return the first call."""
        return self.calls(document, {})[0]


def benchmark_recipe(planned: int) -> Recipe:
    """Return a recipe of one step."""
    return Recipe("benchmark", (BenchmarkStep(planned),))


@dataclass(frozen=True)
class BenchmarkCalls:
    """The calls about one document, built when asked for."""

    document: Document
    number: int
    length: int

    @property
    def key(self) -> str:
        """The same whenever the document is."""
        return stable_hash(["benchmark", self.document.id, self.document.text])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, rank: int) -> Call:
        if not 0 <= rank < self.length:
            raise IndexError(f"rank {rank} is outside {self.length} calls")
        return Call(
            recipe="benchmark",
            stage="pair",
            document_id=self.document.id,
            subset=(f"Marlow {self.number}-{rank}", f"Marlow {self.number}-{rank + 1}"),
            sample=0,
            model=workload.MODEL,
            messages=(
                Message("system", (workload.SYSTEM,)),
                Message("user", (self.document.text, workload.tail(self.number, rank))),
            ),
            sampling=SAMPLING,
        )
