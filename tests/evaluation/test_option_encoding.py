from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.core.errors import UserError
from steep.evaluation.encoding import (
    EncodedQuestion,
    batches,
    encode_question,
    single_rows,
    tree_row,
)
from steep.testing.tiny_model import make_tiny_model

QUESTION = EncodedQuestion((5, 6, 7), ((10, 11), (20, 21, 22), (30,)))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(make_tiny_model(tmp_path_factory.mktemp("model")))


def decode(tokenizer: Any, ids: tuple[int, ...]) -> str:
    return str(tokenizer.decode(list(ids)))


def test_the_prompt_begins_with_bos_and_the_option_holds_the_blank(tokenizer: Any) -> None:
    encoded = encode_question(tokenizer, "Answer:", [" the ferry", " a mule"])
    assert encoded.prompt[0] == tokenizer.bos_token_id
    assert decode(tokenizer, encoded.prompt[1:]) == "Answer:"
    assert [decode(tokenizer, option) for option in encoded.options] == [" the ferry", " a mule"]


def test_blanks_at_the_end_of_the_prompt_move_to_the_option(tokenizer: Any) -> None:
    moved = encode_question(tokenizer, "Answer: ", ["the ferry"])
    assert moved == encode_question(tokenizer, "Answer:", [" the ferry"])


def test_the_whole_is_encoded_at_once(tokenizer: Any) -> None:
    """' the' is one token of the tiny corpus; a prompt that ends in ' t' cuts it in two."""
    whole = tokenizer.encode("of the", add_special_tokens=False)
    prompt = tokenizer.encode("of t", add_special_tokens=False)
    assert whole[: len(prompt)] != prompt  # the merge crosses the join
    assert encode_question(tokenizer, "of t", ["he ferry"]).options[0] == tuple(
        tokenizer.encode("of the ferry", add_special_tokens=False)[len(prompt) :]
    )


def test_an_option_without_a_token_is_said(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="gives no token") as caught:
        encode_question(tokenizer, "Answer:", [" a mule", ""])
    assert "the option ''" in str(caught.value)


def test_branches_start_at_the_prompt_and_see_only_it() -> None:
    row = tree_row(QUESTION)
    assert row.ids == (5, 6, 7, 10, 20, 21)
    assert row.positions == (0, 1, 2, 3, 3, 4)
    assert row.branches == (0, 0, 0, 1, 2, 2)
    assert [tuple(target) for target in row.targets] == [
        (2, 10, 0),
        (3, 11, 0),
        (2, 20, 1),
        (4, 21, 1),
        (5, 22, 1),
        (2, 30, 2),
    ]


def test_single_rows_hold_the_same_targets() -> None:
    rows = single_rows(QUESTION)
    assert [row.ids for row in rows] == [(5, 6, 7, 10), (5, 6, 7, 20, 21), (5, 6, 7)]
    assert [target[1:] for row in rows for target in row.targets] == [
        target[1:] for target in tree_row(QUESTION).targets
    ]


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 60), max_size=40), st.integers(1, 200))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    grouped = batches(lengths, budget)
    assert sorted(index for batch in grouped for index in batch) == list(range(len(lengths)))
    for batch in grouped:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget


def test_context_is_that_of_the_longest_option() -> None:
    assert QUESTION.context_tokens == 5
