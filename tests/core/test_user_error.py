from __future__ import annotations

from steep.core.errors import UserError


def test_an_error_says_where_what_and_what_to_do() -> None:
    error = UserError("It is bad.", where="a.yaml:x", expected=1, found=0, hint="set x to 1")
    assert str(error) == (
        "It is bad.\n  where:    a.yaml:x\n  expected: 1\n  found:    0\n  do:       set x to 1"
    )
    assert error.problem == "It is bad."


def test_what_is_not_known_is_left_out() -> None:
    assert str(UserError("It is bad.")) == "It is bad."
    assert str(UserError("It is bad.", found="")) == "It is bad.\n  found:    "
