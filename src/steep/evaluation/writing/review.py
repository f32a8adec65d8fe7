"""Reviews: a file in which a person accepts, edits or rejects each question, and back.

The file is Markdown or CSV, by its ending. Each question has a decision: `accept`, `edit` (change
the texts in the file) or `reject`; an empty one leaves the question as it is. What was edited
passes the gates again that cost no call. The reviewed questions are an artifact of their own.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from steep.core.artifacts import Artifact, Identity, build
from steep.core.errors import UserError
from steep.core.files import content_hash, read_jsonl, write_text
from steep.core.formatting import some_of
from steep.documents.clean import one_line
from steep.documents.records import utf8_text
from steep.documents.store import documents_of
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.writing.candidates import (
    KINDS,
    QuestionCandidate,
    RejectedQuestion,
    candidate_of,
)
from steep.evaluation.writing.config import QuestionsConfig
from steep.evaluation.writing.free_gates import check_free, drop_duplicates, find_spans
from steep.evaluation.writing.results import (
    QUESTIONS_NAME,
    REJECTED_NAME,
    GateCount,
    KindCount,
    WritingResult,
    read_result,
)
from steep.evaluation.writing.sources import Sources
from steep.evaluation.writing.write import STAGE, about_accepted, counts_of, finished, write_set

VERSION = 1
SHOWN_ERRORS = 5
Decision = Literal["", "accept", "edit", "reject"]
DECISIONS: tuple[Decision, ...] = ("", "accept", "edit", "reject")
SEPARATOR = " | "  # between accepted answers, and between quotations
WRONG = ("wrong 1", "wrong 2", "wrong 3")
TEXTS = ("question", "answer", *WRONG, "quote")
COLUMNS = ("id", "decision", "reason", "kind", "document", *TEXTS)
_HEAD = """\
# Questions for review

Write `accept`, `edit` or `reject` after "decision:". To edit a question, also change its texts; \
every text \
stays on one line. An empty decision leaves a question as it is. Then: `steep questions --apply \
FILE`.
"""
_BLOCK = re.compile(r"^## (\S.*)$")
_FIELD = re.compile(r"^([a-z]+(?: \d)?):(.*)$")


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a person wrote about a question, where that begins, and where the decision stands."""

    line: int
    decision_line: int
    fields: Mapping[str, str]


def write_review(path: Path, artifact: Artifact) -> int:
    """Write the file; return the number of questions.

    Raises:
        UserError: The ending is neither .md nor .csv, or a file stands there already.
    """
    _check_ending(path)
    if path.exists():
        raise UserError(
            "There is a file already, perhaps with a review.",
            where=path,
            hint="choose another name, or remove the file",
        )
    rows = [_fields_of(each) for each in _questions(artifact)]
    write_text(path, _as_csv(rows) if path.suffix == ".csv" else _as_markdown(rows))
    return len(rows)


def _check_ending(path: Path) -> None:
    if path.suffix not in (".md", ".csv"):
        raise UserError(
            "A review is a Markdown or a CSV file.",
            where=path,
            expected="a name that ends in .md or .csv",
            found=path.suffix or "no ending",
        )


def _questions(artifact: Artifact) -> list[QuestionCandidate]:
    return [candidate_of(row) for row in read_jsonl(artifact.path / QUESTIONS_NAME)]


def _fields_of(each: QuestionCandidate) -> dict[str, str]:
    fields = {
        "id": each.id,
        "decision": "",
        "reason": "",
        "kind": each.kind,
        "document": SEPARATOR.join(each.document_ids),
        "question": each.question,
        "answer": SEPARATOR.join(each.answers),
        **dict(zip(WRONG, each.wrong, strict=False)),
        "quote": SEPARATOR.join(one_line(span.text) for span in each.spans),
    }
    return {name: fields.get(name, "") for name in COLUMNS}


def _as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _as_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    blocks = [_HEAD]
    for row in rows:
        shown = [name for name in COLUMNS[1:] if row[name] or name in ("decision", "reason")]
        lines = [f"{name}: {row[name]}".rstrip() for name in shown]
        blocks.append("\n".join([f"## {row['id']}", "", *lines, ""]))
    return "\n".join(blocks)


def apply_review(
    setup: EvaluationSetup, settings: QuestionsConfig, documents: Artifact, path: Path
) -> Artifact:
    """Return the artifact with the reviewed questions.

    Raises:
        UserError: The file cannot be read, or something in it is wrong.
    """
    _check_ending(path)
    written = finished(setup, settings, documents)
    sources = Sources(documents_of(documents))
    questions = _questions(written)
    found = _read(path)
    _check_ids(path, found, questions)
    accepted, rejected = _decide(path, questions, found, sources, settings.seed)
    if not rejected and all(each.mark == "written" for each in accepted):
        raise UserError(
            "No question is decided in the review.",
            where=path,
            expected=f"one of {', '.join(DECISIONS[1:])} after a decision",
            found=f"{len(questions)} undecided questions",
            hint="decide on some questions, or use the written question set as it is",
        )
    result = _result(read_result(written.path), accepted, rejected, sources, settings.seed)

    def make(directory: Path) -> dict[str, Any]:
        before = read_jsonl(written.path / REJECTED_NAME)
        write_set(directory, accepted, rejected, result, settings.seed, before)
        return counts_of(result)

    inputs = {"documents": documents, "written": written}
    identity = Identity(STAGE, VERSION, {"review": content_hash(path)}, inputs)
    return build(setup.project, identity, make, one_of_many=True)


def _read(path: Path) -> dict[str, Reviewed]:
    text = utf8_text(path, "review", "steep questions --review FILE writes one")
    rows = _csv_rows(path, text) if path.suffix == ".csv" else _markdown_rows(path, text)
    found: dict[str, Reviewed] = {}
    for each in rows:
        id_ = each.fields.get("id", "")
        if id_ in found:
            raise _error(path, each.line, f"'{id_}' is there twice", "one block per question")
        found[id_] = each
    return found


def _csv_rows(path: Path, text: str) -> Iterator[Reviewed]:
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise _error(path, 1, f"no column {', '.join(missing)}", f"the columns {COLUMNS}")
    line = 2
    for row in reader:
        yield Reviewed(line, line, {name: one_line(row[name] or "") for name in COLUMNS})
        line = reader.line_num + 1


def _markdown_rows(path: Path, text: str) -> Iterator[Reviewed]:
    fields: dict[str, str] = {}
    start = decision = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if block := _BLOCK.match(line):
            if fields:
                yield Reviewed(start, decision, fields)
            fields, start, decision = {"id": block[1].strip()}, number, number
        elif not fields or not line.strip():
            continue
        elif (field := _FIELD.match(line)) and field[1] in COLUMNS:
            if field[1] in fields:
                raise _error(path, number, f"'{field[1]}' is there twice", "each field once")
            fields[field[1]] = one_line(field[2])
            decision = number if field[1] == "decision" else decision
        else:
            expected = f"a line that begins with one of {', '.join(COLUMNS[1:])}, and a colon"
            raise _error(path, number, line[:80], expected)
    if fields:
        yield Reviewed(start, decision, fields)


def _error(path: Path, line: int, found: str, expected: str) -> UserError:
    return UserError(
        "The review cannot be read.", where=f"{path}:{line}", expected=expected, found=found
    )


def _check_ids(
    path: Path, found: Mapping[str, Reviewed], questions: Sequence[QuestionCandidate]
) -> None:
    known = {each.id for each in questions}
    for id_, each in found.items():
        if id_ not in known:
            expected = "the id of a question that steep questions has written"
            raise _error(path, each.line, f"'{id_}'", expected)
    if missing := [each.id for each in questions if each.id not in found]:
        raise UserError(
            "Questions are missing in the review.",
            where=path,
            expected=f"all {len(questions)} questions; an empty decision leaves one as it is",
            found=f"no block or row for {some_of(missing, SHOWN_ERRORS)}",
        )


def _decide(
    path: Path,
    questions: Sequence[QuestionCandidate],
    found: Mapping[str, Reviewed],
    sources: Sources,
    seed: int,
) -> tuple[list[QuestionCandidate], list[RejectedQuestion]]:
    """Return the questions as decided.

    Raises:
        UserError: Decisions are unknown, or edited questions fail a gate; the lines are named.
    """
    accepted: list[QuestionCandidate] = []
    rejected: list[RejectedQuestion] = []
    errors: list[str] = []
    for each in questions:
        own = found[each.id]
        where = f"{path.name}:{own.decision_line}"
        decision = own.fields.get("decision", "").casefold()
        changed = _edited(each, own.fields)
        if decision not in DECISIONS:
            errors.append(f"{where}: '{decision}' is not a decision")
        elif decision == "reject":
            why = own.fields.get("reason") or "by a person"
            rejected.append(RejectedQuestion("rejected in review", why, each))
        elif changed is None:
            accepted.append(replace(each, mark="reviewed") if decision == "accept" else each)
            if decision == "edit":
                errors.append(f"{where}: 'edit', but no text was changed")
        elif decision == "":
            errors.append(f"{where}: a text was changed without a decision")
        elif failure := _failed(changed, sources):
            errors.append(f"{path.name}:{own.line}: {failure.gate}: {failure.reason}")
        else:
            (spanned,) = find_spans([changed], sources)
            assert isinstance(spanned, QuestionCandidate)
            accepted.append(spanned)
    errors += _twins(path, accepted, found, seed)
    if errors:
        raise UserError(
            "The review cannot be applied.",
            where=path,
            expected=f"decisions {', '.join(DECISIONS[1:])}, and edited texts that pass the gates",
            found=some_of(errors, SHOWN_ERRORS),
            hint="correct these lines and apply the file again; nothing was changed",
        )
    return accepted, rejected


def _edited(each: QuestionCandidate, fields: Mapping[str, str]) -> QuestionCandidate | None:
    """Return the question with the texts of the file; None if none differs."""
    before = _fields_of(each)
    differ = {name for name in TEXTS if fields.get(name, "") != one_line(before[name])}
    if not differ:
        return None
    return replace(
        each,
        question=fields.get("question", ""),
        answers=_parts(fields.get("answer", "")) or ("",) if "answer" in differ else each.answers,
        wrong=tuple(text for name in WRONG if (text := fields.get(name, ""))),
        quotes=_parts(fields.get("quote", "")) if "quote" in differ else each.quotes,
        mark="edited",
    )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for each in text.split(SEPARATOR) if (part := each.strip()))


def _failed(edited: QuestionCandidate, sources: Sources) -> RejectedQuestion | None:
    """Return the first gate without calls that an edited question fails."""
    if not (edited.question and edited.answer and len(edited.quotes) == len(edited.spans)):
        expected = f"a question, an answer and {len(edited.spans)} quotations"
        return RejectedQuestion("unreadable", f"expected {expected}", edited)
    (found,) = find_spans([edited], sources)
    return found if isinstance(found, RejectedQuestion) else check_free(found)


def _twins(
    path: Path, accepted: Sequence[QuestionCandidate], found: Mapping[str, Reviewed], seed: int
) -> list[str]:
    """Return the errors of edited questions that now ask what another one asks."""
    edited = [each for each in accepted if each.mark == "edited"]
    others = [each for each in accepted if each.mark != "edited"]
    _, twins = drop_duplicates(edited, others, seed)
    return [
        f"{path.name}:{found[each.candidate.id].line}: {each.gate}: {each.reason}"
        for each in twins
        if each.candidate is not None
    ]


def _result(
    before: WritingResult,
    accepted: Sequence[QuestionCandidate],
    rejected: Sequence[RejectedQuestion],
    sources: Sources,
    seed: int,
) -> WritingResult:
    have = Counter(each.kind for each in accepted)
    lost = (each.candidate.document_ids[0] for each in rejected if each.candidate is not None)
    wanted = {each.kind: each.wanted for each in before.kinds}
    return replace(
        before,
        kinds=tuple(KindCount(kind, wanted[kind], have[kind]) for kind in KINDS if kind in wanted),
        gates=tuple(
            GateCount(each.gate, before.accepted, len(rejected))
            if each.gate == "rejected in review"
            else each
            for each in before.gates
        ),
        short=tuple(dict.fromkeys((*before.short, *lost))),
        **about_accepted(accepted, sources, seed),
    )
