"""The extension point of this package: a `Recipe` turns documents into calls, step by step.

Recipes are pure: no network, no clock, no disk. A recipe is an ordered list of steps. A step may
need the answers of earlier ones; what it plans is lazy and addressed by index, so that a document
with ten thousand triplets costs no memory and "the first k calls" is the same set on every machine.

    class Questions(Step):
        name = "questions"

        def calls(self, document, answers):
            return Repeated(lambda sample: ..., 4)

    @dataclass(frozen=True)
    class MyRecipe(Recipe):
        ...

`docs/recipes.md` shows a whole one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Protocol

from pydantic import Field

from steep.core.calls import Call, Message, Sampling
from steep.core.config import Section
from steep.core.ids import stable_hash
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.documents.language import NAMES as LANGUAGE_NAMES
from steep.documents.language import document_language

# The texts that earlier steps have given, by the name of the step and in order of rank; None where
# a call gave no text.
Answers = Mapping[str, Sequence[str | None]]


class CallSequence(Protocol):
    """The calls of one step about one document, by index and lazily."""

    @property
    def key(self) -> str:
        """Hash of all that decides about the calls, except for their number.

        The ledger records under it which calls have ended. It includes the document's id, as two
        documents may have the same text.
        """
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Call: ...


class Repeated(Sequence[Call]):
    """The calls of one step about one document, built lazily by `make(rank)`.

    Args:
        make: Builds the call of a rank.
        number: Number of calls.
        basis: Plain data on which the calls depend beside the first one, such as earlier answers.
            None if all calls follow from the first one, as samples of a prompt do.
    """

    def __init__(self, make: Callable[[int], Call], number: int, basis: Any = None) -> None:
        self._make = make
        self._number = number
        self._basis = basis

    @cached_property
    def key(self) -> str:
        """Hash of the first call, its document and the basis."""
        if not self._number:
            return stable_hash(["no calls", self._basis])
        first = self._make(0)
        return stable_hash([first.recipe, first.stage, first.document_id, first.id, self._basis])

    def __len__(self) -> int:
        return self._number

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside {len(self)} calls")
        return self._make(index % len(self))


@dataclass(frozen=True, slots=True)
class Rejected:
    """An answer that is no training text; `reason` stands in the totals of the corpus."""

    reason: str


class Step(ABC):
    """One step of a recipe; its name stands in ledger, plan and report."""

    name: str
    # Names of earlier steps whose answers decide about its calls; planned once these have ended.
    needs: ClassVar[tuple[str, ...]] = ()
    # Its calls are attempts: each is sent only if `is_enough` is false for those before it.
    one_by_one: ClassVar[bool] = False
    counts: ClassVar[bool] = True  # its texts count towards `generate.target_tokens`
    # False: its answers only prepare other steps, or none of them is training text.
    gives_text: bool = True
    # Its training text repeats a part of the prompt on purpose, so it is no echo.
    quotes_prompt: bool = False

    @abstractmethod
    def calls(self, document: Document, answers: Answers) -> CallSequence:
        """Return all calls of the step about a document, in order of rank."""

    @abstractmethod
    def expected_calls(self, document: Document) -> Range:
        """Return how many calls to expect while the answers that it needs do not exist yet."""

    @abstractmethod
    def specimen(self, document: Document) -> Call:
        """Return a call of typical size, for a forecast before `calls` is known."""

    def is_enough(self, document: Document, texts: Sequence[str | None]) -> bool:
        """Return whether the attempts so far suffice; asked of a step that goes `one_by_one`."""
        return False

    def passage(self, call: Call, text: str) -> str | Rejected | None:
        """Return the training text in an answer, why it is rejected, or None if it holds none."""
        return text


@dataclass(frozen=True)
class Recipe:
    """A list of steps, of which each may need earlier ones. Subclasses add what the steps share."""

    name: str
    steps: tuple[Step, ...] = field(repr=False)
    # Its texts about a document depend on the others, too: see `linked`.
    links_documents: ClassVar[bool] = False

    def step(self, name: str) -> Step:
        """Return the step of this name."""
        return next(step for step in self.steps if step.name == name)

    def linked(self, documents: Sequence[Document], answers: Mapping[str, Answers]) -> Recipe:
        """Return the recipe with all that its steps need to know of other documents.

        Called once the preparing steps of all documents have ended, if `links_documents`. `answers`
        are theirs, by the id of the document. Steps that others need must not depend on it.
        """
        return self

    def unsuitable(self, document: Document) -> str | None:
        """Return why a document suits no step of the recipe (too short, for example), or None."""
        return None

    def facts(self, document: Document, answers: Answers) -> dict[str, Any] | None:
        """Return `entities` (names) and `summary` of a document for the report, or None."""
        return None

    def why_nothing(self, document: Document, answers: Answers) -> str:
        """Return why the answers of the first steps leave nothing to write about a document."""
        return "the answers gave nothing to write about"

    @property
    def expected_answer(self) -> str | None:
        """The answer that the first steps need, for the error message when most lack it."""
        return None


@dataclass(frozen=True)
class Writer:
    """The generator as a recipe knows it: its name, how it samples, and the seed of all orders."""

    model: str
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    reasoning_tokens: int = 0  # part of `sampling.max_tokens`

    def sampled(self, options: SampledOptions) -> Writer:
        """Return the writer with the sampling that the options of a recipe ask for."""
        own, answer = self.sampling, options.max_tokens
        sampling = replace(
            own,
            temperature=own.temperature if options.temperature is None else options.temperature,
            top_p=own.top_p if options.top_p is None else options.top_p,
            max_tokens=own.max_tokens if answer is None else answer + self.reasoning_tokens,
        )
        return replace(self, sampling=sampling)


class RecipeOptions(Section):
    """Base of the options of a recipe in the configuration."""


class SampledOptions(RecipeOptions):
    """Options of a recipe that samples as its publication does; null: as `generate` says."""

    temperature: float | None = Field(None, ge=0, le=2, description="null: generate.temperature")
    top_p: float | None = Field(None, gt=0, le=1, description="null: generate.top_p")
    max_tokens: int | None = Field(
        None, ge=16, description="of one completion; null: generate.max_tokens"
    )


@dataclass(frozen=True)
class RecipeKind:
    """An entry of the registry: the options of a recipe, and the function that builds it."""

    options: type[RecipeOptions]
    make: Callable[[str, Any, Writer], Recipe]


def ask(
    recipe: str,
    step: str,
    document: Document,
    writer: Writer,
    messages: Sequence[Message],
    *,
    subset: tuple[str, ...] = (),
    sample: int = 0,
    sampling: Sampling | None = None,
) -> Call:
    """Build a call about a document.

    Text that many calls share should be a message part of its own: it is stored once, and endpoints
    cache the parts before the first one that differs. `subset` is the subject of the call (names of
    entities, a style, a question), `sample` its number among calls that are otherwise the same.
    """
    return Call(
        recipe=recipe,
        stage=step,
        document_id=document.id,
        subset=subset,
        sample=sample,
        model=writer.model,
        messages=tuple(messages),
        sampling=sampling or writer.sampling,
    )


def foreign_language(document: Document) -> str | None:
    """Return the English name of a document's language; None for English or where it is unclear."""
    return _foreign_language(document.text)


@lru_cache(maxsize=2**17)  # of all documents of a plan, which is gone through more than once
def _foreign_language(text: str) -> str | None:
    code = document_language(text)
    return None if code == "en" else LANGUAGE_NAMES.get(code or "")
