from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from steep.core.errors import UserError
from steep.testing.tiny_corpus import DOCUMENTS
from steep.tokens import shard
from steep.tokens.shard import open_shard, tokenizer_hash, write_shard


class CodePoints:
    """A tokenizer of as many ids as one likes: each character is its code point."""

    def __init__(self, vocabulary: int, bos: int | None = None, eos: int | None = None) -> None:
        self.vocabulary, self.bos_token_id, self.eos_token_id = vocabulary, bos, eos

    def __len__(self) -> int:
        return self.vocabulary

    def __call__(self, texts: list[str], add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return SimpleNamespace(input_ids=[[ord(character) for character in text] for text in texts])

    def get_vocab(self) -> dict[str, int]:
        return {chr(number): number for number in range(300)}


@pytest.fixture(scope="module")
def tokenizer(tiny_directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_directory)


def texts_of(directory: Path) -> list[list[int]]:
    opened = open_shard(directory)
    return [piece.tolist() for piece in np.split(opened.ids, opened.ends[:-1])]


def test_texts_come_back_between_bos_and_eos(tmp_path: Path, tokenizer: Any) -> None:
    texts = [document.text for document in DOCUMENTS] + ["", "<|im_end|>"]
    manifest = write_shard(tmp_path, iter(texts), tokenizer)
    read = texts_of(tmp_path)
    assert [ids[0] for ids in read] == [tokenizer.bos_token_id] * 5
    assert [ids[-1] for ids in read] == [tokenizer.eos_token_id] * 5
    assert [tokenizer.decode(ids[1:-1]) for ids in read] == texts
    assert (manifest.texts, manifest.tokens) == (5, sum(map(len, read)))
    assert (manifest.dtype, manifest.vocabulary) == ("uint16", len(tokenizer))
    assert open_shard(tmp_path).manifest == manifest


@given(texts=st.lists(st.text(), min_size=1).filter(any))
def test_texts_cross_the_batches_of_the_tokenizer(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("shard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard, "TOKENISE_TEXTS", 2)
        write_shard(directory, texts, CodePoints(0x110000))
    assert ["".join(map(chr, ids)) for ids in texts_of(directory)] == texts


@pytest.mark.parametrize(
    ("vocabulary", "dtype", "character"),
    [(2**16, "uint16", "\uffff"), (2**16 + 1, "uint32", "\U00010000")],
)
def test_large_vocabularies_get_wider_numbers(
    tmp_path: Path, vocabulary: int, dtype: str, character: str
) -> None:
    manifest = write_shard(tmp_path, [f"a{character}", "b"], CodePoints(vocabulary, 1, 2))
    assert manifest.dtype == open_shard(tmp_path).ids.dtype == dtype
    assert texts_of(tmp_path) == [[1, ord("a"), ord(character), 2], [1, ord("b"), 2]]


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_nothing_to_train_on_is_an_error(tmp_path: Path, texts: list[str]) -> None:
    with pytest.raises(UserError, match="no text reached this shard"):
        write_shard(tmp_path, texts, CodePoints(300))
    assert not (tmp_path / shard.MANIFEST).exists()


def test_an_interrupted_shard_is_unfinished_and_written_anew(tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield "long gone"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, broken(), CodePoints(300))
    assert not (tmp_path / shard.MANIFEST).exists()
    write_shard(tmp_path, ["ab", "c"], CodePoints(300))
    assert texts_of(tmp_path) == [[97, 98], [99]]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numpy.save", full)
    with pytest.raises(UserError, match="disk is full"):
        write_shard(tmp_path, ["ab"], CodePoints(300))
    assert not (tmp_path / shard.MANIFEST).exists()


def test_a_shard_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    write_shard(tmp_path, ["abc"], CodePoints(300))
    os.truncate(tmp_path / "tokens.bin", 4)
    with pytest.raises(UserError, match="damaged") as caught:
        open_shard(tmp_path)
    assert "expected: 6 bytes" in str(caught.value)


def test_the_hash_is_of_the_content(tmp_path: Path, tokenizer: Any) -> None:
    one, same, other = (
        write_shard(tmp_path / name, texts, tokenizer)
        for name, texts in [("a", ["x", "y"]), ("b", ["x", "y"]), ("c", ["y", "x"])]
    )
    assert one == same
    assert replace(other, sha256=one.sha256) == one != other


def test_tokenizers_are_told_apart(tiny_directory: Path) -> None:
    def tiny() -> Any:
        return AutoTokenizer.from_pretrained(tiny_directory)

    bigger, ended = tiny(), tiny()
    bigger.add_tokens(["Quillon"])
    ended.eos_token = ended.pad_token
    assert tokenizer_hash(tiny()) == tokenizer_hash(tiny())
    assert len({tokenizer_hash(each) for each in (tiny(), bigger, ended)}) == 3
