"""Token ids of a prompt and its options, and their layout in one row. Pure: no tensors.

The join follows lm-evaluation-harness, so that figures compare: blanks at the prompt's end move to
the option, the whole is encoded at once, and the option's tokens are those that follow as many
tokens as the prompt alone has. BOS comes first where the tokenizer has one.

A row is a tree of token sequences that holds shared prefixes once:

    tokens     Q1 Q2 Q3 | a1 | b1 b2      options "a1 a2" and "b1 b2 b3"
    position    0  1  2 |  3 |  3  4      as if each option came right after the prompt
    parent      .  0  1 |  2 |  2  4      a token sees its ancestors and itself, nothing else

The last token of an option predicts nothing, so it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from steep.core.errors import UserError
from steep.core.token_ids import token_ids


@dataclass(frozen=True, slots=True)
class EncodedQuestion:
    """Token ids of the prompt that the options share, and of each option after it."""

    prompt: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]

    @property
    def context_tokens(self) -> int:
        """The number of positions of the prompt with its longest option."""
        return len(self.prompt) + max(map(len, self.options)) - 1


class PredictedToken(NamedTuple):
    """The token `token` of an option is predicted at index `place` of the row."""

    place: int
    token: int
    question: int
    option: int


@dataclass(frozen=True, slots=True)
class TreeRow:
    """Questions laid out as a row: for each token its id, position and parent (-1 at the root)."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    parents: tuple[int, ...]
    targets: tuple[PredictedToken, ...]


def encode_question(tokenizer: Any, prompt: str, continuations: Sequence[str]) -> EncodedQuestion:
    """Encode a prompt and its continuations.

    Raises:
        UserError: A continuation has no token of its own.
    """
    bare = prompt.rstrip()
    blanks = prompt[len(bare) :]
    prompt_ids = token_ids(tokenizer, bare)
    options = []
    for continuation in continuations:
        whole = token_ids(tokenizer, bare + blanks + continuation)
        if len(whole) <= len(prompt_ids):
            raise UserError(
                "An option has no token of its own after its prompt, so it has no likelihood.",
                where=f"the prompt {prompt!r}",
                found=f"the option {continuation!r}",
                hint="change the option so that the tokenizer does not merge it into the prompt",
            )
        options.append(tuple(whole[len(prompt_ids) :]))
    return EncodedQuestion(tuple(prompt_ids), tuple(options))


def shared_tokens(prompts: Sequence[Sequence[int]]) -> int:
    """Count the leading tokens that all prompts share, leaving each at least one of its own."""
    # What the first and the last in order share, those in between share too.
    first, last = min(map(tuple, prompts)), max(map(tuple, prompts))
    limit = min(map(len, prompts)) - 1
    return next((n for n in range(limit) if first[n] != last[n]), limit)


def tree_row(questions: Sequence[EncodedQuestion]) -> TreeRow:
    """Lay questions out as one row that holds shared prefixes once."""
    nodes: dict[tuple[int, int], int] = {}  # (parent, token) to the index in the row
    positions: list[int] = []
    targets: list[PredictedToken] = []
    for number, question in enumerate(questions):
        for chosen, option in enumerate(question.options):
            place = -1
            sequence = question.prompt + option
            for position, token in enumerate(sequence):
                if position >= len(question.prompt):
                    targets.append(PredictedToken(place, token, number, chosen))
                if position == len(sequence) - 1:
                    break
                if (place, token) not in nodes:
                    nodes[place, token] = len(positions)
                    positions.append(position)
                place = nodes[place, token]
    parents, ids = zip(*nodes, strict=True)
    return TreeRow(ids, tuple(positions), parents, tuple(targets))


def single_rows(question: EncodedQuestion) -> list[TreeRow]:
    """Lay each option out in its own row, for models that cannot take branches."""
    rows = []
    for number, option in enumerate(question.options):
        row = tree_row([EncodedQuestion(question.prompt, (option,))])
        targets = tuple(target._replace(option=number) for target in row.targets)
        rows.append(TreeRow(row.ids, row.positions, row.parents, targets))
    return rows


def packed(questions: Sequence[EncodedQuestion], row_tokens: int) -> list[list[int]]:
    """Group the indices of questions into rows of up to `row_tokens`, by their prefixes.

    A longer question gets its own row.
    """
    rows: list[list[int]] = []
    for index in sorted(range(len(questions)), key=lambda index: questions[index].prompt):
        together = [*rows[-1], index] if rows else []
        if together and len(tree_row([questions[i] for i in together]).ids) <= row_tokens:
            rows[-1] = together
        else:
            rows.append([index])
    return rows


def batches(lengths: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group indices by length, longest first, so that rows x longest row <= `batch_tokens`.

    A longer row gets its own batch.
    """
    grouped: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if grouped and (len(grouped[-1]) + 1) * lengths[grouped[-1][0]] <= batch_tokens:
            grouped[-1].append(index)
        else:
            grouped.append([index])
    return grouped
