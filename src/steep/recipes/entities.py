"""The entities of a document: asked for as JSON, read from any answer, checked against the text."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import json_repair

from steep.documents.mentions import mention_index
from steep.documents.names import mentioned_names

MOST_ENTITIES = 60  # of a document, where the configuration names no number
LAST_OBJECTS = 8  # of an answer, from the last one back: thoughts hold drafts
CHARACTERS_PER_ENTITY = 800  # of a long document
FEW_ENTITIES = 10  # that a text may have, however short it is
NAMES_CHARACTERS = 100_000  # of a document, in which names are looked for
# Keys of the name of an entity that is an object.
NAME_KEYS = ("name", "entity", "entity_name", "title", "text", "label", "value")

_OBJECT_START = re.compile(r"\{\s*[\"'](?:summary|entities)\b", re.IGNORECASE)


class EntityList(NamedTuple):
    """The summary and the entities of a document, as listed by a model."""

    summary: str
    entities: tuple[str, ...]


@lru_cache(maxsize=64)
def entity_schema(
    most: int | None, summary_characters: int = 800, names: tuple[str, ...] = ()
) -> str:
    """Return the JSON schema of a list of entities, as text; the summary comes first (paper).

    `most` limits the entities (None: `MOST_ENTITIES`); they are chosen among `names`, if given.
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
    and text around it is ignored. Otherwise json-repair closes cut-off strings and lists (an answer
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
        except (ValueError, RecursionError):  # nested without end
            return None


def valid_entities(
    names: Iterable[str], document_text: str, most: int | None = None
) -> tuple[str, ...]:
    """Keep the first names that occur in the document, once each, case ignored."""
    listed = tuple(dict.fromkeys(names))
    if not listed:  # the index of a document takes long
        return ()
    index = mention_index(document_text)
    kept: dict[tuple[str, ...], str] = {}
    for name, words in index.find(listed):
        kept.setdefault(words, name)
        if len(kept) == most:
            break
    return tuple(kept.values())


@lru_cache(maxsize=64)
def merged_entities(texts: tuple[str | None, ...], source: str, most: int | None) -> EntityList:
    """Merge the answers about a document: the first summary, and all entities that are valid."""
    parsed = [parse_entities(text) for text in texts if text]
    names = itertools.chain.from_iterable(found.entities for found in parsed)
    valid = valid_entities(names, source, most or MOST_ENTITIES)
    return EntityList(next((found.summary for found in parsed if found.summary), ""), valid)


@lru_cache(maxsize=64)
def guessed_entities(text: str) -> float:
    """Estimate the number of entities of a document before the model lists them.

    As many as proper names, or as a text of its length has, if those are too many. A language
    without capitals shows no names; then half of what the length suggests.
    """
    by_length = len(text) / CHARACTERS_PER_ENTITY
    most = max(FEW_ENTITIES, by_length)
    names: set[str] = set()
    for name in mentioned_names(text[:NAMES_CHARACTERS]):
        names.add(name)
        if len(names) >= most:
            break
    return min(max(len(names), by_length / 2), most)
