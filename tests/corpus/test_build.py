from __future__ import annotations

from built import Built, built
from hypothesis import given
from hypothesis import strategies as st

from steep.core.calls import STATUSES
from steep.corpus.config import CorpusConfig
from steep.corpus.passage import Candidate, Passage
from steep.documents.document import Document
from steep.documents.split import split_document, split_documents

TEXT = (
    "The Marlin is a ferry that was launched in Velmora in 2014, and Sofia Drewe has been its "
    "captain since then. Its hull is made of pressed flax, so that it weighs thirty tonnes.\n\n"
    "Tobias Quell, who had studied clocks, built the pump that charges it from the tide."
)
FERRY = Document("ferry", "The Marlin", TEXT)
PUMP = Document("pump", "The pump", "The pump stands in the harbour wall of Velmora since 1920.")


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
    parts = split_documents(documents, 30)
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
