"""Models in the actors of a Ray cluster, behind one `Client`: `generate.engine: ray`.

Each actor is a process somewhere in the cluster that holds one in-process engine. The driver (this
process) keeps plan, scheduler and ledger; an actor knows only the calls that it is given. So a node
may die at any time: what its actors had under way comes back as a `TransientError`, and the
scheduler sends it again, to whichever actor is free. Nothing is sent again in here, so that no call
is made twice behind the ledger's back. Ray restarts a lost actor where there is room, up to
`MAX_RESTARTS` times, and it takes part again as soon as it has loaded its model.

An actor has its engine's `concurrency` of groups, and at least two: one it works at and one that
waits, so that it never idles. With engines that batch by themselves a document's calls go to one
actor while it has room, since its cache holds the document.

Every node needs the same environment (Python, `steep` in this version, the engine's libraries), and
the model at the same path or on the Hub; the embedded model is converted on each node. Nothing is
uploaded to the nodes, and no variable of the driver's environment is put into a running cluster's.
Ray's telemetry and dashboard are off in a cluster that is started here. Ray wants to be started
from the main thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from steep.core.calls import Call, Completion
from steep.core.errors import UserError
from steep.llm.client import Client, FatalError, TransientError
from steep.llm.local.prompts import log
from steep.llm.ray_cluster import brief, check_room, connect

MAX_RESTARTS = 10  # of an actor, so that one that cannot run is given up
START_S = 1800.0  # loading a large model from a slow disk takes long
LOOK_AGAIN_S = 1.0
HOMES = 4096  # documents whose actor is remembered


class EngineInfo(NamedTuple):
    """The properties of an actor's engine."""

    batch_size: int
    concurrency: int


class EngineActor:
    """Lives in the cluster: one engine, opened when it is first needed."""

    def __init__(self, make_engine: Callable[[], Client]) -> None:
        self._make_engine = make_engine
        self._engine: Client | None = None
        self._opening = asyncio.Lock()
        self._turns: asyncio.Semaphore | None = None

    async def open(self) -> EngineInfo | Exception:
        """Load the model if needed; return errors for the user instead of raising them."""
        try:
            engine = await self._opened()
        except UserError as error:
            return error
        return EngineInfo(engine.batch_size, engine.concurrency)

    async def complete(self, calls: Sequence[Call]) -> list[Completion] | Exception:
        """Complete the calls; return errors instead of raising them, free of Ray's wrapping."""
        try:
            engine = await self._opened()
            assert self._turns is not None
            async with self._turns:  # one more group may wait here than the engine takes at once
                return await engine.complete(calls)
        except UserError as error:
            return FatalError(error.problem, **error.fields)
        except TransientError as error:
            return error

    async def _opened(self) -> Client:
        async with self._opening:
            if self._engine is None:
                self._engine = await asyncio.to_thread(self._make_engine)
                self._turns = asyncio.Semaphore(self._engine.concurrency)
        return self._engine


@dataclass(eq=False, slots=True)
class _Worker:
    """The driver's view of an actor."""

    actor: Any
    number: int
    live: bool = False
    gone: str | None = None  # why it will never come back
    in_flight: int = 0


class RayClient:
    """Completes calls by engines in a Ray cluster; implements `steep.llm.client.Client`."""

    endpoint = "ray"

    def __init__(
        self,
        make_engine: Callable[[], Client],
        *,
        address: str | None = None,
        actors: int = 1,
        cpus_per_actor: float = 1,
        gpus_per_actor: float = 0,
        start_s: float = START_S,
    ) -> None:
        """Connect to the cluster, start the actors, and wait for the first one's engine.

        Args:
            make_engine: Makes an engine, in the actor's process; must be importable there.
            address: Of a running cluster, or "auto"; None starts one on this machine, and ends it.
            actors: Engines in the cluster.
            cpus_per_actor: CPUs that Ray reserves for each.
            gpus_per_actor: GPUs that Ray reserves for each.
            start_s: Seconds to wait for an engine, now and when all are lost.

        Raises:
            UserError: There is no such cluster, it has too little room, or no engine starts.
        """
        self._start_s = start_s
        self._workers: list[_Worker] = []
        self._watchers: set[asyncio.Task[None]] = set()
        self._homes: OrderedDict[str, _Worker] = OrderedDict()
        self._changed: asyncio.Condition | None = None
        self._owns_connection = connect(address)
        try:
            check_room(actors, cpus_per_actor, gpus_per_actor)
            self._workers = _start(make_engine, actors, cpus_per_actor, gpus_per_actor)
            info = self._first_info()
        except BaseException:
            self._release()
            raise
        self.batch_size = info.batch_size
        self._capacity = max(2, info.concurrency)
        self.concurrency = actors * self._capacity

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Have a free actor complete the calls.

        Raises:
            TransientError: The actor, or its node, is lost.
            FatalError: The engine fails every call, or no actor is left.
        """
        from ray.exceptions import RayError, RayTaskError

        worker = await self._picked(calls[0].document_id)
        try:
            answer = await worker.actor.complete.remote(list(calls))
        except RayTaskError:
            raise  # a fault in an engine, with its traceback
        except RayError as error:
            self._lose(worker)
            raise TransientError(f"engine {worker.number} was lost: {brief(error)}") from error
        finally:
            worker.in_flight -= 1
            await self._notify()
        if isinstance(answer, Exception):
            raise answer
        return [replace(each, endpoint=self.endpoint) for each in answer]

    async def close(self) -> None:
        """End the actors, and the cluster if it was started here."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        import ray

        for worker in self._workers:
            ray.kill(worker.actor, no_restart=True)
        self._workers = []
        if self._owns_connection:
            ray.shutdown()

    def _first_info(self) -> EngineInfo:
        """Wait until one engine is ready; the others join when they are."""
        import ray
        from ray.exceptions import RayError

        log.info("generate: waiting for the first of %d engines", len(self._workers))
        waiting = [worker.actor.open.remote() for worker in self._workers]
        found: object = f"none within {self._start_s:g} s"
        deadline_s = time.monotonic() + self._start_s
        while waiting and (left_s := deadline_s - time.monotonic()) > 0:
            ready, _ = ray.wait(waiting, timeout=left_s)
            for reference in ready:
                waiting.remove(reference)
                try:
                    answer = ray.get(reference)
                except RayError as error:
                    answer = error
                if isinstance(answer, EngineInfo):
                    return answer
                found = brief(answer) if isinstance(answer, RayError) else answer
                if isinstance(answer, UserError):
                    raise answer
        raise UserError("No engine has started in the Ray cluster.", found=found, hint=_LOGS)

    async def _picked(self, document_id: str) -> _Worker:
        """Wait for an actor with room: the one that knows the document, else the least busy.

        Raises:
            FatalError: All are gone, or none has come back in time.
        """
        self._watch_all()
        assert self._changed is not None
        async with self._changed:
            while not (free := self._free()):
                if all(worker.gone for worker in self._workers):
                    raise self._all_gone()
                await self._change(self._changed)
            worker = self._home(document_id, free)
            worker.in_flight += 1
            return worker

    async def _change(self, changed: asyncio.Condition) -> None:
        """Wait until an actor has room or is back; without limit only while one is at work."""
        at_work = any(worker.live for worker in self._workers)
        try:
            await asyncio.wait_for(changed.wait(), None if at_work else self._start_s)
        except TimeoutError:
            raise FatalError(
                "All engines of the Ray cluster are lost, and none has come back within "
                f"{self._start_s:g} s. The same command continues where it was."
            ) from None

    def _all_gone(self) -> FatalError:
        reasons = "; ".join(f"engine {each.number}: {each.gone}" for each in self._workers)
        return FatalError(f"No engine of the Ray cluster is left. {reasons}. {_LOGS}")

    def _free(self) -> list[_Worker]:
        return [each for each in self._workers if each.live and each.in_flight < self._capacity]

    def _home(self, document_id: str, free: Sequence[_Worker]) -> _Worker:
        least_busy = min(free, key=lambda worker: worker.in_flight)
        if self.batch_size > 1:  # such engines read the document of each group again
            return least_busy
        home = self._homes.get(document_id)
        if home is not None and home in free:
            return home
        self._homes[document_id] = least_busy
        if len(self._homes) > HOMES:
            self._homes.popitem(last=False)
        return least_busy

    def _watch_all(self) -> None:
        """Start to wait for all engines: with the first call there is an event loop."""
        if self._changed is None:
            self._changed = asyncio.Condition()
            for worker in self._workers:
                self._watch(worker)

    def _lose(self, worker: _Worker) -> None:
        if worker.live:
            worker.live = False
            log.warning("generate: engine %d of the Ray cluster is lost", worker.number)
            self._watch(worker)

    def _watch(self, worker: _Worker) -> None:
        watcher = asyncio.create_task(self._revive(worker))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)

    async def _revive(self, worker: _Worker) -> None:
        """Wait until Ray has the actor running somewhere, and its engine is loaded."""
        from ray.exceptions import ActorDiedError, RayError

        while True:
            try:
                answer = await worker.actor.open.remote()
            except ActorDiedError as error:
                worker.gone = brief(error)
            except RayError:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            else:
                worker.live = isinstance(answer, EngineInfo)
                worker.gone = None if worker.live else str(answer)
            break
        if worker.live:
            log.info("generate: engine %d of the Ray cluster is ready", worker.number)
        else:
            log.warning("generate: engine %d will not come back: %s", worker.number, worker.gone)
        await self._notify()

    async def _notify(self) -> None:
        assert self._changed is not None
        async with self._changed:
            self._changed.notify_all()


_LOGS = "Look at the logs of its actors (ray logs), and start again: it continues where it was."


def _start(
    make_engine: Callable[[], Client], actors: int, cpus_per_actor: float, gpus_per_actor: float
) -> list[_Worker]:
    import ray

    actor_class = ray.remote(EngineActor).options(
        num_cpus=cpus_per_actor,
        num_gpus=gpus_per_actor,
        max_restarts=MAX_RESTARTS,
        max_task_retries=0,
        scheduling_strategy="SPREAD",
    )
    return [_Worker(actor_class.remote(make_engine), number) for number in range(actors)]
