"""How often the gates without calls reject human questions, and find planted defects.

    python benchmarks/question_gates.py DOCUMENTS.jsonl QUESTIONS.jsonl [--show 50]

DOCUMENTS has `id, title, text`, QUESTIONS has `id, document_id, question, answers` (SQuAD). The
sentence with the answer stands for the quotation of a writer. Human questions should pass, except
that those on SQuAD's passages were written with the passage in view, so that some do not stand
alone. Defects are made from the same questions: the sentence of another document, the answer of
another question, the answer as part of the question, a right option twice, the question again in
other order of words. `--show` prints rejections to be read.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from steep.core.ids import derive_seed
from steep.core.permutation import Permutation
from steep.documents.document import Document
from steep.documents.sentences import ends_sentence
from steep.evaluation.questions import choice_among, read_short_answers
from steep.evaluation.writing.agreement import compared_words, contains
from steep.evaluation.writing.candidates import QuestionCandidate, RejectedQuestion
from steep.evaluation.writing.free_gates import check_free, drop_duplicates, find_spans
from steep.evaluation.writing.sources import Sources


def sentences(text: str) -> list[str]:
    """Divide a text into its sentences."""
    found, words = [], text.split()
    start = 0
    for end, word in enumerate(words, start=1):
        if end == len(words) or ends_sentence(word, " "):
            found.append(" ".join(words[start:end]))
            start = end
    return found


def candidates_of(documents: Path, questions: Path) -> tuple[Sources, list[QuestionCandidate], int]:
    """Return the human questions as candidates, and how many have no sentence with the answer."""
    rows = map(json.loads, documents.read_text(encoding="utf-8").splitlines())
    parts = [Document(row["id"], row["title"], row["text"]) for row in rows]
    by_id = {part.id: part for part in parts}
    asked = read_short_answers(questions, parts).questions
    answers = [each.answers[0] for each in asked]
    found, lost = [], 0
    for number, each in enumerate(asked):
        words = compared_words(each.answers[0])
        text = by_id[each.document_id].text
        holding = [s for s in sentences(text) if contains(compared_words(s), words)]
        others = answers[max(0, number - 20) : number] + answers[number + 1 : number + 20]
        options, gold = choice_among(each.id, each.answers, others)
        if not holding or len(options) < 4:
            lost += 1
            continue
        wrong = tuple(option for place, option in enumerate(options) if place != gold)[:3]
        found.append(
            QuestionCandidate(
                "choice", (each.document_id,), (each.document_id,), each.question,
                each.answers[:1], wrong, tuple(holding[:1]),
            ).identified()
        )  # fmt: skip
    return Sources(parts), found, lost


def rejected(candidates: Sequence[QuestionCandidate], sources: Sources) -> list[RejectedQuestion]:
    """Return the rejections of all gates without calls."""
    found = list(find_spans(candidates, sources))
    failed = [each for each in found if isinstance(each, RejectedQuestion)]
    spanned = [each for each in found if isinstance(each, QuestionCandidate)]
    free = [failure for each in spanned if (failure := check_free(each))]
    gone = {each.candidate for each in free}
    _, twins = drop_duplicates([each for each in spanned if each not in gone], [], 0)
    return [*failed, *free, *twins]


def shuffled(question: str, seed: int) -> str:
    """Return a question with its last words first: `When was X built?`, `X built, when was?`."""
    words = question.rstrip("?").split()
    cut = 1 + Permutation(max(1, len(words) - 1), derive_seed(seed))[0]
    return " ".join([*words[cut:], *words[:cut]]) + "?"


def defects(
    human: Sequence[QuestionCandidate],
) -> dict[str, tuple[str, Callable[[int], QuestionCandidate]]]:
    """Return, by name, the gate that should reject a defect, and how a candidate gets it."""

    def other(number: int) -> QuestionCandidate:
        own = human[number]
        turns = (human[(number + step) % len(human)] for step in range(97, len(human)))
        return next(each for each in turns if each.document_ids != own.document_ids)

    def make(change: Callable[[int], dict[str, object]]) -> Callable[[int], QuestionCandidate]:
        return lambda number: replace(human[number], id="", **change(number)).identified()  # type: ignore[arg-type]

    return {
        "sentence of another document": (
            "span not in the document", make(lambda n: {"quotes": other(n).quotes})
        ),
        "answer of another question": (
            "answer not in the span", make(lambda n: {"answers": other(n).answers})
        ),
        "points to the passage": (
            "not standing alone",
            make(lambda n: {"question": f"According to the passage, {human[n].question}"}),
        ),
        "answer in the question": (
            "giveaway",
            make(lambda n: {
                "question": f"{human[n].question[:-1]} with {human[n].answer} in mind?"
            }),
        ),
        "right option explained at length": (
            "giveaway", make(lambda n: {"answers": (human[n].quotes[0],)})
        ),
        "right option twice": (
            "options", make(lambda n: {"wrong": (human[n].answer.upper(), *human[n].wrong[1:])})
        ),
        "same question, other order": (
            "duplicate", make(lambda n: {"question": shuffled(human[n].question, n)})
        ),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--show", type=int, default=0)
    given = parser.parse_args()
    sources, human, lost = candidates_of(given.documents, given.questions)
    print(
        f"{len(human)} human questions; {lost} without a sentence that has the answer, or options"
    )
    short = [replace(e, kind="short-answer", wrong=(), id="").identified() for e in human]
    for name, own in (("short answers", short), ("choices", human)):
        found = rejected(own, sources)
        print(f"rejected as {name}: {len(found)} ({100 * len(found) / len(human):.1f}%)")
        for failed, times in Counter(each.gate for each in found).most_common():
            print(f"  {failed}: {times}")
        _show(found, given.show)
    bad = {each.candidate.id for each in found if each.candidate}
    good = [each for each in human if each.id not in bad]
    print(f"\nplanted defects in the other {len(good)}: found by the gate, by any gate")
    for name, (gate, planted) in defects(good).items():
        own = [planted(number) for number in range(len(good))]
        if gate == "duplicate":
            _, twins = drop_duplicates(_spanned(own, sources), _spanned(good, sources), 0)
            gates = [str(each.gate) for each in twins]
        else:
            gates = [str(each.gate) for each in rejected(own, sources)]
        shares = (gates.count(gate) / len(own), len(gates) / len(own))
        print(f"  {name}: {100 * shares[0]:.1f}%, {100 * shares[1]:.1f}%")


def _show(found: Sequence[RejectedQuestion], number: int) -> None:
    """Print rejections, drawn by the hash of their question."""
    own = [(each, each.candidate) for each in found if each.candidate is not None]
    for each, one in sorted(own, key=lambda pair: derive_seed(pair[1].id))[:number]:
        print(
            f"\n  [{each.gate}] {each.reason}\n  Q {one.question}\n  A {one.answer} | {one.wrong}"
        )
        print(f"  {one.quotes[0]}")


def _spanned(candidates: Sequence[QuestionCandidate], sources: Sources) -> list[QuestionCandidate]:
    return [each for each in find_spans(candidates, sources) if isinstance(each, QuestionCandidate)]


if __name__ == "__main__":
    main()
