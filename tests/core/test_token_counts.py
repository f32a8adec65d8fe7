from __future__ import annotations

from pathlib import Path

from steep.core.token_counts import ESTIMATE, token_counter


def test_tokens_are_estimated_from_bytes() -> None:
    counter = ESTIMATE
    assert [counter.count(text) for text in ("", "abc", "abcde", "渡船")] == [0, 1, 2, 2]
    assert counter.tokenizer is None


def test_a_tokenizer_file_counts_without_special_tokens(tiny_directory: Path) -> None:
    from transformers import AutoTokenizer

    counter = token_counter(tiny_directory / "tokenizer.json")
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    for text in ("", "The ferry crosses the lake at noon.", "渡船"):
        assert counter.count(text) == len(tokenizer(text, add_special_tokens=False)["input_ids"])
    assert counter.tokenizer
