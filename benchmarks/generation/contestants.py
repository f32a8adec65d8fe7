"""The contestants of `clients`: each makes the calls of `workload` in the way that its docs show.

    python -m benchmarks.generation.contestants NAME --url http://127.0.0.1:PORT --folder /tmp/x

Run by `clients`, each in a process and, for other people's libraries, an environment of its own;
so this module imports nothing at its top that is not in the standard library. Prints one line of
JSON: seconds, CPU seconds and peak memory from the first planned call to the last durable result.
Imports are not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import resource
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.generation import workload
from benchmarks.generation.measuring import Cost, measured, version_of

RECORDS_PER_CHUNK = 1000  # of datatrove's checkpoints; its default of 6000 is written less often
NO_LIMIT = 1_000_000_000  # a minute, for clients that insist on limits


@dataclass(frozen=True)
class Task:
    """What is asked of a contestant. `folder` is empty, on disk and its own."""

    url: str
    folder: Path
    calls: int
    concurrency: int


def run_openai(task: Task) -> Cost:
    """AsyncOpenAI, its calls under a semaphore."""
    openai: Any = importlib.import_module("openai")

    async def run() -> None:
        gate = asyncio.Semaphore(task.concurrency)
        async with openai.AsyncOpenAI(
            base_url=f"{task.url}/v1", api_key="none", max_retries=0
        ) as client:

            async def one(index: int) -> int:
                async with gate:
                    answer = await client.chat.completions.create(
                        model=workload.MODEL,
                        messages=workload.messages(index),
                        max_tokens=workload.MAX_TOKENS,
                    )
                return len(answer.choices[0].message.content)

            lengths = await asyncio.gather(*(one(index) for index in range(task.calls)))
            assert min(lengths) > 2000

    with measured() as cost:
        asyncio.run(run())
    return cost


def run_aiohttp(task: Task) -> Cost:
    """Bare aiohttp: the request is serialised, the answer parsed, nothing else."""
    import aiohttp

    async def run() -> None:
        connector = aiohttp.TCPConnector(limit=task.concurrency)
        async with aiohttp.ClientSession(connector=connector) as session:
            numbers = iter(range(task.calls))

            async def worker() -> None:
                for index in numbers:
                    async with session.post(
                        f"{task.url}/v1/chat/completions",
                        data=workload.body(index),
                        headers={"Content-Type": "application/json"},
                    ) as response:
                        answer = json.loads(await response.read())
                        assert len(answer["choices"][0]["message"]["content"]) > 2000

            await asyncio.gather(*(worker() for _ in range(task.concurrency)))

    with measured() as cost:
        asyncio.run(run())
    return cost


def run_curator(task: Task) -> Cost:
    """bespokelabs-curator; its cache is new and empty, its telemetry off, its limits lifted."""
    os.environ["TELEMETRY_ENABLED"] = "false"
    os.environ["CURATOR_DISABLE_RICH_DISPLAY"] = "1"
    # Points tiktoken at the vocabulary inside litellm, which curator would else download.
    importlib.import_module("litellm.litellm_core_utils.default_encoding")
    curator: Any = importlib.import_module("bespokelabs.curator")
    datasets: Any = importlib.import_module("datasets")
    rows = [{"prompt": workload.prompt(index)} for index in range(task.calls)]
    dataset = datasets.Dataset.from_list(rows)

    class Writer(curator.LLM):  # type: ignore[misc]
        def prompt(self, row: dict[str, str]) -> list[dict[str, str]]:
            return [
                {"role": "system", "content": workload.SYSTEM},
                {"role": "user", "content": row["prompt"]},
            ]

        def parse(self, row: dict[str, str], response: str) -> dict[str, str]:
            return {"text": response}

    writer = Writer(
        model_name=workload.MODEL,
        backend="openai",
        generation_params={"max_tokens": workload.MAX_TOKENS},
        backend_params={
            "base_url": f"{task.url}/v1",
            "api_key": "none",
            "max_concurrent_requests": task.concurrency,
            "max_requests_per_minute": NO_LIMIT,
            "max_tokens_per_minute": NO_LIMIT,
        },
    )
    with measured() as cost:
        answers = writer(dataset, working_dir=str(task.folder))
        texts = getattr(answers, "dataset", answers)
        assert len(texts) == task.calls
    return cost


def run_datatrove(task: Task, checkpoints: bool, calls_per_record: int) -> Cost:
    """The InferenceRunner of datatrove; a record holds one call, or all of a document."""
    os.environ["LOGURU_LEVEL"] = "WARNING"
    data: Any = importlib.import_module("datatrove.data")
    inference: Any = importlib.import_module("datatrove.pipeline.inference.run_inference")
    writers: Any = importlib.import_module("datatrove.pipeline.writers")

    async def rollout(document: Any, generate: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
        first = int(document.id)
        calls = range(first, min(first + calls_per_record, task.calls))
        payloads = [{"messages": workload.messages(index)} for index in calls]
        results = await asyncio.gather(*map(generate, payloads))
        return results[0] if calls_per_record == 1 else [asdict(result) for result in results]

    def records() -> Iterator[Any]:
        for first in range(0, task.calls, calls_per_record):
            text = workload.prompt(first) if calls_per_record == 1 else workload.document(first)
            yield data.Document(text=text, id=str(first))

    runner = inference.InferenceRunner(
        rollout_fn=rollout,
        config=inference.InferenceConfig(
            server_type="endpoint",
            endpoint_url=task.url,
            model_name_or_path=workload.MODEL,
            max_concurrent_generations=task.concurrency,
            default_generation_params={"max_tokens": workload.MAX_TOKENS},
            server_ready_delay_sec=0.1,
        ),
        output_writer=writers.JsonlWriter(
            str(task.folder / "output"),
            output_filename="${rank}" + ("_chunk_${chunk_index}" if checkpoints else "") + ".jsonl",
            compression=None,
        ),
        checkpoints_local_dir=str(task.folder / "checkpoints") if checkpoints else None,
        records_per_chunk=max(1, RECORDS_PER_CHUNK // calls_per_record),
    )
    with measured() as cost:
        runner.run(records(), rank=0)
    written = sum(len(file.read_bytes().splitlines()) for file in task.folder.glob("output/*"))
    assert written == -(-task.calls // calls_per_record), f"{written} records"
    return cost


def run_steep(task: Task, uvloop: bool) -> Cost:
    """Steep's scheduler, client and ledger, every result durable."""
    from benchmarks.generation.steep_calls import benchmark_recipe, documents
    from steep.generation.plan import PlanView
    from steep.generation.scheduler import generate
    from steep.ledger.endpoint_worker import EndpointWorker
    from steep.ledger.ledger import Ledger
    from steep.llm.openai import OpenAIClient

    plan = documents(task.calls)
    recipe = benchmark_recipe(task.calls)
    loop = importlib.import_module("uvloop").new_event_loop if uvloop else None

    async def run() -> None:
        client = OpenAIClient(f"{task.url}/v1", concurrency=task.concurrency)
        with Ledger(task.folder / "ledger.sqlite") as ledger:
            report = await generate(PlanView(plan, (recipe,), ledger), [EndpointWorker(client)])
        await client.close()
        assert report.totals.done == task.calls, report.totals

    with measured() as cost, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
    return cost


class Contestant(NamedTuple):
    """Who competes.

    Attributes:
        run: Makes all calls.
        package: Whose version is shown.
        durable: What of the results survives a crash, in words; empty if nothing does.
    """

    run: Callable[[Task], Cost]
    package: str
    durable: str = ""


def datatrove(checkpoints: bool, calls_per_record: int) -> Contestant:
    """One way to use datatrove."""
    # With many calls in a record nothing waits for the queue in front of SQLite: see `kill_loss`.
    late = "" if calls_per_record == 1 else f", up to {RECORDS_PER_CHUNK:,} calls late"
    durable = f"each, in SQLite{late}" if checkpoints else ""
    return Contestant(
        lambda task: run_datatrove(task, checkpoints, calls_per_record), "datatrove", durable
    )


STEEP_DURABLE = "each, in SQLite"
CONTESTANTS: dict[str, Contestant] = {
    "steep": Contestant(lambda task: run_steep(task, True), "steep", STEEP_DURABLE),
    "steep, without uvloop": Contestant(
        lambda task: run_steep(task, False), "steep", STEEP_DURABLE
    ),
    "curator": Contestant(run_curator, "bespokelabs-curator", "each, as a line of a file"),
    "datatrove, checkpoints": datatrove(True, 1),
    "datatrove, checkpoints, 100 calls a record": datatrove(True, workload.CALLS_PER_DOCUMENT),
    "datatrove": datatrove(False, 1),
    "datatrove, 100 calls a record": datatrove(False, workload.CALLS_PER_DOCUMENT),
    "openai, semaphore": Contestant(run_openai, "openai"),
    "bare aiohttp": Contestant(run_aiohttp, "aiohttp"),
}


def environment_of(name: str) -> str:
    """The environment that a contestant needs: steep's own, or that of its package."""
    own = {"steep", "bare aiohttp"}
    first = name.split(",")[0]
    return "steep" if first in own else first


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the calls and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--core", type=int)
    options = parser.parse_args(arguments)
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    contestant = CONTESTANTS[options.name]
    task = Task(options.url, options.folder, options.calls, options.concurrency)
    cost = contestant.run(task)
    print(json.dumps({**asdict(cost), "version": version_of(contestant.package)}))


if __name__ == "__main__":
    main()
