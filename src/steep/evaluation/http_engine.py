"""The engine for any OpenAI-compatible server: vLLM for 8B and up, llama.cpp, hosted models.

`completions` continues a prompt as it is, which few-shot prompts are made for; `chat` sends it as
one message to models that nothing else can be asked of. Each text is one request with its own seed,
so the server may share the prompt between them but the rows are those of any other engine.

Requests go through the client that generation uses (`steep.llm.openai`): its dialect leaves out
and names what a server refuses, its reading of replies knows what is no answer. What can pass is
tried again here; a request that is refused for good stops the evaluation with the server's reason.
No failure becomes an answer.

Likelihoods need a server that gives the log-probabilities of a prompt (`echo`: vLLM, llama.cpp).
The number of the prompt's tokens comes from the server's own count, so no tokenizer is needed here:
an option's tokens are those after as many as the prompt alone has, as `encoding.py` does it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from steep.core.errors import UserError
from steep.evaluation.engines import (
    TOO_LONG,
    Decoding,
    NoLikelihoods,
    OnOutput,
    Output,
    Progress,
    PromptTooLong,
    cut_at_stop,
    keep_nothing,
    no_progress,
    sample_seed,
)
from steep.evaluation.normalizers import OptionScores
from steep.evaluation.prompts import continuation
from steep.llm.client import FatalError, TransientError
from steep.llm.openai import OpenAIClient
from steep.llm.openai_wire import Answer, Rejected, TooLong, read_answer

Endpoint = Literal["completions", "chat"]
ATTEMPTS = 6
FIRST_WAIT_S = 1.0  # doubled after each attempt; a server that names a wait is waited for
MOST_REFUSALS = 8  # more than the answers: what is left is not asked
Result = TypeVar("Result")
Read = TypeVar("Read")


class HttpEngine:
    """Implements `steep.evaluation.engines.AnswerEngine`."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        endpoint: Endpoint = "completions",
        api_key_env: str | None = None,
        concurrency: int = 16,
        timeout_s: float = 300.0,
        first_wait_s: float = FIRST_WAIT_S,
        section: str = "evaluate.servers",
    ) -> None:
        """Name the server and the model (and the `section` that does); nothing is sent yet.

        Raises:
            UserError: The address is none, or the environment variable is not set.
        """
        self._client = OpenAIClient(
            base_url,
            api_key_env=api_key_env,
            concurrency=concurrency,
            timeout_s=timeout_s,
            section=section,
        )
        self._model, self._endpoint = model, endpoint
        self._concurrency, self._first_wait_s = concurrency, first_wait_s
        self._where = f"{base_url}, model '{model}' ({section})"

    @property
    def asked_without(self) -> list[str]:
        """The parameters that requests for texts do not send as asked: the server refuses them."""
        dialect = self._client.dialect
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
            UserError: The server does not answer in so many attempts, or refuses a request.
        """
        texts = [(prompt, n) for prompt in prompts for n in range(decoding.samples)]
        asked = [(place, *text) for place, text in enumerate(texts)]

        async def one(text: tuple[int, str, int]) -> Output:
            place, prompt, sample = text
            output = await self._text(prompt, sample, decoding)
            on_output(place, output)
            return output

        found = self._run(asked, one, on_progress)
        count = decoding.samples
        return [found[start : start + count] for start in range(0, len(found), count)]

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
            UserError: The server does not answer in so many attempts.
        """
        if self._endpoint == "chat":
            raise self._no_logprobs("the chat endpoint gives no log-probabilities of a prompt")

        asked = list(zip(prompts, options, strict=True))
        texts = [p + end for p, each in asked for end in ("", *map(continuation, each))]
        found = iter(self._run(texts, self._echo, on_progress))
        try:
            return [_scores(each, [next(found) for _ in range(len(each) + 1)]) for _, each in asked]
        except ValueError as error:
            raise self._no_logprobs(str(error)) from None

    async def _text(self, prompt: str, sample: int, decoding: Decoding) -> Output:
        seed = sample_seed(decoding.seed, prompt, sample)
        body: dict[str, Any] = {
            "temperature": decoding.temperature,
            **({"top_p": 1.0} if decoding.temperature else {}),  # servers have other defaults
            "max_tokens": decoding.max_tokens,
            "seed": seed,
            **({"stop": list(decoding.stop)} if decoding.stop else {}),
        }
        path = "completions"
        if self._endpoint == "completions":
            body |= {"prompt": prompt, "logprobs": 1}
        else:
            path = "chat/completions"
            body |= {"messages": [{"role": "user", "content": prompt}]}
        try:
            value, answer = await self._post(path, body, read_answer)
        except TooLong:
            return Output("", TOO_LONG, seed, None)
        return _output(value, answer, decoding.stop, seed)

    async def _echo(self, text: str) -> tuple[list[float], int]:
        """The log-probabilities of a text's tokens, and how many tokens it has."""
        body = {"prompt": text, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}
        try:
            value, _ = await self._post("completions", body, lambda value: value)
            values = value["choices"][0]["logprobs"]["token_logprobs"]
            count = int(value["usage"]["prompt_tokens"])
            return [math.nan if v is None else float(v) for v in values[:count]], count
        except TooLong:
            raise
        except Rejected as error:
            raise self._no_logprobs(str(error)) from error
        except (KeyError, IndexError, TypeError, ValueError):
            found = "the reply has no log-probabilities, or no count of tokens"
            raise self._no_logprobs(found) from None

    async def _post(
        self, path: str, body: Mapping[str, Any], read: Callable[[Any], Read]
    ) -> tuple[Any, Read]:
        """Send a request until it is answered; return the reply, and what was read of it.

        Raises:
            Rejected: The server will never answer it.
            UserError: There was no answer in so many attempts.
        """
        wait_s, attempt = self._first_wait_s, 1
        while True:
            try:
                value = await self._client.post(path, {"model": self._model, **body})
                return value, read(value)
            except TransientError as error:
                if attempt == ATTEMPTS:
                    raise UserError(
                        f"The server did not answer in {ATTEMPTS} attempts.",
                        where=self._where,
                        found=error,
                        hint="see what it says in its own log; run the same command again: "
                        "what it has answered is kept",
                    ) from error
                await asyncio.sleep(wait_s if error.wait_s is None else error.wait_s)
                wait_s, attempt = 2 * wait_s, attempt + 1

    def _run(
        self,
        texts: Sequence[Any],
        one: Callable[[Any], Awaitable[Result]],
        on_progress: Progress,
    ) -> list[Result]:
        """Ask about all texts, some at once, and return the results in order."""
        return asyncio.run(self._gather(texts, one, on_progress))

    async def _gather(
        self,
        texts: Sequence[Any],
        one: Callable[[Any], Awaitable[Result]],
        on_progress: Progress,
    ) -> list[Result]:
        places, done = asyncio.Semaphore(self._concurrency), 0
        refusals: list[Rejected] = []

        async def asked(text: Any) -> Result | None:
            nonlocal done
            async with places:
                try:
                    result = await one(text)
                except Rejected as error:  # the others are asked, and kept
                    refusals.append(error)
                    if len(refusals) > done + MOST_REFUSALS:
                        raise self._refusal(refusals, len(texts)) from None
                    return None
            done += 1
            on_progress(done, len(texts))
            return result

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(asked(text)) for text in texts]
        except* (FatalError, UserError) as errors:
            first = errors.exceptions[0]
            raise first if isinstance(first, UserError) else UserError(str(first)) from errors
        finally:
            await self._client.close()
        if refusals:
            raise self._refusal(refusals, len(texts))
        return [result for task in tasks if (result := task.result()) is not None]

    def _refusal(self, reasons: Sequence[Rejected], requests: int) -> UserError:
        """What to say of requests that will never be answered."""
        outgrown = next((each for each in reasons if isinstance(each, TooLong)), None)
        if outgrown is not None:
            return PromptTooLong(
                "A question with its longest option is longer than the served model's context.",
                where=self._where,
                found=outgrown,
                hint="give fewer or shorter contexts, or take a model with a longer context",
            )
        return UserError(
            f"The server refused {len(reasons)} of {requests} requests.",
            where=self._where,
            found=reasons[0],
            hint="correct the settings or the questions that it objects to; the same command "
            "continues: what it has answered is kept",
        )

    def _no_logprobs(self, found: str) -> NoLikelihoods:
        return NoLikelihoods(
            "This server gives no log-probabilities of a prompt, so options have no likelihood.",
            where=self._where,
            expected="a completions endpoint that takes 'echo' with 'logprobs', as vLLM's does",
            found=found,
            hint="score by generated answers, or load the model in this process",
        )


def _output(value: Any, answer: Answer, stop: Sequence[str], seed: int) -> Output:
    """Make an output of an answer; servers that know no stop strings are cut here."""
    cut = cut_at_stop(answer.text, stop)
    if cut is not None:
        return Output(cut, "stop", seed, None)
    values = (value["choices"][0].get("logprobs") or {}).get("token_logprobs") or []
    logprob = sum(values) if values and None not in values else None
    return Output(answer.text, answer.finish_reason, seed, logprob)


def _scores(options: Sequence[str], echoes: Sequence[tuple[list[float], int]]) -> OptionScores:
    """Scores from the tokens of the prompt alone and of the prompt with each option.

    Raises:
        ValueError: A token has no log-probability, or an option has no token.
    """
    (_, prompt_tokens), *wholes = echoes
    own = [values[prompt_tokens:] for values, _ in wholes]
    for option, values, (given, tokens) in zip(options, own, wholes, strict=True):
        if len(given) < tokens:
            raise ValueError(f"log-probabilities of {len(given)} tokens of {tokens}")
        if not values or not all(map(math.isfinite, values)):
            raise ValueError(f"no log-probability of the option {option!r:.80}")
    return OptionScores(
        sum_logprob=tuple(map(math.fsum, own)),
        tokens=tuple(map(len, own)),
        characters=tuple(map(len, options)),
        bytes=tuple(len(option.encode()) for option in options),
    )
