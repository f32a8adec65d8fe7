"""Names are found in the forms in which their language writes them."""

# ruff: noqa: RUF001
from __future__ import annotations

import unicodedata

import pytest

from steep.core.words import words_of
from steep.documents.mentions import mention_index

GERMAN = (
    "Die Lotsen von Velmora wohnten am Ufer des Heronsees, und das Salz der Fischern war teuer. "
    "Die Gezeitenpumpe des alten Quells lief seit dem Winter, und man hörte sie bis Dunmarrow."
)
RUSSIAN = "Маяк в Вельморе построила Ильза Марренд. Старым маяком гордятся рыбаки Ильзы."
ARABIC = "\u0648\u0635\u0644\u062a \u0627\u0644\u0633\u0641\u064a\u0646\u0629 \u0625\u0644\u0649"
HEBREW = (
    "\u05d4\u05e1\u05e4\u05d9\u05e0\u05d4 \u05e0\u05db\u05e0\u05e1\u05d4 \u05dc\u05e0\u05de\u05dc"
)


@pytest.mark.parametrize(
    ("text", "name", "found"),
    [
        (GERMAN, "Heronsee", True),
        (GERMAN, "der Fischer", True),
        (GERMAN, "Pumpe", True),  # the end of a compound
        (GERMAN, "Quell", True),
        (GERMAN, "See", False),
        (GERMAN, "Korrain", False),
        (RUSSIAN, "Вельмора", True),
        (RUSSIAN, "Старый маяк", True),
        (RUSSIAN, "Марренд Ильза", False),
        (RUSSIAN, "Коррен", False),
        ("벨모라는 항구이고 소피아 드루가 선장이다. Marlin은 배이다.", "소피아 드루", True),
        ("벨모라는 항구이고 소피아 드루가 선장이다. Marlin은 배이다.", "Marlin", True),
        ("벨모라는 항구이고 소피아 드루가 선장이다. Marlin은 배이다.", "코라", False),
        ("维尔莫拉是一个港口，灯塔由伊尔莎·马伦德建造。", "马伦德", True),
        ("维尔莫拉是一个港口，灯塔由伊尔莎·马伦德建造。", "伊尔莎·马伦德", True),
        ("维尔莫拉是一个港口，灯塔由伊尔莎·马伦德建造。", "德建港", False),
        ("เรือข้ามฟากออกจากท่าเรือเวลโมรา", "ท่าเรือ", True),
        ("เรือข้ามฟากออกจากท่าเรือเวลโมรา", "ภูเขา", False),
        (ARABIC, "\u0633\u0641\u064a\u0646\u0629", True),
        (ARABIC, "\u0645\u064a\u0646\u0627\u0621", False),
        (HEBREW, "\u05e0\u05de\u05dc", True),
        (HEBREW, "\u05d9\u05dd\u05d9\u05dd", False),
        (unicodedata.normalize("NFD", "Le phare d'Éloïse Béranger"), "Éloïse Béranger", True),
        ("The light-\nhouse of the Old-\nCandle.", "lighthouse", True),
        ("The light-\nhouse of the Old-\nCandle.", "Old Candle", True),
        ("Soft\u00adhyphen and zero\u200bwidth", "softhyphen", True),
        ("The pilots of Velmora work in C++ and C#.", "C++", True),
        ("The pilots of Velmora work in C++ and C#.", "C", False),
        ("The pilots of Velmora were here and had the salt.", "pilot", False),  # English: as it is
    ],
)
def test_a_name_is_found_in_the_forms_of_its_language(text: str, name: str, found: bool) -> None:
    assert bool([*mention_index(text).find([name])]) is found


def test_a_sentence_is_no_name_in_any_script() -> None:
    name = "伊尔莎·马伦德的旧灯塔"
    assert [*mention_index(name).find([name])]
    for text in (
        "渡船每天四次从维尔莫拉开往佩尔镇，它的电池由安装在旧港口墙里的机器充电",
        "one two three four five six seven eight nine",
    ):
        index = mention_index(text)
        assert not [*index.find([text])] and index.mentions(tuple(words_of(text)))
