"""How much new each further answer brings: the online estimate that `generate.stop_when` reads.

Counted are the 4-grams of words of a recipe's answers that no earlier answer of the recipe has, per
word, in *windows* of consecutive answers in the order in which they are recorded. Only n-grams
whose hash is below a limit are remembered, and the limit is halved whenever there are too many of
them (Gibbons 2001, "Distinct sampling for highly-accurate answers to distinct values queries"), so
memory is bounded and the estimate unbiased. With a tenth of new 4-grams in 1,000 answers of 400
words, the standard error is under 2% after 10 million distinct ones, and 16% after 200 million.

The state is written beside the ledger after each window and at the end of a run. A run reads it,
and then the answers that were recorded after it: a killed run continues with the same windows.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from steep.core.files import write_bytes
from steep.core.words import words_of
from steep.ledger.ledger import Ledger, chunks
from steep.ledger.records import CallRecord
from steep.ledger.rows import now_utc

if TYPE_CHECKING:
    from steep.core.ngrams import Hashes, WordHasher

NGRAM_WORDS = 4
WINDOW_CALLS = 1000
KEPT_NGRAMS = 1 << 18  # about 20 MB per recipe
ANSWERS_PER_QUERY = 256


class Window(NamedTuple):
    """Consecutive answers of a recipe: their number, words, and 4-grams not seen before."""

    calls: int = 0
    words: int = 0
    new: int = 0

    @property
    def per_word(self) -> float:
        """New 4-grams per word."""
        return self.new / self.words if self.words else 0.0

    def and_(self, words: int, new: int) -> Window:
        """Return the window with one more answer."""
        return Window(self.calls + 1, self.words + words, self.new + new)


@dataclass(slots=True)
class InformationCurve:
    """The windows of a recipe, and the n-grams that are remembered."""

    windows: list[Window] = field(default_factory=list)
    open: Window = field(default_factory=Window)
    halvings: int = 0
    seen: set[int] = field(default_factory=set)

    def add(self, words: int, ngrams: Hashes, calls: int) -> bool:
        """Add an answer; return whether that completes a window of so many calls."""
        found = ngrams[ngrams < self._limit] if self.halvings else ngrams
        before = len(self.seen)
        self.seen.update(found.tolist())
        self.open = self.open.and_(words, (len(self.seen) - before) << self.halvings)
        while len(self.seen) > KEPT_NGRAMS:
            self.halvings += 1
            limit = self._limit
            self.seen = {each for each in self.seen if each < limit}
        if self.open.calls < calls:
            return False
        self.windows.append(self.open)
        self.open = Window()
        return True

    @property
    def calls(self) -> int:
        """The number of answers."""
        return sum(each.calls for each in self.windows) + self.open.calls

    @property
    def _limit(self) -> int:
        return 1 << (64 - self.halvings)


@dataclass(slots=True)
class _State:
    """The curves, with the answers that were recorded until a moment, and the last of them."""

    curves: dict[str, InformationCurve] = field(default_factory=dict)
    until: str = ""
    last_id: str = ""


class NewInformation:
    """The curves of all recipes of a plan.

    Args:
        ledger: The record of the answers.
        path: The file with the state; it may not exist yet.
        window_calls: Answers per window.
        threshold: A recipe is exhausted after a window with less than this share of the new 4-grams
            per word of its first window; None: never.
    """

    def __init__(
        self, ledger: Ledger, path: Path, window_calls: int, threshold: float | None
    ) -> None:
        self.threshold = threshold
        self.window_calls = window_calls
        self._ledger = ledger
        self._path = path
        self._hasher: WordHasher | None = None
        self._counted: frozenset[tuple[str, str]] | None = None
        self._exhausted: frozenset[str] | None = None  # None: to be computed

    @cached_property
    def _state(self) -> _State:
        state = _read(self._path)
        # A ledger that was moved away or replaced has none of these answers.
        return state if self._ledger.statuses([state.last_id]) else _State()

    @property
    def windows(self) -> Mapping[str, Sequence[Window]]:
        """Return the complete windows of each recipe."""
        curves = self._state.curves
        return {name: curve.windows for name, curve in curves.items() if curve.windows}

    @property
    def latest(self) -> dict[str, float]:
        """Return the new 4-grams per word of each recipe's last window, relative to its first."""
        return {
            name: windows[-1].per_word / windows[0].per_word
            for name, windows in self.windows.items()
            if len(windows) > 1 and windows[0].new
        }

    @property
    def exhausted(self) -> frozenset[str]:
        """Return the recipes that `threshold` ends. They never leave this set."""
        if self._exhausted is None:
            least = self.threshold or 0.0
            self._exhausted = frozenset(
                name
                for name, (first, *others) in self.windows.items()
                if any(each.per_word < least * first.per_word for each in others)
            )
        return self._exhausted

    def allows(self, recipe: str, in_flight: int) -> bool:
        """Return whether a recipe may send another call before those in flight have ended.

        With a threshold it may send two windows, or as many calls as it has answers: batches grow
        with what they may be spared.
        """
        if self.threshold is None:
            return True
        curve = self._state.curves.get(recipe)
        return in_flight < max(2 * self.window_calls, curve.calls if curve else 0)

    def start(
        self, sequences: Iterable[tuple[str, int]], counted: Iterable[tuple[str, str]]
    ) -> None:
        """Read the answers that were recorded after the state was written; once per run.

        Args:
            sequences: Key and length of each sequence of calls for texts in the plan.
            counted: Recipe and step of the calls whose texts count.
        """
        if self._counted is not None:
            return
        self._counted = frozenset(counted)
        query = (
            "SELECT finished_at, calls.id FROM sequences JOIN slots ON sequence = sequences.id "
            "JOIN calls ON calls.id = call_id WHERE key = ? AND rank < ? AND finished_at > ?"
        )
        found: set[tuple[str, str]] = set()
        for key, number in sequences:
            found.update(self._ledger.select(query, (key, number, self._state.until)))
        self.recorded(call_id for _, call_id in sorted(found))

    def recorded(self, call_ids: Iterable[str]) -> None:
        """Add the answers to calls of this run that the ledger has recorded."""
        if self._counted is None:
            return
        from steep.core.ngrams import WordHasher, ngrams

        self._hasher = self._hasher or WordHasher()
        ended = False
        for record in self._answers(call_ids):
            words = words_of(record.text)
            found = ngrams(self._hasher.hashes(words), NGRAM_WORDS)
            curve = self._state.curves.setdefault(record.recipe, InformationCurve())
            ended |= curve.add(len(words), found, self.window_calls)
            self._state.last_id = record.call_id
        if ended:
            self._exhausted = None
            self.save()

    def save(self) -> None:
        """Write the state of a run; without one, do nothing."""
        if self._counted is not None and self._state.curves:
            self._state.until = now_utc()
            _write(self._path, self._state)

    def _answers(self, call_ids: Iterable[str]) -> Iterator[CallRecord]:
        """Yield the answers that count, in the order of the calls."""
        assert self._counted is not None
        for some in chunks(call_ids, ANSWERS_PER_QUERY):
            records = self._ledger.get_many(some)
            for record in filter(None, map(records.get, some)):
                counts = (record.recipe, record.stage) in self._counted
                if counts and record.status in ("done", "truncated"):
                    yield record


def _write(path: Path, state: _State) -> None:
    import numpy as np

    curves = {
        name: {"windows": each.windows, "open": each.open, "halvings": each.halvings}
        for name, each in state.curves.items()
    }
    head = {"until": state.until, "last_id": state.last_id, "curves": curves}
    # By number: a recipe may have any name.
    seen: dict[str, Any] = {
        f"seen{number}": np.array(sorted(each.seen), np.uint64)
        for number, each in enumerate(state.curves.values())
    }
    buffer = io.BytesIO()
    np.savez(buffer, head=np.array(json.dumps(head)), **seen)
    write_bytes(path, buffer.getvalue())


def _read(path: Path) -> _State:
    state = _State()
    if not path.is_file():
        return state
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        head = json.loads(str(file["head"]))
        state.until, state.last_id = head["until"], head["last_id"]
        for number, (name, each) in enumerate(head["curves"].items()):
            windows = [Window(*window) for window in each["windows"]]
            seen = set(file[f"seen{number}"].tolist())
            state.curves[name] = InformationCurve(
                windows, Window(*each["open"]), each["halvings"], seen
            )
    return state
