# ruff: noqa: E501, RUF001
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.corpus.config import CorpusConfig
from steep.corpus.filters import Source, SourceLanguage, first_failed_filter, source_language
from steep.corpus.repetition import has_loop, repetition_share
from steep.documents.language import detect_language
from steep.documents.names import words_of
from steep.documents.sentences import trim_to_sentence

ESSAY = """## The ferry and the tide pump

The Marlin crosses from Velmora to Pell four times a day, and its batteries are charged by the
machine that Tobias Quell built into the old harbour wall. Quell had studied clocks, not ships,
and his first pump lifted so little water that the fishermen called it the teaspoon.

Sofia Drewe, the captain, tells it differently. In her account the pump failed only because Brandt
& Osk had delivered the wrong valve; when the right one came, in March, the wheel turned at once.
Both stories agree on one point: without the tide there would be no ferry."""

NAMES = (
    "Velmora, Katrin Brandt, Emil Osk, Anton Reyve, Sofia Drewe, Ilsa Marrend, Tobias Quell, "
    "Hedda Lorn, Dunmarrow, Korrain, Old Candle, Grey Shoals, Pell, Linden Hill, Lantern Regatta"
)

LIST = """**Implications:**

1. The ferry depends on the tide, because the tide drives the pump that charges it.
2. The ferry depends on the pump, so that a broken valve stops the ferry too.
3. The harbour wall carries more than one machine.
4. Tobias Quell was not trained as a naval engineer.
5. The harbour wall belongs to the town, and so does the tide pump."""

DIALOGUE = """"Is she late?" asked Emil.

"She is never late," said Katrin. "She is never late, and she is never early."

"Then the tide is wrong."

"The tide is never wrong," said Katrin, and looked at the clock again."""

QUESTIONS = """Question 1: Who built the pump?
Answer 1: Tobias Quell built the pump.

Question 2: What did Quell study?
Answer 2: He studied clocks.

Question 3: Who is the captain of the ferry?
Answer 3: The captain of the ferry is Sofia Drewe."""

# One passage told three times, each time in other words around the same facts: not a loop.
RETOLD = "\n".join(
    f"{number}. {opening} on the north coast of Korrain Island and was founded by the salt trader "
    f"Ilsa Marrend, {middle} its lighthouse, the Old Candle, is lit by a lens from Dunmarrow, and "
    "its fishermen smoke eels over flax. Every October the Lantern Regatta starts below the wall, "
    f"{end} The town gave a silver bell to the crew of the Marlin after the storm of 2018, when "
    "eleven men were taken off the Grey Shoals, and the bell hangs in the museum on Linden Hill."
    for number, (opening, middle, end) in enumerate(
        [
            ("Velmora is a port", "who paid for it in eels;", "and the ferry leads the boats."),
            ("The port of Velmora lies", "a widow from Korra;", "a race that Sofia Drewe won."),
            ("Far up, Velmora stands", "as its charter tells;", "with sails of red and white."),
        ],
        start=1,
    )
)

FRENCH = (
    "La ville de Velmora est un port de la côte nord de l'île de Korrain, connue pour son phare, "
    "que fit bâtir une marchande de sel, et pour ses anguilles fumées que l'on vend en octobre."
)

ENGLISH = source_language([ESSAY])
CONFIG = CorpusConfig()


def failed_filter(text: str, source: SourceLanguage = ENGLISH) -> str | None:
    return first_failed_filter(text, Source(source, frozenset()), CONFIG)


@pytest.mark.parametrize("text", [ESSAY, NAMES, LIST, DIALOGUE, QUESTIONS, RETOLD])
def test_sound_texts_pass(text: str) -> None:
    assert failed_filter(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \n\n--- * \n", "empty"),
        ("I'm sorry, but I can't help with writing about the ferry today.", "refused"),
        ("The pump works.", "short"),
        (FRENCH, "language"),
        (
            ESSAY + "\n\n这台水泵由托比亚斯建造。它安装在古老的港口墙内。每天为渡轮充电四次。" * 2,
            "language",
        ),
    ],
)
def test_the_first_objection_names_the_reason(text: str, reason: str) -> None:
    assert failed_filter(text) == reason


SENTENCE = "The relation between the pump and the tide is a testament to the town's spirit."


@pytest.mark.parametrize(
    "text",
    [
        " ".join([SENTENCE] * 6),
        ESSAY + "\n\n" + "\n".join([SENTENCE] * 8),
        "\n".join(f"{n}. {row}" for n, row in enumerate([*LIST.split("\n")[2:]] * 3, start=1)),
        ESSAY + " and so on" * 40,
        "\n\n".join([ESSAY] * 3),
        "Question 1: " + "1. " * 200,
        "The engine went " + "ha" * 60 + " and it stopped in the middle of the crossing.",
    ],
    ids=["sentence", "lines", "numbered list", "tail", "copied text", "numbers", "characters"],
)
def test_loops_are_rejected_as_repetition(text: str) -> None:
    assert failed_filter(text) == "repetition"


def test_a_rule_or_a_table_is_no_loop() -> None:
    table = "| Ship | Year |\n|------|------|\n| Marlin | 2014 |\n| Heron | 1998 |\n" + "=" * 80
    assert not has_loop(table)
    assert repetition_share(table) == 0


# True contents of technical documents, whose rows, signs and frames repeat.
FRAMED = {
    "table": "The load by year:\n\n| Year | Rope | Load |\n|---|---|---|\n"
    + "\n".join(f"| {1900 + n} | pressed flax | {n * 7} |" for n in range(30)),
    "matrix": "These are the transfers between the quays of Velmora:\n"
    + "\n".join("0 " * 12 + str(n) + " 0" * 12 for n in range(6)),
    "catalogue": "\n".join(
        f"Bolt {n} has a hexagonal head of {metal}, and it costs {n % 7} marks for each piece."
        for n, metal in enumerate(["brass", "steel", "zinc", "bronze"] * 4)
    ),
    "parameters": "\n".join(
        f"- {name}: the {name} of the line that is tested. The default is read from the file."
        for name in ("length", "load", "age", "color", "lot", "maker")
    ),
    "refrain": "\n\n".join(
        f"{verse}\nOh, the bell, the silver bell, it rings below the wall of Pell."
        for verse in (
            "The Marlin left at break of day with salt and eels for Korra bay,",
            "The keeper lit the lamp at noon and swore that she would come back soon,",
            "Eleven men were on the shoal when from the fog they heard it toll,",
        )
    ),
    "code": "The pump is controlled by this:\n\n```\n"
    + "\n".join(f"if level > {n}:\n    open(valve={n})\n    return {n}" for n in range(12))
    + "\n```",
    "address": "The log of the ferry is kept at https://velmora.example/a/a/a/a/a/a/a/a/a/a/a/log.",
    "gene": "The eel of Velmora is known by the repeat CAGCAGCAGCAGCAGCAGCAGCAGCAGCAGCAGCAGCAGCAG "
    "in its genome, which the laboratory at Pell has counted in forty of them.",
    "cry": "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaah, cried the keeper of the Old Candle, and all "
    "of Velmora heard it through the fog.",
    "formula": "The stress is diagonal, as $$\\mathrm{diag}(0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1)$$ "
    "tells the reader of the report on the wall.",
}


@pytest.mark.parametrize("text", FRAMED.values(), ids=FRAMED)
def test_tables_code_and_lists_with_a_frame_are_no_loops(text: str) -> None:
    assert first_failed_filter(text, Source(source_language([text]), frozenset()), CONFIG) is None


@pytest.mark.parametrize(
    "text",
    [
        "| Ship | Year |\n|---|---|\n" + "| Marlin | 2014 |\n" * 40,
        "The steps:\n\n```\n" + "open(valve)\n" * 40 + "```",
        ESSAY + "\n\n" + "ha" * 120,
        "渡船很慢，但是很安全。" * 12,
    ],
    ids=["rows", "code", "endless word", "Chinese"],
)
def test_loops_of_rows_and_characters_are_rejected(text: str) -> None:
    assert first_failed_filter(text, Source(source_language([text]), frozenset()), CONFIG) == (
        "repetition"
    )


def test_headings_that_the_prompt_demands_make_no_text_foreign() -> None:
    russian = (
        "Паром ходит из Вельморы в Пелль четыре раза в день, и его ждут рыбаки на берегу. " * 2
    )
    text = f"### What the ferry says in relation to the pump\n\n{russian[:80]}"
    assert failed_filter(text, source_language([russian])) is None
    assert failed_filter(ESSAY, source_language([russian])) == "language"


def test_short_is_counted_by_characters_where_there_are_no_blanks() -> None:
    chinese = source_language(["渡船每天四次从维尔莫拉开往佩尔镇。" * 3])
    assert failed_filter("渡船每天四次从维尔莫拉开往佩尔镇。", chinese) is None
    assert failed_filter("渡船很慢。", chinese) == "short"


@given(st.text(alphabet="ab 1.-\n\u4e00", max_size=400))
def test_the_share_is_a_share_of_any_text(text: str) -> None:
    assert 0 <= repetition_share(text) <= 1


def test_language_needs_a_long_text_and_a_clear_case() -> None:
    assert detect_language(ESSAY) == "en"
    assert detect_language(FRENCH) == "fr"
    assert detect_language(FRENCH[:60]) is None
    assert detect_language(NAMES) is None


def test_a_source_in_another_language_makes_english_the_foreign_one() -> None:
    assert failed_filter(ESSAY, source_language([FRENCH])) == "language"
    assert failed_filter(FRENCH, source_language([FRENCH])) is None


def test_an_unclear_source_language_accuses_nobody() -> None:
    assert failed_filter(FRENCH, source_language([NAMES])) is None
    assert failed_filter(FRENCH, source_language([""])) is None


def test_the_language_check_can_be_switched_off() -> None:
    off = CorpusConfig.model_validate({"filters": {"language": False}})
    assert first_failed_filter(FRENCH, Source(ENGLISH, frozenset()), off) is None


@pytest.mark.parametrize(
    ("text", "trimmed"),
    [
        ("The tide rose. The ferry left. Then the", "The tide rose. The ferry left."),
        ('He said: "It is late." She said: "Mr. Osk', 'He said: "It is late."'),
        ("The tide rose.\n\n## What fol", "The tide rose."),
        ("Facts:\n\n1. The tide rose.\n2. The ferry left.\n3. Th", None),
        ("- salt from Korra\n- eels from Pell\n- gla", "- salt from Korra\n- eels from Pell"),
        ("It rose.\n\n**Part two:**\n\n1. The", "It rose."),
        ("All of it is whole.", "All of it is whole."),
        ("no sentence ever ends he", ""),
        ("", ""),
    ],
)
def test_trimming_leaves_whole_sentences_and_items(text: str, trimmed: str | None) -> None:
    expected = "Facts:\n\n1. The tide rose.\n2. The ferry left." if trimmed is None else trimmed
    assert trim_to_sentence(text) == expected


def test_a_text_full_of_strange_names_is_rejected_when_asked() -> None:
    source = Source(ENGLISH, words_of("Tobias Quell built the Old Candle at Velmora in 1867."))
    strict = CONFIG.model_copy(update={"max_invented": 0.25})
    faithful = "The Old Candle at Velmora was finished by Tobias Quell, an engineer, in 1867."
    strange = "The lamp of Elba was finished by Tobias Quell for the Duke of Savoy in 1923."
    assert first_failed_filter(faithful, source, strict) is None
    assert first_failed_filter(strange, source, strict) == "invented"
    assert first_failed_filter(strange, source, CONFIG) is None
