from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.documents.blocks import blocks_of
from steep.documents.structure import path_of, sections_of

PAGE = """\
# Handbook

Hours are flexible.

## 3 Leave

### 3.2 *Parental* leave
Twelve weeks.
- apply early
  in writing

  to the office

| who | weeks |
|-----|------:|
| all | 12 |

```sh
# no heading
```

> quoted

    # code, too

Annex
=====
<!--
# neither
-->
1. first

2. second
"""

LINES = [
    "# One", "## Two", "### Two #", "Under", "====", "---", "text", "- item", "  more", "1. one",
    "```", "~~~py", "    code", "> quote", "| a | b |", "|---|---|", "<!--", "-->", "", "", "\t",
    "2.1 Scope", "2.2 Hours", "CHAPTER IV", "第三章 海", "#", "####### seven", "\u2028",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(LINES), max_size=40).map("\n".join)


def test_each_kind_of_block_is_recognized() -> None:
    found = [(block.kind, block.level, block.title) for block in blocks_of(PAGE)]
    assert found == [
        ("heading", 1, "Handbook"),
        ("paragraph", 0, ""),
        ("heading", 2, "3 Leave"),
        ("heading", 3, "3.2 Parental leave"),
        ("paragraph", 0, ""),
        ("list", 0, ""),
        ("table", 0, ""),
        ("code", 0, ""),
        ("quote", 0, ""),
        ("code", 0, ""),
        ("heading", 1, "Annex"),
        ("paragraph", 0, ""),
        ("list", 0, ""),
    ]


@given(TEXTS)
def test_blocks_and_sections_cover_the_text_exactly(text: str) -> None:
    blocks, sections = blocks_of(text), sections_of(text)
    assert "".join(text[block.start : block.end] for block in blocks) == text
    assert "".join(text[each.start : each.end] for each in sections) == text
    assert all(block.start < block.end for block in blocks)
    headings = [block for block in blocks if block.kind == "heading"]
    assert [block.title for block in headings] == [each.path[-1] for each in sections if each.level]


@given(TEXTS)
def test_a_path_is_above_all_of_its_text(text: str) -> None:
    sections = sections_of(text)
    for first in sections:
        for last in (each for each in sections if each.start >= first.start):
            path = path_of(sections, first.start, last.end)
            inside = [each for each in sections if first.start <= each.start < last.end]
            with_text = [each for each in inside if each.body < each.end]
            assert all(each.path[: len(path)] == path for each in with_text)


def test_paths_are_those_of_the_headings_above() -> None:
    sections = sections_of(PAGE, "handbook")
    assert [each.path for each in sections] == [
        (),  # the title of the document adds nothing
        ("3 Leave",),
        ("3 Leave", "3.2 Parental leave"),
        ("Annex",),
    ]
    weeks = PAGE.index("Twelve")
    assert path_of(sections, weeks, weeks + 5) == ("3 Leave", "3.2 Parental leave")
    assert path_of(sections, PAGE.index("## 3"), weeks + 5) == ("3 Leave", "3.2 Parental leave")
    assert path_of(sections, weeks, PAGE.index("second")) == ()


@pytest.mark.parametrize(
    ("lines", "headings"),
    [
        (["1 Introduction", "Text.", "1.1 Scope", "Text.", "2 Methods"], [0, 2, 4]),
        (["2.2. Hours", "Text.", "2.3. Leave", "Text."], [0, 2]),  # an excerpt
        (["CHAPTER IV", "Text.", "Kapitel 5: Das Meer", "Глава 2", "第三章 海"], [0, 2, 3, 4]),
        (["PART TWO of the story is told by Ann.", "Chapter and verse"], []),
        (["12 Angry Men", "Text.", "3 Musketeers"], []),  # no sequence
        (["1 Introduction", "Text."], []),  # a single number is not certain
        (["1.5 million people live here.", "2.5 million lived here."], []),
        (["1 apple", "2 pears"], []),
        (["# Markdown", "1 Introduction", "1.1 Scope"], [0]),  # its headings are enough
    ],
)
def test_headings_of_plain_text_are_those_that_are_certain(
    lines: list[str], headings: list[int]
) -> None:
    blocks = blocks_of("\n\n".join(lines))
    assert [place for place, block in enumerate(blocks) if block.kind == "heading"] == headings


def test_numbers_say_how_headings_are_nested() -> None:
    lines = ["CHAPTER 1", "1 Leave", "1.1 Hours", "1.1.1 Nights", "1.2 Pay", "CHAPTER 2"]
    sections = sections_of("\n\n".join(f"{line}\n\nText." for line in lines))
    assert [len(each.path) for each in sections] == [1, 2, 3, 4, 3, 1]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("## C#", "C#"),
        ("## Two ##", "Two"),
        ("# [Pump](x.md) `v2`", "Pump v2"),
        ("# A <!-- b -->", "A"),
        ("# f\\_x \\*", "f_x *"),
    ],
)
def test_the_title_of_a_heading_has_no_marks(line: str, title: str) -> None:
    assert [block.title for block in blocks_of(line)] == [title]


@pytest.mark.parametrize(
    "line", ["<!--\n\n", "# " + "#" * 500 + "x\n", "- " * 500 + "\n", "|" + " " * 999 + "\n"]
)
def test_hostile_texts_take_no_longer_than_others(line: str) -> None:
    """Doubling a text may not take much more than twice as long."""
    import time

    def seconds(times: int) -> float:
        began = time.process_time()
        blocks_of(line * times)
        return time.process_time() - began

    seconds(10)
    assert seconds(2000) < 8 * seconds(1000) + 0.1
