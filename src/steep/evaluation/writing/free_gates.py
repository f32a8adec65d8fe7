"""The gates that cost no call: on the span, the answer, the question and its options.

Each takes candidates in any order and finds the same ones: of near-duplicates, the one with the
lowest hash stays.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from steep.core.ids import derive_seed
from steep.evaluation.writing.agreement import agrees, agrees_with_any, compared_words, contains
from steep.evaluation.writing.candidates import OPTIONS, Candidate, Gate, Rejected, Span
from steep.evaluation.writing.sources import Sources

LONGER = 1.6  # the right option against the longest wrong one, in characters
LEAST_LONGER = 12  # characters; below, a difference is no giveaway
LONG_WORD = 4  # letters; shorter words of a question and an option do not count as common
SHARED_WORDS = 0.5  # of the words of the right option, in the question
SAME_QUESTION = 0.85  # common words of two questions, whatever their answers
SAME_FACT = 0.5  # the same with equal answers
SAME_SPAN = 0.25  # the same with equal answers from the same sentence

# Words that point to a text that a reader of the question alone does not have.
_POINTS_TO_TEXT = re.compile(
    r"\b(?:the|this|that)\s+(?:given\s+|above\s+|provided\s+|following\s+)?"
    r"(?:passage|text|excerpt|context|document|source|paragraph|section)\b"
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


def find_spans(candidates: Sequence[Candidate], sources: Sources) -> Iterator[Candidate | Rejected]:
    """Yield each candidate with its spans, or the rejection of one whose span is not there."""
    for each in candidates:
        spans: list[Span] = []
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
            yield Rejected(gate, f"not found: {missing!r:.200}", each)
        else:
            yield replace(each, spans=tuple(spans))


def check_free(candidate: Candidate) -> Rejected | None:
    """Return the first failed gate of one candidate with its spans; None if it passes."""
    checks: tuple[tuple[Gate, str | None], ...] = (
        ("answer not in the span", _answer_missing(candidate)),
        ("not standing alone", _points_elsewhere(candidate.question)),
        ("giveaway", _giveaway(candidate)),
        ("options", _bad_options(candidate)),
    )
    return next((Rejected(gate, why, candidate) for gate, why in checks if why), None)


def _answer_missing(candidate: Candidate) -> str | None:
    words = compared_words(candidate.answer)
    spans = [compared_words(span.text) for span in candidate.spans]
    if words and any(contains(span, words) for span in spans):
        return None
    return f"the answer {candidate.answer!r:.100} is not in the quoted passage"


def _points_elsewhere(question: str) -> str | None:
    if found := _POINTS_TO_TEXT.search(question):
        return f"it refers to {found[0]!r}"
    if not _names_something(question) and _PRONOUN.search(question):
        return "it has a pronoun for what it does not name"
    return None


def _names_something(question: str) -> bool:
    """Return whether a question has a name, a number or a quotation after its first word."""
    return re.search(r"\s\W?[A-Z\u00c0-\u00de]|\d|[\"\u201c\u201e]", question) is not None


def _giveaway(candidate: Candidate) -> str | None:
    asked, right = compared_words(candidate.question), compared_words(candidate.answer)
    if contains(asked, right):
        return "the question has the answer"
    if not candidate.is_choice or not candidate.wrong:
        return None
    longest = max(map(len, candidate.wrong))
    shortest = min(map(len, candidate.wrong))
    own = len(candidate.answer)
    if own > LONGER * longest and own - longest >= LEAST_LONGER:
        return f"the right option has {own} characters, the longest wrong one {longest}"
    if shortest > LONGER * own and shortest - own >= LEAST_LONGER:
        return f"the right option has {own} characters, the shortest wrong one {shortest}"
    shared = _shared(candidate.answer, candidate.question)
    if shared >= SHARED_WORDS and all(
        _shared(each, candidate.question) < shared for each in candidate.wrong
    ):
        return "the right option alone repeats words of the question"
    return None


def _shared(option: str, question: str) -> float:
    """Return the share of the long words of an option that a question has."""
    words = {word for word in compared_words(option) if len(word) >= LONG_WORD}
    return len(words & set(compared_words(question))) / len(words) if words else 0.0


def _bad_options(candidate: Candidate) -> str | None:
    if not candidate.is_choice:
        return None
    if len(candidate.wrong) != OPTIONS - 1:
        return f"expected {OPTIONS - 1} wrong options, found {len(candidate.wrong)}"
    for each in candidate.wrong:
        if agrees(each, candidate.answer) or agrees(candidate.answer, each):
            return f"the option {each!r:.80} is right, too"
    for first, second in combinations(candidate.wrong, 2):
        if compared_words(first) == compared_words(second):
            return f"the options {first!r:.80} and {second!r:.80} are equal"
    return None


def drop_duplicates(
    candidates: Sequence[Candidate], kept: Sequence[Candidate], seed: int
) -> tuple[list[Candidate], list[Rejected]]:
    """Divide candidates into distinct ones and near-duplicates, of each other or of kept ones."""
    fresh: list[Candidate] = []
    rejected: list[Rejected] = []
    near: defaultdict[str, list[Candidate]] = defaultdict(list)
    for each in kept:
        _file(near, each)
    for each in sorted(candidates, key=lambda each: (derive_seed(seed, each.id), each.id)):
        others = (one for key in _keys(each) for one in near[key])
        twin = next((one for one in others if is_duplicate(each, one)), None)
        if twin is None:
            fresh.append(each)
            _file(near, each)
        else:
            rejected.append(Rejected("duplicate", f"of {twin.id}: {twin.question!r:.120}", each))
    return fresh, rejected


def _keys(candidate: Candidate) -> tuple[str, ...]:
    """Return what duplicates have in common: a document, or the whole question."""
    return (*candidate.document_ids, f"question: {candidate.question}")


def _file(near: defaultdict[str, list[Candidate]], candidate: Candidate) -> None:
    for key in _keys(candidate):
        near[key].append(candidate)


def is_duplicate(one: Candidate, other: Candidate) -> bool:
    """Return whether two questions ask for the same thing."""
    if not set(_keys(one)) & set(_keys(other)):
        return False
    first, second = _content(one.question), _content(other.question)
    common = len(first & second) / max(1, len(first | second))
    same_answer = agrees_with_any(one.answer, other.answers) or agrees_with_any(
        other.answer, one.answers
    )
    if not same_answer:
        return first == second
    same_span = bool({*_places(one)} & {*_places(other)})
    return common >= (SAME_SPAN if same_span else SAME_FACT)


def _content(question: str) -> frozenset[str]:
    """Return the words of a question that carry its content; all of them if none does."""
    words = compared_words(question)
    long = (word for word in words if len(word) >= LONG_WORD or not word.isascii())
    return frozenset(long) or frozenset(words)


def _places(candidate: Candidate) -> Iterator[tuple[str, int]]:
    yield from ((span.document_id, span.start) for span in candidate.spans)
