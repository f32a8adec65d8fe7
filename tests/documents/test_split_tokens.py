from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.token_counts import approximate_tokens
from steep.documents.document import Document
from steep.documents.split import whole_documents
from steep.documents.split_tokens import TokenSplit, split_by_structure

SENTENCE = "The keeper wrote the name of Mr. Osk in his book at noon."


def split(text: str, tokens: int, overlap: int = 0, title: str = "Salt") -> tuple[Document, ...]:
    document = Document("salt", title, text, "Lorn, Hedda", metadata={"reader": "markdown"})
    return split_by_structure(document, TokenSplit(tokens, overlap))


def prose(sentences: int) -> str:
    return " ".join([SENTENCE] * sentences)


def section(heading: str, sentences: int) -> str:
    return f"{heading}\n\n{prose(sentences)}"


HANDBOOK = "\n\n".join(
    [
        section("# Handbook", 2),
        section("## 3 Leave", 2),
        section("### 3.1 Annual leave", 12),
        section("### 3.2 Parental leave", 12),
        section("## 4 Hours", 12),
    ]
)


def test_parts_are_sections_and_know_the_titles_above_them() -> None:
    parts = split(HANDBOOK, 260, title="Handbook")
    assert [part.full_title for part in parts] == [
        "Handbook",
        "Handbook > 3 Leave > 3.2 Parental leave",
        "Handbook > 4 Hours",
    ]
    assert [part.text.partition("\n")[0] for part in parts] == [
        "# Handbook",
        "### 3.2 Parental leave",
        "## 4 Hours",
    ]
    assert parts[1].heading == '"Handbook > 3 Leave > 3.2 Parental leave", Hedda Lorn.'
    assert {part.metadata["reader"] for part in parts} == {"markdown"}


def test_a_document_that_fits_stays_itself() -> None:
    (part,) = split(HANDBOOK, approximate_tokens(HANDBOOK))
    assert (part.id, part.whole_id, part.full_title) == ("salt", "salt", "Salt")


def test_paragraphs_are_cut_only_if_they_are_too_large_alone() -> None:
    parts = split("\n\n".join([prose(10), prose(10), prose(40), prose(3)]), 200)
    assert [len(part.text) for part in parts[:2]] == [len(prose(10))] * 2
    assert all(part.text.endswith("at noon.") for part in parts)


def test_chinese_is_cut_between_sentences() -> None:
    parts = split("渡船每天四次从维尔莫拉开往佩尔镇。船长在这条航线上工作了十年。" * 20, 100)
    assert len(parts) > 4 and all(part.text.endswith("。") for part in parts)


def test_a_table_that_is_cut_repeats_its_head() -> None:
    head = "| name | weeks |\n|---|---|\n"
    rows = "".join(f"| worker number {n} | {n} |\n" for n in range(60))
    parts = split(f"# Leave\n\n{prose(3)}\n\n{head}{rows}\n{prose(3)}", 120)
    tables = [part for part in parts if "worker" in part.text]
    assert len(tables) > 2
    for part in tables:
        assert part.text.count(head.strip()) == 1
        found = re.findall(r"^\|.*$", part.text, re.MULTILINE)
        assert all(line.endswith("|") for line in found)
    assert all(part.text.startswith(head) for part in tables[1:])
    own = "".join(part.own_text + "\n" for part in parts)
    assert re.findall(r"number (\d+)", own) == [str(n) for n in range(60)]


def test_parts_begin_without_white_space_but_code_keeps_its_indentation() -> None:
    parts = split("\n\n".join(f" {prose(9)}" for _ in range(4)).strip(), 150)
    assert all(part.text.startswith("The keeper") for part in parts)
    parts = split("Code:\n\n" + "\n".join(f"    value_{n} = {n}" for n in range(90)), 100)
    assert all(part.text.startswith("    value") for part in parts[1:])


def test_code_that_is_cut_is_cut_between_lines_and_fenced_again() -> None:
    lines = [f"value_{n} = compute({n})" for n in range(100)]
    parts = split("```python\n" + "\n".join(lines) + "\n```", 100)
    assert all(part.text.startswith("```python\n") for part in parts)
    assert parts[-1].text.endswith("\n```")
    assert re.findall(r"^value_.*\)$", "\n".join(p.own_text for p in parts), re.MULTILINE) == lines


def test_an_overlap_repeats_sentences_and_is_not_own_text() -> None:
    numbered = [f"Sentence {n} of the story is here." for n in range(100)]
    parts = split(" ".join(numbered), 120, overlap=25)
    for before, part in pairwise(parts):
        repeated = part.text.removesuffix(part.own_text).strip()
        assert 0 < approximate_tokens(repeated) <= 25
        assert repeated.startswith("Sentence") and before.text.endswith(repeated)
    assert " ".join(part.own_text for part in parts) == " ".join(numbered)


def test_nothing_overlaps_a_heading() -> None:
    parts = split(HANDBOOK, 260, overlap=50)
    starts = [part for part in parts if part.own_text.startswith("#")]
    assert len(starts) > 2 and all(part.own_start == 0 for part in starts)


BLOCKS = st.sampled_from(
    [
        "# One",
        "## Two",
        "### Three",
        prose(1),
        prose(9),
        "x" * 900,
        "- item\n- other item\n  more of it\n" * 9,
        "| a | b |\n|---|---|\n" + "| some cell | another cell |\n" * 20,
        "```\nprint(1)\n\nprint(2)\n" + "print(3)\n" * 40 + "```",
        "    indented\n" * 30,
        "渡船每天四次开往佩尔镇。" * 12,
        "> quoted line\n" * 20,
    ]
)
GAPS = st.sampled_from(["\n\n", "\n", "\n\n\n", "\n \n"])


@given(
    text=st.lists(st.tuples(BLOCKS, GAPS), min_size=1, max_size=12).map(
        lambda some: "".join(block + gap for block, gap in some).strip()
    ),
    tokens=st.sampled_from([50, 80, 200]),
    share=st.sampled_from([0, 4, 2]),
)
def test_parts_fit_and_give_back_the_whole(text: str, tokens: int, share: int) -> None:
    parts = split(text, tokens, tokens // share if share else 0)
    assert all(approximate_tokens(part.text) <= tokens for part in parts)
    assert all(part.own_text.strip() for part in parts)
    assert len({part.id for part in parts}) == len(parts)
    assert whole_documents(parts)["salt"].text == text
    assert all(part.text.endswith(part.own_text) for part in parts)


@pytest.mark.parametrize("extra", range(1, 20, 3))
def test_parts_of_prose_are_about_equal(extra: int) -> None:
    parts = split("\n\n".join([prose(2)] * (40 + extra)), 200)
    sizes = [approximate_tokens(part.text) for part in parts]
    assert max(sizes) < 2 * min(sizes)
