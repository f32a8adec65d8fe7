from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_calls import call, complete, texts

from steep.core.calls import Call, Message
from steep.core.errors import UserError
from steep.llm.client import DecodingStep, FatalError
from steep.llm.local.client import TransformersClient
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
                "maxItems": 2,
            },
        },
        "required": ["kind", "names"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def sharp_directory(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, sharpened: fresh weights give every token the same chance."""
    from transformers import AutoModelForCausalLM

    directory = tmp_path_factory.mktemp("sharp") / "model"
    shutil.copytree(tiny_directory, directory)
    model = AutoModelForCausalLM.from_pretrained(tiny_directory)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def client(sharp_directory: Path) -> Iterator[TransformersClient]:
    client = TransformersClient(sharp_directory, device="cpu")
    yield client
    asyncio.run(client.close())


MIXED = [
    call(0),
    call(7, top_p=0.8),
    call(0, 1),
    call(0, 1, "entities", json_schema=SCHEMA, max_tokens=60),
    call(3, 2, temperature=0.3, max_tokens=20),
    call(4, 2, temperature=0.3, frequency_penalty=1.0),
]


def test_answers_come_in_the_order_of_their_calls(client: TransformersClient) -> None:
    answers = complete(client, MIXED)
    assert [each.call_id for each in answers] == [each.id for each in MIXED]
    assert [each.error for each in answers] == [None] * len(MIXED)
    assert len(set(texts(answers))) == len(MIXED)
    assert [each.endpoint for each in answers] == ["in process"] * len(MIXED)


def test_a_call_gets_the_same_text_alone_and_in_company(client: TransformersClient) -> None:
    together = texts(complete(client, MIXED))
    assert [texts(complete(client, [each]))[0] for each in MIXED] == together
    assert texts(complete(client, MIXED[::-1])) == together[::-1]


def test_other_samples_are_other_texts(client: TransformersClient) -> None:
    answers = complete(client, [replace(call(), sample=sample) for sample in range(4)])
    assert len(set(texts(answers))) == 4


@torch.no_grad()
def greedy(directory: Path, asked: Call) -> tuple[int, str]:
    """How long the prompt is, and what `transformers` itself writes after it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (
        each.from_pretrained(directory) for each in (AutoModelForCausalLM, AutoTokenizer)
    )
    messages = [{"role": each.role, "content": each.content} for each in asked.messages]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    length = prompt["input_ids"].shape[1]
    ids = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0][length:]
    return length, tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_greedy_text_is_that_of_transformers(
    client: TransformersClient, sharp_directory: Path
) -> None:
    calls = [call(number, temperature=0.0) for number in range(3)]
    for asked, answer in zip(calls, complete(client, calls), strict=True):
        prompt_tokens, text = greedy(sharp_directory, asked)
        assert answer.text == text
        assert answer.usage.prompt_tokens == prompt_tokens


def test_structured_answers_are_valid_json(client: TransformersClient) -> None:
    calls = [
        replace(call(stage="entities", json_schema=SCHEMA, max_tokens=100), sample=sample)
        for sample in range(4)
    ]
    for answer in complete(client, [*calls, call()])[:4]:
        value = json.loads(answer.text)
        assert value["kind"] in ("person", "place")
        assert 1 <= len(value["names"]) <= 2
        assert answer.finish_reason == "stop"


def test_texts_of_different_lengths_end_each_at_its_own_limit(client: TransformersClient) -> None:
    answers = complete(client, [call(max_tokens=n) for n in (3, 9, 5)])
    assert [each.usage.completion_tokens for each in answers] == [3, 9, 5]
    assert {each.finish_reason for each in answers} == {"length"}
    assert {each.cost_usd for each in answers} == {0.0}


def test_what_exceeds_the_context_is_skipped(client: TransformersClient) -> None:
    long = replace(call(), messages=(Message("user", ("word " * CONTEXT_TOKENS,)),))
    bad, good = complete(client, [long, call()])
    assert (bad.finish_reason, bad.text) == ("skipped", "")
    assert f"exceed the context of {CONTEXT_TOKENS}" in str(bad.error)
    assert bad.usage.prompt_tokens == 0, "it was not sent"
    assert good.error is None
    assert complete(client, [long])[0].finish_reason == "skipped"


def test_progress_counts_the_tokens_written(sharp_directory: Path) -> None:
    counted: list[DecodingStep] = []
    client = TransformersClient(sharp_directory, device="cpu", on_step=counted.append)
    answers = complete(client, [call(max_tokens=3), call(1, max_tokens=6)])
    asyncio.run(client.close())
    written = sum(step.new_tokens for step in counted)
    assert written == sum(each.usage.completion_tokens for each in answers) == 9


def test_a_model_without_a_chat_template_is_refused(tiny_directory: Path, tmp_path: Path) -> None:
    for path in tiny_directory.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(UserError, match="no chat template"):
        TransformersClient(tmp_path, device="cpu")


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)Cannot load the model .*generate\.model"):
        TransformersClient(tmp_path / "nothing", device="cpu")


def test_a_template_that_refuses_the_messages_stops_the_run(
    tiny_directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_directory, tmp_path / "model")
    template = "{{ raise_exception('System role not supported') }}"
    (tmp_path / "model" / "chat_template.jinja").write_text(template)
    client = TransformersClient(tmp_path / "model", device="cpu")
    with pytest.raises(FatalError, match="System role not supported"):
        complete(client, [call()])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_writes_what_was_asked_for(sharp_directory: Path) -> None:
    client = TransformersClient(sharp_directory)
    assert client.model.device.type == "cuda"
    answers = complete(client, MIXED)
    assert [each.error for each in answers] == [None] * len(MIXED)
    assert json.loads(answers[3].text)["kind"] in ("person", "place")
    asyncio.run(client.close())
