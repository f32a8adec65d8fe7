"""The gates that cost no call: on the span, the answer, the question and its options.

Each takes candidates in any order and finds the same ones: of near-duplicates, the one of the kind
that is hardest to write stays, then the one with the lowest hash.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from steep.core.formatting import quoted
from steep.core.ids import derive_seed
from steep.evaluation.writing.agreement import (
    agrees_either,
    compared_words,
    contains,
    makes_right,
    same_answer,
)
from steep.evaluation.writing.candidates import (
    HARDEST_FIRST,
    OPTIONS,
    Gate,
    QuestionCandidate,
    RejectedQuestion,
    SupportingSpan,
    have_common_text,
)
from steep.evaluation.writing.sources import Sources, capitalized_words

LONGER = 1.6  # the right option against the longest wrong one, in characters
LEAST_LONGER = 12  # characters; below, a difference is no giveaway
LONG_WORD = 4  # letters; shorter words of a question and an option do not count as common
SHARED_WORDS = 0.5  # of the words of the right option, in the question
STEM_LETTERS, ENDING_LETTERS = 5, 3  # of two words with one stem: common ones, and other ones
SAME_FACT = 0.5  # common words of two questions with equal answers
SAME_SPAN = 0.25  # the same with equal answers from the same sentence

# Words that point to a text that a reader of the question alone does not have.
_POINTS_TO_TEXT = re.compile(
    r"\b(?:the|this|that)\s+(?:given\s+|above\s+|provided\s+|following\s+)?"
    r"(?:passage|text|excerpt|context|document|source|paragraph|section)\b"
    r"(?! (?:of|between|through|from|to|into)\b)"  # of an act, between rooms
    r"|\b(?:passage|text|paragraph|sentence|mentioned|described|stated) above\b"
    r"|\b(?:according to|in) (?:the|this) (?:article|story|author|narrator)\b(?!\s*[\"\u201c'])"
    r"|\b(?:im|dem|diesem|obigen|des) (?:text|textes|abschnitt|dokument|artikel)\b(?!\s*[\"\u201e])"
    r"|\b(?:le|ce|du|dans le|selon le) (?:texte|passage|document|paragraphe)\b"
    r"|\b(?:el|este|del|seg\u00fan el) (?:texto|pasaje|documento|p\u00e1rrafo)\b"
    r"|文中|上文|本文|该文|这段|この文章|本文中",
    re.IGNORECASE,
)
# A pronoun as the subject, right after the verb that opens a question, and "Who built it?".
_VERB = r"(?:did|does|do|was|were|is|are|has|had|have|would|could|can|will|should)"
_PRONOUN = re.compile(
    rf"^\W*(?:\w+\s+){{0,4}}?{_VERB}\s+(?:he|she|they|his|her|their|its)\b"
    rf"|^\W*(?:\w+\s+){{1,3}}(?:him|her|them|it)\W*$",
    re.IGNORECASE,
)


def find_spans(
    candidates: Sequence[QuestionCandidate], sources: Sources
) -> Iterator[QuestionCandidate | RejectedQuestion]:
    """Yield each candidate with its spans, or the rejection of one whose span is not there."""
    for each in candidates:
        spans: list[SupportingSpan] = []
        missing = None
        # The first quotation is of the first document, the second of the second.
        part_ids = [*each.part_ids, *[each.part_ids[-1]] * len(each.quotes)]
        for part_id, quote in zip(part_ids, each.quotes, strict=False):
            found = sources.span_of(quote, part_id)
            if found is None:
                missing = missing or quote
            else:
                spans.append(found)
        if missing is not None:
            gate: Gate = "span not in the document"
            yield RejectedQuestion(gate, f"not found: {quoted(missing, 200)}", each)
        else:
            yield replace(each, spans=tuple(spans))


def check_free(candidate: QuestionCandidate) -> RejectedQuestion | None:
    """Return the first failed gate of one candidate with its spans; None if it passes."""
    checks: tuple[tuple[Gate, str | None], ...] = (
        ("answer not in the span", _answer_missing(candidate)),
        ("not standing alone", _points_elsewhere(candidate.question)),
        ("giveaway", _giveaway(candidate)),
        ("options", _bad_options(candidate)),
    )
    return next((RejectedQuestion(gate, why, candidate) for gate, why in checks if why), None)


def _answer_missing(candidate: QuestionCandidate) -> str | None:
    accepted = [words for each in candidate.answers if (words := compared_words(each))]
    spans = [compared_words(span.text) for span in candidate.spans]
    if any(contains(span, words) for span in spans for words in accepted):
        return None
    return f"the answer {quoted(candidate.answer, 100)} is not in the quoted passage"


def _points_elsewhere(question: str) -> str | None:
    if found := _POINTS_TO_TEXT.search(question):
        return f"it refers to {quoted(found[0], 80)}"
    if not _names_something(question) and _PRONOUN.search(question):
        return "it has a pronoun for what it does not name"
    return None


def _names_something(question: str) -> bool:
    """Return whether a question has a name, a number or a quotation after its first word."""
    return re.search(r"\s\W?[A-Z\u00c0-\u00de]|\d|[\"\u201c\u201e]", question) is not None


def _giveaway(candidate: QuestionCandidate) -> str | None:
    asked, right = compared_words(candidate.question), compared_words(candidate.answer)
    if contains(asked, right):
        return "the question has the answer"
    if not candidate.is_choice or not candidate.wrong:
        return None
    options = (candidate.answer, *candidate.wrong)
    longest = max(map(len, candidate.wrong))
    shortest = min(map(len, candidate.wrong))
    own = len(candidate.answer)
    if own > LONGER * longest and own - longest >= LEAST_LONGER:
        return f"the right option has {own} characters, the longest wrong one {longest}"
    if shortest > LONGER * own and shortest - own >= LEAST_LONGER:
        return f"the right option has {own} characters, the shortest wrong one {shortest}"
    right_form, *forms = (any(map(str.isdigit, each)) for each in options)
    if right_form not in forms:
        return f"the right option alone is written with{'' if right_form else 'out'} digits"
    own_share, *others = _shared(candidate)
    most = max(each.words for each in others)
    if own_share.share >= SHARED_WORDS and own_share.words > most:
        return "the right option alone repeats words of the question"
    return None


class Shared(NamedTuple):
    """How many words of an option the question has, and the share of its words."""

    words: int
    share: float


def _shared(candidate: QuestionCandidate) -> list[Shared]:
    """Return what each option shares with the question; the right one is first.

    Words are long ones and numbers; those that all options have show nothing. "Isomorphic" has the
    stem of "isomorphism".
    """
    options = [
        {word for word in compared_words(each) if len(word) >= LONG_WORD or word.isdecimal()}
        for each in (candidate.answer, *candidate.wrong)
    ]
    common = set.intersection(*options)
    asked = compared_words(candidate.question)
    found = []
    for own in options:
        rest = own - common
        has = sum(any(_same_stem(word, each) for each in asked) for word in rest)
        found.append(Shared(has, has / len(rest) if rest else 0.0))
    return found


def _same_stem(one: str, other: str) -> bool:
    length = max(STEM_LETTERS, min(len(one), len(other)) - ENDING_LETTERS)
    return one == other or (len(one) >= length <= len(other) and one[:length] == other[:length])


def _bad_options(candidate: QuestionCandidate) -> str | None:
    if not candidate.is_choice:
        return None
    if len(candidate.wrong) != OPTIONS - 1:
        return f"expected {OPTIONS - 1} wrong options, found {len(candidate.wrong)}"
    for each in candidate.wrong:
        if makes_right(each, candidate.answer):
            return f"the option {quoted(each, 80)} is right, too"
    for first, second in combinations(candidate.wrong, 2):
        if compared_words(first) == compared_words(second):
            return f"the options {quoted(first, 80)} and {quoted(second, 80)} are equal"
    return None


class Filed:
    """Candidates by their documents and questions, among which duplicates of others are found."""

    def __init__(self, candidates: Iterable[QuestionCandidate] = ()) -> None:
        self._by_key: defaultdict[str, list[QuestionCandidate]] = defaultdict(list)
        for each in candidates:
            self.add(each)

    def add(self, candidate: QuestionCandidate) -> None:
        """File one more."""
        for key in _keys(candidate):
            self._by_key[key].append(candidate)

    def rejection(self, candidate: QuestionCandidate) -> RejectedQuestion | None:
        """Return the rejection of a candidate as a duplicate of a filed one; None if it is none."""
        others = (one for key in _keys(candidate) for one in self._by_key[key])
        twin = next((one for one in others if is_duplicate(candidate, one)), None)
        if twin is None:
            return None
        return RejectedQuestion(
            "duplicate", f"of {twin.id}: {quoted(twin.question, 120)}", candidate
        )


def drop_duplicates(
    candidates: Iterable[QuestionCandidate], kept: Iterable[QuestionCandidate], seed: int
) -> tuple[list[QuestionCandidate], list[RejectedQuestion]]:
    """Divide candidates into distinct ones and near-duplicates, of each other or of kept ones."""
    fresh: list[QuestionCandidate] = []
    rejected: list[RejectedQuestion] = []
    filed = Filed(kept)
    for each in sorted(candidates, key=lambda each: rank(each, seed)):
        if twin := filed.rejection(each):
            rejected.append(twin)
        else:
            fresh.append(each)
            filed.add(each)
    return fresh, rejected


def rank(candidate: QuestionCandidate, seed: int) -> tuple[int, int, str]:
    """Return what decides which of two duplicates stays: the lower rank."""
    kind = HARDEST_FIRST.index(candidate.kind)
    return kind, derive_seed(seed, candidate.id), candidate.id


def _keys(candidate: QuestionCandidate) -> tuple[str, ...]:
    """Return what duplicates have in common: a document, or the whole question."""
    return (*candidate.document_ids, f"question: {candidate.question}")


def is_duplicate(one: QuestionCandidate, other: QuestionCandidate) -> bool:
    """Return whether two questions ask for the same thing."""
    if not set(_keys(one)) & set(_keys(other)):
        return False
    pairs = ((first, second) for first in one.spans for second in other.spans)
    same_span = any(have_common_text(*each) for each in pairs)
    agree = agrees_either if same_span else same_answer
    if not any(agree(first, second) for first in one.answers for second in other.answers):
        is_mirror = same_span and _has_answer(one, other) and _has_answer(other, one)
        return is_mirror or _all_words(one) == _all_words(other)
    names = [capitalized_words(each.question) for each in (one, other)]
    if all(names) and not names[0] & names[1] and not same_span:
        return False  # of other subjects
    first, second = _content(one.question), _content(other.question)
    common = len(first & second) / max(1, len(first | second))
    return common >= (SAME_SPAN if same_span else SAME_FACT)


def _has_answer(one: QuestionCandidate, other: QuestionCandidate) -> bool:
    """Return whether a question has the answer of another one."""
    return contains(compared_words(one.question), compared_words(other.answer))


def _all_words(candidate: QuestionCandidate) -> frozenset[str]:
    return frozenset(compared_words(candidate.question))


def _content(question: str) -> frozenset[str]:
    """Return the words that carry the content: long ones, names and numbers; all if none does."""
    words = frozenset(compared_words(question))
    names = capitalized_words(question)
    carry = {
        word
        for word in words
        if len(word) >= LONG_WORD or not word.isascii() or word in names or word.isdecimal()
    }
    return frozenset(carry) or words
