"""Named protocols: how questions are asked and answers are counted.

Published figures differ in it more than in their models, so the whole of it is recorded with every
score. `paper` is the protocol of the paper's text, `paper-code` that of its code (which drops
questions without a readable answer from the denominator), `default` ours.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.evaluation.config import EvaluateConfig
from steep.evaluation.results import AnswerProtocol, VoteName

Answer = tuple[int, ...]  # options chosen, counted from 0
PREFIX = "evaluate."  # of the names of identity fields
ORDER_SEED = 0  # of shuffled options


PROTOCOLS: dict[str, AnswerProtocol] = {
    "default": AnswerProtocol(order_seed=ORDER_SEED),
    # The text names no temperature; 0.1 is that of the code.
    "paper": AnswerProtocol(samples=64, temperature=0.1, parser="paper", vote="random-valid"),
    "paper-code": AnswerProtocol(
        samples=8, temperature=0.1, parser="paper-code", unparsed="excluded"
    ),
}


def protocol_of(settings: EvaluateConfig) -> AnswerProtocol:
    """Return the named protocol, with the fields that the settings override."""
    named = PROTOCOLS[settings.protocol]
    given = {
        key: value
        for key in asdict(named)
        if key != "order_seed" and (value := getattr(settings, key)) is not None
    }
    if settings.shuffle_options is not None:
        given["order_seed"] = ORDER_SEED if settings.shuffle_options else None
    return replace(named, **given)


def asking_fields(protocol: AnswerProtocol, seed: int) -> dict[str, Any]:
    """Return the identity fields of answers: what changes the texts."""
    return {**_fields(protocol, reading=False), "seed": seed}


def as_asked(protocol: AnswerProtocol, asked: Mapping[str, Any]) -> AnswerProtocol:
    """Return the protocol with the values of `asking_fields` under which rows were asked."""
    names = _fields(protocol, reading=False)
    return replace(protocol, **{name.removeprefix(PREFIX): asked[name] for name in names})


def _fields(protocol: AnswerProtocol, *, reading: bool) -> dict[str, Any]:
    return {
        f"{PREFIX}{field.name}": getattr(protocol, field.name)
        for field in fields(protocol)
        if bool(field.metadata) == reading
    }


def check_protocol(settings: EvaluateConfig) -> None:
    """Check that several samples can differ."""
    protocol = protocol_of(settings)
    if "answers" in settings.methods and protocol.samples > 1 and protocol.temperature == 0:
        raise UserError(
            "Several samples at temperature 0 are all the same text.",
            where="evaluate.samples",
            expected="1, or a temperature above 0",
            found=protocol.samples,
            hint="set evaluate.temperature, e.g. to 0.7",
        )


def reading_fields(settings: EvaluateConfig) -> dict[str, Any]:
    """Return the identity fields of the tables: how rows are counted."""
    reading = _fields(protocol_of(settings), reading=True)
    return {"evaluate.normalizer": settings.normalizer, **reading}


def vote(answers: Sequence[Answer], question_id: str, rule: VoteName) -> Answer | None:
    """Return the answer that counts among a question's valid ones, in the order of samples."""
    return VOTES[rule](answers, question_id) if answers else None


# `majority`: the most common answer; the first of equally common ones.
VOTES: dict[VoteName, Callable[[Sequence[Answer], str], Answer]] = {
    "first-valid": lambda answers, _: answers[0],
    "random-valid": lambda answers, id_: random.Random(derive_seed("vote", id_)).choice(answers),
    "majority": lambda answers, _: Counter(answers).most_common(1)[0][0],
}
