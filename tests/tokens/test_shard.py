from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from steep.core.errors import UserError
from steep.testing.tiny_corpus import DOCUMENTS
from steep.tokens import shard, tokenize
from steep.tokens.shard import (
    check_embedding,
    check_tokenizer,
    open_shard,
    tokenizer_hash,
    write_shard,
)


class CodePoints:
    """A tokenizer of as many ids as one likes: each character is its code point."""

    def __init__(self, vocabulary: int, bos: int | None = None, eos: int | None = None) -> None:
        self.vocabulary, self.bos_token_id, self.eos_token_id = vocabulary, bos, eos

    def __len__(self) -> int:
        return self.vocabulary

    def __call__(
        self, texts: list[str], add_special_tokens: bool, split_special_tokens: bool
    ) -> Any:
        assert split_special_tokens and not add_special_tokens
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
        patch.setattr(tokenize, "BATCH_TEXTS", 3)
        patch.setattr(tokenize, "BATCH_CHARACTERS", 5)
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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("name", ["tokens.bin", "ends.bin"])
def test_a_full_disk_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(UserError, match="disk is full"):
        write_shard(tmp_path, ["ab"], CodePoints(300))
    assert not (tmp_path / shard.MANIFEST).exists()


@pytest.mark.parametrize(("name", "size"), [("tokens.bin", 6), ("ends.bin", 8)])
def test_a_shard_that_lost_its_end_is_refused(tmp_path: Path, name: str, size: int) -> None:
    write_shard(tmp_path, ["abc"], CodePoints(300))
    os.truncate(tmp_path / name, 4)
    with pytest.raises(UserError, match="damaged") as caught:
        open_shard(tmp_path)
    assert f"{name}\n  expected: {size} bytes\n  found:    4 bytes" in str(caught.value)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match="no such file"):
        open_shard(tmp_path)


@pytest.mark.parametrize("manifest", ["{", "{}", "[]", '{"texts": 1, "colour": "red"}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, manifest: str) -> None:
    write_shard(tmp_path, ["abc"], CodePoints(300))
    (tmp_path / shard.MANIFEST).write_text(manifest)
    with pytest.raises(UserError, match="damaged"):
        open_shard(tmp_path)


def test_ends_of_another_shard_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "a", ["abc"], CodePoints(300))
    write_shard(tmp_path / "b", ["abcd"], CodePoints(300))
    (tmp_path / "b" / "ends.bin").replace(tmp_path / "a" / "ends.bin")
    with pytest.raises(UserError, match="a last text that ends at 3"):
        open_shard(tmp_path / "a")


@pytest.mark.parametrize("character", [chr(300), "\U00010000"])
def test_ids_beyond_the_vocabulary_are_refused(tmp_path: Path, character: str) -> None:
    with pytest.raises(UserError, match="The tokenizer CodePoints returns the id") as caught:
        write_shard(tmp_path, ["fine", character], CodePoints(300))
    assert "ids from 0 to 299" in str(caught.value)
    assert f"found:    {ord(character)}" in str(caught.value)
    assert not (tmp_path / shard.MANIFEST).exists()


def test_ids_beyond_32_bits_are_refused(tmp_path: Path) -> None:
    class Huge(CodePoints):
        def __call__(
            self, texts: list[str], add_special_tokens: bool, split_special_tokens: bool
        ) -> Any:
            return SimpleNamespace(input_ids=[[2**32]])

    with pytest.raises(UserError, match=r"returns the id 4,294,967,296.*does not fit"):
        write_shard(tmp_path, ["a"], Huge(2**33))


def test_added_tokens_may_lie_beyond_the_length_of_the_vocabulary(tmp_path: Path) -> None:
    class Sparse(CodePoints):
        def get_vocab(self) -> dict[str, int]:
            return {"a": ord("a"), "\U00010000": 2**16}

    manifest = write_shard(tmp_path, ["a\U00010000"], Sparse(2))
    assert (manifest.dtype, manifest.vocabulary) == ("uint32", 2**16 + 1)
    assert texts_of(tmp_path) == [[ord("a"), 2**16]]


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


def test_a_model_with_another_tokenizer_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    write_shard(tmp_path, ["abc"], tokenizer)
    opened = open_shard(tmp_path)
    check_tokenizer(opened, tokenizer)
    with pytest.raises(UserError, match="written with another tokenizer") as caught:
        check_tokenizer(opened, CodePoints(0x110000))
    for part in (opened.manifest.tokenizer, "384 ids", "1,114,112 ids (CodePoints)"):
        assert part in str(caught.value)


def test_no_setting_of_the_tokenizer_cuts_or_pads_a_text(
    tmp_path: Path, tiny_directory: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    texts = ["a much longer text than three tokens", "b"]
    tokenizer(texts, truncation=True, max_length=3, padding=True)
    write_shard(tmp_path, texts, tokenizer)
    expected = tokenizer(texts, add_special_tokens=False).input_ids
    assert [ids[1:-1] for ids in texts_of(tmp_path)] == expected


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_ids_are_those_of_the_tokenizer(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: Any, texts: list[str]
) -> None:
    directory = tmp_path_factory.mktemp("shard")
    write_shard(directory, texts, tokenizer)
    expected = tokenizer(texts, add_special_tokens=False).input_ids
    assert [ids[1:-1] for ids in texts_of(directory)] == expected


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, tiny_directory: Path) -> None:
    """A list of the ends would take 8 MB for 200,000 texts, the ids of all in an array 25 MB."""
    peaks_mb = []
    for texts in (10_000, 200_000):
        arguments = [tiny_directory / "tokenizer.json", tmp_path / str(texts), str(texts)]
        command = [sys.executable, "-c", WRITE, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks_mb.append(float(done.stdout))
    assert peaks_mb[1] - peaks_mb[0] < 5, peaks_mb


WRITE = """
import sys
from pathlib import Path
from tokenizers import Tokenizer
from steep.tokens.shard import write_shard

class Fast:  # transformers' wrapper, without the seconds and the memory of its import
    bos_token_id, eos_token_id, unk_token_id, added_tokens_decoder = 0, 1, None, {}
    backend_tokenizer = Tokenizer.from_file(sys.argv[1])
    get_vocab = backend_tokenizer.get_vocab
    def __len__(self): return self.backend_tokenizer.get_vocab_size()

write_shard(Path(sys.argv[2]), (f"No {n % 10} is it." for n in range(int(sys.argv[3]))), Fast())
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def test_texts_that_spell_special_tokens_are_text(tmp_path: Path, tokenizer: Any) -> None:
    text = "A turn ends with <|im_end|>, and <|im_start|><|pad|> begin and fill one."
    write_shard(tmp_path, [text], tokenizer)
    [ids] = texts_of(tmp_path)
    assert tokenizer.decode(ids[1:-1]) == text
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    assert special.isdisjoint(ids[1:-1])
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_a_vocabulary_that_holds_the_special_tokens_as_words_does_not_find_them(
    tmp_path: Path,
) -> None:
    rust = Tokenizer(models.Unigram())
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=60,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",
        show_progress=False,
    )
    rust.train_from_iterator(["the old weir below the mill", "< / s >"] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=rust, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    write_shard(tmp_path, ["the weir </s> the mill"], tokenizer)
    [ids] = texts_of(tmp_path)
    assert ids.count(tokenizer.eos_token_id) == ids.count(tokenizer.bos_token_id) == 1
    assert "".join(tokenizer.decode(ids[1:-1]).split()) == "theweir</s>themill"


def test_tokens_beyond_the_embedding_matter_only_where_one_occurs(
    tmp_path: Path, tiny_directory: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    rows = len(tokenizer)
    tokenizer.add_tokens(["<picture>"])
    write_shard(tmp_path / "plain", ["a river"], tokenizer)
    write_shard(tmp_path / "pictures", ["a <picture> and a <picture>"], tokenizer)
    check_embedding(open_shard(tmp_path / "plain"), tokenizer, rows)
    check_embedding(open_shard(tmp_path / "pictures"), tokenizer, rows + 1)
    with pytest.raises(UserError, match=r"no embedding for[^$]*2 tokens beyond it[^$]*<picture>"):
        check_embedding(open_shard(tmp_path / "pictures"), tokenizer, rows)
