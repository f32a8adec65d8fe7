"""Shards of chats, rendered by the model's chat template, with a mask of assistant messages.

A line of the file is {"messages": [{"role": ..., "content": ...}, ...]}. Each chat is rendered and
tokenized as a whole, so that the ids are those of real use. Special tokens come from the template
only; one that is spelled in a message stays text. The loss is on all tokens (as in the paper) or on
assistant messages, including the token that ends each turn.

Assistant messages are located by rendering the messages before each, and those up to it: two
prefixes of the whole text. So a template needs no {% generation %} mark (most have none), but must
render a message independently of what follows. If it does not (some drop earlier thoughts), the
chat is skipped with that reason. Skipped lines are counted and never fatal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steep.core.errors import UserError
from steep.core.progress import Progress
from steep.core.token_ids import ChatText, rendered_chat, whole_texts
from steep.tokens.shard import NothingToTrainOn, ShardManifest, name_of, write_batches
from steep.tokens.tokenize import TextBatch, batch_of, batched, in_order, threads_for

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SkippedChat:
    """A skipped line; `source` is file:line."""

    source: str
    reason: str


class WrittenChats(NamedTuple):
    """A shard of chats, and the lines that were skipped."""

    manifest: ShardManifest
    skipped: list[SkippedChat]


class BadChat(Exception):
    """A chat that cannot be used; the message says what was expected and found."""


class MessageSpan(NamedTuple):
    """A part of a text, in characters."""

    start: int
    stop: int


class Chat(NamedTuple):
    """A rendered chat; `spans` are the assistant messages."""

    text: ChatText
    spans: list[MessageSpan]


def write_chat_shard(
    directory: Path, path: Path, tokenizer: Any, loss_on: Literal["all", "assistant"]
) -> WrittenChats:
    """Tokenize a file of chats into `directory`.

    Raises:
        UserError: There is no such file or no usable chat in it, the tokenizer has no chat template
            or no offsets (only Rust tokenizers have them), or the disk is full.
    """
    _check(tokenizer)
    skipped: list[SkippedChat] = []
    found = _chats(path, tokenizer, loss_on, skipped)
    chats = Progress("tokenize chats", None, "chats").over(found)
    try:
        with closing(_tokenized(chats, tokenizer, loss_on)) as batches:
            masked = loss_on == "assistant"
            manifest = write_batches(directory, batches, tokenizer, masked=masked)
    except NothingToTrainOn as error:
        if not skipped:
            raise
        raise NothingToTrainOn(
            "There is nothing to train on: no chat of this file can be used.",
            where=skipped[0].source,
            found=f"{len(skipped):,} skipped lines; the first: {skipped[0].reason}",
        ) from error
    return WrittenChats(manifest, skipped)


def render(messages: Sequence[Message], tokenizer: Any) -> Chat:
    """Render a chat and locate the assistant messages.

    Raises:
        BadChat: The template rejects the messages, or renders a part differently from the whole.
    """
    text = _render(messages, tokenizer)
    spans = []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            if number == 0:  # transformers cannot render an empty chat
                raise BadChat("expected a message before the assistant's first, found none")
            before = _render(messages[:number], tokenizer, add_generation_prompt=True)
            upto = _render(messages[: number + 1], tokenizer)
            if not (upto.startswith(before) and text.startswith(upto)):
                raise BadChat(
                    f"the chat template renders message {number + 1} differently with and without "
                    "the messages after it, so assistant messages cannot be located"
                )
            spans.append(MessageSpan(len(before), len(upto)))
    return Chat(text, spans)


def _check(tokenizer: Any) -> None:
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"The tokenizer {name_of(tokenizer)} has no chat template.",
            where="train.model",
            hint="name an instruction-tuned model, or put a chat_template.jinja into its directory",
        )
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise UserError(
            f"The tokenizer {name_of(tokenizer)} does not return the offsets of tokens.",
            where="train.model",
            expected="a fast tokenizer (a tokenizer.json)",
        )


def _chats(path: Path, tokenizer: Any, loss_on: str, skipped: list[SkippedChat]) -> Iterator[Chat]:
    for number, line in _lines(path):
        try:
            messages = _messages(line)
            chat = render(messages, tokenizer) if loss_on == "assistant" else None
            if chat is not None and not chat.spans:
                raise BadChat("expected a message of the role 'assistant', found none")
            yield chat or Chat(_render(messages, tokenizer), [])
        except BadChat as error:
            skipped.append(SkippedChat(f"{path}:{number}", str(error)))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except OSError as error:
        raise UserError(
            "There is no file of chats.",
            where=path,
            expected='JSON Lines: {"messages": [{"role": ..., "content": ...}, ...]}',
            found=error.strerror,
        ) from error


def _messages(line: bytes) -> list[Message]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadChat(f"expected a JSON object: {error}") from error
    messages = record.get("messages") if isinstance(record, Mapping) else None
    if not isinstance(messages, list) or not messages:
        raise BadChat(f"expected a list of messages as 'messages', found {messages!r:.60}")
    for message in messages:
        fields = message if isinstance(message, Mapping) else {}
        for key in ("role", "content"):
            if not isinstance(fields.get(key), str):
                raise BadChat(f"expected a text as '{key}' of each message, found {message!r:.60}")
    return messages


def _render(messages: Sequence[Message], tokenizer: Any, **options: bool) -> ChatText:
    # A template is a third-party program that may raise anything.
    try:
        text = rendered_chat(tokenizer, messages, **options)
        text.encode()  # a lone surrogate is valid JSON, but not valid text
    except Exception as error:
        raise BadChat(f"the chat template rejects it: {error!s:.200}") from error
    return text


def _tokenized(
    chats: Iterable[Chat], tokenizer: Any, loss_on: Literal["all", "assistant"]
) -> Generator[TextBatch]:
    rust = tokenizer.backend_tokenizer
    whole_texts(rust)
    rust.encode_special_tokens = False  # special tokens in the text are those of the template
    added = np.array(sorted(rust.get_added_tokens_decoder()), np.int64)

    def whole(batch: list[Chat]) -> TextBatch:
        pieces = [chat.text.pieces for chat in batch]
        found = iter(rust.encode_batch_fast(list(chain(*pieces)), add_special_tokens=False))
        return batch_of(list(chain.from_iterable(next(found).ids for _ in each)) for each in pieces)

    def with_masks(batch: list[Chat]) -> TextBatch:
        pieces = [chat.text.pieces for chat in batch]
        found = iter(rust.encode_batch(list(chain(*pieces)), add_special_tokens=False))
        lists, masks = [], []
        for chat, each in zip(batch, pieces, strict=True):
            ids, offsets = _joined([next(found) for _ in each], chat.text.cuts)
            lists.append(ids)
            masks.append(_mask(chat, np.isin(np.array(ids, np.int64), added), offsets))
        return batch_of(lists)._replace(mask=np.concatenate(masks))

    work: Callable[[list[Chat]], TextBatch] = with_masks if loss_on == "assistant" else whole
    yield from in_order(work, batched(chats, lambda chat: len(chat.text)), threads_for(tokenizer))


def _joined(encodings: Sequence[Any], cuts: Sequence[int]) -> tuple[list[int], NDArray[np.int64]]:
    """Return the ids of a text from those of its pieces, and where each begins and ends in it."""
    ids = list(chain.from_iterable(each.ids for each in encodings))
    offsets = [
        np.array(each.offsets, np.int64).reshape(-1, 2) + start
        for each, start in zip(encodings, (0, *cuts), strict=True)
    ]
    return ids, np.concatenate(offsets)


def _mask(chat: Chat, special: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return 1 for the tokens of assistant messages, up to the token that ends each turn.

    A token that begins in the header is excluded. The end of a token is checked beside its start,
    since byte-level tokenizers leave blanks out of offsets: a lone blank lies at its end.
    """
    starts, stops = offsets.T
    mask = np.zeros(len(starts), np.uint8)
    for span in chat.spans:
        inside = np.flatnonzero(
            (stops > span.start) & (starts >= span.start) & (stops <= span.stop)
        )
        ends = inside[special[inside]]
        # Text after the end of the turn, such as a line break, belongs to the template.
        if len(ends) and not chat.text[stops[ends[-1]] : span.stop].strip():
            inside = inside[inside <= ends[-1]]
        mask[inside] = 1
    return mask
