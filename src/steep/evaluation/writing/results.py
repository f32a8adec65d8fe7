"""The result of writing questions, as it is stored, printed and shown in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steep.core.files import read_json
from steep.evaluation.questions import SHORT_ANSWER
from steep.evaluation.results import from_json
from steep.evaluation.writing.candidates import Gate

RESULT_NAME = "result.json"
QUESTIONS_NAME, REJECTED_NAME = "questions.jsonl", "rejected.jsonl"
PUBLIC_SHARE = 0.5  # rejected by the blind gate; above it, the documents are public knowledge
LEAST_CHECKED = 5  # questions, before a share says something


@dataclass(frozen=True, slots=True)
class GateCount:
    """How many candidates reached a gate, and how many it rejected; None if it was not run."""

    gate: Gate
    checked: int | None
    rejected: int


@dataclass(frozen=True, slots=True)
class KindCount:
    """Wanted and accepted questions of a kind."""

    kind: str
    wanted: int
    accepted: int


@dataclass(frozen=True, slots=True)
class BlindCount:
    """How many questions of a kind the blind gate checked and rejected."""

    kind: str
    checked: int
    rejected: int


@dataclass(frozen=True, kw_only=True)
class WritingResult:
    """Accepted and rejected questions, who wrote them, and what that cost.

    Attributes:
        blind: The model that was asked without documents; None if the gate was off.
        base: The base model that was asked closed book; None if the gate was off.
        asked_for: The number of questions that the writer was asked for.
        candidates: All written questions, and answers of the writer that could not be read.
        blind_kinds: The blind gate by kind; nothing if it was off.
        spare: Candidates beyond those needed, which no model was asked about.
        unfinished: Candidates that were not checked when a limit ended the work.
        documents: The number of documents.
        without_questions: The ids of those without an accepted question.
        short: The ids of those with fewer accepted questions than wanted.
        unrelated: The number of documents that have no related one, and no question across.
        exhausted: Whether the writer wrote nothing in the last round.
        letters: How often the right option stands under each letter.
        marks: Accepted questions as written, reviewed or edited.
        limit_reached: Whether `questions.max_cost_usd` ended the work.
        prompts: The wording of all prompts.
        requests: The requests for questions in the project so far.
    """

    writer: str
    blind: str | None
    base: str | None
    kinds: tuple[KindCount, ...]
    asked_for: int
    candidates: int
    gates: tuple[GateCount, ...]
    blind_kinds: tuple[BlindCount, ...]
    spare: int
    unfinished: int
    documents: int
    without_questions: tuple[str, ...]
    short: tuple[str, ...]
    unrelated: int
    rounds: int
    exhausted: bool
    letters: Mapping[str, int]
    marks: Mapping[str, int]
    limit_reached: bool
    prompts: Mapping[str, str]
    requests: int
    known_usd: float
    unpriced: int

    @property
    def wanted(self) -> int:
        """The number of questions that were wanted."""
        return sum(each.wanted for each in self.kinds)

    @property
    def accepted(self) -> int:
        """The number of accepted questions."""
        return sum(each.accepted for each in self.kinds)

    @property
    def rejected(self) -> int:
        """The number of rejected candidates."""
        return sum(each.rejected for each in self.gates)

    @property
    def is_reviewed(self) -> bool:
        """Whether a review was applied."""
        return any(each.gate == "rejected in review" and each.checked for each in self.gates)

    @property
    def decisions(self) -> dict[str, int]:
        """The number of questions by what a person decided in a review."""
        (gate,) = (each for each in self.gates if each.gate == "rejected in review")
        return {
            "accepted": self.marks.get("reviewed", 0),
            "edited": self.marks.get("edited", 0),
            "rejected": gate.rejected,
            "undecided": self.marks.get("written", 0),
        }

    @property
    def short_answers(self) -> int:
        """The number of accepted questions with a short answer."""
        return sum(each.accepted for each in self.kinds if each.kind == SHORT_ANSWER)

    def is_public_knowledge(self) -> bool:
        """Whether the blind gate rejected most of what it checked."""
        (found,) = (e for e in self.gates if e.gate == "answerable without the document")
        return (found.checked or 0) >= LEAST_CHECKED and (
            found.rejected > PUBLIC_SHARE * (found.checked or 0)
        )

    def are_options_guessed(self) -> bool:
        """Whether the blind gate rejected few of the short answers that it checked, if any."""
        shorts = [each for each in self.blind_kinds if each.kind == SHORT_ANSWER]
        return any(
            each.checked >= LEAST_CHECKED and each.rejected <= PUBLIC_SHARE * each.checked
            for each in shorts
        )


def read_result(directory: Path) -> WritingResult:
    """Read the result in the artifact of written questions."""
    found: WritingResult = from_json(WritingResult, read_json(directory / RESULT_NAME))
    return found


def is_same_model(writer: str, generator: str) -> bool:
    """Return whether two names are of the same model, whatever its owner or the case."""
    return writer.casefold().rsplit("/", 1)[-1] == generator.casefold().rsplit("/", 1)[-1]
