"""The prompts of writers and judges of summaries, in our own words.

Writers see a document's name and nothing else. An instruct model gets a request, a base model the
beginning of a text that it continues. The judge splits a passage into claims, and weighs numbered
claims against the source. It never sees who wrote them, and the source comes first, so that all
calls about one document share their beginning (which servers keep).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from steep.core.errors import UserError
from steep.core.token_ids import ChatText, rendered_chat
from steep.documents.document import Document
from steep.evaluation.prompts import named

Kind = Literal["short", "long"]
KINDS: tuple[Kind, ...] = ("short", "long")
# Human summaries have up to 500 words; the long ones are to be as long as the model can.
MAX_TOKENS: dict[Kind, int] = {"short": 768, "long": 3072}

_REQUESTS: dict[Kind, str] = {
    "short": "Write a short summary of {name}: who takes part, what happens, and how it ends.",
    "long": (
        "Write a long, thorough article about {name}. Go through everything that it contains, in "
        "as much detail as you can: every person, place, event, argument and idea. Take as much "
        "space as you need, and do not stop before all of it is told."
    ),
}
_OPENINGS: dict[Kind, str] = {
    "short": "What follows is a short summary of {name}.\n\nSummary:",
    "long": (
        "What follows is a long article that goes through all of {name} in great detail.\n\n"
        "Article:"
    ),
}

# Placeholders, so that a judge that only repeats its orders has answered nothing.
FORM_OF_CLAIMS = ["<first claim>", "<second claim>"]
_VERDICT = "<verdict>"
_SHOWN_VERDICTS = 2

_SPLIT = """\
Below is a passage from a summary. Take it apart into atomic claims.

- Each claim states exactly one thing, in one short sentence.
- Each claim can be understood alone: put names in the place of "he", "she", "it" or "they".
- Together the claims say all that the passage says, and nothing that it does not say.
- Leave out sentences that claim nothing, such as greetings.

{before}<passage>
{passage}
</passage>

Answer with a JSON list of strings and nothing else, in this form: {example}. If the passage \
claims nothing, answer []."""

_BEFORE = """\
This stood just before it, to tell you who is meant. Make no claims from it.

<before>
{before}
</before>

"""

_JUDGE = """\
Here is a source text.

<source>
{heading}

{text}
</source>

Below are numbered claims about this text. Give each one verdict:

- "false": the source contradicts the claim, or does not bear it out.
- "salient": the source bears the claim out, and the claim matters: who reads only it learns \
something of the main plot, argument or message.
- "cosmetic": the source bears the claim out, but it is a detail: the main plot, argument or \
message would be the same without it.

Judge by this source alone, whatever you know from elsewhere. Judge each claim by itself.

<claims>
{claims}
</claims>

Answer with a JSON object and nothing else. It has every number as a key and its verdict as the \
value, in this form: {example}."""


def summary_prompt(document: Document, kind: Kind, chat: bool) -> str:
    """Ask for a summary of a document by its name.

    Args:
        document: Named by title, author and year, where known.
        kind: A short summary, or a long article.
        chat: True if the model follows instructions; a base model continues a text.
    """
    prompts = _REQUESTS if chat else _OPENINGS
    return prompts[kind].format(name=named(document))


def split_prompt(passage: str, before: str = "") -> str:
    """Ask for the claims of a passage; `before` is what it follows, to resolve pronouns."""
    context = _BEFORE.format(before=before) if before else ""
    form = json.dumps(FORM_OF_CLAIMS)
    return _SPLIT.format(before=context, passage=passage, example=form)


def judge_prompt(document: Document, claims: Sequence[str]) -> str:
    """Ask for the verdicts on these claims, numbered from 1."""
    numbered = "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, start=1))
    return _JUDGE.format(
        heading=document.heading,
        text=document.text,
        claims=numbered,
        example=_form_of_verdicts(len(claims)),
    )


def _form_of_verdicts(claims: int) -> str:
    shown = range(1, min(claims, _SHOWN_VERDICTS) + 1)
    pairs = [f'"{number}": "{_VERDICT}"' for number in shown]
    return "{" + ", ".join(pairs + (["..."] if claims > len(pairs) else [])) + "}"


def in_chat_form(tokenizer: Any, requests: Iterable[str]) -> list[str]:
    """Return requests in the chat format of a tokenizer.

    Engines put the BOS token before every prompt, so one that the format writes is taken away.

    Raises:
        UserError: The tokenizer has no chat format.
    """
    if tokenizer.chat_template is None:
        raise UserError(
            "This model does not follow instructions: its tokenizer has no chat template.",
            where=getattr(tokenizer, "name_or_path", None),
            hint="ask it in the plain form, or take an instruction-tuned model",
        )
    return [_chat_form(tokenizer, request) for request in requests]


def _chat_form(tokenizer: Any, request: str) -> ChatText:
    text = rendered_chat(
        tokenizer,
        [{"role": "user", "content": request}],
        add_generation_prompt=True,
        enable_thinking=False,  # known to templates of models that think; others ignore it
    )
    return text.without_start(tokenizer.bos_token or "")
