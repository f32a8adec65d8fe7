from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.evaluation.writing.agreement import agrees, makes_right
from steep.evaluation.writing.spans import locate


@pytest.mark.parametrize(
    ("reply", "accepted"),
    [
        ("house of orleans", "the House of Orleans"),
        ("Dr. Edda Varnholt", "Edda Varnholt"),
        ("Varnholt", "Edda Varnholt"),
        ("It was built by Edda Varnholt in 1887", "Edda Varnholt"),
        ("12,000", "12000"),
        ("12 000 marks", "12,000 marks"),
        ("Beethoven", "Ludwig van Beethoven"),
        ("eleven minutes", "11 minutes"),
        ("11", "eleven minutes"),
        ("12 percent", "12%"),
        ("the 4th of May 1874", "May 4, 1874"),
        ("4. Mai 1874", "1874-05-04"),
        ("4 mai 1874", "4 May 1874"),
        ("on 4 May 1874", "1874"),
        ("1861-1940", "1861 to 1940"),
        ("第一次世界大战", "世界大战"),
        ("der Fährmann", "Fährmann"),
        ("Queen Anne", "Anne"),
        ("third", "3rd"),
    ],
)
def test_the_same_answer_agrees(reply: str, accepted: str) -> None:
    assert agrees(reply, accepted)


@pytest.mark.parametrize(
    ("reply", "accepted"),
    [
        ("House of Orleans", "House of Guise"),
        ("House of", "House of Guise"),
        ("1874", "4 May 1874"),
        ("5 May 1874", "4 May 1874"),
        ("1887 and 1902", "1887"),
        ("Edda Varnholt or Orla Hask", "Edda Varnholt"),
        ("not Edda Varnholt", "Edda Varnholt"),
        ("12", "13 minutes"),
        ("barge", "a grain barge"),
        ("Edda", "Edda Varnholt"),
        ("Orla Hask", "Ines Hask"),
        ("France", "King of France"),
        ("12.5", "125"),
        ("", "Edda"),
        ("the", "a boat"),
        ("Orleans", "Duke of Orleans"),
        ("May 1874", "4 May 1874"),
    ],
)
def test_another_answer_does_not_agree(reply: str, accepted: str) -> None:
    assert not agrees(reply, accepted)


@pytest.mark.parametrize(
    ("option", "right", "is_right"),
    [
        ("NP", "NP-complete", False),
        ("red", "dark red", False),
        ("House of Orleans", "House of Guise", False),
        ("4 May 1874", "1874", False),
        ("1874", "4 May 1874", True),
        ("in 1887", "1887", True),
        ("Varnholt", "Edda Varnholt", True),
        ("11", "eleven minutes", True),
        ("more than 200", "more than 600", True),
        ("more than 900", "more than 600", False),
        ("at most 900", "600", True),
        ("less than 900", "more than 600", False),
        ("weniger als 90", "weniger als 60", True),
    ],
)
def test_an_option_beside_the_right_one_may_be_right_too(
    option: str, right: str, is_right: bool
) -> None:
    assert makes_right(option, right) == is_right


@given(st.text(max_size=40), st.text(max_size=40))
def test_agreement_takes_any_text_and_an_answer_agrees_with_itself(one: str, other: str) -> None:
    agrees(one, other)
    makes_right(one, other)
    assert agrees(one, one) or not any(map(str.isalnum, one)) or "".join(one.split()) != one


TEXT = (
    "It rained.\n\nThe **old** rope \u2013 laid by\n“Hask & Daughters” \u2013 broke in May. "
    "Then:\tsun."
)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ('The old rope - laid by "Hask & Daughters" - broke in May.', TEXT[12:-11]),
        ("'laid by “Hask & Daughters'", "laid by\n“Hask & Daughters"),
        ("it RAINED", "It rained."),
        ("Then: sun...", "Then:\tsun."),
    ],
)
def test_a_quotation_is_found_whatever_its_marks(quote: str, found: str) -> None:
    span = locate(quote, TEXT)
    assert span is not None and TEXT[span.start : span.end] == found


@pytest.mark.parametrize("quote", ["The new rope", "rope broke", "", "...", "rained. Then"])
def test_a_changed_quotation_is_not_found(quote: str) -> None:
    assert locate(quote, TEXT) is None


@given(st.text(max_size=60), st.data())
def test_any_piece_of_a_text_is_found_in_it(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    span = locate(text[start:end], text)
    if span is not None:
        assert 0 <= span.start < span.end <= len(text)
    if any(map(str.isalpha, text[start:end])) and text.isascii() and text.isprintable():
        assert span is not None and span.start <= end
