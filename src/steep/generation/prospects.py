"""What is known of each document before its texts are bought: the material of a plan.

A document whose entities are in the ledger has an exact number of calls. Of another, the number of
entities is guessed (`guessed_entities`), corrected by how that guess fared with the documents that
have been opened, between the least and the most that the configuration allows.
Lengths of prompts come from at most `SAMPLE` of them a document: they differ in a few words only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steep.core.calls import Call, Completion, Usage
from steep.documents.document import Document
from steep.documents.names import proper_names
from steep.generation import plan
from steep.generation.estimate import NOTHING, PromptSize, Range, answer_tokens, prompt_tokens
from steep.generation.usage_stats import Measured
from steep.ledger.ledger import Ledger
from steep.ledger.records import SlotTotals
from steep.recipes.entigraph import MOST_ENTITIES, EntiGraph, RelationCalls

SAMPLE = 32  # prompts of a document that are rendered
NAMES_CHARACTERS = 100_000  # of a document, in which names are looked for
# The paper's articles have some 35 entities in 28,000 characters.
CHARACTERS_AN_ENTITY = 800
FEW_ENTITIES = 10  # that a text may have, however short it is
FEW_DOCUMENTS = 3  # opened ones, before their spread is believed
EXTRA_LOOKED_UP = 20_000  # calls a document that may have been bought under another plan


class Counts(NamedTuple):
    """Numbers of calls."""

    openings: int = 0
    pairs: int = 0
    triplets: int = 0

    @property
    def relations(self) -> int:
        """All but the openings."""
        return self.pairs + self.triplets


class Spent(NamedTuple):
    """What calls have taken: the sum of all costs that are known, and how many are not."""

    usage: Usage = Usage()
    known_usd: float = 0.0
    unpriced: int = 0

    @property
    def cost_usd(self) -> float | None:
        """None where the cost of any call is unknown."""
        return None if self.unpriced else self.known_usd

    def and_(self, other: Spent) -> Spent:
        """Both together."""
        mine, others = self.usage, other.usage
        usage = Usage(
            mine.prompt_tokens + others.prompt_tokens,
            mine.cached_tokens + others.cached_tokens,
            mine.completion_tokens + others.completion_tokens,
        )
        known_usd = self.known_usd + other.known_usd
        return Spent(usage, known_usd, self.unpriced + other.unpriced)


def spent_on(completion: Completion) -> Spent:
    """What one call has taken."""
    cost_usd = completion.cost_usd
    return Spent(completion.usage, cost_usd or 0.0, int(cost_usd is None))


@dataclass(frozen=True, slots=True)
class StageProspect:
    """A call of a stage: tokens of its prompt, of what that shares with others, of its answer.

    `least_bound` is the upper bound of the shortest prompt: a budget pays for that, or for none.
    """

    prompt: Range
    prefix: Range
    answer: Range
    least_bound: int


@dataclass(frozen=True, slots=True)
class Prospect:
    """One document.

    Attributes:
        characters: Its length, by which goals are shared.
        complete: Whether its entities are known, so that the number of its calls is exact.
        entities: How many there are.
        openings: Calls of the opening that are to do.
        pairs: Calls that the plan has at most, those that were bought among them.
        triplets: Likewise.
        bought: Calls of the plan that have ended.
        spent: What those took.
        spent_on_relations: What those of them took that count for a goal: `reached` ones.
        stages: What a call takes, by stage.
        common: Tokens of the beginning that all relation calls share, whatever their stage.
    """

    document_id: str
    title: str
    characters: int
    complete: bool
    entities: Range
    openings: Range
    pairs: Range
    triplets: Range
    bought: Counts
    spent: Spent
    spent_on_relations: Spent
    stages: dict[str, StageProspect]
    common: Range

    @property
    def reached(self) -> int:
        """How many relation calls a share has that holds what is bought.

        Triplets are behind all pairs. Those that were bought before the pairs are, by a probe, are
        counted when a share reaches them.
        """
        pairs_left = self.bought.pairs < self.pairs.high
        return self.bought.pairs if pairs_left else self.bought.relations


@dataclass(frozen=True, slots=True)
class _Opened:
    """What the ledger knows of a document's opening."""

    complete: bool
    entities: tuple[str, ...]
    tries: int
    spent: Spent
    guess: float


def survey(
    documents: Sequence[Document], recipe: EntiGraph, ledger: Ledger, measured: Measured
) -> list[Prospect]:
    """Look at every document, without spending or writing anything."""
    opened = [_opened(document, recipe, ledger) for document in documents]
    growth = _growth(opened)
    return [
        _prospect(document, found, recipe, ledger, measured, growth)
        for document, found in zip(documents, opened, strict=True)
    ]


def _opened(document: Document, recipe: EntiGraph, ledger: Ledger) -> _Opened:
    opening = plan.opening_of(document, recipe, ledger)
    spent = Spent()
    for _, record in opening.planned:
        if record is not None and plan.is_final(record.status):
            completion = record.completion
            spent = spent.and_(spent_on(completion))
    return _Opened(
        complete=opening.complete,
        entities=recipe.entities(document, opening.texts).entities,
        tries=len(opening.texts),
        spent=spent,
        guess=guessed_entities(document.text),
    )


def guessed_entities(text: str) -> float:
    """As many entities as proper names, or as a text of its length has, where those are too many.

    A language without capitals shows no names; then half of what the length lets expect.
    """
    by_length = len(text) / CHARACTERS_AN_ENTITY
    names = len(proper_names(text[:NAMES_CHARACTERS]))
    return min(max(names, by_length / 2), max(FEW_ENTITIES, by_length))


def _growth(opened: Sequence[_Opened]) -> Range | None:
    """How many entities there were for each that was guessed, in the documents that are open."""
    known = [each for each in opened if each.complete and each.entities and each.guess]
    if not known:
        return None
    ratios = [len(each.entities) / each.guess for each in known]
    mean = sum(len(each.entities) for each in known) / sum(each.guess for each in known)
    if len(known) < FEW_DOCUMENTS:
        return Range(0.0, mean, float("inf"))
    return Range.around(min(ratios), mean, max(ratios))


def entities_of(found: _Opened, recipe: EntiGraph, growth: Range | None) -> Range:
    """How many entities a document has, or may have."""
    if found.complete:
        return Range.exactly(len(found.entities))
    least, most = recipe.min_entities, recipe.max_entities or MOST_ENTITIES
    growth = growth or Range(0.0, 1.0, float("inf"))

    def within(ratio: float) -> int:
        return max(least, round(min(max(found.guess, 1.0) * ratio, most)))

    return Range(within(growth.low), within(growth.expected), within(growth.high))


def _prospect(
    document: Document,
    found: _Opened,
    recipe: EntiGraph,
    ledger: Ledger,
    measured: Measured,
    growth: Range | None,
) -> Prospect:
    entities = entities_of(found, recipe, growth)
    low, expected, high = (
        recipe.relations_among(round(number))
        for number in (entities.low, entities.expected, entities.high)
    )
    pairs = Range(low.pairs, expected.pairs, high.pairs)
    triplets = Range(low.triplets, expected.triplets, high.triplets)
    names = found.entities
    if not found.complete:
        number = max(3, round(entities.expected))  # so that there is a triplet to look at
        names = tuple(f"Some Entity {i}" for i in range(number))
    calls = RelationCalls(recipe, document, names)
    has = _Bought(Counts(), Spent(), Spent())
    if found.complete:
        has = _bought(document, recipe, ledger, calls, found.tries)
    on_pairs, on_all = has.on_pairs, has.on_pairs.and_(has.on_triplets)
    left = recipe.entity_attempts - found.tries
    openings = Range(0, 0, 0) if found.complete else Range(1, 1, max(1, left))
    return Prospect(
        document_id=document.id,
        title=document.title,
        characters=len(document.text),
        complete=found.complete,
        entities=entities,
        openings=openings,
        pairs=pairs,
        triplets=triplets,
        bought=has.counts._replace(openings=found.tries),
        spent=found.spent.and_(on_all),
        spent_on_relations=on_pairs if has.counts.pairs < pairs.high else on_all,
        stages=dict(_stages(document, recipe, calls, measured)),
        common=_common(calls, measured),
    )


class _Bought(NamedTuple):
    counts: Counts
    on_pairs: Spent
    on_triplets: Spent


def _bought(
    document: Document, recipe: EntiGraph, ledger: Ledger, calls: RelationCalls, tries: int
) -> _Bought:
    """What of the plan has ended; also what another plan has bought of it, within limits."""
    pairs = recipe.relations_among(len(calls.entities)).pairs
    of_pairs, of_all = (ledger.slot_totals(calls.key, below) for below in (pairs, len(calls)))
    finished_pairs, finished = (sum(each.counts.values()) for each in (of_pairs, of_all))
    on_pairs, on_triplets = _spent(of_pairs), _spent(of_all, of_pairs)
    if ledger.calls_of_document(document.id, recipe.name) > finished + tries:
        for rank, more in _bought_elsewhere(ledger, calls):
            finished += 1
            if rank < pairs:
                finished_pairs += 1
                on_pairs = on_pairs.and_(more)
            else:
                on_triplets = on_triplets.and_(more)
    counts = Counts(0, finished_pairs, finished - finished_pairs)
    return _Bought(counts, on_pairs, on_triplets)


def _spent(total: SlotTotals, but: SlotTotals | None = None) -> Spent:
    """What filled some slots, but for some of them."""
    mine = total.usage
    if but is None:
        return Spent(mine, total.cost_usd, total.unpriced)
    usage = Usage(
        mine.prompt_tokens - but.usage.prompt_tokens,
        mine.cached_tokens - but.usage.cached_tokens,
        mine.completion_tokens - but.usage.completion_tokens,
    )
    return Spent(usage, total.cost_usd - but.cost_usd, total.unpriced - but.unpriced)


def _bought_elsewhere(ledger: Ledger, calls: RelationCalls) -> Iterator[tuple[int, Spent]]:
    """Ranks without a slot whose calls the ledger has, nevertheless; the first ones are looked up.

    A call that is not found here is planned again, but never bought twice.
    """
    ranks = ledger.free_ranks(calls.key, min(len(calls), EXTRA_LOOKED_UP))
    while some := list(itertools.islice(ranks, plan.CALLS_PER_QUERY)):
        by_id = {calls[rank].id: rank for rank in some}
        for call_id, record in ledger.get_many(by_id).items():
            if plan.is_final(record.status):
                yield by_id[call_id], spent_on(record.completion)


def _stages(
    document: Document, recipe: EntiGraph, calls: RelationCalls, measured: Measured
) -> Iterator[tuple[str, StageProspect]]:
    """What a call of each stage takes; a stage without calls is left out."""
    pairs, triplets = recipe.relations_among(len(calls.entities))
    opening = recipe.opening(document, ())
    samples = {
        "entities": [opening] if opening else [],
        "pair": [calls[rank] for rank in _spread(0, pairs)],
        "triplet": [calls[rank] for rank in _spread(pairs, pairs + triplets)],
    }
    for stage, sample in samples.items():
        if not sample:
            continue
        size = _size(sample)
        prompt = prompt_tokens(size, measured.tokens_per_character)
        share = size.prefix_characters / size.characters
        prefix = Range(prompt.low * share, prompt.expected * share, prompt.high * share)
        answer = answer_tokens(recipe.max_tokens, measured.answers.get(stage))
        yield (
            stage,
            StageProspect(prompt, prefix, answer, min(call.prompt_bound for call in sample)),
        )


def _common(calls: RelationCalls, measured: Measured) -> Range:
    """What the first and the last relation call, a pair and a triplet, have in common."""
    if not len(calls):
        return NOTHING
    first, last = calls[0], calls[-1]
    (system, user), (other_system, other_user) = first.messages, last.messages
    if system != other_system or user.parts[0] != other_user.parts[0]:
        return NOTHING
    characters = len(system.content) + len(user.parts[0])
    return prompt_tokens(PromptSize(characters, 0, characters), measured.tokens_per_character)


def _spread(start: int, stop: int) -> range:
    """Some of the ranks between two, at equal distances."""
    return range(start, stop, max(1, -(-(stop - start) * 2 // SAMPLE)))


def _size(calls: Sequence[Call]) -> PromptSize:
    characters, ends, bounds = 0, 0, 0
    for call in calls:
        characters += sum(len(part) for message in call.messages for part in message.parts)
        ends += len(call.messages[-1].parts[-1])
        bounds += call.prompt_bound
    number = len(calls)
    return PromptSize(characters / number, (characters - ends) / number, bounds / number)
