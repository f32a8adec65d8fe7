"""The engine for any OpenAI-compatible server: vLLM for 8B and up, llama.cpp, hosted models.

`completions` continues a prompt as it is, which few-shot prompts are made for; `chat` sends it as
one message. Each text is one request with its own seed, sent as generator calls are
(`steep.ledger.caller`): every request is in the ledger, so an interrupted evaluation continues. A
request that is refused for good stops the evaluation with the server's reason. No failure becomes
an answer.

Likelihoods need a server that gives the log-probabilities of a prompt (`echo`: vLLM).
The server counts the tokens, so no tokenizer is needed here: an option's tokens are those after as
many as the prompt alone has, as in `encoding.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from steep.core.calls import Completion
from steep.core.errors import UserError
from steep.evaluation.engines import (
    TOO_LONG,
    Decoding,
    NoLikelihoods,
    OnOutput,
    OptionScores,
    Output,
    Progress,
    PromptTooLong,
    cut_at_stop,
    keep_nothing,
    no_progress,
    sample_seed,
)
from steep.evaluation.prompts import continuation
from steep.ledger.caller import Sends
from steep.llm.client import CONTEXT_REASON, UNUSABLE_REASON
from steep.llm.dialect import Dialect
from steep.llm.requests import REJECTED_REASON, Request

Endpoint = Literal["completions", "chat"]


class HttpEngine:
    """Implements `steep.evaluation.engines.AnswerEngine`.

    `model` is the name that the server knows, `purpose` that of the requests in the ledger.
    """

    def __init__(
        self, caller: Sends, model: str, purpose: str, endpoint: Endpoint = "completions"
    ) -> None:
        self._caller, self._model, self._purpose = caller, model, purpose
        self._endpoint = endpoint
        self._where = f"{caller.endpoint}, model '{model}' ({caller.section})"

    @property
    def asked_without(self) -> list[str]:
        """The parameters that the server refuses and that requests for texts leave out."""
        dialect: Dialect = self._caller.dialect
        usual = {"temperature"} if dialect.usual_temperature else set()
        return sorted(usual | dialect.without & {"temperature", "seed", "stop"})

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        """Continue each prompt; one that outgrows the context has no text, and `TOO_LONG`.

        Raises:
            UserError: The server does not answer in so many attempts, or refuses a request; or the
                limits of the project end the work.
        """
        count = decoding.samples
        asked = [self._request(p, n, decoding) for p in prompts for n in range(count)]
        report = _reporter(on_progress, len(asked), len(asked))
        completions = self._caller.complete(asked, report)
        self._check([each for each in completions if not _is_too_long(each)])
        outputs = [
            _output(each, request, decoding.stop)
            for request, each in zip(asked, completions, strict=True)
        ]
        for place, output in enumerate(outputs):
            on_output(place, output)
        return [outputs[start : start + count] for start in range(0, len(outputs), count)]

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Score each prompt's options.

        Raises:
            NoLikelihoods: The server gives no log-probabilities of a prompt.
            PromptTooLong: A prompt outgrows the context of the served model.
            UserError: The server does not answer in so many attempts, or the limits of the project
                end the work.
        """
        if self._endpoint == "chat":
            raise self._no_logprobs("the chat endpoint gives no log-probabilities of a prompt")

        asked = list(zip(prompts, options, strict=True))
        requests = self.echoes(prompts, options)
        report = _reporter(on_progress, sum(map(len, options)), len(requests))
        completions = self._caller.complete(requests[:1], report)  # a server may give none
        self._check_likelihoods(completions)
        completions += self._caller.complete(requests[1:], report)
        self._check_likelihoods(completions)
        found = iter(each.result for each in completions)
        try:
            return [_scores(each, [next(found) for _ in range(len(each) + 1)]) for _, each in asked]
        except ValueError as error:
            raise self._no_logprobs(str(error)) from None

    def echoes(self, prompts: Sequence[str], options: Sequence[Sequence[str]]) -> list[Request]:
        """Return the requests for likelihoods: each prompt alone, and with each of its options."""
        return [
            self._of_kind("echo", (prompt, end))
            for prompt, each in zip(prompts, options, strict=True)
            for end in ("", *map(continuation, each))
        ]

    def _request(self, prompt: str, sample: int, decoding: Decoding) -> Request:
        parameters: dict[str, Any] = {
            "temperature": decoding.temperature,
            **({"top_p": 1.0} if decoding.temperature else {}),  # servers have other defaults
            "max_tokens": decoding.max_tokens,
            "seed": sample_seed(decoding.seed, prompt, sample),
            **({"stop": list(decoding.stop)} if decoding.stop else {}),
        }
        if self._endpoint == "chat":
            return self._of_kind("chat", (prompt,), parameters)
        return self._of_kind("completion", (prompt,), parameters | {"logprobs": 1})

    def _of_kind(
        self,
        kind: Literal["chat", "completion", "echo"],
        parts: tuple[str, ...],
        parameters: dict[str, Any] | None = None,
    ) -> Request:
        where = self._caller.endpoint
        return Request(self._purpose, where, kind, self._model, parts, parameters or {})

    def _check(self, completions: Sequence[Completion]) -> None:
        failed = [each for each in completions if each.error]
        if failed:
            raise UserError(
                f"The server failed on {len(failed)} of {len(completions)} requests.",
                where=self._where,
                found=failed[0].error,
                hint="fix the cause, see the log of the server, then rerun: its answers are kept",
            )

    def _check_likelihoods(self, completions: Sequence[Completion]) -> None:
        failed = [each for each in completions if each.error]
        outgrown = next(filter(_is_too_long, failed), None)
        if outgrown is not None:
            raise PromptTooLong(self._where, outgrown.error)
        if failed and failed[0].finish_reason in (REJECTED_REASON, UNUSABLE_REASON):
            raise self._no_logprobs(str(failed[0].error))
        self._check(completions)

    def _no_logprobs(self, found: str) -> NoLikelihoods:
        return NoLikelihoods(
            "This server returns no log-probabilities of a prompt, so options have no likelihood.",
            where=self._where,
            expected="a completions endpoint that takes 'echo' with 'logprobs', such as vLLM's",
            found=found,
            hint="score by generated answers, or load the model in this process",
        )


def _is_too_long(completion: Completion) -> bool:
    return completion.finish_reason == CONTEXT_REASON


def _reporter(on_progress: Progress, total: int, requests: int) -> Any:
    """Report progress in the units of the caller, which are not requests."""
    done = 0

    def on_done(completion: Completion) -> None:
        nonlocal done
        done += 1
        on_progress(done * total // requests, total)

    return on_done


def _output(completion: Completion, request: Request, stop: Sequence[str]) -> Output:
    """Convert a completion; cut it here for servers without stop strings."""
    seed = int(request.parameters["seed"])
    if completion.result is None:
        return Output("", TOO_LONG, seed, None)
    cut = cut_at_stop(completion.text, stop)
    if cut is not None:
        return Output(cut, "stop", seed, None)
    logprob: float | None = completion.result["logprob"]
    return Output(completion.text, completion.finish_reason, seed, logprob)


def _scores(options: Sequence[str], echoes: Sequence[Any]) -> OptionScores:
    """Compute scores from the tokens of the prompt alone and of the prompt with each option."""
    alone, *wholes = echoes
    own = []
    for option, whole in zip(options, wholes, strict=True):
        count = whole["tokens"] - alone["tokens"]
        values = whole["logprobs"][-count:] if count > 0 else []
        if len(values) < count or not values or None in values:
            raise ValueError(f"no log-probability of the option {option!r:.80}")
        own.append(values)
    return OptionScores.of(options, list(map(math.fsum, own)), list(map(len, own)))
