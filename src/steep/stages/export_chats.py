"""Export question and answer texts of the corpus as chats."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.calls import RAW_RECIPE
from steep.core.errors import UserError
from steep.corpus.chats import ChatTotals, write_chats
from steep.corpus.passage import TextRow, stream_rows
from steep.stages.export_corpus import corpus_so_far
from steep.tokens.build import is_held_out


def run(
    config: Config, project: Project, path: Path, recipes: Collection[str] = ()
) -> dict[str, ChatTotals]:
    """Write the chats in the passages of some recipes, by default of all; return their totals.

    Texts that `tokenize.holdout` keeps out of training are left out.

    Raises:
        UserError: The corpus has no passage of a recipe, or no text is in the form of questions
            and answers.
    """
    with corpus_so_far(config, project) as found:
        known = sorted(found.artifact.manifest["by_recipe"].keys() - {RAW_RECIPE})
        for recipe in recipes:
            if recipe not in known:
                raise UserError(
                    f"The corpus has no passage of the recipe '{recipe}'.",
                    where="--recipe",
                    expected=", ".join(known) or "a recipe with texts: steep generate",
                    found=recipe,
                )
        chosen = recipes or known
        rows = (row for row in stream_rows(found.passages, TextRow) if row.recipe in chosen)
        totals = write_chats(path, rows, lambda row: is_held_out(row, config.tokenize.holdout))
    if not any(own.chats for own in totals.values()):
        problems = [problem for own in totals.values() for problem in own.problems]
        raise UserError(
            "No text is in the form of questions and answers; nothing was written.",
            where=f"recipes {', '.join(chosen)}" if chosen else "the corpus",
            expected="texts of 'Question: ...' and 'Answer: ...', with an empty line between two "
            "such items, as the recipe qa gives them",
            found=problems[0] if problems else "no passage",
        )
    return totals
