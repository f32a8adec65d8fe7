from __future__ import annotations

from steep.documents.names import invented_share, proper_names, words_of

TEXT = (
    "Velmora is a town on Korrin Island. The green lighthouse was built by Tobias Quell. Every "
    "October the firm Brandt & Osk pays. Visitors come from the Academy of Dunmarrow to Heron "
    "Street, where a white heron stands."
)


def test_names_are_found_without_sentence_openers() -> None:
    assert proper_names(TEXT) == (
        "Korrin Island",
        "Tobias Quell",
        "October",
        "Brandt & Osk",
        "Academy of Dunmarrow",
        "Heron Street",
    )


def test_a_single_word_that_opens_a_sentence_counts_only_if_it_stands_elsewhere() -> None:
    assert "Velmora" not in proper_names("Velmora is a town.")
    assert "Velmora" in proper_names("Velmora is a town. People like Velmora.")


def test_invented_share_counts_distinct_names_and_numbers() -> None:
    source = words_of("Tobias Quell was born in Pell in 1838.")
    assert invented_share("In Pell, Tobias Quell was born in 1838.", source) == 0.0
    assert invented_share("It was Tobias Quell of Elba, born 1840.", source) == 0.5
    assert invented_share("nothing of that kind", source) == 0.0
