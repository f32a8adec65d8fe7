"""EntiGraph (Yang et al., ICLR 2025, section 2.2): texts about pairs and triplets of entities.

One call a document asks for a summary and a list of entities; every further call names two or
three of them and asks for the document's content in relation to each, and for their interaction.
Pairs and triplets are drawn from seeded permutations by index: with 40 entities there are 780
pairs and 9,880 triplets, and the list of them never exists.

Differences from the authors' code, on purpose: entities are deduplicated and must occur in the
document, in a form of its language (weak generators invent and repeat them); at most
`MOST_ENTITIES` are used, whatever the endpoint enforces; what is not English is answered in its
own language; a try that yields too few is followed by another,
up to a limit (theirs repeats for ever); the number of triplets is explicit (theirs has no cap).
"""

from __future__ import annotations

import itertools
import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import json_repair

from steep.core.calls import Call, Message, Sampling
from steep.core.ids import derive_seed, stable_hash
from steep.core.permutation import Permutation
from steep.documents.document import Document
from steep.documents.language import NAMES as LANGUAGE_NAMES
from steep.documents.language import document_language
from steep.documents.mentions import folded_name, is_too_long, mention_index
from steep.documents.names import proper_names
from steep.documents.sentences import trim_to_sentence
from steep.recipes.prompts import PROMPTS, Order, Stage

COMPACT_SUMMARY = 300  # characters
LIST_PENALTY = 0.5  # without it a small generator lists one name twelve times
STAGE_OF_SIZE: dict[int, Stage] = {2: "pair", 3: "triplet"}
MOST_ENTITIES = 60  # of a document, where the configuration names no number
LAST_OBJECTS = 8  # of an answer, from the last one back: thoughts hold drafts
NAME_KEYS = (
    "name",
    "entity",
    "entity_name",
    "title",
    "text",
    "label",
    "value",
)  # of an entity that is an object

_OBJECT_START = re.compile(r"\{\s*[\"'](?:summary|entities)\b", re.IGNORECASE)


class EntityList(NamedTuple):
    """What the opening of a document gave: its summary and its entities, in order of mention."""

    summary: str
    entities: tuple[str, ...]


class Relations(NamedTuple):
    """How many relation calls a document has, by their kind."""

    pairs: int
    triplets: int


@dataclass(frozen=True)
class EntiGraph:
    """The recipe. `pairs` and `triplets` are caps for each document; "all" means every subset."""

    model: str
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 2048
    frequency_penalty: float = 0.0
    prompt: Literal["full", "compact"] = "full"
    prompt_order: Order = "document_first"
    pairs: int | Literal["all"] = "all"
    triplets: int | Literal["all"] = 0
    entity_attempts: int = 3
    min_entities: int = 2
    max_entities: int | None = None
    seed: int = 0
    name: str = "entigraph"

    def opening(self, document: Document, texts: Sequence[str | None]) -> Call | None:
        """Ask for entities until the tries so far hold enough valid ones, or tries run out."""
        enough = len(self.entities(document, texts).entities) >= self.min_entities
        if enough or len(texts) >= self.entity_attempts:
            return None
        return self._builder(document, "entities").call((), len(texts))

    def entities(self, document: Document, texts: Sequence[str | None]) -> EntityList:
        """Merge the answers to the opening: the first summary, all entities that are valid."""
        parsed = [parse_entities(text) for text in texts if text]
        names = itertools.chain.from_iterable(found.entities for found in parsed)
        valid = valid_entities(names, document.text)[: self.max_entities or MOST_ENTITIES]
        summary = next((found.summary for found in parsed if found.summary), "")
        return EntityList(summary, valid)

    def calls(self, document: Document, texts: Sequence[str | None]) -> RelationCalls:
        """All relation calls of the document: pairs first, then triplets."""
        return RelationCalls(self, document, self.entities(document, texts).entities)

    def relations_among(self, entities: int) -> Relations:
        """How many calls follow from so many entities."""
        return Relations(_kept(self.pairs, entities, 2), _kept(self.triplets, entities, 3))

    def passage(self, call: Call, text: str) -> str | None:
        """The summary of an opening answer (the paper trains on it, too), or the relation text."""
        if call.stage != "entities":
            return text
        summary = parse_entities(text).summary
        # A summary that its limit of characters cut off is closed as JSON all the same.
        return trim_to_sentence(summary) or summary or None

    def relation_call(self, document: Document, subset: tuple[str, ...]) -> Call:
        """Ask for a text about one pair or triplet of entities."""
        return self._builder(document, STAGE_OF_SIZE[len(subset)]).call(subset)

    def _penalty(self, stage: str) -> float:
        lists_names = stage == "entities" and self.prompt == "compact"
        return max(self.frequency_penalty, LIST_PENALTY if lists_names else 0.0)

    def _entity_schema(self, document: Document) -> str:
        if self.prompt == "full":
            return entity_schema(self.max_entities)
        return entity_schema(self.max_entities, COMPACT_SUMMARY, proper_names(document.text))

    def _builder(self, document: Document, stage: Stage) -> _CallBuilder:
        schema = self._entity_schema(document) if stage == "entities" else None
        sampling = Sampling(
            self.temperature, self.top_p, self.max_tokens, self._penalty(stage), schema
        )
        return _CallBuilder(self, document, stage, sampling)


class _CallBuilder:
    """Builds the calls of one document and stage; what they have in common is made once."""

    def __init__(
        self, recipe: EntiGraph, document: Document, stage: Stage, sampling: Sampling
    ) -> None:
        self._recipe = recipe
        self._document = document
        self._stage: Stage = stage
        self._sampling = sampling
        self._prompts = PROMPTS[recipe.prompt, recipe.prompt_order]
        self._language = _asked_language(document)
        self._system, self._parts = self._prompts.opening_parts(
            document, stage, recipe.prompt_order, self._language
        )

    def call(self, subset: tuple[str, ...], sample: int = 0) -> Call:
        """The call about a subset of the entities."""
        tail = self._prompts.tail(self._document.title, self._stage, subset, self._language)
        return Call(
            recipe=self._recipe.name,
            stage=self._stage,
            document_id=self._document.id,
            subset=subset,
            sample=sample,
            model=self._recipe.model,
            messages=(self._system, Message("user", (*self._parts, tail))),
            sampling=self._sampling,
        )


def _asked_language(document: Document) -> str | None:
    """The language to answer in, by its English name; None for English, and where it is unclear."""
    code = document_language(document.text)
    return None if code == "en" else LANGUAGE_NAMES.get(code or "")


class RelationCalls(Sequence[Call]):
    """The relation calls of one document, computed by index from seeded permutations."""

    def __init__(self, recipe: EntiGraph, document: Document, entities: tuple[str, ...]) -> None:
        self.entities = entities
        self._pairs, self._triplets = recipe.relations_among(len(entities))
        self._seed = recipe.seed
        self._document_id = document.id
        self._orders = {
            size: Permutation(
                math.comb(len(entities), size), derive_seed(recipe.seed, document.id, size)
            )
            for size in STAGE_OF_SIZE
        }
        self._builders = {
            size: recipe._builder(document, stage) for size, stage in STAGE_OF_SIZE.items()
        }

    @cached_property
    def key(self) -> str:
        """Hash of the first pair and triplet calls, the entities, the order and the pairs kept."""
        first = [
            self._about(size, 0).id if math.comb(len(self.entities), size) else None
            for size in STAGE_OF_SIZE
        ]
        order = [self._seed, self._document_id]  # twins in text differ in it
        return stable_hash([first, self.entities, order, self._pairs])

    def __len__(self) -> int:
        return self._pairs + self._triplets

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is outside {len(self)} calls")
        index %= len(self)
        if index < self._pairs:
            return self._about(2, index)
        return self._about(3, index - self._pairs)

    def _about(self, size: int, number: int) -> Call:
        chosen = combination(len(self.entities), size, self._orders[size][number])
        return self._builders[size].call(tuple(self.entities[i] for i in chosen))


def _kept(cap: int | Literal["all"], entities: int, size: int) -> int:
    possible = math.comb(entities, size)
    return possible if cap == "all" else min(cap, possible)


def combination(n: int, size: int, rank: int) -> tuple[int, ...]:
    """The `rank`-th (lexicographic, from 0) of the `size`-subsets of range(n), ascending.

    Raises:
        IndexError: There is no such subset.
    """
    subsets = math.comb(n, size)
    if not 0 <= rank < subsets:
        raise IndexError(f"rank {rank} is outside the {subsets} subsets")
    # Counted from the last subset, with members counted down from n - 1, a rank is the sum of
    # comb(member, place) over the places; so each member is found by bisection.
    left = subsets - 1 - rank
    chosen: list[int] = []
    for place in range(size, 0, -1):
        member = left if place == 1 else _largest(place, left, n)
        left -= math.comb(member, place)
        chosen.append(n - 1 - member)
    return tuple(chosen)


def _largest(place: int, rank: int, below: int) -> int:
    """The largest number under `below` with at most `rank` subsets of `place` members."""
    return bisect_right(range(below), rank, key=lambda number: math.comb(number, place)) - 1


def entity_schema(
    most: int | None, summary_characters: int = 800, names: tuple[str, ...] = ()
) -> str:
    """The JSON schema of an opening answer, as text; the summary comes first, as in the paper.

    Args:
        most: Entities at most, or None for `MOST_ENTITIES`.
        summary_characters: Length of the summary at most.
        names: If there are some, entities are chosen among them.
    """
    entity = {"enum": names} if len(names) > 1 else {"minLength": 2, "maxLength": 80}
    return json.dumps(
        {
            "type": "object",
            "properties": {
                "summary": {"type": "string", "minLength": 20, "maxLength": summary_characters},
                "entities": {
                    "type": "array",
                    "items": {"type": "string", **entity},
                    "minItems": 2,
                    "maxItems": most or MOST_ENTITIES,
                },
            },
            "required": ["summary", "entities"],
            "additionalProperties": False,
        }
    )


def parse_entities(text: str) -> EntityList:
    """Read a summary and entities from an answer; what is no such object gives an empty list.

    The last object counts: a thought before it may hold drafts. Valid JSON is taken as it is,
    whatever stands around it. Otherwise json-repair closes cut-off strings and lists (an answer
    stopped by its token limit still holds the entities before the cut). Entities may be objects
    with a name, or lists by kind.
    """
    answer = text.rpartition("</think>")[2]
    found = [_entity_list(value) for value in _json_objects(answer)] or [EntityList("", ())]
    return next((each for each in found if each.entities), found[0])


def _entity_list(value: dict[str, Any]) -> EntityList:
    summary = value.get("summary")
    return EntityList(
        " ".join(summary.split()) if isinstance(summary, str) else "",
        tuple(" ".join(name.split()) for name in _names(value.get("entities"))),
    )


def _names(value: Any) -> Iterator[str]:
    """The names in a list of names or of objects with names, or in such lists by kind."""
    if isinstance(value, list):
        for each in value:
            if isinstance(each, str):
                yield each
            elif isinstance(each, dict):
                names = (each[key] for key in NAME_KEYS if isinstance(each.get(key), str))
                yield from itertools.islice(names, 1)
    elif isinstance(value, dict):
        for names in value.values():
            if isinstance(names, list):
                yield from _names(names)


def _json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects of an answer, the last one first; cut-off ones are repaired."""
    starts = [each.start() for each in _OBJECT_START.finditer(text)]
    if not starts and (first := re.search(r"[\[{]", text)):
        starts = [first.start()]
    for start in reversed(starts[-LAST_OBJECTS:]):
        value = _json_value(text[start:])
        if isinstance(value, list) and text[start] == "[":  # the entities alone
            value = {"entities": value}
        if isinstance(value, dict):
            yield {str(key).lower(): each for key, each in value.items()}


def _json_value(answer: str) -> Any:
    try:
        return json.JSONDecoder().raw_decode(answer)[0]
    except (ValueError, RecursionError):
        try:
            return json_repair.loads(answer)
        except (ValueError, RecursionError):  # nested without end: a model that babbles brackets
            return None


def valid_entities(names: Iterable[str], document_text: str) -> tuple[str, ...]:
    """Keep names that occur in the document; the first of equal ones wins, case ignored."""
    listed = tuple(names)
    if not listed:  # the index of a document takes long
        return ()
    index = mention_index(document_text)
    kept: dict[tuple[str, ...], str] = {}
    for name in listed:
        words = folded_name(name, index.language)
        if words and words not in kept and not is_too_long(name) and index.mentions(words):
            kept[words] = name
    return tuple(kept.values())
