"""A shard: token ids on disk, memory-mapped, with the end of every text and a manifest.

Each text becomes BOS + ids + EOS, as in the paper's code. Texts are tokenised in small batches and
appended to the file, so memory does not grow with the corpus.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from steep.core.errors import UserError
from steep.core.files import disk_errors, read_json, write_json

MANIFEST = "shard.json"
TOKENISE_TEXTS = 512  # texts handed to the tokenizer at once


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """What a shard holds. `tokenizer` is a hash of the tokenizer that wrote it."""

    texts: int
    tokens: int
    dtype: Literal["uint16", "uint32"]
    vocabulary: int
    tokenizer: str
    sha256: str


@dataclass(frozen=True, slots=True)
class TokenShard:
    """An open shard, memory-mapped.

    Attributes:
        manifest: What it holds.
        ids: The token ids, (tokens,).
        ends: The end offset of each text, (texts,).
        loss_mask: 1 where a token may be learned, (tokens,); None: all are.
    """

    manifest: ShardManifest
    ids: NDArray[Any]
    ends: NDArray[np.int64]
    loss_mask: NDArray[np.uint8] | None = None


def tokenizer_hash(tokenizer: Any) -> str:
    """Identify a tokenizer by its whole vocabulary and its special tokens."""
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = [tokenizer.bos_token_id, tokenizer.eos_token_id]
    return hashlib.sha256(repr((vocabulary, special)).encode()).hexdigest()[:16]


def write_shard(directory: Path, texts: Iterable[str], tokenizer: Any) -> ShardManifest:
    """Tokenise `texts` into `directory`; the manifest is written last.

    Raises:
        UserError: There is no text at all, or the disk is full.
    """
    vocabulary = len(tokenizer)
    dtype: Literal["uint16", "uint32"] = "uint16" if vocabulary <= 2**16 else "uint32"
    digest, ends, total = hashlib.sha256(), [], 0
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "tokens.bin").open("wb") as file:
            for ids in _tokenise(texts, tokenizer):
                data = np.asarray(ids, dtype=dtype).tobytes()
                digest.update(data)
                file.write(data)
                total += len(ids)
                ends.append(total)
        np.save(directory / "ends.npy", np.asarray(ends, dtype=np.int64))
    if not total:
        raise UserError(
            "There is nothing to train on: no text reached this shard.",
            where=directory,
            hint="look at the totals of the corpus: were all texts set aside?",
        )
    manifest = ShardManifest(
        texts=len(ends),
        tokens=total,
        dtype=dtype,
        vocabulary=vocabulary,
        tokenizer=tokenizer_hash(tokenizer),
        sha256=digest.hexdigest(),
    )
    write_json(directory / MANIFEST, asdict(manifest))
    return manifest


def open_shard(directory: Path) -> TokenShard:
    """Open a shard without reading it into memory.

    Raises:
        UserError: The file of token ids is shorter or longer than the manifest says.
    """
    manifest = ShardManifest(**read_json(directory / MANIFEST))
    found = (directory / "tokens.bin").stat().st_size
    expected = manifest.tokens * np.dtype(manifest.dtype).itemsize
    if found != expected:
        raise UserError(
            "This shard is damaged: its token file has another size than when it was written.",
            where=directory / "tokens.bin",
            expected=f"{expected:,} bytes",
            found=f"{found:,} bytes",
            hint="move the directory away and run steep tokenize again",
        )
    ids = np.memmap(directory / "tokens.bin", dtype=manifest.dtype, mode="r")
    return TokenShard(manifest, ids, np.load(directory / "ends.npy"))


def _tokenise(texts: Iterable[str], tokenizer: Any) -> Iterator[list[int]]:
    before = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    after = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for batch in _batched(texts):
        for ids in tokenizer(batch, add_special_tokens=False).input_ids:
            yield before + ids + after


def _batched(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while batch := list(itertools.islice(iterator, TOKENISE_TEXTS)):
        yield batch
