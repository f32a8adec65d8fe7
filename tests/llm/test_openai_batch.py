from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from scripted_batches import BatchBehaviour, BatchServer
from steep.core.calls import Call, Message
from steep.core.errors import UserError
from steep.llm.client import FatalError, TransientError
from steep.llm.dialect import Dialect
from steep.llm.openai_batch import BatchClient
from steep.llm.openai_batch_wire import (
    BatchRefused,
    BatchUnknown,
    FileGone,
    QueueFull,
    RemoteBatch,
    batch_request,
    read_batch,
    read_item,
    request_line,
    speaks_of_full_queue,
)
from steep.llm.openai_errors import EndpointUnusable, RejectedRequest, UnsupportedParameter
from steep.testing.script import Behaviour, Script

KEY = "sk-very-secret"
T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as server:
        yield server


def call(number: int) -> Call:
    message = Message("user", ("Tell of the Quillon Ferry.", f"\n- Pell {number}"))
    return Call("toy", "pair", "doc", ("Pell",), number, "m", (message,))


def using(server: BatchServer, work: Callable[[BatchClient], Awaitable[T]], **options: Any) -> T:
    """Do some work with a client that hardly waits."""
    quick = {"pause_s": 0.001, "timeout_s": 5.0, "settle_s": 0.0, "retry_s": 30.0, **options}

    async def run() -> T:
        client = BatchClient(server.base_url, **quick)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def requests_file(folder: Path, calls: int = 3) -> Path:
    path = folder / "requests.jsonl"
    path.write_bytes(b"".join(request_line(call(n), Dialect()) for n in range(calls)))
    return path


async def submit(client: BatchClient, path: Path, token: str = "t1") -> RemoteBatch:
    with path.open("rb") as file:
        file_id = await client.upload(file, "steep.jsonl")
    return await client.create(file_id, token, client.dialect)


async def read(client: BatchClient, file_id: str | None) -> list[bytes]:
    assert file_id is not None
    return [line async for line in client.lines(file_id)]


def test_a_batch_from_upload_to_answers(server: BatchServer, tmp_path: Path) -> None:
    async def work(client: BatchClient) -> tuple[list[str], list[bytes]]:
        batch = await submit(client, requests_file(tmp_path))
        statuses = [batch.status]
        while batch.status != "completed":
            batch = await client.get(batch.id)
            statuses.append(batch.status)
        assert (batch.token, batch.answered, batch.error_file_id) == ("t1", 3, None)
        return statuses, await read(client, batch.output_file_id)

    statuses, lines = using(server, work)
    assert statuses == ["validating", "in_progress", "completed"]
    items = [read_item(line, Dialect()) for line in lines]
    assert {item.call_id for item in items if item} == {call(n).id for n in range(3)}
    for item in items:
        assert item is not None and item.answer is not None and item.error is None
        assert "Pell" in item.answer.text
        assert item.answer.usage is not None and item.answer.usage.completion_tokens > 0
    assert server.completed.total() == 3
    assert server.batches.files["file-0"] == requests_file(tmp_path).read_bytes()


def test_requests_are_tried_again_and_batches_made_once(
    server: BatchServer, tmp_path: Path
) -> None:
    server.batches.behaviour = BatchBehaviour(troubled=0.5)

    async def work(client: BatchClient) -> None:
        for number in range(6):
            batch = await submit(client, requests_file(tmp_path), f"t{number}")
            while batch.status != "completed":
                batch = await client.get(batch.id)
            assert len(await read(client, batch.output_file_id)) == 3

    using(server, work)
    assert server.batches.requests["create"] > 6  # some replies were lost
    assert server.batches.statuses == ["completed"] * 6


def test_a_batch_whose_reply_was_lost_is_found(server: BatchServer, tmp_path: Path) -> None:
    server.batches.behaviour = BatchBehaviour(lost_replies=1)
    batch = using(server, lambda client: submit(client, requests_file(tmp_path)))
    assert batch.token == "t1"
    assert server.batches.requests["create"] == 1
    assert server.batches.sizes == [3]


def test_a_batch_is_found_among_many_by_its_token(server: BatchServer, tmp_path: Path) -> None:
    async def work(client: BatchClient) -> list[str | None]:
        for number in range(45):
            await submit(client, requests_file(tmp_path, 1), f"t{number}")
        found = [await client.find(token) for token in ("t0", "t44", "t21", "no such")]
        return [batch.id if batch else None for batch in found]

    assert using(server, work) == ["batch_0", "batch_44", "batch_21", None]


def test_a_refused_batch_is_not_found(server: BatchServer, tmp_path: Path) -> None:
    server.batches.behaviour = BatchBehaviour(refusing=1)

    async def work(client: BatchClient) -> tuple[RemoteBatch, RemoteBatch | None]:
        batch = await client.get((await submit(client, requests_file(tmp_path))).id)
        return batch, await client.find("t1")

    batch, found = using(server, work)
    assert batch.refused and not batch.no_room and found is None
    assert batch.reasons == "line 1: Line 1 is no request. (invalid_request)"


def test_how_requests_were_phrased_is_kept_with_the_batch(
    server: BatchServer, tmp_path: Path
) -> None:
    dialect = Dialect("json_object", "max_completion_tokens")

    async def work(client: BatchClient) -> RemoteBatch:
        client.dialect = dialect
        return await client.get((await submit(client, requests_file(tmp_path))).id)

    assert using(server, work).dialect == dialect


def test_a_long_answer_file_is_read_in_blocks(server: BatchServer) -> None:
    lines = [b'{"n": %d, "text": "%s"}' % (n, b"x" * 300_000) for n in range(8)]
    server.batches.files["file-9"] = b"\n".join(lines)  # without a newline at its end
    assert using(server, lambda client: read(client, "file-9")) == lines
    server.batches.behaviour = BatchBehaviour(troubled=0.5)
    for _ in range(4):
        assert using(server, lambda client: read(client, "file-9")) == lines


def test_a_file_that_ends_in_the_middle_of_a_line_is_not_believed(server: BatchServer) -> None:
    server.batches.files["file-9"] = b'{"n": 1}\n{"n": '
    with pytest.raises(FatalError, match="in the middle of a line"):
        using(server, lambda client: read(client, "file-9"), retry_s=0.05)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Behaviour(api_key="other"), "does not accept the key"),
        (Behaviour(out_of_quota=True), "no quota or money"),
        (Behaviour(dead=True), "does not answer"),
    ],
)
def test_what_concerns_every_request_is_said_in_plain_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, words: str
) -> None:
    monkeypatch.setenv("STEEP_TEST_KEY", KEY)
    path = requests_file(tmp_path)
    with BatchServer(Script(0, behaviour)) as server, pytest.raises(FatalError) as caught:
        using(
            server,
            lambda client: submit(client, path),
            api_key_env="STEEP_TEST_KEY",
            retry_s=0.05,
        )
    assert words in str(caught.value)
    assert KEY not in str(caught.value)
    assert "$STEEP_TEST_KEY" in str(caught.value)


def test_an_endpoint_without_a_batch_api_says_so(server: BatchServer, tmp_path: Path) -> None:
    path = requests_file(tmp_path)

    async def work(client: BatchClient) -> None:
        client._http.base_url += "/elsewhere"
        await submit(client, path)

    with pytest.raises(FatalError, match="no batch API"):
        using(server, work)


def test_what_is_unknown_or_gone_has_its_own_name(server: BatchServer, tmp_path: Path) -> None:
    with pytest.raises(BatchUnknown, match="batch_77"):
        using(server, lambda client: client.get("batch_77"))
    with pytest.raises(FileGone, match="file-77"):
        using(server, lambda client: read(client, "file-77"))
    with pytest.raises(BatchRefused, match="No such File"):
        using(server, lambda client: client.create("file-77", "t", Dialect()))


def test_a_batch_is_cancelled_once(server: BatchServer, tmp_path: Path) -> None:
    async def work(client: BatchClient) -> RemoteBatch:
        batch = await submit(client, requests_file(tmp_path, 4))
        assert (await client.cancel(batch.id)).status == "cancelling"
        with pytest.raises(BatchRefused, match="is cancelled"):
            await client.cancel(batch.id)
        return await client.get(batch.id)

    batch = using(server, work)
    assert (batch.status, batch.answered) == ("cancelled", 2)


def test_a_full_queue_said_at_once_has_its_own_name(
    server: BatchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any, **__: Any) -> Any:
        raise RejectedRequest("HTTP 400: Enqueued token limit reached for m.")

    async def work(client: BatchClient) -> None:
        monkeypatch.setattr(client, "_send", refuse)
        await client.create("file-0", "t", Dialect())

    with pytest.raises(QueueFull):
        using(server, work)


def test_a_wrong_address_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UserError, match="not the address"):
        BatchClient("localhost:8000")


def answer_line(status: int, body: Any, **fields: Any) -> bytes:
    response = {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"custom_id": "c", "response": response, "error": None, **fields}).encode()


def said(message: str, code: str = "") -> dict[str, Any]:
    return {"error": {"message": message, "code": code}}


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (
            answer_line(400, said("Too long.", "context_length_exceeded")),
            RejectedRequest,
            "Too long.",
        ),
        (answer_line(429, said("Slow down.")), TransientError, "Slow down."),
        (answer_line(500, said("Stumbled.")), TransientError, "Stumbled."),
        (answer_line(200, {"choices": []}), TransientError, "malformed"),
        (answer_line(0, None), TransientError, "no response"),
        (
            answer_line(404, said("No such model.", "model_not_found")),
            EndpointUnusable,
            "No such model",
        ),
        (answer_line(429, said("", "insufficient_quota")), EndpointUnusable, "insufficient_quota"),
        (answer_line(400, said("", "billing_hard_limit_reached")), EndpointUnusable, "billing"),
        (
            answer_line(400, said("Use max_completion_tokens.")),
            UnsupportedParameter,
            "max_completion",
        ),
        (
            b'{"custom_id": "c", "response": null, "error": {"code": "batch_expired"}}',
            TransientError,
            "expired before this call was processed",
        ),
        (
            b'{"custom_id": "c", "response": null, "error": {"code": "odd", "message": "Odd."}}',
            TransientError,
            "no response: Odd.",
        ),
        (b'{"custom_id": "c"}', TransientError, "no response"),
    ],
)
def test_a_line_says_what_came_of_its_call(line: bytes, kind: type[Exception], words: str) -> None:
    item = read_item(line, Dialect())
    assert item is not None and item.call_id == "c" and item.answer is None
    assert isinstance(item.error, kind)
    assert words in str(item.error)


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"custom_id": 3}', b'{"response": {}}'])
def test_a_line_that_names_no_call_is_passed_over(line: bytes) -> None:
    assert read_item(line, Dialect()) is None


def test_a_refusal_of_the_model_is_an_answer() -> None:
    message = {"role": "assistant", "content": None, "refusal": "I will not."}
    item = read_item(answer_line(200, {"choices": [{"message": message}]}), Dialect())
    assert item is not None and item.answer is not None
    assert (item.answer.text, item.answer.finish_reason) == ("I will not.", "refusal")


@pytest.mark.parametrize("value", [None, [], {}, {"id": "b"}, {"status": "completed"}])
def test_what_is_no_batch_is_not_read_as_one(value: Any) -> None:
    with pytest.raises(TransientError, match="not a batch"):
        read_batch(value)


def test_a_batch_of_another_program_is_read_without_its_details() -> None:
    batch = read_batch({"id": "b", "status": "in_progress", "metadata": {"steep": "t"}})
    assert (batch.token, batch.dialect, batch.answered) == ("t", Dialect(), 0)
    assert read_batch({"id": "b", "status": "failed", "errors": ["bad"]}).reasons == "bad"
    assert replace(batch, status="failed").reasons == "no reason given"


def test_the_words_for_a_full_queue() -> None:
    openai = "Enqueued token limit reached for gpt-4o-mini in organization o. Limit: 2,000,000"
    assert speaks_of_full_queue(openai)
    assert speaks_of_full_queue("token_limit_exceeded ")
    assert not speaks_of_full_queue("HTTP 400: context_length_exceeded")


def test_the_dialect_of_a_batch_is_read_as_it_was_written() -> None:
    dialect = Dialect("none", "max_completion_tokens", frozenset({"seed", "top_p"}), True, True)
    metadata = batch_request("file", "t", dialect)["metadata"]
    assert all(isinstance(value, str) for value in metadata.values())
    assert read_batch({"id": "b", "status": "completed", "metadata": metadata}).dialect == dialect
    foreign = {"steep": "t", "dialect": "French"}
    assert read_batch({"id": "b", "status": "x", "metadata": foreign}).dialect == Dialect()


def test_a_line_that_is_nested_too_deeply_is_passed_over() -> None:
    assert read_item(b"[" * 100_000, Dialect()) is None


def test_the_thought_of_a_batch_is_no_part_of_its_text() -> None:
    message = {"role": "assistant", "content": "<think>They ask.</think>The lamp was lit.</s>"}
    item = read_item(answer_line(200, {"choices": [{"message": message}]}), Dialect())
    assert item is not None and item.answer is not None
    assert item.answer.text == "The lamp was lit."
