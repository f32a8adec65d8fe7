from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_calls import call, complete, texts

from steep.core.calls import Call, Message
from steep.core.errors import UserError
from steep.llm.client import DecodingStep
from steep.llm.local import client as local_client
from steep.llm.local.client import EmbeddedClient
from steep.testing.tiny_model import CONTEXT_TOKENS

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "kind": {"enum": ["person", "place"]},
            "names": {
                "type": "array",
                "items": {"type": "string", "maxLength": 6},
                "minItems": 1,
                "maxItems": 3,
            },
        },
        "required": ["kind", "names"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def client(tiny_directory: Path) -> Iterator[EmbeddedClient]:
    """The tiny model, sharpened: fresh weights give every token the same chance."""
    client = EmbeddedClient(tiny_directory, batch_size=8)
    with torch.no_grad():
        for parameter in client.model.parameters():
            parameter.mul_(6)
    yield client
    asyncio.run(client.close())


MIXED = [
    call(0),
    call(7),
    call(0, 1),
    call(0, 1, "entities", json_schema=SCHEMA, max_tokens=60),
    call(3, 2, temperature=0.3, max_tokens=20),
    call(4, 2, temperature=0.3, frequency_penalty=1.0),
    call(5, 0),  # its document comes back
]


def test_answers_come_in_the_order_of_their_calls(client: EmbeddedClient) -> None:
    answers = complete(client, MIXED)
    assert [each.call_id for each in answers] == [each.id for each in MIXED]
    assert [each.error for each in answers] == [None] * len(MIXED)
    assert len(set(texts(answers))) == len(MIXED)
    turned = complete(client, MIXED[::-1])
    assert texts(turned) == texts(answers)[::-1]


def test_a_call_gets_the_same_text_alone_and_in_company(client: EmbeddedClient) -> None:
    together = texts(complete(client, MIXED))
    assert [texts(complete(client, [each]))[0] for each in MIXED] == together
    assert texts(complete(client, MIXED[2:5])) == together[2:5]


def test_other_samples_are_other_texts(client: EmbeddedClient) -> None:
    answers = complete(client, [replace(call(), sample=sample) for sample in range(4)])
    assert len(set(texts(answers))) == 4


def test_memory_that_is_short_changes_no_text(
    client: EmbeddedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = texts(complete(client, MIXED))
    monkeypatch.setattr(local_client, "CACHE_BYTES", 1)
    assert texts(complete(client, MIXED)) == together


@torch.no_grad()
def greedy(client: EmbeddedClient, asked: Call) -> tuple[int, list[int]]:
    """How long the prompt is, and what `transformers` writes after it."""
    messages = [{"role": each.role, "content": each.content} for each in asked.messages]
    prompt = client.tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = client.model.generate(**prompt, max_new_tokens=12, do_sample=False)[0].tolist()
    length = prompt["input_ids"].shape[1]
    return length, ids[length:]


def test_greedy_text_is_that_of_transformers(client: EmbeddedClient) -> None:
    calls = [call(number, temperature=0.0) for number in range(3)]
    for asked, answer in zip(calls, complete(client, calls), strict=True):
        prompt_tokens, ids = greedy(client, asked)
        assert answer.text == client.tokenizer.decode(ids, skip_special_tokens=True).strip()
        assert answer.usage.prompt_tokens == prompt_tokens


def test_structured_answers_are_valid_json(client: EmbeddedClient) -> None:
    calls = [
        replace(call(stage="entities", json_schema=SCHEMA, max_tokens=100), sample=sample)
        for sample in range(4)
    ]
    for answer in complete(client, [*calls, call()])[:4]:
        value = json.loads(answer.text)
        assert value["kind"] in ("person", "place")
        assert 1 <= len(value["names"]) <= 3
        assert answer.finish_reason == "stop"


def test_an_answer_says_whether_it_was_cut_off(client: EmbeddedClient) -> None:
    cut_off, *_ = complete(client, [call(max_tokens=5)])
    assert cut_off.finish_reason == "length"
    assert cut_off.usage.completion_tokens == 5
    assert (cut_off.endpoint, cut_off.cost_usd, cut_off.attempts) == ("in process", 0.0, 1)


def test_an_end_token_ends_the_text(
    client: EmbeddedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, ids = greedy(client, call(temperature=0.0))
    assert ids.index(ids[3]) == 3
    monkeypatch.setattr(client.model.generation_config, "eos_token_id", [ids[3], 1])
    stopped, longer = complete(client, [call(temperature=0.0), call(3, 1)])
    assert stopped.finish_reason == "stop"
    assert stopped.text == client.tokenizer.decode(ids[:3]).strip()
    assert stopped.usage.completion_tokens == 3
    assert longer.usage.completion_tokens > 3


def test_what_exceeds_the_context_is_skipped(client: EmbeddedClient) -> None:
    long = replace(call(), messages=(Message("user", ("word " * CONTEXT_TOKENS,)),))
    bad, good = complete(client, [long, call()])
    assert bad.finish_reason == "skipped"
    assert bad.text == ""
    assert f"exceed the context of {CONTEXT_TOKENS}" in str(bad.error)
    assert good.error is None
    assert good.text == texts(complete(client, [call()]))[0]
    (alone,) = complete(client, [long])
    assert alone.error == bad.error


def test_progress_counts_the_tokens_written(tiny_directory: Path) -> None:
    counted: list[DecodingStep] = []
    counting = EmbeddedClient(tiny_directory, on_step=counted.append)
    answers = complete(counting, [call(max_tokens=3), call(1, max_tokens=6)])
    written = sum(step.new_tokens for step in counted)
    assert written == sum(each.usage.completion_tokens for each in answers)
    assert counted[0] == DecodingStep(0, calls=2, ended=0, tokens=0, most_tokens=6)
    assert counted[-1].ended == 2 or counted[-1].tokens == 6


def test_a_model_without_a_chat_template_is_refused(tiny_directory: Path, tmp_path: Path) -> None:
    for path in tiny_directory.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(UserError, match="no chat template"):
        EmbeddedClient(tmp_path)
