"""The engine for any OpenAI-compatible server: vLLM for 8B and up, llama.cpp, hosted models.

`completions` continues a prompt as it is, which few-shot prompts are made for; `chat` sends it as
one message to models that nothing else can be asked of. Each text is one request with its own seed,
so the server may share the prompt between them but the rows are those of any other engine.

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
    Decoding,
    OnOutput,
    Output,
    Progress,
    cut_at_stop,
    keep_nothing,
    no_progress,
    sample_seed,
)
from steep.evaluation.normalizers import OptionScores
from steep.evaluation.prompts import continuation
from steep.llm.client import FatalError, TransientError
from steep.llm.openai import OpenAIClient
from steep.llm.openai_wire import Misunderstood, Rejected

Endpoint = Literal["completions", "chat"]
ATTEMPTS = 6
FIRST_WAIT_S = 1.0  # doubled after each attempt; a server that names a wait is waited for
Result = TypeVar("Result")


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
        # A bad address is known before any request.
        OpenAIClient(base_url, api_key_env=api_key_env, section=section)
        self._open: Callable[[], OpenAIClient] = lambda: OpenAIClient(
            base_url,
            api_key_env=api_key_env,
            concurrency=concurrency,
            timeout_s=timeout_s,
            section=section,
        )
        self._model, self._endpoint = model, endpoint
        self._concurrency, self._first_wait_s = concurrency, first_wait_s
        self._length_key = "max_tokens"

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        """Continue each prompt; one that the server refuses has an empty text and "error".

        Raises:
            UserError: The server answers nothing at all, or not in so many attempts.
        """
        texts = [(prompt, n) for prompt in prompts for n in range(decoding.samples)]
        asked = [(place, *text) for place, text in enumerate(texts)]

        async def one(client: OpenAIClient, text: tuple[int, str, int]) -> Output:
            place, prompt, sample = text
            output = await self._text(client, prompt, sample, decoding)
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
            UserError: The server gives no log-probabilities of a prompt, or answers nothing.
        """
        if self._endpoint == "chat":
            raise _no_logprobs("the chat endpoint gives no log-probabilities of a prompt")

        async def one(client: OpenAIClient, text: str) -> tuple[list[float], int]:
            return await self._echo(client, text)

        asked = list(zip(prompts, options, strict=True))
        texts = [p + end for p, each in asked for end in ("", *map(continuation, each))]
        found = iter(self._run(texts, one, on_progress))
        return [_scores(each, [next(found) for _ in range(len(each) + 1)]) for _, each in asked]

    async def _text(
        self, client: OpenAIClient, prompt: str, sample: int, decoding: Decoding
    ) -> Output:
        seed = sample_seed(decoding.seed, prompt, sample)
        body = {
            "temperature": decoding.temperature,
            self._length_key: decoding.max_tokens,
            "seed": seed,
            **({"stop": list(decoding.stop)} if decoding.stop else {}),
        }
        try:
            if self._endpoint == "completions":
                body |= {"prompt": prompt, "logprobs": 1}
                value = await self._post(client, "completions", body)
            else:
                body |= {"messages": [{"role": "user", "content": prompt}]}
                value = await self._post(client, "chat/completions", body)
        except Rejected:
            return Output("", "error", seed, None)
        return _output(value, decoding.stop, seed)

    async def _echo(self, client: OpenAIClient, text: str) -> tuple[list[float], int]:
        """The log-probabilities of a text's tokens, and how many tokens it has."""
        body = {"prompt": text, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}
        try:
            value = await self._post(client, "completions", body)
        except Rejected as error:
            raise _no_logprobs(str(error)) from error
        try:
            values = value["choices"][0]["logprobs"]["token_logprobs"]
            count = int(value["usage"]["prompt_tokens"])
        except (KeyError, IndexError, TypeError):
            raise _no_logprobs(
                "the reply has no log-probabilities, or no count of tokens"
            ) from None
        if len(values) < count:
            raise _no_logprobs(f"log-probabilities of {len(values)} tokens of {count}")
        return [math.nan if each is None else float(each) for each in values[:count]], count

    async def _post(self, client: OpenAIClient, path: str, body: Mapping[str, Any]) -> Any:
        """Send a request until it is answered."""
        wait_s = self._first_wait_s
        for attempt in range(1, ATTEMPTS + 1):
            try:
                renamed = {self._length_key if k == "max_tokens" else k: body[k] for k in body}
                return await client.post(path, {"model": self._model, **renamed})
            except Misunderstood as error:
                if self._length_key == error.dialect.length_key:
                    raise Rejected(str(error)) from None
                self._length_key = error.dialect.length_key
            except TransientError as error:
                if attempt == ATTEMPTS:
                    raise UserError(
                        f"The server did not answer in {ATTEMPTS} attempts.",
                        where=client.endpoint,
                        found=error,
                        hint="see what it says in its own log; run the same command again",
                    ) from error
                await asyncio.sleep(wait_s if error.wait_s is None else error.wait_s)
                wait_s *= 2
        raise Rejected("the server objects to every name of the length limit")

    def _run(
        self,
        texts: Sequence[Any],
        one: Callable[[OpenAIClient, Any], Awaitable[Result]],
        on_progress: Progress,
    ) -> list[Result]:
        """Ask about all texts, some at once, and return the results in order."""
        return asyncio.run(self._gather(texts, one, on_progress))

    async def _gather(
        self,
        texts: Sequence[Any],
        one: Callable[[OpenAIClient, Any], Awaitable[Result]],
        on_progress: Progress,
    ) -> list[Result]:
        client, places, done = self._open(), asyncio.Semaphore(self._concurrency), 0

        async def asked(text: Any) -> Result:
            nonlocal done
            async with places:
                result = await one(client, text)
            done += 1
            on_progress(done, len(texts))
            return result

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(asked(text)) for text in texts]
        except* FatalError as errors:
            raise UserError(str(errors.exceptions[0])) from errors
        except* UserError as errors:
            raise errors.exceptions[0] from None
        finally:
            await client.close()
        return [task.result() for task in tasks]


def _output(value: Any, stop: Sequence[str], seed: int) -> Output:
    """Read a reply of either endpoint; servers that know no stop strings are cut here."""
    try:
        choice = value["choices"][0]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return Output("", "error", seed, None)
    text = str(text or "")
    cut = cut_at_stop(text, stop)
    reason = str(choice.get("finish_reason") or "unknown") if cut is None else "stop"
    values = (choice.get("logprobs") or {}).get("token_logprobs") or []
    logprob = sum(values) if values and cut is None and None not in values else None
    return Output(text if cut is None else cut, reason, seed, logprob)


def _scores(options: Sequence[str], echoes: Sequence[tuple[list[float], int]]) -> OptionScores:
    """Scores from the tokens of the prompt alone and of the prompt with each option."""
    (_, prompt_tokens), *wholes = echoes
    own = [values[prompt_tokens:] for values, _ in wholes]
    for option, values in zip(options, own, strict=True):
        if not values:
            raise UserError(
                "An option gives no token after its prompt, so it has no likelihood.",
                found=f"the option {option!r}",
            )
    return OptionScores(
        sum_logprob=tuple(map(math.fsum, own)),
        tokens=tuple(map(len, own)),
        characters=tuple(map(len, options)),
        bytes=tuple(len(option.encode()) for option in options),
    )


def _no_logprobs(found: str) -> UserError:
    return UserError(
        "This server gives no log-probabilities of a prompt, so options have no likelihood.",
        expected="a completions endpoint that understands 'echo' with 'logprobs', as vLLM's does",
        found=found,
        hint="score by generated answers, or load the model in this process",
    )
