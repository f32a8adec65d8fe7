"""A shard: token ids on disk, memory-mapped, with the end of every text and a manifest.

Each text becomes BOS + ids + EOS, as in the paper's code. Files are appended to, so memory does not
grow with the corpus:

    tokens.bin      ids, uint16 or uint32
    ends.bin        int64: end offset of each text in tokens.bin
    loss_mask.bin   uint8, parallel to tokens.bin, only if some tokens are not learned
    shard.json      the manifest, written last
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steep.core.errors import UserError
from steep.core.files import disk_errors, read_json, write_json
from steep.tokens.tokenize import TextBatch, tokenized

MANIFEST = "shard.json"
TOKENS, ENDS, LOSS_MASK = "tokens.bin", "ends.bin", "loss_mask.bin"
LARGEST_VOCABULARY = 2**32


class NothingToTrainOn(UserError):
    """No text reached a shard."""


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """The manifest of a shard."""

    texts: int
    tokens: int
    dtype: Literal["uint16", "uint32"]
    vocabulary: int  # exclusive upper limit of the ids
    tokenizer: str  # hash of the tokenizer
    sha256: str  # hash of ids, ends and loss mask
    # number of tokens that the loss mask includes; None without a mask
    learned_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TokenShard:
    """An open shard, memory-mapped."""

    manifest: ShardManifest
    ids: NDArray[Any]  # token ids, (tokens,)
    ends: NDArray[np.int64]  # end offset of each text, (texts,)
    # 1 for learned tokens, (tokens,); None if all are learned
    loss_mask: NDArray[np.uint8] | None = None


def tokenizer_hash(tokenizer: Any) -> str:
    """Identify a tokenizer by its whole vocabulary and its special tokens."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return hashlib.sha256(repr((vocabulary, special)).encode()).hexdigest()[:16]


def check_tokenizer(shard: TokenShard, tokenizer: Any) -> None:
    """Refuse to train a model on the ids of another tokenizer.

    Raises:
        UserError: Another tokenizer wrote the shard.
    """
    written, model = shard.manifest.tokenizer, tokenizer_hash(tokenizer)
    if written != model:
        vocabulary = vocabulary_of(tokenizer)
        raise UserError(
            "These shards were written with another tokenizer than the model's.",
            where="train.model",
            expected=f"tokenizer {written} with {shard.manifest.vocabulary:,} ids, as in the shard",
            found=f"tokenizer {model} with {vocabulary:,} ids ({name_of(tokenizer)})",
            hint="run steep tokenize again",
        )


def check_embedding(shard: TokenShard, tokenizer: Any, rows: int) -> None:
    """Refuse token ids that the model has no embedding for.

    A tokenizer may have tokens that its model does not have (an image token, say), as long as none
    occurs in a text.

    Raises:
        UserError: A token of the shard lies beyond the `rows` of the model's embedding.
    """
    if shard.manifest.vocabulary <= rows or (highest := int(shard.ids.max())) < rows:
        return
    count = int((shard.ids >= rows).sum())
    raise UserError(
        "The texts contain tokens that the model has no embedding for.",
        where="train.model",
        expected=f"ids below {rows:,}, the rows of the model's embedding",
        found=f"{count:,} tokens beyond it; the highest is {highest:,} "
        f"({tokenizer.convert_ids_to_tokens(highest)!r} of {name_of(tokenizer)})",
        hint="tokens were added to the tokenizer in the model's directory: use the model's own "
        "tokenizer, or resize the model's embedding",
    )


def vocabulary_of(tokenizer: Any) -> int:
    """Return the highest id plus one: added tokens may lie beyond len(tokenizer), with gaps."""
    return max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=-1))


def name_of(tokenizer: Any) -> str:
    """Return the name of a tokenizer for messages."""
    return getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__


def write_shard(directory: Path, texts: Iterable[str], tokenizer: Any) -> ShardManifest:
    """Tokenize `texts` into `directory`; the manifest is written last.

    Raises:
        UserError: There is no text, the tokenizer returns ids beyond its vocabulary or 32 bits, or
            the disk is full.
    """
    with closing(tokenized(texts, tokenizer)) as batches:
        return write_batches(directory, batches, tokenizer)


def write_batches(
    directory: Path,
    batches: Iterable[TextBatch],
    tokenizer: Any,
    *,
    masked: bool = False,
) -> ShardManifest:
    """Write tokenized batches as `write_shard` does."""
    vocabulary = vocabulary_of(tokenizer)
    dtype: Literal["uint16", "uint32"] = "uint16" if vocabulary <= 2**16 else "uint32"
    (directory / MANIFEST).unlink(missing_ok=True)
    texts = tokens = learned = 0
    with disk_errors(directory), ExitStack() as stack:
        directory.mkdir(parents=True, exist_ok=True)
        names = [TOKENS, ENDS, *([LOSS_MASK] if masked else [])]
        files = [stack.enter_context(_HashedFile(directory / name)) for name in names]
        for batch in _checked(batches, min(vocabulary, LARGEST_VOCABULARY), tokenizer):
            ends = tokens + np.cumsum(batch.counts, dtype=np.int64)
            columns = [batch.ids.astype(dtype), ends, *([batch.mask] if masked else [])]
            for file, column in zip(files, columns, strict=True):
                assert column is not None
                file.write(column.tobytes())
            texts, tokens = texts + len(ends), tokens + len(batch.ids)
            learned += 0 if batch.mask is None else int(batch.mask.sum())
    if not tokens or (masked and not learned):
        raise NothingToTrainOn(
            "There is nothing to train on: no text reached this shard.",
            where=directory,
            hint="check the totals of the corpus: were all texts rejected?",
        )
    digest = hashlib.sha256(b"".join(file.digest.digest() for file in files)).hexdigest()
    identity = tokenizer_hash(tokenizer)
    manifest = ShardManifest(
        texts, tokens, dtype, vocabulary, identity, digest, learned if masked else None
    )
    write_json(directory / MANIFEST, asdict(manifest))
    return manifest


def open_shard(directory: Path) -> TokenShard:
    """Open a shard without reading it into memory.

    Raises:
        UserError: A file is missing, or differs from the manifest.
    """
    try:
        manifest = ShardManifest(**read_json(directory / MANIFEST))
    except (OSError, ValueError, TypeError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else error
        raise _damaged(directory / MANIFEST, "the manifest of a shard", found) from error
    ids = _mapped(directory / TOKENS, manifest.dtype, manifest.tokens)
    ends = _mapped(directory / ENDS, "int64", manifest.texts)
    if ends[-1] != manifest.tokens:
        raise _damaged(directory / ENDS, f"a last text that ends at {manifest.tokens:,}", ends[-1])
    masked = manifest.learned_tokens is not None
    mask = _mapped(directory / LOSS_MASK, "uint8", manifest.tokens) if masked else None
    return TokenShard(manifest, ids, ends, mask)


class _HashedFile:
    """A file that is written once, and the hash of its content."""

    def __init__(self, path: Path) -> None:
        self.digest = hashlib.sha256()
        self._file = path.open("wb")

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self._file.write(data)

    def __enter__(self) -> _HashedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _checked(batches: Iterable[TextBatch], limit: int, tokenizer: Any) -> Iterator[TextBatch]:
    for batch in batches:
        if len(batch.ids) and not 0 <= (worst := _worst(batch.ids)) < limit:
            raise UserError(
                f"The tokenizer {name_of(tokenizer)} returns the id {worst:,}, which is not in its "
                "vocabulary or does not fit into a shard.",
                expected=f"ids from 0 to {limit - 1:,}",
                found=worst,
                hint="check that this tokenizer belongs to train.model",
            )
        yield batch


def _worst(ids: NDArray[np.int64]) -> int:
    lowest = int(ids.min())
    return lowest if lowest < 0 else int(ids.max())


def _mapped(path: Path, dtype: str, count: int) -> NDArray[Any]:
    found = path.stat().st_size if path.is_file() else "no such file"
    expected = count * np.dtype(dtype).itemsize
    if found != expected:
        size = f"{found:,} bytes" if isinstance(found, int) else found
        raise _damaged(path, f"{expected:,} bytes", size)
    return np.memmap(path, dtype=dtype, mode="r")


def _damaged(path: Path, expected: object, found: object) -> UserError:
    return UserError(
        "This shard is damaged: a file has changed since it was written.",
        where=path,
        expected=expected,
        found=found,
        hint="move the directory away and run steep tokenize again",
    )
