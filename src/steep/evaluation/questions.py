"""Questions about the source documents, from three formats, each with the id of its document.

- our JSONL: `id, document_id, question, options, gold`, and perhaps `kind`; `gold` counts the
  options from 0 and is a list where several are right;
- short answers, also JSONL: `id, document_id, question, answers`;
- QuALITY's own format, where `difficult` sets the kind.

The lines of the first two may be mixed. `read_questions` turns short answers into choices,
`read_short_answers` leaves them as they are. A question that cannot be asked is
returned with its id, or its line, and the reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.core.ids import derive_seed
from steep.core.permutation import Permutation
from steep.documents.clean import one_line
from steep.documents.document import Document, Skipped
from steep.documents.quality import QualityQuestion, first_record, is_quality, parse_quality
from steep.documents.records import BadRecord, json_records, required_text, utf8_text
from steep.evaluation.results import SkippedQuestion

SHORT_ANSWER = "short-answer"
CHOICE = "choice"  # the kind of a question whose line names none
SHOWN_REASONS = 3
MOST_DISTRACTORS = 7
VALIDATION_PERCENT = 20


@dataclass(frozen=True, slots=True)
class Question:
    """One question; `document_id` is that of the whole document.

    `gold` are the right options, counted from 0 and in order: one, or several. `answers` are the
    accepted texts of a short answer; only with them may options and gold be empty.
    """

    id: str
    document_id: str
    kind: str
    question: str
    options: tuple[str, ...]
    gold: tuple[int, ...]
    answers: tuple[str, ...] = ()


class Questions(NamedTuple):
    """The questions of a file, in its order."""

    questions: tuple[Question, ...]
    skipped: tuple[SkippedQuestion, ...]


def read_questions(path: Path, documents: Sequence[Document]) -> Questions:
    """Read the questions on these documents (or on the wholes of which they are parts).

    Raises:
        UserError: The file cannot be read, or none of its questions can be asked.
    """
    titles = {document.whole_id: document.title for document in documents}
    skipped: list[SkippedQuestion] = []
    asked = _asked(path, titles, skipped)
    return _read(path, _with_options(asked, titles, skipped), skipped)


def read_short_answers(path: Path, documents: Sequence[Document]) -> Questions:
    """Read those questions whose answer is a text, without options; a choice is skipped.

    Raises:
        UserError: The file cannot be read, or none of its questions can be asked.
    """
    titles = {document.whole_id: document.title for document in documents}
    skipped: list[SkippedQuestion] = []
    asked = _asked(path, titles, skipped)
    skipped += [SkippedQuestion(row.id, "it is a choice") for row in asked if not row.answers]
    return _read(path, (row for row in asked if row.answers), skipped)


def _asked(path: Path, titles: Mapping[str, str], skipped: list[SkippedQuestion]) -> list[Question]:
    hint = "name a JSONL file that exists, or leave questions out (evaluate.questions: null)"
    text = utf8_text(path, "questions", hint)
    parse = _quality_rows if is_quality(first_record(text)) else _jsonl_rows
    return list(_on_known_documents(parse(text, path.name, skipped), titles, skipped))


def _jsonl_rows(text: str, name: str, skipped: list[SkippedQuestion]) -> Iterator[Question]:
    bad_lines: list[Skipped] = []
    for source, record in json_records(text, name, bad_lines):
        try:
            yield _short_answer(record) if "answers" in record else _choice(record)
        except BadRecord as error:
            skipped.append(SkippedQuestion(str(record.get("id") or source), str(error)))
    skipped += [SkippedQuestion(line.source, line.reason) for line in bad_lines]


def _choice(record: Mapping[str, Any]) -> Question:
    gold = record.get("gold")
    if gold is None or gold == []:
        raise BadRecord("it has no gold answer")
    return _checked_choice(
        Question(
            id=one_line(required_text(record, "id")),
            document_id=one_line(required_text(record, "document_id")),
            kind=one_line(required_text(record, "kind")) if record.get("kind") else CHOICE,
            question=one_line(required_text(record, "question")),
            options=_texts(record, "options"),
            gold=tuple(gold) if isinstance(gold, list) else (gold,),
        )
    )


def _checked_choice(question: Question) -> Question:
    options, gold = question.options, question.gold
    if len(options) < 2:
        raise BadRecord(f"expected at least two options, found {len(options)}")
    if len(set(options)) < len(options):
        repeated = Counter(options).most_common(1)[0][0]
        raise BadRecord(f"two of its options are equal: {repeated!r:.60}")
    for each in gold:
        if isinstance(each, bool) or not isinstance(each, int) or not 0 <= each < len(options):
            raise BadRecord(f"expected 'gold' from 0 to {len(options) - 1}, found {each!r:.60}")
    if len(set(gold)) < len(gold):
        raise BadRecord(f"'gold' names an option twice: {list(gold)}")
    return replace(question, gold=tuple(sorted(gold)))


def _short_answer(record: Mapping[str, Any]) -> Question:
    answers = _texts(record, "answers")
    if not answers:
        raise BadRecord("it has no gold answer")
    return Question(
        id=one_line(required_text(record, "id")),
        document_id=one_line(required_text(record, "document_id")),
        kind=SHORT_ANSWER,
        question=one_line(required_text(record, "question")),
        options=(),
        gold=(),
        answers=answers,
    )


def _texts(record: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = record.get(key)
    if not isinstance(values, list):
        raise BadRecord(f"expected a list as '{key}', found {values!r:.60}")
    return tuple(one_line(required_text({key: value}, key)) for value in values)


def _quality_rows(text: str, name: str, skipped: list[SkippedQuestion]) -> Iterator[Question]:
    articles, bad_lines = parse_quality(text, name)
    skipped += [SkippedQuestion(line.source, line.reason) for line in bad_lines]
    for article in articles:
        for row in article.questions:
            try:
                yield _quality_choice(row, article.article_id)
            except BadRecord as error:
                skipped.append(SkippedQuestion(row.id, str(error)))


def _quality_choice(row: QualityQuestion, document_id: str) -> Question:
    if row.gold is None:
        raise BadRecord("it has no gold answer")
    kind = "hard" if row.difficult else "not hard"
    question = Question(row.id, document_id, kind, row.question, row.options, (row.gold,))
    return _checked_choice(question)


def _on_known_documents(
    rows: Iterable[Question], titles: Mapping[str, str], skipped: list[SkippedQuestion]
) -> Iterator[Question]:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            skipped.append(SkippedQuestion(row.id, "an earlier question has the same id"))
        elif reason := _blank_text(row):
            skipped.append(SkippedQuestion(row.id, reason))
        elif row.document_id not in titles:
            reason = f"its document '{row.document_id}' is not in the corpus"
            skipped.append(SkippedQuestion(row.id, reason))
        else:
            yield row
        seen.add(row.id)


def _blank_text(row: Question) -> str | None:
    """Return the reason why a question with a blank text cannot be asked."""
    named = [("question", row.question)]
    named += [(f"option {number}", text) for number, text in enumerate(row.options)]
    named += [(f"answer {number}", text) for number, text in enumerate(row.answers)]
    for name, text in named:
        if not any(letter.isprintable() and not letter.isspace() for letter in text):
            return f"its {name} is empty (counted from 0)"
    return None


def _with_options(
    rows: Sequence[Question], titles: Mapping[str, str], skipped: list[SkippedQuestion]
) -> Iterator[Question]:
    """Give each short-answer question the answers to its title's other questions as options."""
    answers_by_title: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row.answers:
            answers_by_title[titles[row.document_id]][row.id] = row.answers[0]
    for row in rows:
        if not row.answers:
            yield row
            continue
        answers = answers_by_title[titles[row.document_id]]
        others = [answer for id_, answer in answers.items() if id_ != row.id]
        options, gold = choice_among(row.id, row.answers, others)
        if len(options) < 2:
            reason = "no other question of its title has an answer that could be a wrong option"
            skipped.append(SkippedQuestion(row.id, reason))
        else:
            yield replace(row, options=options, gold=(gold,))


def _read(path: Path, asked: Iterable[Question], skipped: list[SkippedQuestion]) -> Questions:
    if questions := tuple(asked):
        return Questions(questions, tuple(skipped))
    reasons = [f"{row.question_id}: {row.reason}" for row in skipped]
    raise UserError(
        "This file has no question that can be asked about these documents.",
        where=path,
        expected='{"id", "document_id", "question", "options": [...], "gold": 0} on each line, '
        'or "answers" instead of options and gold, or QuALITY\'s own format',
        found=some_of(reasons, SHOWN_REASONS) or "an empty file",
    )


def choice_among(
    question_id: str, accepted: tuple[str, ...], others: Iterable[str]
) -> tuple[tuple[str, ...], int]:
    """Turn a short answer into a choice: the first accepted answer among a seeded draw of others.

    Returns the options in the order in which they are scored, and the index of the right one.

    The answers to other questions about the same title are of the right kind: names, years and
    places of the same subject. The draw depends on the question's id and on the set of answers
    alone. An answer that contains an accepted one, or is contained in one, might be right too and
    is never drawn. The place of the right one is drawn too: ties go to the first option and must
    not favor it.
    """
    right = [_key(answer) for answer in accepted]
    by_key: dict[str, str] = {}
    for answer in sorted(others):
        key = _key(answer)
        if not any(key in one or one in key for one in right):
            by_key.setdefault(key, answer)
    usable = list(by_key.values())
    draw = Permutation(len(usable), derive_seed("distractors", question_id))
    drawn = [usable[draw[index]] for index in range(min(MOST_DISTRACTORS, len(usable)))]
    unordered = [accepted[0], *drawn]
    order = Permutation(len(unordered), derive_seed("option order", question_id))
    places = [order[index] for index in range(len(unordered))]
    return tuple(unordered[place] for place in places), places.index(0)


def _key(answer: str) -> str:
    return " ".join(answer.casefold().split())


def split_documents(documents: Iterable[Document]) -> dict[str, frozenset[str]]:
    """Divide the ids of whole documents into "validation" and "test".

    As in the paper's code, documents of equal title and author are one; sorted by title, the first
    fifth is for choosing settings and the rest for reported figures (53 and 212 of QuALITY's 265).
    """
    ids: dict[tuple[str, str], set[str]] = {}
    for document in documents:
        ids.setdefault((document.title, document.author_name), set()).add(document.whole_id)
    ordered = sorted(ids)
    first = len(ordered) * VALIDATION_PERCENT // 100
    sides = {"validation": ordered[:first], "test": ordered[first:]}
    return {name: frozenset().union(*(ids[each] for each in side)) for name, side in sides.items()}


def questions_on(questions: Sequence[Question], document_ids: frozenset[str]) -> list[Question]:
    """Return the questions about these documents."""
    return [question for question in questions if question.document_id in document_ids]
