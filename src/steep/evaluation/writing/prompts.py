"""The prompts of the writing of questions: one that writes, four that check.

A question is written from one document (or part), or from two near ones. Checks ask it with the
document, with a passage of another document, and with the name of the document alone; of a question
that joins two sentences, one asks which of them are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from steep.documents.clean import one_line
from steep.documents.document import Document
from steep.evaluation.prompts import LETTERS, about, named_text
from steep.evaluation.writing.candidates import Kind, QuestionCandidate

NOT_STATED = "NOT STATED"
MOST_EARLIER = 20  # questions that a prompt names as asked before
EARLIER_CHARACTERS = 200  # of each of them

_WRITE = """\
{texts}

{names}{earlier}### Task
Write questions for a test of what somebody knows about {what}. Number of questions: {count}.

{kind}{section}

- Write in the language of the text.
- Ask for what the text states, and for what only somebody who has read it can know. No common \
knowledge, no opinions. Every question has exactly one right answer.
- Use other words than the text wherever that leaves the question clear: someone who only \
remembers the sentence should not recognize it.
- A question is shown alone, without the text. Name the persons, places and things that it is \
about in full; add the title, the author or the date wherever it would be unclear or could be \
about something else. Never point to "the text", "the passage" or "the author".
- A question asks for one thing: never two questions in one.
- "answer": as short as possible, in the words of the quotation. The question must not contain it.
{fields}

Write fewer if the text does not give so many, and [] if it gives none. Answer with a JSON list \
and nothing else, in this form:
{form}"""

_KINDS: dict[Kind, str] = {
    "choice": "Each question asks for one fact and has four options.",
    "short-answer": "Each question asks for one fact; the answer has one to five words.",
    "joined": "Each question can only be answered by joining two facts that stand in two different "
    "sentences of the text: it describes by one sentence what the other one is about, such as a "
    "person, and asks what the other one says of it. Who knows only one of them cannot answer. It "
    "has four options.",
    "across": "Each question can only be answered by joining a fact of the first text with a fact "
    "of the second text. It names both subjects as far as that does not give the answer away, and "
    "has four options.",
}
_QUOTE = (
    '- "quote": the sentence of the text that states the answer, copied letter by letter, without '
    "changes or omissions."
)
_QUOTES: dict[Kind, str] = {
    "choice": _QUOTE,
    "short-answer": _QUOTE,
    "joined": '- "quotes": the two sentences of the text that are joined, copied letter by letter, '
    "without changes or omissions.",
    "across": '- "quotes": the sentence of the first text and the sentence of the second text that '
    "are joined, copied letter by letter, without changes or omissions.",
}
_WRONG = (
    '- "wrong": three wrong answers that somebody who has not read the text could take for right: '
    "of the same type, form and length as the right one, and clearly wrong by the text. None may "
    'follow from the right one, as "more than 5" from "more than 9"; if one repeats words of the '
    "question, all do. Take names and numbers from the text or from the list of names, "
    "if there is one."
)
_ALIASES = '- "aliases": other ways to write the right answer; an empty list if there are none.'
_FORMS: dict[Kind, str] = {
    "choice": '[{"question": "...", "answer": "...", "wrong": ["...", "...", "..."], '
    '"quote": "..."}]',
    "short-answer": '[{"question": "...", "answer": "...", "aliases": ["..."], "quote": "..."}]',
    "joined": '[{"question": "...", "answer": "...", "wrong": ["...", "...", "..."], '
    '"quotes": ["...", "..."]}]',
}
_FORMS["across"] = _FORMS["joined"]

_SECTION = ' Ask about the section of the (first) text from "{} ..." to "... {}".'

_OPEN_CHOICE = """\
{texts}

### Question
{question}

{options}

### Task
Answer from the text alone. Usually it makes one option right; if it makes several right, name the \
letters of all of them. If it makes none right, write {not_stated}. End with one line in this form:
Answer: {form}"""

_OPEN_SHORT = """\
{texts}

### Question
{question}

### Task
Answer from the text alone, in a few words. If the text does not state the answer, or it could \
mean something else than this question asks for, write {not_stated}. End with one line in this form:
Answer: {form}"""

_SENTENCES = """\
### Sentences
1. {first}
2. {second}

### Question
{question}

### Right answer
{answer}

### Task
Which sentences must somebody know to answer the question? One is enough if it alone shows both \
what the question is about and the answer. If the question asks for two things, one in each \
sentence, name the one with the right answer. End with one line in this form:
Answer: {form}"""

_BLIND_CHOICE = """\
### Question
{question}

{options}

### Task
Choose the option that is most likely right, even if you have to guess. End with one line in this \
form:
Answer: {form}"""

_BLIND_SHORT = """\
### Question
{question}

### Task
Answer in a few words; make your best guess if you do not know it. End with one line in this form:
Answer: {form}"""


def write_prompt(
    parts: Sequence[Document],
    kind: Kind,
    count: int,
    names: Sequence[str] = (),
    earlier: Sequence[str] = (),
    section: tuple[str, str] | None = None,
) -> str:
    """Ask for so many questions of a kind about one text, or about two.

    Args:
        parts: The texts.
        kind: Of the questions.
        count: Of the questions.
        names: Of related documents, for wrong options.
        earlier: Questions that were written before, with their answers.
        section: The first and the last words of the section of the (first) text to ask about.
    """
    several = len(parts) > 1
    fields = [_QUOTES[kind], _ALIASES if kind == "short-answer" else _WRONG]
    own_names = names if kind != "short-answer" else ()
    return _WRITE.format(
        texts=_texts(parts),
        names=f"### Names in related texts\n{'; '.join(own_names)}\n\n" if own_names else "",
        earlier="### Asked before; ask for other facts, not for these the other way round\n"
        + "".join(f"- {each}\n" for each in earlier)
        + "\n"
        if earlier
        else "",
        what="the texts above" if several else "the text above",
        count=count,
        kind=_KINDS[kind],
        section=_SECTION.format(*section) if section else "",
        fields="\n".join(fields),
        form=_FORMS[kind],
    )


def open_book_prompt(
    candidate: QuestionCandidate, parts: Sequence[Document], order: Sequence[int] | None
) -> str:
    """Ask a question with its texts; a choice shows its options in an order."""
    return _with_texts(candidate, _texts(parts), order)


def other_document_prompt(candidate: QuestionCandidate, passage: str) -> str:
    """Ask a question with a passage of another document, under its heading, without options."""
    return _with_texts(candidate, f"<text>\n{passage}\n</text>", None)


def _with_texts(candidate: QuestionCandidate, texts: str, order: Sequence[int] | None) -> str:
    if order is None:
        return _OPEN_SHORT.format(
            texts=texts, question=candidate.question, not_stated=NOT_STATED, form="..."
        )
    return _OPEN_CHOICE.format(
        texts=texts,
        question=candidate.question,
        options=_shown(candidate, order),
        not_stated=NOT_STATED,
        form="<letter or letters>",
    )


def sentences_prompt(candidate: QuestionCandidate) -> str:
    """Ask which of the two supporting sentences are needed to answer a question."""
    first, second = (one_line(span.text) for span in candidate.spans)
    return _SENTENCES.format(
        first=first,
        second=second,
        question=candidate.question,
        answer=candidate.answer,
        form="<1, 2 or both>",
    )


def blind_prompt(
    candidate: QuestionCandidate, documents: Sequence[Document], order: Sequence[int] | None
) -> str:
    """Ask a question with the names of its documents alone, those that it does not name itself."""
    question = candidate.question
    for document in reversed(documents):
        if document.title.casefold() not in candidate.question.casefold():
            question = about(document, question)
    if order is None:
        return _BLIND_SHORT.format(question=question, form="...")
    options = _shown(candidate, order)
    return _BLIND_CHOICE.format(question=question, options=options, form="<letter>")


def _shown(candidate: QuestionCandidate, order: Sequence[int]) -> str:
    options = (candidate.answer, *candidate.wrong)
    return "\n".join(f"{LETTERS[place]}. {options[each]}" for place, each in enumerate(order))


def _texts(parts: Sequence[Document]) -> str:
    names = ["text"] if len(parts) == 1 else ["first text", "second text"]
    return "\n\n".join(
        f"<{name}>\n{named_text(part, part.text)}\n</{name}>"
        for name, part in zip(names, parts, strict=True)
    )


def templates() -> dict[str, str]:
    """Return the wording of all prompts, for the report."""
    return {
        "write": _WRITE,
        "write: kinds": "\n".join(f"{name}: {text}" for name, text in _KINDS.items()),
        "open book, options": _OPEN_CHOICE,
        "open book, short answer; also with other documents": _OPEN_SHORT,
        "needed sentences": _SENTENCES,
        "without the document, options": _BLIND_CHOICE,
        "without the document, short answer": _BLIND_SHORT,
    }
