"""OpenAI's file-based batch API as the scripted server speaks it: files, batches, their results.

    with BatchServer(Script(seed=1)) as server:
        server.batches.behaviour = BatchBehaviour(polls=2, expiring=1)
        client = BatchClient(server.base_url)

Time is counted in looks: a batch that was looked at `polls` times has ended. Items are answered by
the same script as chat requests and counted by the same counters, so that a test can prove that
nothing was bought twice by any way. What the server knows outlives its clients.
"""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aiohttp import BodyPartReader, web

from steep.core.ids import derive_seed
from steep.testing.replies import chat_body, error, hang_up, objection
from steep.testing.script import Script, accident, answer, request_hash
from steep.testing.scripted_server import ScriptedServer

Moment = Literal["upload", "create", "get", "list", "content", "cancel"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PAGE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBehaviour:
    """How the batch API behaves.

    Attributes:
        polls: Looks at a batch until it has ended; the first one ends its validation.
        expiring: So many batches (the first ones) expire with half of their calls answered.
        refusing: So many batches (the first ones) fail validation, with `refusal`.
        full: So many batches (the first ones) find the queue full.
        queue_calls: A batch that would make more calls wait than so many finds the queue full.
        lost_replies: So many creations of batches (the first ones) are done but not confirmed.
        troubled: Share of HTTP requests that fail with 500 or a closed connection, half each.
        silent: So many of each batch's calls are in none of its files.
        hold_before: Never answer such requests, nor do what they ask.
        hold_after: Do what such requests ask, and never answer them.
    """

    polls: int = 2
    expiring: int = 0
    refusing: int = 0
    refusal: tuple[str, str] = ("invalid_request", "Line 1 is no request.")
    full: int = 0
    queue_calls: int | None = None
    lost_replies: int = 0
    troubled: float = 0.0
    silent: int = 0
    hold_before: Moment | None = None
    hold_after: Moment | None = None


@dataclass(slots=True)
class _Batch:
    id: str
    input_file_id: str
    metadata: dict[str, str]
    status: str
    items: list[dict[str, Any]]
    polls: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    completed: int = 0
    failed: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        return self.status in ("validating", "in_progress")

    def as_json(self) -> dict[str, Any]:
        counts = {"total": len(self.items), "completed": self.completed, "failed": self.failed}
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": 0,
            "request_counts": counts,
            "metadata": self.metadata,
        }


class ScriptedBatches:
    """The routes and all that they know.

    Args:
        script: The script of the server, which may change.
        asked: The server's counter of chat requests, by request hash.
        completed: Likewise, of answers.
    """

    def __init__(
        self, script: Callable[[], Script], asked: Counter[str], completed: Counter[str]
    ) -> None:
        self.behaviour = BatchBehaviour()
        self.held = threading.Event()  # a request is being held, see `hold_before`
        self.requests: Counter[str] = Counter()  # HTTP requests by what they ask
        self.files: dict[str, bytes] = {}
        self._batches: list[_Batch] = []
        self._script = script
        self._asked, self._completed = asked, completed
        self._expired = 0

    @property
    def statuses(self) -> list[str]:
        """Of all batches, oldest first."""
        return [batch.status for batch in self._batches]

    @property
    def sizes(self) -> list[int]:
        """The number of calls of all batches, oldest first."""
        return [len(batch.items) for batch in self._batches]

    def mount(self, app: web.Application) -> None:
        """Add the routes to a server."""
        routes: list[tuple[str, str, Moment, Handler]] = [
            ("POST", "/v1/files", "upload", self._upload),
            ("GET", "/v1/files/{id}/content", "content", self._content),
            ("POST", "/v1/batches", "create", self._create),
            ("GET", "/v1/batches", "list", self._list),
            ("GET", "/v1/batches/{id}", "get", self._get),
            ("POST", "/v1/batches/{id}/cancel", "cancel", self._cancel),
        ]
        for method, path, moment, handler in routes:
            app.router.add_route(method, path, self._guarded(moment, handler))

    def _guarded(self, moment: Moment, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self.requests[moment] += 1
            if (refusal := self._refusal(request)) is not None:
                return refusal
            if self.behaviour.hold_before == moment:
                await self._hold()
            number = self.requests.total()
            luck = derive_seed("batch", moment, number) / 2**63
            if luck < self.behaviour.troubled / 2:
                return error(500, "server_error", "The scripted server stumbled.")
            response = await handler(request)
            lost = moment == "create" and self.requests["create"] <= self.behaviour.lost_replies
            if self.behaviour.hold_after == moment:
                await self._hold()
            if lost or luck < self.behaviour.troubled:
                assert request.transport is not None
                request.transport.close()
            return response

        return guarded

    def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        """Why the server does nothing for this client, if so: it is dead, key, quota."""
        behaviour = self._script().behaviour
        if behaviour.dead:
            return hang_up(request)
        no_chat: Any = {"model": behaviour.model, "messages": []}
        return objection(behaviour, request.headers.get("Authorization", ""), no_chat)

    async def _hold(self) -> None:
        self.held.set()
        await asyncio.sleep(math.inf)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        parts: dict[str | None, bytes] = {}
        try:
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                parts[part.name] = bytes(await part.read())
        except ConnectionResetError:  # the client is gone already
            return hang_up(request)
        if parts.get("purpose") != b"batch" or "file" not in parts:
            return error(400, "invalid_request_error", "A file for purpose 'batch' is missing.")
        name = f"file-{len(self.files)}"
        self.files[name] = parts["file"]
        return web.json_response({"id": name, "object": "file", "purpose": "batch"})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        content = self.files.get(request.match_info["id"])
        if content is None:
            return error(404, "not_found", "No such File object.")
        return web.Response(body=content, content_type="application/octet-stream")

    async def _create(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        content = self.files.get(body.get("input_file_id"))
        if content is None:
            return error(400, "invalid_request_error", "No such File object.")
        if body.get("completion_window") != "24h" or body.get("endpoint") != "/v1/chat/completions":
            return error(400, "invalid_request_error", "A parameter is missing.")
        items = [json.loads(line) for line in content.splitlines()]
        name = f"batch_{len(self._batches)}"
        metadata = body.get("metadata") or {}
        batch = _Batch(name, body["input_file_id"], metadata, "validating", items)
        batch.errors = self._validate(batch)
        self._batches.append(batch)
        return web.json_response(batch.as_json())

    def _validate(self, batch: _Batch) -> list[dict[str, Any]]:
        """What the first look will find wrong with a batch."""
        number, behaviour = len(self._batches), self.behaviour
        waiting = sum(len(each.items) for each in self._batches if each.waits and not each.errors)
        limit = behaviour.queue_calls
        if number < behaviour.refusing:
            code, message = behaviour.refusal
            return [{"code": code, "message": message, "line": 1, "param": None}]
        if number < behaviour.full or (limit is not None and waiting + len(batch.items) > limit):
            message = f"Enqueued token limit reached. Limit: {limit}. Please try again later."
            return [{"code": "token_limit_exceeded", "message": message, "line": None}]
        names = [item["custom_id"] for item in batch.items]
        if len(set(names)) < len(names):
            return [{"code": "duplicate_custom_id", "message": "Twice the same.", "line": None}]
        known = self._script().behaviour.model
        for line, item in enumerate(batch.items, start=1):
            model = item["body"].get("model")
            if known not in (None, model):
                message = f"The model '{model}' is not known here."
                return [{"code": "model_not_found", "message": message, "line": line}]
        return []

    async def _list(self, request: web.Request) -> web.StreamResponse:
        batches = self._batches[::-1]
        after = request.query.get("after")
        if after is not None:
            place = [batch.id for batch in batches].index(after)
            batches = batches[place + 1 :]
        page = min(PAGE, int(request.query.get("limit", "20")))
        shown = [batch.as_json() for batch in batches[:page]]
        return web.json_response({"object": "list", "data": shown, "has_more": len(batches) > page})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        batch = self._known(request)
        if batch is None:
            return error(404, "not_found", "No such batch.")
        batch.polls += 1
        if batch.status == "validating":
            batch.status = "failed" if batch.errors else "in_progress"
        if batch.status == "in_progress" and batch.polls >= self.behaviour.polls:
            expires = self._expired < self.behaviour.expiring
            self._expired += expires
            self._finish(batch, "expired" if expires else "completed")
        return web.json_response(batch.as_json())

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        batch = self._known(request)
        if batch is None:
            return error(404, "not_found", "No such batch.")
        if not batch.waits:
            return error(400, "invalid_request_error", f"The batch is {batch.status}.")
        self._finish(batch, "cancelled")
        return web.json_response({**batch.as_json(), "status": "cancelling"})

    def _known(self, request: web.Request) -> _Batch | None:
        named = request.match_info["id"]
        return next((batch for batch in self._batches if batch.id == named), None)

    def _finish(self, batch: _Batch, status: str) -> None:
        """Answer a batch's calls, half of them if it ends before its time; last ones first."""
        batch.status = status
        whole = status == "completed"
        begun = len(batch.items) if whole else len(batch.items) // 2
        answered: list[str] = []
        unanswered: list[str] = []
        for number, item in enumerate(batch.items):
            if number < self.behaviour.silent:
                continue
            if number < begun:
                code, body = self._answer(item["body"])
                line = _result(item["custom_id"], code, body)
                (answered if code == 200 else unanswered).append(line)
            else:
                unanswered.append(_unbegun(item["custom_id"], f"batch_{status}"))
        batch.completed, batch.failed = len(answered), len(unanswered)
        batch.output_file_id = self._write(answered)
        batch.error_file_id = self._write(unanswered)

    def _answer(self, body: Any) -> tuple[int, Any]:
        """What the chat API would reply; accidents of transport do not befall a batch."""
        key, script = request_hash(body), self._script()
        self._asked[key] += 1
        anonymous = replace(script.behaviour, api_key=None)
        if (refusal := objection(anonymous, "", body)) is not None:
            assert refusal.text is not None
            return refusal.status, json.loads(refusal.text)
        credit = script.behaviour.credit_calls
        if credit is not None and self._completed.total() >= credit:
            return 429, {"error": {"message": "No credit.", "code": "insufficient_quota"}}
        kind = accident(script, key, self._asked[key])
        if kind in ("rate_limited", "server_error"):
            status = 429 if kind == "rate_limited" else 500
            return status, {"error": {"message": "It did not work out.", "code": kind}}
        self._completed[key] += 1
        return 200, chat_body(body, answer(script, body), 0)

    def _write(self, lines: list[str]) -> str | None:
        if not lines:
            return None
        name = f"file-{len(self.files)}"
        self.files[name] = "".join(f"{line}\n" for line in reversed(lines)).encode()
        return name


def _result(custom_id: str, status: int, body: Any) -> str:
    return json.dumps(
        {
            "id": f"batch_req_{custom_id[:8]}",
            "custom_id": custom_id,
            "response": {"status_code": status, "request_id": "r", "body": body},
            "error": None,
        }
    )


def _unbegun(custom_id: str, code: str) -> str:
    error = {"code": code, "message": "This request was not begun in time."}
    return json.dumps({"id": "batch_req", "custom_id": custom_id, "response": None, "error": error})


class BatchServer(ScriptedServer):
    """A scripted server that speaks the batch API, too."""

    def __init__(self, script: Script | None = None, port: int = 0) -> None:
        super().__init__(script, port)
        self.batches = ScriptedBatches(lambda: self.script, self.requests, self.completed)

    def add_routes(self, app: web.Application) -> None:
        """Add the routes of the chat API and of the batch API."""
        super().add_routes(app)
        self.batches.mount(app)
