"""Errors of recipes of installed packages, reported with the recipe, the step and the document."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from steep.core.calls import Call
from steep.core.errors import UserError
from steep.documents.document import Document
from steep.recipes.recipe import Answers, CallSequence, Recipe, Step


class _GuardedCalls:
    """The calls of a step of an installed package, with errors that name the recipe."""

    def __init__(self, calls: CallSequence, where: str) -> None:
        self._calls, self._where = calls, where

    @property
    def key(self) -> str:
        with plugin_errors(self._where):
            return self._calls.key

    def __len__(self) -> int:
        with plugin_errors(self._where):
            return len(self._calls)

    def __getitem__(self, index: int, /) -> Call:
        with plugin_errors(self._where):
            return self._calls[index]


def guarded(recipe: Recipe, step: Step, document: Document, answers: Answers) -> CallSequence:
    """Return the calls of a step about a document.

    Raises:
        UserError: The step is of an installed package, and raises an error; here or when a call
            is built.
    """
    if type(step).__module__.startswith("steep."):
        return step.calls(document, answers)
    where = f"recipe '{recipe.name}', step '{step.name}', document '{document.id}'"
    with plugin_errors(where):
        return _GuardedCalls(step.calls(document, answers), where)


@contextmanager
def plugin_errors(where: str) -> Iterator[None]:
    """Turn the errors of an installed package into a `UserError` that names its recipe."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(
            "A recipe of an installed package has failed.",
            where=where,
            found=f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})",
            hint="mend the recipe, or take it out of generate.recipes; texts so far are kept",
        ) from error
