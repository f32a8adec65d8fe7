from __future__ import annotations

from dataclasses import replace

import pytest

from steep.core.calls import Call, Message, Sampling

CALL = Call(
    recipe="entigraph",
    stage="pair",
    document_id="quillon",
    subset=("Joren Pell", "Lake Ostrel"),
    sample=0,
    model="SmolLM2-135M-Instruct",
    messages=(Message("system", ("Be brief.",)), Message("user", ("A text.\n", "- Pell"))),
    sampling=Sampling(temperature=0.5, max_tokens=200),
)


def test_ids_are_pinned() -> None:
    """A changed id buys every call of every project again: change these on purpose only."""
    assert CALL.id == "96857bfc5572ad85248d54889a10dfb4"
    structured = replace(CALL, sampling=Sampling(json_schema="{}"))
    assert structured.id == "e83aa382898311a825a934bb2f246241"


@pytest.mark.parametrize(
    "changed",
    [
        replace(CALL, model="other"),
        replace(CALL, sample=1),
        replace(CALL, messages=CALL.messages[1:]),
        replace(CALL, messages=(CALL.messages[1], CALL.messages[0])),
        *(
            replace(CALL, sampling=replace(CALL.sampling, **{name: value}))  # type: ignore[arg-type]
            for name, value in [
                ("temperature", 0.6),
                ("top_p", 0.9),
                ("max_tokens", 201),
                ("frequency_penalty", 0.1),
                ("json_schema", "{}"),
            ]
        ),
    ],
)
def test_what_the_generator_sees_is_in_the_id(changed: Call) -> None:
    assert changed.id != CALL.id


@pytest.mark.parametrize(
    "changed",
    [
        replace(CALL, document_id="a copy"),
        replace(CALL, recipe="renamed", stage="renamed", subset=()),
        replace(CALL, messages=(CALL.messages[0], Message("user", ("A te", "xt.\n- Pell")))),
    ],
)
def test_what_the_generator_does_not_see_is_not(changed: Call) -> None:
    assert changed.id == CALL.id
