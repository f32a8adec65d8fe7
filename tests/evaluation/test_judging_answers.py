from __future__ import annotations

from typing import Any

import pytest
from asked import DOCUMENT
from hypothesis import given
from hypothesis import strategies as st

from steep.evaluation.summaries.judging import (
    COSMETIC,
    FALSE,
    LEFT_OUT,
    NO_CLAIMS,
    NO_SALIENCE,
    NO_VERDICT,
    NO_VERDICTS,
    SALIENT,
    TWICE,
    Verdict,
    judge_prompt,
    read_claims,
    read_verdicts,
    split_prompt,
)

CLAIMS = ("Edda owns the ferry.", "The ferry is red.", "A rope pulls it.")


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ('["a", " b\\nc "]', ("a", "b c")),
        ('Sure! Here they are:\n```json\n["a"]\n```\nAnything else?', ("a",)),
        ('<think>["no", "not yet"] perhaps [1]</think>["a"]', ("a",)),
        ('{"claims": ["a", "b"]}', ("a", "b")),
        ('["a", "", " "]', ("a",)),
        ("[]", ()),
        ("```json\n[ ]\n```", ()),
    ],
)
def test_claims_are_read_whatever_stands_around_them(text: str, claims: tuple[str, ...]) -> None:
    assert read_claims(text) == (claims, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The passage says that Edda owns a ferry.",
        '["a", "b", "c',
        '["a", 2]',
        "['a', 'b']",
        "[1], [2]",
        '{"a": ["x"], "b": ["y"]}',
        "[" * 5000,
        split_prompt("She sold it.", "Edda owned it."),
    ],
)
def test_prose_and_broken_lists_are_no_claims(text: str) -> None:
    assert read_claims(text) == ((), NO_CLAIMS)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ('{"1": "false", "2": "salient", "3": "cosmetic"}', [FALSE, SALIENT, COSMETIC]),
        ('{"1": "False.", "2": "true, salient", "3": ["true", "cosmetic"]}',
         [FALSE, SALIENT, COSMETIC]),
        ('I think: {"1": false, "2": "salient", "3": [true, "cosmetic"]} Done.',
         [FALSE, SALIENT, COSMETIC]),
        ('{"3": "false", "1": "salient"}', [SALIENT, LEFT_OUT, FALSE]),
        ('{"1": "true", "2": "probably", "3": null}', [NO_SALIENCE, NO_VERDICT, NO_VERDICT]),
        ('{"1": "salient", "1": "false", "2": "false", "2": "false", "3": {"v": "false"}}',
         [TWICE, FALSE, NO_VERDICT]),
        ('{"1": "false, salient", "2": "not false", "3": ""}', [NO_VERDICT] * 3),
        ('{"a": 1} or {"1": "false", "2": "sal', [NO_VERDICTS] * 3),
        ("1. false\n2. salient\n3. cosmetic", [NO_VERDICTS] * 3),
        (judge_prompt(DOCUMENT, CLAIMS), [NO_VERDICTS] * 3),
        (judge_prompt(DOCUMENT, CLAIMS[:2]), [NO_VERDICT, NO_VERDICT, LEFT_OUT]),
    ],
)  # fmt: skip
def test_every_claim_gets_a_verdict_or_a_reason(text: str, verdicts: list[Any]) -> None:
    reasons = {NO_SALIENCE: Verdict(True, None, NO_SALIENCE)}
    expected = [
        reasons.get(each, Verdict(None, None, each)) if isinstance(each, str) else each
        for each in verdicts
    ]
    assert list(read_verdicts(text, 3)) == expected


@given(st.text(alphabet='[]{}",:1 ab', max_size=60), st.integers(1, 4))
def test_no_text_breaks_the_reading(text: str, claims: int) -> None:
    verdicts = read_verdicts(text, claims)
    assert len(verdicts) == claims
    assert all((each.why_not is None) == (each in (FALSE, SALIENT, COSMETIC)) for each in verdicts)
    found, why_not = read_claims(text)
    assert not (found and why_not)
