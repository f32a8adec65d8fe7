from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steep.core.errors import UserError
from steep.evaluation.encoding import (
    EncodedQuestion,
    batches,
    encode_question,
    packed,
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


def test_special_tokens_that_a_question_spells_are_text(tokenizer: Any) -> None:
    encoded = encode_question(tokenizer, "What ends a turn?", [" <|im_end|>", " <|pad|> or"])
    assert [decode(tokenizer, option) for option in encoded.options] == [
        " <|im_end|>",
        " <|pad|> or",
    ]
    assert set(tokenizer.all_special_ids).isdisjoint(chain(*encoded.options))
    asked = encode_question(tokenizer, "Is <|im_end|> one?", [" Yes"]).prompt
    assert set(tokenizer.all_special_ids).isdisjoint(asked[1:])


def test_an_option_without_a_token_is_said(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="has no token of its own") as caught:
        encode_question(tokenizer, "Answer:", [" a mule", ""])
    assert "the option ''" in str(caught.value)


def test_branches_start_at_the_prompt_and_see_only_it() -> None:
    row = tree_row([QUESTION])
    assert row.ids == (5, 6, 7, 10, 20, 21)
    assert row.positions == (0, 1, 2, 3, 3, 4)
    assert row.parents == (-1, 0, 1, 2, 2, 4)
    assert [tuple(target) for target in row.targets] == [
        (2, 10, 0, 0),
        (3, 11, 0, 0),
        (2, 20, 0, 1),
        (4, 21, 0, 1),
        (5, 22, 0, 1),
        (2, 30, 0, 2),
    ]


def test_single_rows_hold_the_same_targets() -> None:
    rows = single_rows(QUESTION)
    assert [row.ids for row in rows] == [(5, 6, 7, 10), (5, 6, 7, 20, 21), (5, 6, 7)]
    assert [target[1:] for row in rows for target in row.targets] == [
        target[1:] for target in tree_row([QUESTION]).targets
    ]


def test_questions_share_what_they_begin_with() -> None:
    row = tree_row([QUESTION, EncodedQuestion((5, 6, 9), ((10, 11), (10, 12)))])
    assert row.ids == (5, 6, 7, 10, 20, 21, 9, 10)
    assert row.parents == (-1, 0, 1, 2, 2, 4, 1, 6)
    assert row.positions == (0, 1, 2, 3, 3, 4, 2, 3)
    assert [tuple(target) for target in row.targets[6:]] == [
        (6, 10, 1, 0),
        (7, 11, 1, 0),
        (6, 10, 1, 1),
        (7, 12, 1, 1),
    ]


TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple)
QUESTIONS = st.lists(
    st.builds(EncodedQuestion, TOKENS, st.lists(TOKENS, min_size=1, max_size=3).map(tuple)),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, derandomize=True)
@given(QUESTIONS)
def test_the_ancestors_of_a_target_are_its_own_text(questions: list[EncodedQuestion]) -> None:
    row = tree_row(questions)
    assert len(set(zip(row.parents, row.ids, strict=True))) == len(row.ids)
    for place, token, number, option in row.targets:
        path = [token]
        while place >= 0:
            path.append(row.ids[place])
            place = row.parents[place]
        text = questions[number].prompt + questions[number].options[option]
        assert tuple(reversed(path)) == text[: len(path)]
    assert len(row.targets) == sum(len(option) for each in questions for option in each.options)


@settings(deadline=None, derandomize=True)
@given(QUESTIONS, st.integers(1, 30))
def test_rows_hold_every_question_once_within_their_length(
    questions: list[EncodedQuestion], row_tokens: int
) -> None:
    rows = packed(questions, row_tokens)
    assert sorted(index for row in rows for index in row) == list(range(len(questions)))
    for row in rows:
        assert len(row) == 1 or len(tree_row([questions[i] for i in row]).ids) <= row_tokens


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
