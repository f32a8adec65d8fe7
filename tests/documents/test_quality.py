from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from steep.documents.quality import QualityArticle, clean_article, parse_quality
from steep.documents.reading import read_documents

TRIAL_DATA = Path(
    os.environ.get("STEEP_TRIAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
REAL_FILE = TRIAL_DATA / "quality" / "quality.htmlstripped.dev"

# The same oddities as in the real files: wrapped lines with one blank, indented paragraphs,
# emphasis between four blanks, a lost line end as seven, a leftover comment.
ARTICLE = (
    "<!-- $Id: header -->  \n\n   THE    SALT    ROAD \n\n   By \n\n   HEDDA LORN   \n\n"
    "   Korrin had walked the salt road for three days and three nights before\n he saw the"
    " lamps of Velmora—\n small and yellow.       He was too tired to be glad. \n\n"
    '   "Are you a     qualvik    ?" the keeper asked. A     qualvik    was a thief.  \n'
    '   "     No!    " he said, and the well-\n kept door opened. \n\n   THE END \n\n   '
)
CLEAN = (
    "THE SALT ROAD\n\nBy\n\nHEDDA LORN\n\n"
    "Korrin had walked the salt road for three days and three nights before he saw the"
    " lamps of Velmora—small and yellow.\n\nHe was too tired to be glad.\n\n"
    '"Are you a qualvik?" the keeper asked. A qualvik was a thief.\n\n'
    '"No!" he said, and the well-kept door opened.\n\nTHE END'
)


def question(text: str, **changes: Any) -> dict[str, Any]:
    row = {"question": text, "options": ["salt", "eel", "glass", "flax"], "gold_label": 2}
    return {**row, "difficult": 1, **changes}


def article(**changes: Any) -> dict[str, Any]:
    row = {
        "article_id": "00042",
        "title": "The Salt Road",
        "author": "Lorn, Hedda",
        "year": 1951,
        "article": ARTICLE,
        "questions": [question("What does  he carry?"), question("Why?", gold_label=4)],
    }
    return {**row, **changes}


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_odd_spacing_and_hard_wraps_become_paragraphs() -> None:
    assert clean_article(ARTICLE) == CLEAN


def read_articles(path: Path) -> list[QualityArticle]:
    return parse_quality(path.read_text(encoding="utf-8-sig"), path.name).articles


def test_html_becomes_the_same_paragraphs() -> None:
    page = "<h1>Salt</h1><p>The <i>old</i> road &amp; the new one.</p>\n<p>Four < five.<br/>So.</p>"
    assert clean_article(page) == "Salt\n\nThe old road & the new one.\n\nFour < five.\n\nSo."


def test_a_text_with_a_line_a_paragraph_is_not_rejoined() -> None:
    paragraph = "The keeper of the lamp wrote down each ship that passed, and each that did not. "
    text = f"{paragraph * 2}\n{paragraph * 3}\nShort one."
    assert clean_article(text).count("\n\n") == 2


def test_reads_questions_with_gold_counted_from_zero(tmp_path: Path) -> None:
    (tmp_path / "quality.dev").write_text(
        lines(article(questions=[question("Who?", question_unique_id="q7"), question("Why?")]))
    )
    (row,) = read_articles(tmp_path / "quality.dev")
    assert (row.article_id, row.title, row.author, row.year) == (
        "00042",
        "The Salt Road",
        "Lorn, Hedda",
        1951,
    )
    assert [item.id for item in row.questions] == ["q7", "00042-1"]
    assert row.questions[0].gold == 1
    assert row.questions[0].options[row.questions[0].gold] == "eel"
    assert row.questions[0].difficult


def test_two_question_sets_of_one_article_are_merged() -> None:
    second = article(article_id="00042", questions=[question("When?")])
    other = article(article_id="00043", title="Eels")
    articles, skipped = parse_quality(lines(article(), other, second), "x.dev")
    assert [(row.article_id, len(row.questions)) for row in articles] == [
        ("00042", 3),
        ("00043", 2),
    ]
    ids = [item.id for row in articles for item in row.questions]
    assert len(set(ids)) == 5
    assert not skipped


def test_a_withheld_answer_is_none_and_a_wrong_one_is_skipped_alone() -> None:
    withheld = question("Withheld?")
    del withheld["gold_label"]
    rows = [withheld, question("Wrong?", gold_label=5), question("None?", options=[]), "text"]
    articles, skipped = parse_quality(lines(article(questions=rows)), "x.dev")
    assert [item.gold for item in articles[0].questions] == [None]
    assert [row.source for row in skipped] == ["x.dev:1"] * 3
    assert "question 2 of 'The Salt Road': expected 'gold_label' from 1 to 4, found 5" in (
        skipped[0].reason
    )


def test_bad_articles_are_skipped_and_named() -> None:
    same_id = article(title="Another Story")
    text = lines(article(), {"title": "no article"}, article(article="  "), same_id)
    articles, skipped = parse_quality(text, "x.dev")
    assert len(articles) == 1
    assert [row.source for row in skipped] == ["x.dev:2", "x.dev:3", "x.dev:4"]
    assert "already that of 'The Salt Road'" in skipped[2].reason


@pytest.mark.parametrize("name", ["stories.dev", "stories.htmlstripped.train", "stories.jsonl"])
def test_is_recognised_by_its_keys_whatever_its_suffix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(lines(article(), article(title="Eels", article_id="00043")))
    reading = read_documents(tmp_path)
    assert [document.id for document in reading.documents] == ["00042", "00043"]
    assert reading.documents[0].text == CLEAN
    assert reading.documents[0].heading == '"The Salt Road", Hedda Lorn, 1951.'
    assert reading.documents[0].source == name


@pytest.mark.skipif(not REAL_FILE.is_file(), reason="the trial data is not on this machine")
def test_the_real_file() -> None:
    articles = read_articles(REAL_FILE)
    assert len(articles) == 6
    assert sum(len(row.questions) for row in articles) == 85
    assert all(item.gold in range(4) for row in articles for item in row.questions)
    for row in articles:
        assert 4_000 < len(row.text.split()) < 5_500
        assert "  " not in row.text
        assert row.text.count("\n") == 2 * row.text.count("\n\n")
        assert max(len(paragraph.split()) for paragraph in row.text.split("\n\n")) < 200
    assert len(read_documents(REAL_FILE).documents) == 6
