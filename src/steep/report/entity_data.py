"""What the page needs to explore the entities, within a budget of bytes.

The counts come from all passages. Of the entities, the most frequent ones are in the page; of their
co-occurring entities, the most frequent ones; of their passages, a few texts: first one about each
entity, then one about each pair that is drawn, and so on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from steep.core.ids import stable_hash
from steep.report.entity_counts import Entity, entity_key
from steep.report.run_data import ReportData, SamplePassage

ENTITIES = 2_000
COOCCURRING = 16  # drawn around an entity
DOCUMENTS = 6  # listed for an entity
ENTITY_BYTES, TEXT_BYTES = 450_000, 1_000_000  # of JSON
TEXT_CHARACTERS, MOST_CHARACTERS = 1_200, 10_000  # of a passage; if the texts of all of them fit
LEAST_BYTES, USUAL_BYTES = 3, 7  # per word; no more texts are read than may fit
SEED = "entities"


@dataclass(frozen=True, slots=True)
class ExplorerData:
    """The data of the explorer, and how much of it is in the page.

    Attributes:
        value: The JSON value that `scripts/entities.js` reads.
        entities: Number of entities in the page.
        passages: Number of passages in the page.
        all_passages: Number of passages about several entities.
    """

    value: Mapping[str, Any]
    entities: int
    passages: int
    all_passages: int


def explorer_data(run: ReportData, found: Sequence[Entity]) -> ExplorerData:
    """Return the data of the explorer.

    Args:
        run: The run.
        found: Its entities, the most frequent first.
    """
    titles: dict[str, int] = {}  # numbers by document
    rows, numbers = _entity_rows(found, titles)
    passages = _about_several(run, numbers)
    words = sum(passage.words for passage, _ in passages)
    characters = MOST_CHARACTERS if words * USUAL_BYTES < TEXT_BYTES else TEXT_CHARACTERS
    chosen = list(_that_may_fit(_in_order(passages, rows), characters))
    texts = list(_passage_rows(run, chosen, numbers, titles, characters))
    value = {
        "documents": [run.title_of(each) for each in titles],
        "entities": rows,
        "passages": texts,
    }
    return ExplorerData(value, len(rows), len(texts), len(passages))


def size_of(value: Any) -> int:
    """Return the bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


# ---- entities ------------------------------------------------------------------------------------


def _entity_rows(
    found: Sequence[Entity], titles: dict[str, int]
) -> tuple[list[list[Any]], dict[str, int]]:
    """Return a row per entity, and the number of each by its key.

    A row has the name, the number of passages, that of documents, the first documents with their
    passages, the number of co-occurring entities, and the first of them with the passages of both.
    """
    shown = [each for each in found[:ENTITIES] if each.passages]
    number_of = {each.name: number for number, each in enumerate(shown)}
    rows: list[list[Any]] = []
    left = ENTITY_BYTES
    for each in shown:
        documents = each.documents.most_common(DOCUMENTS)
        cooccurring = [
            [number_of[name], count]
            for name, count in each.most_frequent(COOCCURRING)
            if name in number_of
        ]
        own = [[titles.setdefault(name, len(titles)), count] for name, count in documents]
        row: list[Any] = [each.name, each.passages, len(each.documents), own]
        row += [len(each.cooccurring), cooccurring]
        left -= size_of(row)
        if left < 0:
            break
        rows.append(row)
    for row in rows:
        row[-1] = [pair for pair in row[-1] if pair[0] < len(rows)]
    keys = (entity_key(each.name) for each in shown[: len(rows)])
    return rows, {key: number for number, key in enumerate(keys)}


# ---- passages ------------------------------------------------------------------------------------

Numbered = tuple[SamplePassage, tuple[int, ...]]  # a passage with the numbers of its entities


def _about_several(run: ReportData, numbers: Mapping[str, int]) -> list[Numbered]:
    """Return the passages about several entities of which one is in the page."""
    found = []
    for passage in run.corpus.passages if run.corpus else ():
        if len(passage.subset) > 1:
            keys = dict.fromkeys(map(entity_key, passage.subset))
            own = tuple(numbers[key] for key in keys if key in numbers)
            if own:
                found.append((passage, own))
    return found


def _in_order(passages: Sequence[Numbered], rows: Sequence[list[Any]]) -> list[Numbered]:
    """Return the passages, those first that are the first ones of an entity, then of a pair."""
    drawn = {(number, other) for number, row in enumerate(rows) for other, _ in row[-1]}
    of_entity: Counter[int] = Counter()
    of_pair: Counter[tuple[int, ...]] = Counter()
    keyed = []
    for passage, numbers in sorted(passages, key=lambda each: stable_hash([SEED, each[0].id])):
        ordered = tuple(sorted(numbers))
        pairs = [pair for pair in combinations(ordered, 2) if pair in drawn or pair[::-1] in drawn]
        is_first = any(not of_entity[number] for number in ordered)
        turn = min((of_pair[pair] for pair in pairs), default=of_entity[ordered[0]])
        keyed.append(((0 if is_first else turn + 1, ordered[0]), (passage, numbers)))
        of_entity.update(ordered)
        of_pair.update(pairs)
    return [each for _, each in sorted(keyed, key=lambda each: each[0])]


def _passage_rows(
    run: ReportData,
    chosen: Sequence[Numbered],
    numbers: Mapping[str, int],
    titles: dict[str, int],
    characters: int,
) -> Iterator[list[Any]]:
    """Yield as many rows as fit: document, recipe, entities, text, and whether the text is cut.

    Entities are given by number, those that are not in the page by name.
    """
    ids = [passage.id for passage, _ in chosen]
    texts = run.corpus.passage_texts(ids) if run.corpus and ids else {}
    left = TEXT_BYTES
    for passage, _ in chosen:
        text = texts[passage.id].strip()
        row = [
            titles.setdefault(passage.document_id, len(titles)),
            passage.recipe,
            [numbers.get(entity_key(name), name) for name in passage.subset],
            text[:characters],
            len(text) > characters,
        ]
        left -= size_of(row)
        if left < 0:
            return
        yield row


def _that_may_fit(passages: Sequence[Numbered], characters: int) -> Iterator[Numbered]:
    left = TEXT_BYTES
    for passage, numbers in passages:
        left -= min(characters, LEAST_BYTES * passage.words)
        if left < 0:
            return
        yield passage, numbers
