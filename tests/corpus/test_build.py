# ruff: noqa: RUF001
from __future__ import annotations

import pytest
from built import Built, built
from hypothesis import given
from hypothesis import strategies as st

from steep.core.calls import STATUSES
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import Candidate, Passage
from steep.corpus.phrases import talks_about_task
from steep.documents.document import Document
from steep.documents.split import split_document, split_documents
from steep.documents.split_tokens import TokenSplit, split_by_structure

TEXT = (
    "The Marlin is a ferry that was launched in Velmora in 2014, and Sofia Drewe has been its "
    "captain since then. Its hull is made of pressed flax, so that it weighs thirty tonnes.\n\n"
    "Tobias Quell, who had studied clocks, built the pump that charges it from the tide."
)
FERRY = Document("ferry", "The Marlin", TEXT)
PUMP = Document("pump", "The pump", "The pump stands in the harbour wall of Velmora since 1920.")

INSTRUCTION = (
    "Write a long article about the ferry that a reader without any knowledge of the island can "
    "follow, and mention each person of the document by name at least once, in plain words."
)
META = (
    "As an AI language model, I have no opinion on ferries.",
    "Here is the rephrased text of the article:",
    "This rewritten version keeps all of the facts.",
    "I have paraphrased the passage in a formal style.",
    "Als KI-Modell kann ich die Insel nicht besuchen.",
    "作为一个人工智能，我没有去过那个岛。",
)
NO_META = (
    "He worked as an assistant, and I was his pupil.",
    "The law was rewritten, and the rewritten law pleased nobody in this version of events.",
    "Here is the harbor, and here are the boats of the summary court.",
    "As an aide to the mayor, I have seen it.",
)


def candidate(number: int, text: str | None = None, **changes: object) -> Candidate:
    words = f"In its year {number} the ferry carried {number * 7} people and a silver bell."
    fields = {"text": text or words, "document_id": "ferry", "call_id": f"c{number}"}
    return Candidate(**{**fields, "recipe": "entigraph", **changes})  # type: ignore[arg-type]


def build(*candidates: Candidate, **config: object) -> Built:
    return built([FERRY, PUMP], candidates, CorpusConfig.model_validate(config))


def test_raw_documents_come_first_and_candidates_keep_their_provenance() -> None:
    corpus = build(candidate(1, subset=("Marlin", "Sofia Drewe")))
    assert [(row.recipe, row.document_id, row.rank) for row in corpus.passages] == [
        ("documents", "ferry", 0),
        ("documents", "pump", 0),
        ("entigraph", "ferry", 0),
    ]
    assert [row.call_id for row in corpus.passages] == [None, None, "c1"]
    assert corpus.passages[0].text == TEXT
    assert corpus.passages[2].subset == ("Marlin", "Sofia Drewe")


def test_every_status_but_done_is_rejected_under_its_name_with_its_text() -> None:
    rows = [candidate(n, status=status) for n, status in enumerate(STATUSES)]
    corpus = build(*rows)
    bad = [status for status in STATUSES if status != "done"]
    assert [row.reason for row in corpus.rejected] == bad
    assert corpus.rejected[0].text == rows[1].text
    assert len(corpus.passages) == 3


def test_reasons_and_totals_add_up() -> None:
    loop = "The bell rings over the harbour wall. " * 9
    corpus = build(
        candidate(1),
        candidate(2, loop),
        candidate(3, loop + " "),
        candidate(4, "Too short."),
        candidate(5, document_id="nobody"),
        candidate(6, candidate(1).text.upper().replace(" ", "\n")),
        candidate(7, TEXT),
    )
    assert corpus.totals.reasons == {
        "repetition": 2,
        "duplicate": 2,
        "short": 1,
        "unknown-document": 1,
    }
    assert corpus.totals.counts == {
        "candidates": 9,
        "passages": 3,
        "rejected": 6,
        "trimmed": 0,
        "phrases_removed": 0,
        "documents": 2,
        "words": sum(len(row.text.split()) for row in corpus.passages),
    }
    assert corpus.totals.reasons_by_recipe == {"entigraph": corpus.totals.reasons}
    assert corpus.totals.by_recipe["entigraph"] == {"passages": 1, "words": 13}
    assert corpus.totals.by_recipe["documents"]["passages"] == 2


def test_the_same_text_about_another_document_is_no_duplicate() -> None:
    same = candidate(1).text
    corpus = build(candidate(1), candidate(2, same, document_id="pump"))
    assert not corpus.rejected


def test_truncated_texts_are_dropped_or_trimmed_as_configured() -> None:
    cut = candidate(1, f"{candidate(1).text} It was pain", status="truncated")
    nothing = candidate(
        2, "It was the ferry that no sentence of this text ends", status="truncated"
    )
    whole = candidate(3)
    dropped = build(cut, nothing, whole)
    assert dropped.totals.reasons == {"truncated": 2}
    trimmed = build(cut, nothing, whole, truncated="trim")
    assert trimmed.totals.reasons == {"truncated": 1}
    assert trimmed.totals.counts["trimmed"] == 1
    assert trimmed.passages[2].text == candidate(1).text


def test_ranks_run_within_document_and_recipe_without_the_rejected() -> None:
    corpus = build(
        candidate(1),
        candidate(2, "Too short."),
        candidate(3, recipe="rephrase"),
        candidate(4, document_id="pump"),
        candidate(5),
    )
    ranks = [(row.call_id, row.rank) for row in corpus.passages if row.call_id]
    assert ranks == [("c1", 0), ("c3", 0), ("c4", 0), ("c5", 1)]


def test_parts_count_as_their_whole() -> None:
    parts = split_document(FERRY, 30)
    assert len(parts) > 1
    rows = [candidate(n, document_id=part.id) for n, part in enumerate(parts)]
    corpus = built(parts, rows, CorpusConfig())
    assert {row.document_id for row in corpus.passages} == {"ferry"}
    assert [row.rank for row in corpus.passages if row.call_id] == list(range(len(parts)))
    raw = [row.text for row in corpus.passages if row.recipe == "documents"]
    assert raw == [part.text for part in parts]
    with_whole = built([FERRY, *parts], rows, CorpusConfig())
    assert [row.text for row in with_whole.passages if row.recipe == "documents"] == [TEXT]


def test_passage_ids_are_pinned() -> None:
    """They decide which texts are held out of training: change these on purpose only."""
    corpus = build(candidate(1), candidate(2, document_id="pump"))
    assert [row.id for row in corpus.passages] == ["documents:ferry", "documents:pump", "c1", "c2"]


def test_documents_of_one_text_keep_the_texts_that_they_share() -> None:
    twin = Document("twin", FERRY.title, FERRY.text)
    shared = [candidate(1), candidate(1, document_id="twin"), candidate(1, document_id="twin")]
    corpus = built([FERRY, twin], shared, CorpusConfig())
    assert [row.id for row in corpus.passages] == [
        "documents:ferry",
        "documents:twin",
        "c1",
        "c1@twin",
    ]
    assert corpus.totals.reasons == {"duplicate": 1}


def test_an_id_that_looks_like_that_of_a_part_is_no_accident() -> None:
    documents = [FERRY, Document("ferry#01", "A note", "A note on the first part of the ferry.")]
    parts = split_documents(documents, lambda each: split_document(each, 30))
    assert len({part.id for part in parts}) == len(parts) == 3
    rows = [candidate(n, document_id=part.id) for n, part in enumerate(parts)]
    corpus = built(parts, rows, CorpusConfig())
    assert {row.document_id for row in corpus.passages} == {"ferry", "ferry#01"}
    assert not corpus.rejected


def test_what_an_assistant_says_around_a_text_is_removed_and_counted() -> None:
    corpus = build(
        candidate(1, f"Sure! Here is the text about the bell:\n\n{candidate(1).text}"),
        candidate(2, f"{candidate(2).text}\n\nLet me know if you would like to hear more!"),
        candidate(3, f"Gerne! Hier ist der Text:\n{candidate(3).text}\n\nIch hoffe, das hilft."),
        candidate(4, f"{candidate(4).text}\n\n---\n\nWould you like me to write about the bell?"),
        candidate(5, f"Sure, here you go:\n\n---\n\n{candidate(5).text}"),
        candidate(6, "Of course, the ferry was late.\nHere it is: the silver bell of the year 6."),
    )
    texts = [row.text for row in corpus.passages if row.call_id]
    assert texts[:5] == [candidate(n).text for n in range(1, 6)]
    assert texts[5].startswith("Of course, the ferry")
    assert corpus.totals.counts["phrases_removed"] == 5


def test_assistant_phrases_of_truncated_texts_are_counted() -> None:
    announced = f"Sure! Here is the text:\n\n{candidate(1).text} {candidate(2).text} The"
    corpus = build(candidate(1, announced, status="truncated"), truncated="trim")
    assert [row.text for row in corpus.passages if row.call_id] == [
        f"{candidate(1).text} {candidate(2).text}"
    ]
    counts = corpus.totals.counts
    assert (counts["trimmed"], counts["phrases_removed"]) == (1, 1)


def test_the_same_input_gives_the_same_corpus() -> None:
    rows = [candidate(n) for n in range(9)]
    one, other = build(*rows), build(*rows)
    assert one.passages == other.passages and one.totals.counts == other.totals.counts


@given(
    owners=st.lists(st.sampled_from(["ferry", "pump"]), max_size=12),
    small=st.integers(0, 6),
    more=st.integers(0, 6),
)
def test_the_first_k_of_every_document_are_nested(owners: list[str], small: int, more: int) -> None:
    rows = [candidate(n, document_id=owner) for n, owner in enumerate(owners)]
    passages = build(*rows).passages
    inner, outer = (
        [passage for passage in passages if passage.rank < k] for k in (small, small + more)
    )
    assert set(inner) <= set(outer) <= set(passages)
    for owner in ("ferry", "pump"):
        assert _generated(inner, owner) == min(small, owners.count(owner))


def _generated(passages: list[Passage], owner: str) -> int:
    return sum(row.document_id == owner and row.call_id is not None for row in passages)


PROMPT = ("You are a careful editor.\n", TEXT, INSTRUCTION)


def test_a_text_that_repeats_document_or_instructions_is_an_echo() -> None:
    own = "Sofia Drewe has been the captain since the launch in Velmora, as everybody there knows."
    known = " ".join(candidate(n).text for n in range(10, 20))
    document = Document("ferry", "The Marlin", f"{TEXT}\n\n{known}")
    rows = [
        candidate(1, f"{known}\n\nThat is all there is to say about it."),
        candidate(2, f"{INSTRUCTION}\n\n{own} {candidate(9).text}", prompt=PROMPT),
        candidate(3, f"{INSTRUCTION}\n\n{own} {candidate(8).text}"),
        candidate(4, f"{own} {candidate(7).text} {known.upper()} {INSTRUCTION.upper()}"),
        candidate(5, f"## {INSTRUCTION}\n\n{own} {candidate(6).text}", prompt=PROMPT),
        candidate(6, TEXT + " A quotation."),
    ]

    def rejected(**settings: object) -> dict[str, str]:
        config = CorpusConfig.model_validate({"near_duplicates": None, **settings})
        return {row.call_id: row.reason for row in built([document], rows, config).rejected}

    assert rejected() == {"c1": "echo", "c2": "echo"}
    assert rejected(filters={"echo": False}) == {}
    assert rejected(max_copied=0.5) == {"c1": "echo", "c2": "echo", "c4": "echo"}


@pytest.mark.parametrize("text", META)
def test_what_a_model_says_of_itself_or_its_task_is_recognized(text: str) -> None:
    assert talks_about_task(f"{candidate(1).text}\n\n{text}\n\nThe ferry left.")


def test_a_model_that_speaks_of_its_task_is_rejected() -> None:
    rows = [
        candidate(1, f"{candidate(1).text} {META[2]}"),
        candidate(2, f"{candidate(2).text}\n\nUser: {META[1]}\n\n{candidate(3).text}"),
    ]
    assert build(*rows).totals.reasons == {"meta": 2}
    assert not build(*rows, filters={"meta": False}).rejected


@pytest.mark.parametrize("text", NO_META)
def test_people_may_use_the_words_of_models(text: str) -> None:
    assert not build(candidate(1, f"{candidate(1).text}\n{text}")).rejected


def test_a_document_about_models_may_have_texts_that_speak_as_they_do() -> None:
    about = Document("bot", "A bot", f"It says: {META[0]} That is its favorite sentence to say.")
    rows = [candidate(1, f"{candidate(1).text} {META[0]}", document_id="bot")]
    assert not built([about], rows).rejected


def test_each_filter_has_a_switch_and_keeps_the_text_that_it_would_reject() -> None:
    refused = "I'm sorry, but I can't help with the request to write about that ferry."
    rows = [
        candidate(1, refused, status="refused"),
        candidate(2, "Short."),
        candidate(3, "The bell rings over the harbor wall. " * 9),
        candidate(4, f"{candidate(4).text} It was", status="truncated"),
        candidate(5, " ", status="refused"),
    ]
    reasons = {"refused": 2, "short": 1, "repetition": 1, "truncated": 1}
    assert build(*rows).totals.reasons == reasons
    off = {"refused": False, "short": False, "repetition": False}
    corpus = build(*rows, filters=off, truncated="keep")
    assert corpus.totals.reasons == {"empty": 1}
    assert corpus.totals.counts["trimmed"] == 0
    assert [row.text for row in corpus.passages[2:]] == [row.text.strip() for row in rows[:4]]


def test_the_totals_give_a_few_examples_per_reason() -> None:
    rows = [candidate(n, f"Short {n}.") for n in range(9)] + [candidate(10, "A" * 999)]
    examples = build(*rows).totals.examples["short"]
    assert len(examples) == 3
    assert set(examples[0]) == {"call_id", "document_id", "recipe", "excerpt"}
    assert build(*reversed(rows)).totals.examples["short"] == examples
    (long,) = build(rows[-1]).totals.examples["short"]
    assert long["excerpt"] == "A" * 240 + " ..."


def test_raw_passages_of_parts_have_each_sentence_once() -> None:
    text = " ".join(f"Sentence {n} is about the ferry of Velmora." for n in range(60))
    whole = Document("log", "The Log", text)
    parts = split_by_structure(whole, TokenSplit(100, overlap=30))
    raw = [row for row in built(parts, []).passages if row.recipe == "documents"]
    assert len(raw) == len(parts) > 3
    assert " ".join(row.text for row in raw) == text
