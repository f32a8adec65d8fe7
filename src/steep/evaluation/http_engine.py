"""The engine for any OpenAI-compatible server: vLLM for 8B and up, llama.cpp, hosted models.

`completions` continues a prompt as it is, which few-shot prompts are made for; `chat` sends it as
one message to models that nothing else can be asked of. Each text is one request with its own seed,
so the server may share the prompt between them but the rows are those of any other engine.

A text comes from a server or it is an error: what can pass is tried again, an optional parameter
that a server refuses (`OPTIONAL`) is left out from then on and named once, and a request that is
refused for good stops the evaluation with the server's reason. No failure becomes an answer.

Likelihoods need a server that gives the log-probabilities of a prompt (`echo`: vLLM, llama.cpp).
The number of the prompt's tokens comes from the server's own count, so no tokenizer is needed here:
an option's tokens are those after as many as the prompt alone has, as `encoding.py` does it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
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
from steep.llm.openai_wire import Answer, Misunderstood, Rejected, read_answer

log = logging.getLogger("steep")

Endpoint = Literal["completions", "chat"]
ATTEMPTS = 6
FIRST_WAIT_S = 1.0  # doubled after each attempt; a server that names a wait is waited for
MOST_REFUSALS = 8  # more than the answers: what is left is not asked
OPTIONAL = frozenset({"temperature", "seed", "stop", "logprobs"})  # a text can be asked without
_OUTGROWN = re.compile(r"context.?(length|window|size)|too (long|many tokens|large)", re.I)
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
        self._where = f"{base_url}, model '{model}' ({section})"
        self.refused: frozenset[str] = frozenset()  # parameters that the server does not accept

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
            NoLikelihoods: The server gives no log-probabilities of a prompt.
            PromptTooLong: A prompt outgrows the context of the served model.
            UserError: The server does not answer in so many attempts.
        """
        if self._endpoint == "chat":
            raise self._no_logprobs("the chat endpoint gives no log-probabilities of a prompt")

        async def one(client: OpenAIClient, text: str) -> tuple[list[float], int]:
            return await self._echo(client, text)

        asked = list(zip(prompts, options, strict=True))
        texts = [p + end for p, each in asked for end in ("", *map(continuation, each))]
        found = iter(self._run(texts, one, on_progress))
        try:
            return [_scores(each, [next(found) for _ in range(len(each) + 1)]) for _, each in asked]
        except ValueError as error:
            raise self._no_logprobs(str(error)) from None

    async def _text(
        self, client: OpenAIClient, prompt: str, sample: int, decoding: Decoding
    ) -> Output:
        seed = sample_seed(decoding.seed, prompt, sample)
        body = {
            "temperature": decoding.temperature,
            "max_tokens": decoding.max_tokens,
            "seed": seed,
            **({"stop": list(decoding.stop)} if decoding.stop else {}),
        }
        try:
            if self._endpoint == "completions":
                body |= {"prompt": prompt, "logprobs": 1}
                value, answer = await self._post(client, "completions", body, _continued, OPTIONAL)
            else:
                body |= {"messages": [{"role": "user", "content": prompt}]}
                value, answer = await self._post(client, "chat/completions", body, _said, OPTIONAL)
        except Rejected as error:
            if _OUTGROWN.search(str(error)):
                return Output("", TOO_LONG, seed, None)
            raise
        return _output(value, answer, decoding.stop, seed)

    async def _echo(self, client: OpenAIClient, text: str) -> tuple[list[float], int]:
        """The log-probabilities of a text's tokens, and how many tokens it has."""
        body = {"prompt": text, "max_tokens": 1, "temperature": 0.0, "echo": True, "logprobs": 1}
        try:
            _, value = await self._post(
                client, "completions", body, _not_an_error, frozenset({"temperature"})
            )
        except Rejected as error:
            if _OUTGROWN.search(str(error)):
                raise
            raise self._no_logprobs(str(error)) from error
        try:
            values = value["choices"][0]["logprobs"]["token_logprobs"]
            count = int(value["usage"]["prompt_tokens"])
            return [math.nan if v is None else float(v) for v in values[:count]], count
        except (KeyError, IndexError, TypeError, ValueError):
            found = "the reply has no log-probabilities, or no count of tokens"
            raise self._no_logprobs(found) from None

    async def _post(
        self,
        client: OpenAIClient,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[Any], Read],
        optional: frozenset[str],
    ) -> tuple[Any, Read]:
        """Send a request until it is answered; return the reply, and what was read of it.

        Raises:
            Rejected: The server will never answer it, however it is phrased.
            UserError: There was no answer in so many attempts.
        """
        wait_s, attempt = self._first_wait_s, 1
        while True:
            sent = {key: value for key, value in body.items() if key not in self.refused}
            sent = {self._length_key if k == "max_tokens" else k: sent[k] for k in sent}
            try:
                value = await client.post(path, {"model": self._model, **sent})
                return value, read(value)
            except (Misunderstood, Rejected) as error:
                if not self._rephrase(str(error), sent, optional):
                    raise Rejected(str(error)) from None
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

    def _rephrase(self, objection: str, sent: Mapping[str, Any], optional: frozenset[str]) -> bool:
        """Adapt to what a server objects to in this request; whether that changes the request."""
        if _OUTGROWN.search(objection):
            return False
        if "max_completion_tokens" in objection and "max_tokens" in sent:
            self._length_key = "max_completion_tokens"
            return True
        named = optional & sent.keys() & set(re.findall(r"[a-z_]+", objection.lower()))
        for name in sorted(named - self.refused):
            log.warning(
                "%s: asked without '%s', which it does not accept (%s)",
                self._where,
                name,
                objection,
            )
        self.refused |= named
        return bool(named)

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
        refusals: list[str] = []

        async def asked(text: Any) -> Result | None:
            nonlocal done
            async with places:
                try:
                    result = await one(client, text)
                except Rejected as error:  # the others are asked, and kept
                    refusals.append(str(error))
                    if len(refusals) > done + MOST_REFUSALS:
                        raise self._refusal(refusals, len(texts)) from None
                    return None
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
        if refusals:
            raise self._refusal(refusals, len(texts))
        return [result for task in tasks if (result := task.result()) is not None]

    def _refusal(self, reasons: Sequence[str], requests: int) -> UserError:
        """What to say of requests that will never be answered."""
        outgrown = next(filter(_OUTGROWN.search, reasons), None)
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


def _not_an_error(value: Any) -> Any:
    """Return a reply that holds no error: some servers send errors with HTTP 200.

    Raises:
        TransientError: It holds one.
    """
    if error := value.get("error"):
        message = error.get("message") if isinstance(error, Mapping) else error
        raise TransientError(f"an error in a reply with HTTP 200: {message or error}"[:200])
    return value


def _said(value: Any) -> Answer:
    """Read the answer of a chat endpoint."""
    return _complete(read_answer(_not_an_error(value)))


def _continued(value: Any) -> Answer:
    """Read the answer of a completions endpoint."""
    try:
        choice = _not_an_error(value)["choices"][0]
        text, reason = choice["text"], choice.get("finish_reason")
    except (KeyError, IndexError, TypeError):
        raise TransientError("malformed reply: not a completion") from None
    if not isinstance(text, str):
        raise TransientError(f"malformed reply: the text is a {type(text).__name__}")
    return _complete(Answer(text, str(reason or "unknown"), None))


def _complete(answer: Answer) -> Answer:
    if answer.finish_reason == "error":
        raise TransientError("the server ended the answer with an error")
    return answer


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
