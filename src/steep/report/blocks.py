"""The content of a section as blocks: the page draws all of them, the terminal text and tables."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from steep.core.formatting import (
    UNKNOWN,
    bounds,
    count,
    decimal,
    interval,
    leading_number,
    percent,
    points,
)
from steep.evaluation.results import StandardErrors
from steep.report.charts import bar_cell
from steep.report.html import Html, el
from steep.report.results import estimate

T = TypeVar("T")
Series = Mapping[str, int]  # the number of each model's color and marker


@dataclass(frozen=True, slots=True)
class Stacked:
    """A value with a detail below it."""

    main: str
    detail: str


@dataclass(frozen=True, slots=True)
class Model:
    """The name of a model, shown with its color; `suffix` follows it, `detail` stands below."""

    name: str
    suffix: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Strong:
    """An emphasized value."""

    text: str


SORTABLE_ROWS = 4  # fewer are read at a glance
Cell = str | int | Stacked | Model | Strong | Html
Heading = Sequence[str]  # a string, or a pair with a second line
Column = tuple[Heading, Callable[[T], Cell]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first column names the row; whole numbers get thousands separators.

    Attributes:
        headings: One per column.
        rows: The cells of each row.
        caption: The note below the table.
        texts: The indices of the columns of text; all others are numbers.
        one_kind: Whether all rows are things of one kind, so that their order may be changed.
        quotes: Whether it quotes documents, texts or questions, which may be private.
    """

    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]
    caption: str | None = None
    texts: Container[int] = range(1)
    one_kind: bool = True
    quotes: bool = False

    @property
    def can_be_sorted(self) -> bool:
        """Return whether readers may sort the table by its columns."""
        return self.one_kind and len(self.rows) >= SORTABLE_ROWS


def table(
    items: Iterable[T],
    columns: Sequence[Column[T]],
    caption: str | None = None,
    texts: Container[int] = range(1),
    *,
    quotes: bool = False,
) -> Table:
    """Return a table with one row per item; a column is a heading and the cell of an item."""
    rows = [[cell(item) for _, cell in columns] for item in items]
    return Table([heading for heading, _ in columns], rows, caption, texts, quotes=quotes)


def count_table(
    heading: str,
    unit: str,
    counts: Sequence[tuple[str, float]],
    caption: str | None = None,
    shown: Callable[[float], str] = count,
) -> Table:
    """Return a table of names and counts, each with a bar."""
    most = max((number for _, number in counts), default=0) or 1
    rows = [(name, bar_cell(number / most), shown(number)) for name, number in counts]
    return Table((heading, "", unit), rows, caption, texts=range(2))


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, drawn with the colors of the models, and its caption (the style sheet counts)."""

    caption: str
    draw: Callable[[Series], Html]


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Part:
    """Blocks under their own heading.

    Attributes:
        heading: The text of the heading.
        blocks: What stands below it.
        is_detail: Whether the terminal and the model card leave it out.
        about_questions: Whether it says more about the questions than about the models, so that
            the model card leaves it out.
    """

    heading: str
    blocks: Sequence[Block]
    is_detail: bool = False
    about_questions: bool = False


@dataclass(frozen=True, slots=True)
class Fold:
    """Blocks that are folded until the reader opens them; the terminal prints few of them."""

    summary: str
    blocks: Sequence[Block]
    is_printed: bool = False


# Text is a paragraph; markup is for the page only.
Block = str | Table | Figure | Bullets | Part | Fold | Html | None


@dataclass(frozen=True, slots=True)
class PageSection:
    """A section of the page; `anchor` is its place in the table of contents."""

    anchor: str
    title: str
    opening: str | None
    blocks: Sequence[Block]


# ---- cells ---------------------------------------------------------------------------------------


def share_cell(row: Any, without: str = UNKNOWN, *, show_n: bool = False) -> Cell:
    """Return an accuracy, or another share, above its interval."""
    if (found := estimate(row)) is None:
        return without
    below = interval(found.low, found.high) + (f", n = {found.n}" if show_n else "")
    return Stacked(percent(found.value), below)


def points_cell(row: Any, without: str = UNKNOWN) -> Cell:
    """Return a difference in percentage points above its interval."""
    if (found := estimate(row)) is None:
        return without
    return Stacked(points(found.value), interval(found.low, found.high, signed=True))


ERRORS_HEADING = ("standard errors", "points: questions, training")


def errors_cell(errors: StandardErrors | None) -> str:
    """Return both standard errors in percentage points."""
    if errors is None:
        return UNKNOWN
    training = UNKNOWN if errors.training is None else points(errors.training, sign=False)
    return f"{points(errors.questions, sign=False)}, {training}"


def value_cell(row: Any, decimals: int, without: str = UNKNOWN, *, signed: bool = False) -> Cell:
    """Return a value in its own unit above its interval."""
    if (found := estimate(row)) is None:
        return without
    below = bounds(found.low, found.high, decimals, signed=signed)
    return Stacked(decimal(found.value, decimals, signed=signed), below)


def sort_value(cell: Cell) -> float | None:
    """Return the number that a cell shows; None for a text, a drawing or a missing value."""
    match cell:
        case int():
            return cell
        case str():
            return leading_number(cell)
        case Stacked():
            return leading_number(cell.main)
        case Strong():
            return leading_number(cell.text)
    return None


# ---- markup for the page -------------------------------------------------------------------------


def absent(text: str) -> Html:
    """Return a note that this run lacks a part."""
    return el("p", text, class_="absent")


def facts(pairs: Iterable[tuple[str, Html | str]], class_: str = "facts") -> Html:
    """Return a list of names and values."""
    items = [el("div", el("dt", name), el("dd", value)) for name, value in pairs]
    return el("dl", *items, class_=class_)
