"""On a real cluster of two nodes on this machine; one of them is killed in mid-run."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ray_toy import ToyEngine, broken_engine

from steep.core.calls import Call, Message, Sampling
from steep.core.errors import UserError
from steep.core.ids import stable_hash
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.generation import scheduler
from steep.generation.plan import PlanView
from steep.generation.progress import GenerationReport
from steep.ledger.endpoint_worker import EndpointWorker, RetryPolicy
from steep.ledger.ledger import Ledger
from steep.llm import ray_engine
from steep.llm.client import Client, FatalError, TransientError
from steep.llm.local.client import EmbeddedClient
from steep.llm.ray_engine import RayClient
from steep.recipes.recipe import Answers, Recipe, Step
from steep.testing.tiny_corpus import DOCUMENTS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own: of its future, and of its open files
]


def call(subset: str = "a", document_id: str = "d", **sampling: Any) -> Call:
    text = DOCUMENTS[0].text
    messages = (Message("user", (text, f"\nTell of {subset}, {document_id}.")),)
    sampled = Sampling(**{"max_tokens": 8, **sampling})
    return Call("toy", "pair", document_id, (subset,), 0, "toy", messages, sampled)


class ListedCalls(tuple[Call, ...]):
    @property
    def key(self) -> str:
        return stable_hash([each.id for each in self])


@dataclass(frozen=True)
class Plain(Step):
    """So many texts about each document."""

    texts: int
    name: str = "texts"

    def calls(self, document: Document, answers: Answers) -> ListedCalls:
        return ListedCalls(call(str(number), document.id) for number in range(self.texts))

    def expected_calls(self, document: Document) -> Range:
        return Range.exactly(self.texts)

    def specimen(self, document: Document) -> Call:
        return call("0", document.id)


class TwoNodes:
    """Nodes with room for one actor each; the first is the head."""

    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self.cluster = Cluster()
        quickly = {"health_check_period_ms": 300, "health_check_failure_threshold": 2}
        self.cluster.add_node(num_cpus=1, include_dashboard=False, _system_config=quickly)
        self.second = self.cluster.add_node(num_cpus=1)
        self.address = str(self.cluster.address)

    def kill_the_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)

    def add_another(self) -> None:
        self.second = self.cluster.add_node(num_cpus=1)


@pytest.fixture(scope="module", autouse=True)
def same_environment() -> Iterator[None]:
    """Actors find what this process finds: the package, and the engine beside this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
        yield


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    """A test that fails leaves no connection to the next one."""
    yield
    import ray

    ray.shutdown()


@pytest.fixture(scope="module")
def two_nodes(same_environment: None) -> Iterator[TwoNodes]:
    nodes = TwoNodes()
    yield nodes
    nodes.cluster.shutdown()


def documents(*names: str) -> list[Document]:
    return [Document(name, name, DOCUMENTS[0].text) for name in names]


PLAIN = Plain(10)
RECIPE = Recipe("toy", (PLAIN,))


async def generate(client: Client, some: Sequence[Document], ledger: Ledger) -> GenerationReport:
    worker = EndpointWorker(client, RetryPolicy(pause_s=0.05))
    return await scheduler.generate(PlanView(some, (RECIPE,), ledger), [worker])


def texts_of(ledger: Ledger, some: Sequence[Document]) -> dict[str, str]:
    """The texts by their calls' ids; each call of the plan has a text, and is recorded once."""
    ids = [each.id for document in some for each in PLAIN.calls(document, {})]
    count = "SELECT count(*) FROM"
    for table in ("calls", "slots", "calls WHERE status IN ('done', 'truncated')"):
        assert ledger.connection.execute(f"{count} {table}").fetchone()[0] == len(ids), table
    return {call_id: record.text for call_id, record in ledger.get_many(ids).items()}


def undisturbed(client: Client, some: Sequence[Document], path: Path) -> dict[str, str]:
    with Ledger(path) as ledger:
        asyncio.run(generate(client, some, ledger))
        return texts_of(ledger, some)


def groups_by_process(notes: Path) -> dict[str, int]:
    return {path.name: len(path.read_text().splitlines()) for path in notes.iterdir()}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.05)


def test_a_node_is_killed_in_mid_run(two_nodes: TwoNodes, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    first, second = documents(*"abcdef"), documents(*"ghij")
    client = RayClient(partial(ToyEngine, notes, delay_s=0.2), address=two_nodes.address, actors=2)
    assert (client.batch_size, client.concurrency) == (4, 4)

    async def run(ledger: Ledger) -> None:
        await client.complete([call("before")])
        await until(lambda: all(worker.live for worker in client._workers))
        running = asyncio.create_task(generate(client, first, ledger))
        await until(lambda: len(groups_by_process(notes)) == 2)
        two_nodes.kill_the_second()
        report = await running
        assert report.totals.counts["done"] == 60
        assert report.statistics.retries >= 1, "what the dead node had was sent again"
        assert report.statistics.overloads == 0, "nobody was asked for too much"

        two_nodes.add_another()  # Ray wants the main thread for it
        await until(lambda: all(worker.live for worker in client._workers))
        assert (await generate(client, second, ledger)).totals.counts["done"] == 40
        await client.close()

    with Ledger(tmp_path / "killed.db") as ledger:
        asyncio.run(run(ledger))
        texts = texts_of(ledger, [*first, *second])
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    expected = undisturbed(ToyEngine(quiet), first, tmp_path / "first.db")
    expected |= undisturbed(ToyEngine(quiet), second, tmp_path / "second.db")
    assert texts == expected
    groups = groups_by_process(notes)
    assert len(groups) == 3, "the actor was restarted on the new node, and took part"
    made = sum(groups.values()) - 1  # without the call before
    assert made <= 25 + 2, "at most what the dead node had was made again"


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


def test_each_failure_arrives_as_what_it_is(two_nodes: TwoNodes, notes: Path) -> None:
    async def run() -> None:
        client = RayClient(partial(ToyEngine, notes), address=two_nodes.address)
        assert client.concurrency == 2, "one at work and one that waits"
        both = await asyncio.gather(client.complete([call("x")]), client.complete([call("y")]))
        assert [each.text.split()[0] for (each,) in both] == [call("x").id, call("y").id]
        assert {each.endpoint for (each,) in both} == {"ray"}
        with pytest.raises(FatalError) as fatal:
            await client.complete([call("fatal")])
        assert str(fatal.value) == "The engine is broken.\n  do:       mend it"
        with pytest.raises(TransientError, match="too much") as busy:
            await client.complete([call("busy")])
        assert (busy.value.wait_s, busy.value.overloaded) == (2.5, True)
        with pytest.raises(ZeroDivisionError, match="by nothing"):
            await client.complete([call("bug")])
        with pytest.raises(TransientError, match="engine 0 was lost") as lost:
            await client.complete([call("crash")])
        assert not lost.value.overloaded
        assert (await client.complete([call("z")]))[0].error is None, "Ray has restarted it"
        await client.close()

    asyncio.run(run())


def test_engines_that_batch_by_themselves_keep_their_documents(
    two_nodes: TwoNodes, tmp_path: Path
) -> None:
    make_engine = partial(ToyEngine, tmp_path, delay_s=0.05, batch_size=1, concurrency=3)

    async def run() -> None:
        client = RayClient(make_engine, address=two_nodes.address, actors=2)
        assert client.concurrency == 6
        await client.complete([call("x")])
        await until(lambda: all(worker.live for worker in client._workers))
        for number in range(4):
            calls = [[call(str(number), name)] for name in "ab" for _ in range(2)]
            await asyncio.gather(*map(client.complete, calls))
        await client.close()

    asyncio.run(run())
    asked = {call(str(number), name).id: name for number in range(4) for name in "ab"}
    for path in tmp_path.iterdir():
        documents = [asked.get(line) for line in path.read_text().splitlines()]
        assert len({*documents} - {None}) == 1, "each actor has read one of the two documents"


def test_when_all_engines_are_gone_the_run_stops(
    two_nodes: TwoNodes, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "MAX_RESTARTS", 0)

    async def run() -> None:
        client = RayClient(partial(ToyEngine, notes), address=two_nodes.address)
        with pytest.raises(TransientError, match="was lost"):
            await client.complete([call("crash")])
        with pytest.raises(FatalError, match="No engine of the Ray cluster is left"):
            await client.complete([call()])
        await client.close()

    asyncio.run(run())


def test_what_cannot_start_is_told_before_anything_is_sent(
    two_nodes: TwoNodes, notes: Path
) -> None:
    with pytest.raises(UserError, match=r"(?s)There is no such model.*/nowhere"):
        RayClient(broken_engine, address=two_nodes.address)
    with pytest.raises(UserError, match=r"(?s)too few CPUs for 9 actors.*9 x 1 CPUs.*ray_actors"):
        RayClient(partial(ToyEngine, notes), address=two_nodes.address, actors=9)
    with pytest.raises(UserError, match=r"(?s)too few GPUs.*ray_gpus_per_actor"):
        RayClient(partial(ToyEngine, notes), address=two_nodes.address, gpus_per_actor=1)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "head", "host:port"])
def test_an_address_where_nobody_is_is_told_at_once(address: str, notes: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)no Ray cluster to connect to.*ray_address"):
        RayClient(partial(ToyEngine, notes), address=address)


def test_texts_equal_those_of_the_same_model_in_this_process(
    tiny_directory: Path, tmp_path: Path
) -> None:
    """On a cluster that the client starts, and ends."""
    import ray

    some = documents("a", "b")
    make_engine = partial(EmbeddedClient, str(tiny_directory), batch_size=4)
    client = RayClient(make_engine)

    async def run(ledger: Ledger) -> None:
        await generate(client, some, ledger)
        await client.close()

    with Ledger(tmp_path / "ray.db") as ledger:
        asyncio.run(run(ledger))
        texts = texts_of(ledger, some)
    assert not ray.is_initialized()
    assert texts == undisturbed(make_engine(), some, tmp_path / "here.db")
    assert len(set(texts.values())) == 20
