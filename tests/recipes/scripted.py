"""Runs of recipes whose calls the script of the scripted server answers, without HTTP."""

# ruff: noqa: RUF001
from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steep.core.calls import Call, Completion, Usage
from steep.corpus.passage import Candidate
from steep.documents.document import Document
from steep.generation.plan import PlanView
from steep.generation.scheduler import generate
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm.prices import Prices
from steep.recipes.recipe import Recipe, Writer
from steep.recipes.registry import kind_of, make_recipe
from steep.stages.corpus import candidates_of
from steep.testing import script
from steep.testing.tiny_corpus import DOCUMENTS

GOLDEN = Path(__file__).parent / "golden"
TINY = tuple(Document(each.id, each.title, each.text) for each in DOCUMENTS)
GERMAN = Document(
    "bruecke",
    "Die Fähre",
    "Ein Stahlseil der Firma Hask zieht die Fähre über den Ostrelsee, und die Überfahrt dauert elf "
    "Minuten. Im Winter riss das Seil, aber alle Fahrgäste kamen an das Ufer. Der Fährmann Jonas "
    "Brandt hielt die Fähre mit einem Anker, bis die Feuerwehr aus Weidenau sie an Land zog.",
)
CHINESE = Document(
    "duchuan",
    "渡船",
    "奎隆渡船由哈斯克公司的钢缆牵引，横渡奥斯特湖需要十一分钟。冬天钢缆断了，但是所有乘客都平安到达了岸边。"
    "船夫林雪梅用铁锚稳住渡船，直到柳镇的消防队把它拖上岸。第二年，哈斯克公司换上了更粗的钢缆。",
)
SHORT = Document("short", "A Note", "The ferry is late.")

Answer = Callable[[Call], str]


def made(name: str, **options: object) -> Recipe:
    """The recipe of this name with these options."""
    kind = kind_of(name)
    return make_recipe(name, kind.options.model_validate(options), Writer("m"))


def scripted(call: Call) -> str:
    """The answer of the scripted server."""
    messages = [{"role": each.role, "content": each.content} for each in call.messages]
    body = {"messages": messages, "sample": call.sample, "max_tokens": call.sampling.max_tokens}
    if call.sampling.json_schema:
        body["response_format"] = {"type": "json_schema"}
    return script.answer(script.Script(), body).text


@dataclass
class Endpoint:
    """Answers in this process, and remembers every call."""

    answer: Answer = scripted
    failing: Sequence[str] = ()  # steps whose calls fail
    calls: list[Call] = field(default_factory=list)
    batch_size: int = 1
    concurrency: int = 4
    endpoint: str = "scripted"

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        self.calls += calls
        return [self._complete(call) for call in calls]

    def _complete(self, call: Call) -> Completion:
        rest = (Usage(10, 4, 5), 0.0, 0.1, "scripted", 1)
        if call.stage in self.failing:
            return Completion(call.id, "", "error", *rest, error="it fails")
        return Completion(call.id, self.answer(call), "stop", *rest)

    async def close(self) -> None:
        return None


def run(
    ledger: Ledger,
    recipes: Sequence[Recipe],
    documents: Sequence[Document],
    answer: Answer = scripted,
    failing: Sequence[str] = (),
) -> Endpoint:
    """Complete all calls of the recipes; return the endpoint that was asked."""
    endpoint = Endpoint(answer, failing)
    worker = EndpointWorker(endpoint, RetryPolicy(max_attempts=1), Prices())
    asyncio.run(generate(PlanView(documents, recipes, ledger), [worker]))
    return endpoint


def candidates(
    ledger: Ledger, recipes: Sequence[Recipe], documents: Sequence[Document]
) -> list[tuple[str, Candidate]]:
    """All texts for the corpus, with the names of their steps."""
    found = []
    steps = {(recipe.name, step.name): step for recipe in recipes for step in recipe.steps}
    for call, record in PlanView(documents, recipes, ledger).ended():
        step = steps[call.recipe, call.stage]
        if record is not None and step.gives_text:
            found += [(step.name, each) for each in candidates_of(step, call, record)]
    return found


def rendered(call: Call) -> str:
    """The messages of a call."""
    return "".join(f"=== {each.role} ===\n{each.content}\n" for each in call.messages)


def specimens(recipe: Recipe, document: Document) -> str:
    """A call of typical size of every step."""
    return "\n=== next call ===\n".join(rendered(step.specimen(document)) for step in recipe.steps)
