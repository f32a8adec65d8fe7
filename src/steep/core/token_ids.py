"""Encode texts as token ids, with special tokens only where they are intended.

A text that spells a special token (`<|endoftext|>`) is text: a document about language models must
not end in the middle of a sentence, and a question about them must not end the user's turn. The
special tokens of a chat template are meant, those that a message spells are not. `ChatText` keeps
them apart: it is cut inside every special token that a message spells, and its pieces are encoded
one by one. A tokenizer that puts a blank before every text puts one there too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

_MARKS = range(0xE000, 0xF900)  # characters for private use


class ChatText(str):
    """A rendered chat. Its special tokens are those of the template, except at the `cuts`."""

    cuts: tuple[int, ...] = ()  # places inside of spelled special tokens, in characters

    @property
    def pieces(self) -> list[str]:
        """Split the text so that no piece spells a special token by accident."""
        return [self[start:stop] for start, stop in pairwise((0, *self.cuts, len(self)))]

    def without_start(self, start: str) -> ChatText:
        """Return the text without a beginning that is the template's."""
        if not self.startswith(start):
            return self
        return _chat_text(self[len(start) :], (cut - len(start) for cut in self.cuts))


class _Special(NamedTuple):
    """The special tokens of a tokenizer."""

    ids: frozenset[int]
    first_character: re.Pattern[str]  # of a special token that a text spells


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a text, or of a `ChatText`; none is added, nothing padded or cut off."""
    if isinstance(text, ChatText):
        found = tokenizer(text.pieces, add_special_tokens=False, split_special_tokens=False)
        return list(chain.from_iterable(found.input_ids))
    return next(encoder(tokenizer)([text]))


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """Return the ids of a text, after BOS where the tokenizer has one, as in training."""
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return start + text_ids(tokenizer, text)


def encoder(tokenizer: Any) -> Callable[[list[str]], Iterator[list[int]]]:
    """Return what gives the ids of texts without special tokens, never padded or cut off."""
    rust = getattr(tokenizer, "backend_tokenizer", None)
    if rust is None:
        return lambda batch: iter(
            tokenizer(batch, add_special_tokens=False, split_special_tokens=True).input_ids
        )
    special = _special(tokenizer)

    def encode(batch: list[str]) -> Iterator[list[int]]:
        whole_texts(rust)
        rust.encode_special_tokens = True  # means: as the characters that they are
        # Offsets, which only chats need, cost a tenth more.
        encodings = rust.encode_batch_fast(batch, add_special_tokens=False)
        for text, encoding in zip(batch, encodings, strict=True):
            ids = encoding.ids
            if not special.ids.isdisjoint(ids):
                # Some vocabularies (Unigram) hold the special tokens as words.
                pieces = _chat_text(text, _places(text, special)).pieces
                found = rust.encode_batch_fast(pieces, add_special_tokens=False)
                ids = list(chain.from_iterable(each.ids for each in found))
            yield ids

    return encode


def whole_texts(rust: Any) -> None:
    """Set a Rust tokenizer to encode texts whole: what it is used for may have said otherwise."""
    rust.no_truncation()
    rust.no_padding()


def rendered_chat(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], **options: Any
) -> ChatText:
    """Render messages with the tokenizer's chat template.

    Args:
        tokenizer: It has a chat template.
        messages: Whatever texts they hold, none of them becomes a special token.
        **options: Of the template.

    Raises:
        Exception: Whatever the template raises.
    """
    special = _special(tokenizer)
    texts = list(_texts(messages))
    mark = ""
    if any(special.first_character.search(text) for text in texts):
        used = set().union(*texts)
        mark = next(chr(code) for code in _MARKS if chr(code) not in used)
        messages = _marked(messages, special, mark)
    text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, **options)
    if not mark:
        return ChatText(text)
    pieces = text.split(mark)
    return _chat_text("".join(pieces), accumulate(map(len, pieces[:-1])))


def _chat_text(text: str, cuts: Iterable[int]) -> ChatText:
    made = ChatText(text)
    made.cuts = tuple(cuts)
    return made


_KNOWN: WeakKeyDictionary[Any, tuple[int, _Special]] = WeakKeyDictionary()


def _special(tokenizer: Any) -> _Special:
    """Return the special tokens, cached per tokenizer: some have thousands of added tokens."""
    size = len(tokenizer)
    known = _KNOWN.get(tokenizer)
    if known is None or known[0] != size:
        special = {
            token.content: token_id
            for token_id, token in tokenizer.added_tokens_decoder.items()
            if token.special and token_id != tokenizer.unk_token_id
        }
        known = size, _Special(frozenset(special.values()), _first_characters(special))
        _KNOWN[tokenizer] = known
    return known[1]


def _first_characters(special: Iterable[str]) -> re.Pattern[str]:
    rests: dict[str, list[str]] = defaultdict(list)
    for each in special:
        if each[1:]:
            rests[each[0]].append(re.escape(each[1:]))
    found = [f"{re.escape(first)}(?={'|'.join(rest)})" for first, rest in rests.items()]
    return re.compile("|".join(found) or "(?!)")


def _places(text: str, special: _Special) -> list[int]:
    return [found.end() for found in special.first_character.finditer(text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(_texts, value.values()))
    elif isinstance(value, Sequence):
        yield from chain.from_iterable(map(_texts, value))


def _marked(value: Any, special: _Special, mark: str) -> Any:
    """Return the messages with a mark after the first character of each spelled special token."""
    if isinstance(value, str):
        return special.first_character.sub(lambda found: found.group() + mark, value)
    if isinstance(value, Mapping):
        return {key: _marked(each, special, mark) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_marked(each, special, mark) for each in value]
    return value
