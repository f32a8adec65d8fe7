from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import ACROSS, FERRY, FIRM, SHORT, SOURCES, candidate

from steep.documents.document import Document
from steep.documents.split import split_document, split_documents
from steep.evaluation.writing.candidates import (
    OPTIONS,
    QuestionCandidate,
    RejectedQuestion,
    SupportingSpan,
    candidate_of,
    option_orders,
    question_rows,
)
from steep.evaluation.writing.free_gates import (
    check_free,
    drop_duplicates,
    find_spans,
    is_duplicate,
)
from steep.evaluation.writing.sources import Sources


def spanned(each: QuestionCandidate) -> QuestionCandidate:
    (found,) = find_spans([each], SOURCES)
    assert isinstance(found, QuestionCandidate)
    return found


def failed(**fields: object) -> str | None:
    found = check_free(spanned(candidate(**fields)))
    return None if found is None else found.gate


def test_good_questions_pass() -> None:
    for each in (candidate(), SHORT, ACROSS):
        assert check_free(spanned(each)) is None
    assert failed(question="In the article “Ferries”, who built the Quillon Ferry?") is None
    assert failed(question="When did she who built the Quillon Ferry, do it?", answers=("1887",),
                  wrong=("1886", "1902", "1861")) is None  # fmt: skip


@pytest.mark.parametrize(
    "question",
    [
        "When was it discovered that prime numbers are useful?",
        "What does it mean when a harmonic series diverges?",
        "What must be broken before an operator can tamper with it?",
        "What tool do stratigraphers use to see their data in three dimensions?",
        "Which museum sells its stairs?",
        "What followed the passage of the Kansas Act?",
        "Who built the section between Bram and Tessel?",
    ],
)
def test_a_pronoun_may_stand_for_what_the_question_names(question: str) -> None:
    assert failed(question=question) is None


@pytest.mark.parametrize(
    "question",
    [
        "According to the passage, who built the Quillon Ferry?",
        "Who built the Quillon Ferry mentioned above?",
        "What does the author of this text say of the Quillon Ferry?",
        "Wer baute laut dem Text die Fähre Quillon?",
        "Selon le texte, qui a construit le bac de Quillon ?",
        "¿Quién construyó, según el texto, el transbordador Quillon?",
        "根据上文，谁建造了奎隆渡船？",  # noqa: RUF001
        "Who built it?",
        "What did he do?",
        "In which year did she leave?",
        "Why were their boats red?",
    ],
)
def test_a_question_that_points_to_its_text_does_not_stand_alone(question: str) -> None:
    assert failed(question=question) == "not standing alone"


def test_giveaways() -> None:
    long = "Edda Varnholt built it in 1887"
    assert failed(answers=(long,)) == "giveaway"
    wrong = (
        "Orla Hask of the rope makers",
        "Joren Pell the harbour master",
        "Ines Hask the old wire smith",
    )
    assert failed(wrong=wrong) == "giveaway"
    assert failed(question="Was it Edda Varnholt who built the Ferry?") == "giveaway"
    assert failed(question="Which Varnholt built the Ferry?") == "giveaway"


@pytest.mark.parametrize(
    ("question", "answer", "wrong", "gives_away"),
    [
        (
            "What does the graph isomorphism problem ask about two finite graphs?",
            "whether two finite graphs are isomorphic",
            ("whether two finite graphs are planar", "whether two finite graphs are linked",
             "whether two finite graphs are coloured"), True,
        ),
        (
            "What does the graph colouring problem ask about two finite graphs?",
            "whether two finite graphs are linked",
            ("whether two finite graphs are planar", "whether two finite graphs are isomorphic",
             "whether two finite graphs are coloured"), False,
        ),
        (
            "What is the name of the second theatre of Tessel?", "2nd Space Theatre",
            ("Star Theatre of Bram", "Old Lake Theatre", "Good Oar Theatre"), True,
        ),
        ("How many ropes broke?", "618", ("ninety-eight", "forty", "two hundred"), True),
        ("How many ropes broke?", "618", ("ninety-eight", "40", "two hundred"), False),
        ("Which Islamic party did he found?", "Jamaat-e-Islami",
         ("Islamic State of Iraq", "Tablighi Jamaat", "Muslim Brotherhood"), False),
        ("Where are the ferries built?", "Tessel Market", ("Bram Mine", "Lake Shore", "Ostrel"),
         False),
    ],
)  # fmt: skip
def test_a_right_option_of_another_form_gives_itself_away(
    question: str, answer: str, wrong: tuple[str, ...], gives_away: bool
) -> None:
    own = candidate(question=question, answers=(answer,), wrong=wrong)
    found = check_free(replace(own, spans=(SupportingSpan("quillon", 0, answer),)))
    assert (found is not None and found.gate == "giveaway") == gives_away, found


def test_any_accepted_answer_in_the_span_is_enough() -> None:
    short = spanned(replace(SHORT, answers=("The builder Varnholt", "Edda Varnholt")))
    assert check_free(short) is None


def test_options_must_be_three_wrong_and_distinct_ones() -> None:
    assert failed(wrong=("Orla Hask", "Joren Pell")) == "options"
    assert failed(wrong=("Orla Hask", "Joren Pell", "orla hask!")) == "options"
    assert failed(wrong=("Orla Hask", "Joren Pell", "Dr. Edda Varnholt")) == "options"
    assert failed(answers=("in 1887",), wrong=("1887", "1888", "1889")) == "options"


def test_spans_count_in_the_whole_document_also_where_it_was_split() -> None:
    text = "\n\n".join(f"Sentence {n} has the number {n} in it." for n in range(40))
    whole = Document("w", "Whole", text)
    sources = Sources(split_documents([whole, FIRM], lambda each: split_document(each, 60)))
    assert len(sources.parts) > 3
    for part in sources.parts[:-1]:
        quote = part.text.split("\n\n")[-1]
        span = sources.span_of(quote, part.id)
        assert span is not None and span.document_id == "w"
        assert sources.wholes["w"].text[span.start : span.start + len(span.text)] == quote


def test_a_span_must_be_in_its_own_document() -> None:
    swapped = replace(ACROSS, quotes=ACROSS.quotes[::-1])
    (found,) = find_spans([swapped], SOURCES)
    assert isinstance(found, RejectedQuestion) and found.gate == "span not in the document"
    assert {each.document_id for each in spanned(ACROSS).spans} == {"quillon", "hask"}
    joined = candidate(kind="joined", quotes=(FERRY.text[:31], "A steel rope, laid by the firm"))
    assert len(spanned(joined).spans) == 2


SUBJECTS = st.sampled_from(["Edda", "Orla", "Joren Pell", "Ines"])
ASKED = st.builds(
    lambda verb, thing, answer, kind: candidate(
        question=f"Who {verb} the {thing} of the old Quillon Ferry?", answers=(answer,), kind=kind
    ),
    st.sampled_from(["built", "painted", "sold"]),
    st.sampled_from(["hull", "rope", "red wheel"]),
    SUBJECTS,
    st.sampled_from(["choice", "joined"]),
)


@given(st.lists(ASKED, max_size=12), st.randoms(use_true_random=False), st.integers(0, 3))
def test_what_stays_of_duplicates_does_not_depend_on_their_order(
    candidates: list[QuestionCandidate], random: object, seed: int
) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    kept, gone = drop_duplicates(candidates, [], seed)
    again, _ = drop_duplicates(shuffled, [], seed)
    assert [each.id for each in kept] == [each.id for each in again]
    assert len(kept) + len(gone) == len(candidates)
    assert not any(is_duplicate(a, b) for a in kept for b in kept if a is not b)
    assert all(any(is_duplicate(e.candidate, k) for k in kept) for e in gone if e.candidate)
    assert drop_duplicates(candidates, kept, seed)[0] == []


def test_duplicates_share_an_answer_or_mirror_each_other() -> None:
    def asked(question: str, answer: str, quote: str = "") -> QuestionCandidate:
        return candidate(
            kind="short-answer", wrong=(), question=question, answers=(answer,),
            quotes=(quote or FERRY.text,),
        )  # fmt: skip

    ac = asked("What does the class AC stand for?", "Alpha Circuits")
    ip = asked("What does the class IP stand for?", "Inner Proofs")
    assert not is_duplicate(ac, ip)
    assert not is_duplicate(
        asked("In which year was AC found?", "1887"), asked("In which year was IP found?", "1887")
    )
    first = spanned(asked("Who built the Quillon Ferry?", "Edda Varnholt"))
    mirror = spanned(asked("Which ferry did Edda Varnholt build?", "the Quillon Ferry"))
    assert is_duplicate(first, mirror) and is_duplicate(mirror, first)
    models = asked("What did the boy Bram make of paper?", "models of space ships")
    vision = asked("What did the boy Bram see in dreams?", "a space ship")
    assert not is_duplicate(models, vision)
    assert not is_duplicate(
        asked("What did the boy Bram see made?", "models of space ships"),
        asked("What did the boy Bram see in dreams?", "space ships"),
    )


def test_of_duplicates_the_kind_that_is_hard_to_write_stays() -> None:
    choices = [candidate(question=f"Who {verb} the Quillon Ferry?") for verb in ("built", "BUILT")]
    joined = replace(candidate(), kind="joined", id="").identified()
    for seed in range(5):
        (kept,), gone = drop_duplicates([*choices, joined], [], seed)
        assert kept.kind == "joined" and len(gone) == 2


def test_duplicates_are_the_same_question_not_the_same_words() -> None:
    built = spanned(candidate())
    builder = spanned(candidate(question="Who was the builder of the Quillon Ferry?"))
    assert is_duplicate(built, builder)
    assert not is_duplicate(built, candidate(answers=("1887",), question="When was it built?"))
    owner = candidate(question="Who built the Hask Ferry?", answers=("Orla Hask",))
    assert not is_duplicate(built, owner)


@given(st.integers(0, 40), st.integers(0, 5))
def test_right_options_stand_under_each_letter_equally_often(number: int, seed: int) -> None:
    candidates = [candidate(question=f"Who built the ferry number {n}?") for n in range(number)]
    rows = question_rows(candidates, seed)
    letters = Counter(row["gold"] for row in rows)
    counts = [letters[place] for place in range(OPTIONS)]
    assert max(counts) - min(counts) <= 1
    for row in rows:
        assert row["options"][row["gold"]] == "Edda Varnholt"
        assert len(set(row["options"])) == OPTIONS
    assert rows == question_rows(candidates[::-1], seed)
    assert [candidate_of(row).own_id for row in rows] != [] or not rows


@given(st.integers(0, 5), st.integers(1, 9))
def test_orders_show_the_right_option_under_every_letter(seed: int, count: int) -> None:
    orders = option_orders(candidate(), seed, count)
    assert all(sorted(each) == list(range(OPTIONS)) for each in orders)
    places = Counter(each.index(0) for each in orders)
    assert len(places) == min(count, OPTIONS)
    assert max(places.values()) - min(places.get(p, 0) for p in range(OPTIONS)) <= 1


def test_a_row_gives_the_candidate_back() -> None:
    for each in (spanned(candidate()), spanned(SHORT), spanned(ACROSS)):
        (row,) = question_rows([each], 0)
        again = candidate_of(row)
        assert replace(again, wrong=(), quotes=()) == replace(each, wrong=(), quotes=())
        assert set(again.wrong) == set(each.wrong)
