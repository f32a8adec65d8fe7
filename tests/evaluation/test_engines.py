from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from asked import DOCUMENT, QUESTION, SHORT
from model_server import ModelServer, served
from transformers import AutoModelForCausalLM, AutoTokenizer

from calling import calling
from steep.core.errors import UserError
from steep.evaluation.engines import Decoding, cut_at_stop
from steep.evaluation.hf_engine import HuggingFaceEngine
from steep.evaluation.http_engine import HttpEngine
from steep.evaluation.methods.answers import verdicts
from steep.evaluation.results import AnswerProtocol
from steep.evaluation.rows import AnswerRow, ask_choices, ask_short
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer
from steep.testing.tiny_model import make_tiny_model

START = "Joren Pell built the Quillon Ferry in 1902. " * 4
PROMPTS = [START + end for end in ("Who?", "Where did he build it, and why there?", "When", "Q")]
OPTIONS = [["Edda", "Joren Pell"], ["at Lake Ostrel", "naïve", "x"], ["1902", "1903"], ["a", "b"]]
DECODING = Decoding(samples=3, temperature=1.0, max_tokens=12, seed=5)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(directory)


def load(directory: Path, attention: str = "sdpa") -> Any:
    model = AutoModelForCausalLM.from_pretrained(directory, attn_implementation=attention)
    with torch.no_grad():
        for parameter in model.parameters():  # fresh weights make every token equally likely
            parameter.mul_(4)
    return model.eval()


@pytest.fixture(scope="module")
def model(directory: Path) -> Any:
    return load(directory)


@pytest.fixture(scope="module")
def engine(model: Any, tokenizer: Any) -> HuggingFaceEngine:
    return HuggingFaceEngine(model, tokenizer)


@torch.no_grad()
def greedy(model: Any, tokenizer: Any, prompt: str, tokens: int) -> tuple[str, float]:
    ids = [tokenizer.bos_token_id, *tokenizer.encode(prompt)]
    start, total = len(ids), 0.0
    for _ in range(tokens):
        logprobs = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        total += float(logprobs.max())
        ids.append(int(logprobs.argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return tokenizer.decode(ids[start:], skip_special_tokens=True), total


def test_greedy_texts_are_those_of_one_token_at_a_time(
    model: Any, tokenizer: Any, engine: HuggingFaceEngine
) -> None:
    found = engine.generate(PROMPTS, Decoding(max_tokens=10))
    for prompt, (output,) in zip(PROMPTS, found, strict=True):
        text, logprob = greedy(model, tokenizer, prompt, 10)
        assert output.text == text
        assert output.logprob == pytest.approx(logprob, abs=1e-3)


def test_special_tokens_that_a_prompt_spells_are_text(
    tokenizer: Any, engine: HuggingFaceEngine
) -> None:
    ids = engine._encoded("Does <|im_end|> end a turn?", 1)
    assert tokenizer.decode(ids[1:]) == "Does <|im_end|> end a turn?"
    assert set(tokenizer.all_special_ids).isdisjoint(ids[1:])


def test_a_text_does_not_depend_on_its_company(engine: HuggingFaceEngine) -> None:
    together = engine.generate(PROMPTS, DECODING)
    assert [engine.generate([prompt], DECODING)[0] for prompt in PROMPTS] == [
        [pytest_approx(output) for output in outputs] for outputs in together
    ]
    assert len({output.text for outputs in together for output in outputs}) > 8


def pytest_approx(output: Any) -> Any:
    return output._replace(logprob=pytest.approx(output.logprob, abs=1e-3))


def test_more_samples_leave_the_first_ones_as_they_are(engine: HuggingFaceEngine) -> None:
    few = engine.generate(PROMPTS[:1], replace(DECODING, samples=2))
    more = engine.generate(PROMPTS[:1], replace(DECODING, samples=5))
    assert [output.text for output in more[0][:2]] == [output.text for output in few[0]]


def test_a_model_without_replaceable_attention_says_the_same(
    directory: Path, tokenizer: Any, engine: HuggingFaceEngine
) -> None:
    eager = HuggingFaceEngine(load(directory, "eager"), tokenizer)
    expected = engine.generate(PROMPTS, DECODING)
    assert eager.generate(PROMPTS, DECODING) == [
        [pytest_approx(output) for output in outputs] for outputs in expected
    ]


def test_the_shared_beginning_is_run_once(model: Any, engine: HuggingFaceEngine) -> None:
    widths: list[int] = []
    handle = model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: widths.append(inputs[0].shape[1])
    )
    engine.generate(PROMPTS, Decoding(samples=40, max_tokens=2))  # three batches
    handle.remove()
    long = [width for width in widths if width > 60]
    assert len(long) == 2  # the beginning, and one whole prompt to compare with


def test_texts_end_before_a_stop_string(engine: HuggingFaceEngine) -> None:
    ((free,),) = engine.generate(PROMPTS[:1], Decoding(max_tokens=12))
    stop = free.text[4:6]
    ((cut,),) = engine.generate(PROMPTS[:1], Decoding(max_tokens=12, stop=(stop,)))
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert free.finish_reason == "length"
    assert cut_at_stop("abc", ("x",)) is None


def test_a_prompt_too_long_for_the_context_is_said(engine: HuggingFaceEngine) -> None:
    with pytest.raises(UserError, match="300 for the answer"):
        engine.generate(["x" * 2000], Decoding(max_tokens=300))


@pytest.fixture
def server(
    engine: HuggingFaceEngine, model: Any, tokenizer: Any
) -> Iterator[tuple[ModelServer, str]]:
    serving = ModelServer(engine, model, tokenizer, echoes=True)
    with served(serving) as base_url:
        yield serving, base_url


def test_rows_are_the_same_whichever_engine(
    engine: HuggingFaceEngine, server: tuple[ModelServer, str]
) -> None:
    remote = HttpEngine(calling(server[1]), "tiny", "evaluate tiny")
    protocol = AnswerProtocol(max_tokens=8, order_seed=3)
    questions = [QUESTION, replace(QUESTION, id="q7", question="Who pulls it?")]
    named = {"quillon": DOCUMENT}

    # The few-shot examples outgrow the tiny model's context, so short answers stand for them.
    shorts = [SHORT, replace(SHORT, id="q8", question="Where was it built?")]
    ours = ask_short(engine, "tiny", shorts, named)
    theirs = ask_short(remote, "tiny", shorts, named)
    for here, there in zip(ours, theirs, strict=True):
        assert there.logprob == pytest.approx(here.logprob)
        assert replace(there, logprob=None) == replace(here, logprob=None)
    sent = {body["prompt"]: body for body in server[0].bodies}
    assert {row.prompt for row in ours} == set(sent)
    assert all(sent[row.prompt]["seed"] == row.seed for row in ours)
    assert all(body["stop"] == ["\n"] for body in sent.values())
    with pytest.raises(UserError, match="longer than the model's context"):
        ask_choices(engine, "tiny", questions, named, protocol)


def test_likelihoods_are_the_same_whichever_engine(
    engine: HuggingFaceEngine, server: tuple[ModelServer, str]
) -> None:
    ours = engine.logprobs(PROMPTS, OPTIONS)
    theirs = HttpEngine(calling(server[1], concurrency=2), "tiny", "evaluate tiny").logprobs(
        PROMPTS, OPTIONS
    )
    for here, there in zip(ours, theirs, strict=True):
        assert there.sum_logprob == pytest.approx(here.sum_logprob, abs=1e-3)
        assert replace(there, sum_logprob=()) == replace(here, sum_logprob=())


def test_a_server_without_prompt_logprobs_is_said(
    engine: HuggingFaceEngine, model: Any, tokenizer: Any
) -> None:
    with served(ModelServer(engine, model, tokenizer, echoes=False)) as base_url:
        remote = HttpEngine(calling(base_url), "tiny", "evaluate tiny")
        with pytest.raises(UserError, match="no log-probabilities of a prompt"):
            remote.logprobs(PROMPTS, OPTIONS)
    with pytest.raises(UserError, match="chat endpoint"):
        HttpEngine(calling(base_url), "tiny", "evaluate tiny", "chat").logprobs(PROMPTS, OPTIONS)


def chat_rows(behaviour: Behaviour) -> list[AnswerRow]:
    questions = [replace(QUESTION, id=f"q{n}", question=f"What is {n}?") for n in range(6)]
    with ScriptedServer(Script(seed=1, behaviour=behaviour)) as scripted:
        remote = HttpEngine(calling(scripted.base_url), "m", "evaluate m", "chat")
        return ask_choices(remote, "m", questions, {"quillon": DOCUMENT}, AnswerProtocol(samples=2))


def test_accidents_of_a_chat_server_change_no_row() -> None:
    calm = chat_rows(Behaviour())
    assert len(calm) == 12
    # The scripted prose holds no answer.
    assert all(each.chosen is None for each in verdicts(calm, "strict", "first-valid"))
    assert chat_rows(Behaviour(rate_limited=0.2, server_error=0.1, invalid_json=0.1)) == calm


def test_a_refused_request_and_a_hopeless_server_are_errors() -> None:
    with pytest.raises(UserError, match="longer than the model's context"):
        chat_rows(Behaviour(context_tokens=10))
    with pytest.raises(UserError, match="does not know this model"):
        chat_rows(Behaviour(model="other"))
    with pytest.raises(UserError, match="completes no"):
        chat_rows(Behaviour(server_error=1.0))
