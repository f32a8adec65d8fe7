"""The gates that ask a model; each takes the survivors of the one before.

A choice is asked once per sample, each time with the options in another order, so that the right
one stands under another letter. A short answer is sampled. What more than half of the samples say
decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from steep.core.formatting import quoted
from steep.documents.document import Document
from steep.evaluation.engines import (
    NORMALIZERS,
    TOO_LONG,
    AnswerEngine,
    Decoding,
    Output,
    Progress,
    no_progress,
)
from steep.evaluation.prompts import SHORT_STOP, closed_book_prompt, short_answer_prompt
from steep.evaluation.questions import Question
from steep.evaluation.rows import SHORT_TOKENS
from steep.evaluation.writing.agreement import agrees_with_any
from steep.evaluation.writing.candidates import (
    Gate,
    QuestionCandidate,
    RejectedQuestion,
    have_common_text,
    option_orders,
)
from steep.evaluation.writing.prompts import (
    blind_prompt,
    open_book_prompt,
    other_document_prompt,
    sentences_prompt,
)
from steep.evaluation.writing.reading import read_answer, read_letters, read_needed
from steep.evaluation.writing.sources import Sources
from steep.retrieval.chunks import Chunk

OTHER_DOCUMENTS = 2  # whose best passage is asked, too
SAMPLED_TEMPERATURE = 0.7
LUCK = " (by luck, in at most 1 of 4 questions)"  # of who prefers one option, in any order


class Sifted(NamedTuple):
    """The candidates that passed a gate, and the others."""

    passed: list[QuestionCandidate]
    rejected: list[RejectedQuestion]


class GateCall(NamedTuple):
    """One prompt for a candidate; a choice was shown in `order`."""

    number: int
    prompt: str
    order: tuple[int, ...] | None


class GateReply(NamedTuple):
    """What a model said: chosen options (0 is the right one), or a text; neither if nothing."""

    chosen: tuple[int, ...]
    text: str | None
    was_too_long: bool


@dataclass(frozen=True)
class Checks:
    """Asks candidates, with a model that reads texts and one that does not."""

    sources: Sources
    reader: AnswerEngine
    blind: AnswerEngine
    answer_tokens: int
    seed: int

    def ambiguous(
        self, candidates: Sequence[QuestionCandidate], on_progress: Progress = no_progress
    ) -> Sifted:
        """Reject questions that a close passage of a related document answers otherwise."""
        chunks = self.sources.close_chunks(candidates, OTHER_DOCUMENTS)
        asked = [
            (number, chunk.document_id, self._other_prompt(candidates[number], chunk))
            for number, own in enumerate(chunks)
            for chunk in own
        ]
        outputs = self._generate(self.reader, [prompt for *_, prompt in asked], 1, on_progress)
        found: dict[int, str] = {}
        for (number, document_id, _), (output,) in zip(asked, outputs, strict=True):
            said = read_answer(output.text)
            each = candidates[number]
            if said is not None and not agrees_with_any(said, each.answers):
                found.setdefault(number, f"by '{document_id}' the answer is {quoted(said, 100)}")
        return _sift(candidates, "ambiguous between documents", found)

    def _other_prompt(self, candidate: QuestionCandidate, chunk: Chunk) -> str:
        return other_document_prompt(candidate, self.sources.whole_sentences(chunk))

    def one_sentence(
        self, candidates: Sequence[QuestionCandidate], on_progress: Progress = no_progress
    ) -> Sifted:
        """Reject questions that should join two sentences, and need one."""
        joins = [n for n, each in enumerate(candidates) if len(each.spans) > 1]
        twice = {n for n in joins if have_common_text(*candidates[n].spans)}
        found = dict.fromkeys(sorted(twice), "both quotations are from one sentence")
        asked = [number for number in joins if number not in twice]
        prompts = [sentences_prompt(candidates[number]) for number in asked]
        outputs = self._generate(self.reader, prompts, 1, on_progress)
        for number, (output,) in zip(asked, outputs, strict=True):
            if needed := read_needed(output.text):
                text = candidates[number].spans[needed - 1].text
                found[number] = f"this one answers it: {quoted(text, 100)}"
        return _sift(candidates, "one sentence is enough", found)

    def not_answerable(
        self,
        candidates: Sequence[QuestionCandidate],
        samples: int,
        on_progress: Progress = no_progress,
    ) -> Sifted:
        """Reject questions that are not answered with their documents, or have two answers."""

        def prompt(each: QuestionCandidate, order: tuple[int, ...] | None) -> str:
            return open_book_prompt(each, self._parts(each), order)

        replies = self._ask(self.reader, candidates, samples, prompt, on_progress)
        found, second = {}, {}
        for number, (each, own) in enumerate(zip(candidates, replies, strict=True)):
            right = sum(_is_right(each, reply) for reply in own)
            both = sum(len(reply.chosen) > 1 and 0 in reply.chosen for reply in own)
            if 2 * both > samples:
                second[number] = "the document makes another option right, too"
            elif 2 * right <= samples:
                found[number] = _wrongly(each, own, right)
        two_right = _sift(candidates, "options", second)
        rest = _sift(candidates, "not answerable with the document", found)
        passed = [each for each in rest.passed if each in two_right.passed]
        return Sifted(passed, [*two_right.rejected, *rest.rejected])

    def answered_blind(
        self,
        candidates: Sequence[QuestionCandidate],
        samples: int,
        on_progress: Progress = no_progress,
    ) -> Sifted:
        """Reject questions that are answered without their documents."""

        def prompt(each: QuestionCandidate, order: tuple[int, ...] | None) -> str:
            named = [self.sources.wholes[id_] for id_ in dict.fromkeys(each.document_ids)]
            return blind_prompt(each, named, order)

        replies = self._ask(self.blind, candidates, samples, prompt, on_progress)
        found = {}
        for number, (each, own) in enumerate(zip(candidates, replies, strict=True)):
            right = sum(_is_right(each, reply) for reply in own)
            if 2 * right > samples:
                found[number] = f"{right} of {samples} answers without the document are right" + (
                    LUCK if each.is_choice else ""
                )
        return _sift(candidates, "answerable without the document", found)

    def _parts(self, candidate: QuestionCandidate) -> list[Document]:
        return [self.sources.by_id[each] for each in dict.fromkeys(candidate.part_ids)]

    def _ask(
        self,
        engine: AnswerEngine,
        candidates: Sequence[QuestionCandidate],
        samples: int,
        prompt: Callable[[QuestionCandidate, tuple[int, ...] | None], str],
        on_progress: Progress,
    ) -> list[list[GateReply]]:
        """Return the replies to each candidate: choices in several orders, short answers drawn."""
        asked: list[GateCall] = []
        for number, candidate in enumerate(candidates):
            if candidate.is_choice:
                orders = option_orders(candidate, self.seed, samples)
                asked += [GateCall(number, prompt(candidate, order), order) for order in orders]
            else:
                asked.append(GateCall(number, prompt(candidate, None), None))
        choices = [each for each in asked if each.order is not None]
        shorts = [each for each in asked if each.order is None]
        total = len(choices) + samples * len(shorts)
        first = self._generate(
            engine, [each.prompt for each in choices], 1, lambda done, _: on_progress(done, total)
        )
        later = self._generate(
            engine,
            [each.prompt for each in shorts],
            samples,
            lambda done, _: on_progress(len(choices) + done, total),
        )
        replies: list[list[GateReply]] = [[] for _ in candidates]
        for each, outputs in zip([*choices, *shorts], [*first, *later], strict=True):
            replies[each.number] += [_reply(output, each.order) for output in outputs]
        return replies

    def _generate(
        self,
        engine: AnswerEngine,
        prompts: Sequence[str],
        samples: int,
        on_progress: Progress,
    ) -> list[list[Output]]:
        if not prompts:
            return []
        temperature = SAMPLED_TEMPERATURE if samples > 1 else 0.0
        decoding = Decoding(samples, temperature, self.answer_tokens, seed=self.seed)
        return engine.generate(prompts, decoding, on_progress)


def known_to_base(
    engine: AnswerEngine,
    candidates: Sequence[QuestionCandidate],
    sources: Sources,
    on_progress: Progress = no_progress,
) -> Sifted:
    """Reject questions that the base model answers closed book.

    A choice is known if the right option is the likeliest one by every normalizer, with the name of
    the document before the question and without it: a guess is likely to fail one of them.

    Raises:
        NoLikelihoods: The base model is served, and its server gives none.
    """
    choices = [each for each in candidates if each.is_choice]
    shorts = [each for each in candidates if not each.is_choice]
    options = [(each.answer, *each.wrong) for each in choices]
    prompts = [prompt for each in choices for prompt in _closed_prompts(each, sources)]
    doubled = [own for own in options for _ in range(2)]
    scored = sum(map(len, doubled))
    total = scored + len(shorts)
    scores = (
        engine.logprobs(prompts, doubled, lambda done, _: on_progress(done, total))
        if prompts
        else []
    )
    found = {}
    for number, each in enumerate(choices):
        own = scores[2 * number : 2 * number + 2]
        if all(
            _first_is_likeliest(score.normalized(name)) for score in own for name in NORMALIZERS
        ):
            found[each.id] = f"the right option is the likeliest by every measure{LUCK}"
    if shorts:
        decoding = Decoding(max_tokens=SHORT_TOKENS, stop=(SHORT_STOP,))
        asked = [short_answer_prompt(_question(each), _document(each, sources)) for each in shorts]
        outputs = engine.generate(
            asked, decoding, lambda done, _: on_progress(scored + done, total)
        )
        for each, (output,) in zip(shorts, outputs, strict=True):
            if agrees_with_any(output.text, each.answers):
                found[each.id] = f"it answers {quoted(output.text.strip(), 100)}"
    numbers = {n: found[each.id] for n, each in enumerate(candidates) if each.id in found}
    return _sift(candidates, "known to the base model", numbers)


def _first_is_likeliest(values: Sequence[float]) -> bool:
    """Return whether the right option, the first one, is likelier than all others."""
    first, *others = values
    return first > max(others)


def _closed_prompts(candidate: QuestionCandidate, sources: Sources) -> tuple[str, str]:
    named = closed_book_prompt(_question(candidate), _document(candidate, sources))
    return named, f"Question: {candidate.question}\nAnswer:"


def _question(candidate: QuestionCandidate) -> Question:
    return Question(
        candidate.id, candidate.document_ids[0], candidate.kind, candidate.question, (), ()
    )


def _document(candidate: QuestionCandidate, sources: Sources) -> Document:
    return sources.wholes[candidate.document_ids[0]]


def _reply(output: Output, order: tuple[int, ...] | None) -> GateReply:
    too_long = output.finish_reason == TOO_LONG
    if order is None:
        return GateReply((), read_answer(output.text), too_long)
    letters = read_letters(output.text, len(order))
    return GateReply(tuple(sorted(order[place] for place in letters)), None, too_long)


def _is_right(candidate: QuestionCandidate, reply: GateReply) -> bool:
    if candidate.is_choice:
        return reply.chosen == (0,)
    return reply.text is not None and agrees_with_any(reply.text, candidate.answers)


def _wrongly(candidate: QuestionCandidate, replies: Sequence[GateReply], right: int) -> str:
    """Return why a question counts as not answerable, with one wrong reply."""
    if all(reply.was_too_long for reply in replies):
        return "the document is longer than the context of the model"
    wrong = next(reply for reply in replies if not _is_right(candidate, reply))
    options = (candidate.answer, *candidate.wrong)
    said = wrong.text if not wrong.chosen else ", ".join(options[each] for each in wrong.chosen)
    shown = "no answer" if said is None else quoted(said, 100)
    return f"{right} of {len(replies)} answers with the document are right; one is {shown}"


def _sift(candidates: Sequence[QuestionCandidate], gate: Gate, reasons: dict[int, str]) -> Sifted:
    """Divide candidates by the numbers of those that have a reason."""
    passed = [each for number, each in enumerate(candidates) if number not in reasons]
    rejected = [RejectedQuestion(gate, why, candidates[number]) for number, why in reasons.items()]
    return Sifted(passed, rejected)
