"""The error shown to users: what was expected, what was found, where, and what to do."""

from __future__ import annotations

from functools import partial
from typing import Any


class UserError(Exception):
    """An error that the user can fix: printed without a traceback, exit code 2.

    The fields are kept until the command line prints the error; no code reads a message back.

    Args:
        problem: One sentence that says what is wrong, with the offending value in it.
        where: `file:key`, `file:line`, a path or an address.
        expected: What would have been accepted.
        found: What was there instead.
        hint: The next thing to do.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        fields = {"where": where, "expected": expected, "found": found, "hint": hint}
        self.fields = {name: str(value) for name, value in fields.items() if value is not None}

    def __str__(self) -> str:
        lines = [self.problem]
        for name, value in self.fields.items():
            label = "do" if name == "hint" else name
            lines.append(f"  {label + ':':<10}{value}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self.fields), (self.problem,)  # errors cross processes
