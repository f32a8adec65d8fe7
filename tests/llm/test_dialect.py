from __future__ import annotations

import pytest

from steep.llm.dialect import Dialect, fold_system, phrase, weaken

FULL = {
    "model": "m",
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 7,
    "response_format": {"type": "json_schema", "json_schema": {}},
    "seed": 3,
    "stop": ["\n"],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell."}],
}


@pytest.mark.parametrize(
    ("objection", "dropped"),
    [
        ("temperature Unsupported value: 'temperature' does not support 0.7 here", "temperature"),
        ("`temperature` and `top_p` cannot both be specified for this model", "top_p"),
        ("top_p is not supported when temperature is set", "top_p"),
        ("body.seed Extra inputs are not permitted extra_forbidden", "seed"),
        ("Unknown parameter: seed. Known ones are temperature, top_p, max_tokens.", "seed"),
        ("Unrecognized request argument supplied: frequency_penalty", "frequency_penalty"),
        ("Unsupported parameter: 'stop' is not supported with this model.", "stop"),
        ("stop sequences are not allowed with reasoning", "stop"),
        ("'logprobs' is not available", "logprobs"),
    ],
)
def test_a_parameter_that_is_named_is_left_out(objection: str, dropped: str) -> None:
    plainer = weaken(Dialect(), objection)
    assert plainer is not None
    assert plainer == Dialect(without=frozenset({dropped}))
    assert dropped not in phrase({**FULL, "frequency_penalty": 1, "logprobs": 1}, plainer)
    assert plainer.difference(Dialect()) == f"'{dropped}' is left out"


@pytest.mark.parametrize(
    "objection",
    [
        "Invalid parameter: 'response_format' of type 'json_schema'",
        "The provided JSON schema contains features that xgrammar does not know",
        "Failed to compile the grammar",
        "This model does not support structured outputs",
        "Invalid schema for response_format 'entities'",
    ],
)
def test_the_form_of_the_answer_gets_weaker_until_nothing_is_left(objection: str) -> None:
    dialect, forms = Dialect(), []
    while (plainer := weaken(dialect, objection)) is not None:
        dialect = plainer
        forms.append(phrase(FULL, dialect).get("response_format"))
        if len(forms) == 2:
            break
    assert forms == [{"type": "json_object"}, None]


@pytest.mark.parametrize(
    "objection",
    [
        "System role not supported",
        "role 'system' is not supported by the chat template",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!",
        "Developer instruction is not enabled for this model",
    ],
)
def test_a_system_message_moves_into_the_users(objection: str) -> None:
    dialect = weaken(Dialect(), objection)
    assert dialect is not None
    assert dialect == Dialect(folds_system=True)
    assert phrase(FULL, dialect)["messages"] == [{"role": "user", "content": "Be brief.\n\nTell."}]


def test_a_system_message_alone_becomes_the_users() -> None:
    alone = [{"role": "system", "content": "Tell."}]
    assert fold_system(alone) == [{"role": "user", "content": "Tell."}]


def test_the_limit_of_an_answer_is_left_out_only_where_both_of_its_names_are_refused() -> None:
    refused = "'max_tokens' is not supported with this model"
    dialect = weaken(Dialect(), refused)
    assert dialect is not None
    assert phrase(FULL, dialect)["max_completion_tokens"] == 7 and dialect.limits_answers
    unknown = "Unrecognized request argument supplied: max_completion_tokens"
    endless = weaken(dialect, unknown)
    assert endless is not None and not endless.limits_answers
    assert not {"max_tokens", "max_completion_tokens"} & phrase(FULL, endless).keys()
    told = "'max_tokens' is left out, only the context of the model limits its answers"
    assert endless.difference(dialect) == told
    assert weaken(endless, unknown) is None
    for too_much in (
        "max_completion_tokens of 9000 is not supported, at most 4096 are possible",
        "Invalid parameter: max_completion_tokens must be less than or equal to 4096",
        "max_completion_tokens: this model does not support more than 4096, the maximum",
    ):
        assert weaken(dialect, too_much) is None
    assert weaken(Dialect(), "max_tokens is too large: 9000, at most 4096 are possible") is None


def test_a_temperature_that_must_be_the_usual_one_is_sent_as_such() -> None:
    objection = "temperature 'temperature' does not take 0.5. Only the default (1) is supported."
    dialect = weaken(Dialect(), objection)
    assert dialect is not None
    assert dialect == Dialect(usual_temperature=True)
    assert dialect.difference(Dialect()) == "'temperature' is sent as 1"
    assert phrase(FULL, dialect)["temperature"] == 1
    further = weaken(dialect, objection)
    assert further is not None
    assert "temperature" not in phrase(FULL, further)


def test_objections_to_what_is_asked_change_nothing() -> None:
    assert weaken(Dialect(), "Your request was stopped, so stop it.") is None
    assert weaken(Dialect(), "The document is empty.") is None


def test_objections_end() -> None:
    """A server that objects to everything, for ever, is asked a limited number of times."""
    dialect, times = Dialect(), 0
    everything = "'temperature', 'top_p', 'seed', 'stop', 'max_tokens' unsupported, system role"
    while (plainer := weaken(dialect, everything)) is not None:
        dialect, times = plainer, times + 1
    assert times == 7
