"""A dialogue with a Hugging Face causal LM in this process, whose answers are streamed.

This is for chat in a terminal; `client` completes many calls. It has its own loop instead of
`generate` with a streamer, which needs a thread: here Ctrl-C ends an answer between two tokens.
On a GPU in bf16, else in fp32.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steep.core.cache_argument import cache_argument
from steep.core.calls import Sampling
from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.core.token_ids import rendered_chat, text_ids, token_ids
from steep.llm.local.client import load_model
from steep.llm.local.devices import default_device
from steep.llm.local.prompts import LAST_TOKENS, end_ids
from steep.llm.local.sampling import RowSampler, SampledRow
from steep.llm.thinking import StreamedAnswer, opened_thought

UNFINISHED = "\ufffd"  # what a tokenizer makes of a character whose last bytes are missing


class ChatAnswer:
    """A streamed answer: iterate over its pieces, then read `text` and `cut_off`."""

    def __init__(self, tokens: Iterator[int], tokenizer: Any, limit: int) -> None:
        self._tokens, self._tokenizer, self._limit = tokens, tokenizer, limit
        self.count = 0
        self.text = ""

    @property
    def cut_off(self) -> bool:
        """Whether the limit ended the answer, not the model."""
        return self.count >= self._limit

    def __iter__(self) -> Iterator[str]:
        for piece in pieces(self._counted(), self._tokenizer):
            self.text += piece
            yield piece

    def _counted(self) -> Iterator[int]:
        for token in self._tokens:
            self.count += 1
            yield token


class StreamingChatModel:
    """A model and its tokenizer, ready to answer.

    Raises:
        UserError: The model cannot be loaded.
    """

    def __init__(self, model: Path | str) -> None:
        self._model, self._tokenizer = load_model(model, default_device())
        self.has_template = self._tokenizer.chat_template is not None
        config = self._model.config.get_text_config()
        self._context_tokens: int | None = getattr(config, "max_position_embeddings", None)

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Return the tokens of a dialogue in the model's chat format, or its bare text.

        Raises:
            UserError: The format has no place for such messages.
        """
        from jinja2 import TemplateError

        if not self.has_template:
            text = "\n".join(message["content"] for message in messages)
            return token_ids(self._tokenizer, text)
        try:
            text = rendered_chat(self._tokenizer, messages, add_generation_prompt=True)
        except TemplateError as error:
            raise UserError(
                "The chat template of this model refuses these messages.",
                found=error,
                hint="leave out the system message: --system ''",
            ) from error
        return text_ids(self._tokenizer, text)

    def opened_thought(self, prompt: Sequence[int]) -> str:
        """Return the opening tag of a thought at the end of a prompt, if any."""
        return opened_thought(self._tokenizer.decode(prompt[-LAST_TOKENS:]))

    def room(self, prompt: Sequence[int]) -> int | None:
        """Return how many tokens may follow a prompt; None if unknown."""
        return None if self._context_tokens is None else self._context_tokens - len(prompt)

    def answer(self, prompt: Sequence[int], sampling: Sampling, seed: int) -> ChatAnswer:
        """Return an answer that is computed as it is iterated over; equal seeds give equal ones.

        Raises:
            UserError: The prompt fills the context.
        """
        room = self.room(prompt)
        if not prompt or (room is not None and room < 1):
            raise UserError(
                "The prompt does not fit into the context of this model."
                if prompt
                else "There is nothing to answer.",
                expected=f"1 to {(self._context_tokens or 0) - 1:,} tokens" if prompt else None,
                found=f"{len(prompt):,} tokens" if prompt else None,
            )
        limit = sampling.max_tokens if room is None else min(sampling.max_tokens, room)
        row = SampledRow(sampling, np.random.default_rng(seed).random(limit))
        return ChatAnswer(self._tokens(prompt, row, limit), self._tokenizer, limit)

    def _tokens(self, prompt: Sequence[int], row: SampledRow, limit: int) -> Iterator[int]:
        ends = end_ids(self._model, self._tokenizer)
        sampler = RowSampler(ends or frozenset({-1}))
        takes = inspect.signature(self._model.forward).parameters
        last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        known, ids = cache_argument(self._model.forward), list(prompt)
        cache = None
        for _ in range(limit):
            with torch.inference_mode():
                output = self._model(
                    input_ids=torch.tensor([ids], device=self._model.device),
                    use_cache=True,
                    **{known: cache},
                    **last_only,
                )
                (token,) = sampler.choose(output.logits[:, -1], [row])
            if token in ends:
                return
            yield token
            cache, ids = getattr(output, known), [token]


def pieces(tokens: Iterator[int], tokenizer: Any) -> Iterator[str]:
    """Yield the text of tokens as soon as it is certain.

    A character may be spread over tokens, and what a token says may depend on the one before; so
    the tokens of the last piece are decoded again with the new ones, and only what they add is new.
    """

    def text(start: int, end: int | None = None) -> str:
        decoded: str = tokenizer.decode(ids[start:end], skip_special_tokens=True)
        return decoded

    ids: list[int] = []
    before, said = 0, 0  # ids[before:said] is the piece that was last said
    for token in tokens:
        ids.append(token)
        known, now = text(before, said), text(before)
        if len(now) > len(known) and not now.endswith(UNFINISHED):
            yield now[len(known) :]
            before, said = said, len(ids)
    if rest := text(before)[len(text(before, said)) :]:
        yield rest


@dataclass
class ChatSession:
    """A dialogue with one model; by default every question starts a new one, as in the paper."""

    chat_model: StreamingChatModel
    system: str  # empty for none
    sampling: Sampling  # temperature, and the limit of tokens per answer
    keep_history: bool = False  # put earlier questions and answers into the next prompt
    forgotten: int = 0  # messages that no longer fit into the context
    last: ChatAnswer | None = None  # the last answer
    _history: list[dict[str, str]] = field(default_factory=list)
    _asked: int = 0

    def ask(self, question: str, tell: Callable[[str], None]) -> Iterator[str]:
        """Stream the pieces of the answer; a caller may stop at any of them.

        Thoughts are part neither of the answer nor of the history; `tell` gets messages on them.
        """
        self._asked += 1
        said = {"role": "user", "content": question}
        prompt = self._prompt(said)
        seed = derive_seed("chat", self._asked)  # the same question may get another answer
        self.last = answer = self.chat_model.answer(prompt, self.sampling, seed)
        streamed = StreamedAnswer(self.chat_model.opened_thought(prompt))
        try:
            with closing(iter(answer)) as pieces:  # type: ignore[type-var]
                yield from _answered(pieces, streamed, tell)
        finally:
            content = streamed.separated.answer.strip()
            if self.keep_history and content:
                self._history += [said, {"role": "assistant", "content": content}]

    def _prompt(self, said: dict[str, str]) -> list[int]:
        """Return the prompt of the dialogue; drop the oldest questions and answers if too long."""
        system = [{"role": "system", "content": self.system}] if self._has_system else []
        while True:
            prompt = self.chat_model.prompt([*system, *self._history, said])
            room = self.chat_model.room(prompt)
            wanted = min(self.sampling.max_tokens, len(prompt))  # half the context is enough
            if not self._history or room is None or room >= wanted:
                return prompt
            del self._history[:2]
            self.forgotten += 2

    @property
    def _has_system(self) -> bool:
        return bool(self.system) and self.chat_model.has_template


def _answered(
    pieces: Iterator[str], streamed: StreamedAnswer, tell: Callable[[str], None]
) -> Iterator[str]:
    """Stream the answer without its thoughts."""
    told = withdrawn = False
    for more in chain(map(streamed.add, pieces), map(StreamedAnswer.end, [streamed])):
        if streamed.withdrawn and not withdrawn:
            tell("the text so far was a thought; the answer follows")
            told = withdrawn = True
        if streamed.thinks and not told:
            tell("thinking ...")
            told = True
        if more:
            yield more
    if streamed.thinks and not streamed.separated.answer.strip():
        tell("it thought and gave no answer")
