"""Documents of many languages go from the list of entities to passages, with recorded answers."""

# ruff: noqa: E501, RUF001
from __future__ import annotations

import json
import unicodedata
from typing import NamedTuple

import pytest
from built import built

from steep.corpus.config import CorpusConfig
from steep.corpus.passage import Candidate
from steep.documents.document import Document
from steep.documents.language import detect_language, document_language
from steep.documents.split import split_document
from steep.recipes.entigraph import EntiGraphOptions, entigraph
from steep.recipes.recipe import Writer


class Recorded(NamedTuple):
    """A document, what a generator listed of it, and what it wrote about a pair."""

    code: str
    asked: str
    title: str
    text: str
    summary: str
    entities: tuple[str, ...]
    said: str  # about {a} and {b}


RECORDED = {
    "Chinese": Recorded(
        "zh",
        "Chinese",
        "维尔莫拉的灯塔",
        "维尔莫拉是科兰岛北岸的港口。盐商伊尔莎·马伦德建造了旧烛灯塔，透镜来自丹马罗。"
        "渡船“马林号”每天四次开往佩尔镇，船长是索菲亚·德鲁。潮汐泵由托比亚斯·奎尔设计，为渡船充电。",
        "本文介绍维尔莫拉的灯塔、渡船和潮汐泵。",
        ("维尔莫拉", "伊尔莎·马伦德", "旧烛灯塔", "托比亚斯·奎尔"),
        "从{a}来看，文章说明了港口的来历，灯塔的透镜经过长途运输。{b}则关系到渡船的航行和潮汐。",
    ),
    "Japanese": Recorded(
        "ja",
        "Japanese",
        "ヴェルモラの灯台",
        "ヴェルモラはコラン島の北岸にある港町です。塩商人のイルザ・マレンドが「古い蝋燭」という灯台を建てました。"
        "連絡船マーリン号は一日に四回ペルへ渡り、船長はソフィア・ドルーです。潮のポンプはトビアス・クエルが設計しました。",
        "ヴェルモラの灯台と連絡船についての文章です。",
        ("ヴェルモラ", "イルザ・マレンド", "マーリン号", "トビアス・クエル"),
        "この文章は{a}について、港の歴史とともに語っています。また{b}は町の暮らしと深く結びついています。",
    ),
    "Korean": Recorded(
        "ko",
        "Korean",
        "벨모라의 등대",
        "벨모라는 코란 섬의 북쪽 해안에 있는 항구이다. 소금 상인 일자 마렌드가 오래된 등대를 세웠다. "
        "나룻배 마를린호는 하루에 네 번 펠로 건너가며, 선장은 소피아 드루이다. 조수 펌프는 토비아스 퀠이 만들었다.",
        "북쪽 해안의 항구 벨모라에 있는 오래된 등대와 나룻배에 관한 글이다.",
        ("벨모라", "일자 마렌드", "마를린호", "소피아 드루"),
        "이 글은 {a}의 역사를 자세히 말하고 있으며, 항구의 생활도 함께 보여 준다. {b}도 그 이야기에서 중요하다.",
    ),
    "Thai": Recorded(
        "th",
        "Thai",
        "ประภาคารเวลโมรา",
        "เวลโมราเป็นเมืองท่าบนชายฝั่งเหนือของเกาะคอร์แรน พ่อค้าเกลือชื่ออิลซา มาร์เรนด์สร้างประภาคารเทียนเก่า "
        "เรือข้ามฟากมาร์ลินแล่นไปเพลล์วันละสี่เที่ยว กัปตันคือโซเฟีย ดรูว์",
        "บทความเกี่ยวกับประภาคารและเรือข้ามฟาก",
        ("เวลโมรา", "เกาะคอร์แรน", "ประภาคารเทียนเก่า", "โซเฟีย ดรูว์"),
        "บทความนี้เล่าเรื่องของ{a}และชีวิตของผู้คนในเมืองท่า ส่วน{b}ก็มีความสำคัญต่อเรื่องเช่นกัน",
    ),
    "Russian": Recorded(
        "ru",
        "Russian",
        "Маяк Вельморы",
        "Вельмора — порт на северном берегу острова Коррен. Торговка солью Ильза Марренд построила маяк, "
        "который назвали Старой Свечой. Паром «Марлин» ходит в Пелль четыре раза в день под началом Софьи Дрю. "
        "Приливный насос создал часовщик Тобиас Квелл.",
        "Рассказ о маяке, о пароме и о приливном насосе порта Вельмора.",
        ("Вельмора", "Ильза Марренд", "Старая Свеча", "Тобиас Квелл"),
        "Рассказ показывает, как жил порт и кто платил за его маяк. Здесь важна тема: {a}. Не меньше значит и "
        "другая тема: {b}, ведь без неё нельзя понять остального.",
    ),
    "Arabic": Recorded(
        "ar",
        "Arabic",
        "منارة فيلمورا",
        "فيلمورا ميناء على الساحل الشمالي لجزيرة كوران. بنت تاجرة الملح إلسا مارند المنارة القديمة قبل مئة عام. "
        "تعبر السفينة مارلين إلى بيل أربع مرات في اليوم، وقبطانها صوفيا درو. وصنع توبياس كويل مضخة المد.",
        "نص قصير عن منارة فيلمورا القديمة وعن السفينة التي تعبر البحر.",
        ("فيلمورا", "إلسا مارند", "سفينة", "توبياس كويل"),
        "يتحدث هذا النص عن تاريخ الميناء وحياة الناس فيه، ويذكر {a} بالتفصيل. كما أن {b} جزء مهم من هذه القصة.",
    ),
    "Hebrew": Recorded(
        "he",
        "Hebrew",
        "המגדלור של ולמורה",
        "ולמורה היא עיר נמל בחוף הצפוני של האי קוראן. סוחרת המלח אילזה מרנד בנתה את המגדלור הישן לפני מאה שנה. "
        "המעבורת מרלין חוצה לפל ארבע פעמים ביום, והקברניטה היא סופיה דרו. טוביאס קוול בנה את משאבת הגאות.",
        "טקסט קצר על המגדלור הישן ועל המעבורת של העיר ולמורה.",
        ("ולמורה", "אילזה מרנד", "מגדלור", "מעבורת"),
        "הטקסט מספר על תולדות הנמל ועל חיי התושבים, ומזכיר את {a} בפירוט רב. גם {b} הוא חלק חשוב מן הסיפור.",
    ),
    "German": Recorded(
        "de",
        "German",
        "Der Leuchtturm von Velmora",
        "Velmora ist ein Hafen an der Nordküste der Insel Korrain. Die Salzhändlerin Ilsa Marrend baute den "
        "Leuchtturm, dessen Linse aus Dunmarrow kam. Die Fähre fährt viermal am Tag über den Heronsee nach Pell, "
        "und am Ufer des Heronsees steht die Gezeitenpumpe des alten Tobias Quell.",
        "Ein Text über den Leuchtturm und die Fähre von Velmora.",
        ("Ilsa Marrend", "Heronsee", "Pumpe", "der Leuchtturm"),
        "Der Text erzählt, wie der Hafen entstand und wer für sein Licht bezahlte. Dabei geht es auch um {a}, und "
        "ohne {b} ließe sich das nicht verstehen.",
    ),
    "French, decomposed": Recorded(
        "fr",
        "French",
        "Le phare de Velmora",
        unicodedata.normalize(
            "NFD",
            "Velmora est un port de la côte nord de l'île de Korrain. La marchande de sel Éloïse Béranger fit "
            "bâtir le phare, dont la lentille vient de Dunmarrow. Le bac traverse quatre fois par jour vers Pell, "
            "et la pompe à marée fut construite par un élève horloger, Théodore Quéré.",
        ),
        "Un texte sur le phare et sur le bac de Velmora.",
        ("Éloïse Béranger", "Théodore Quéré", "île de Korrain", "la pompe à marée"),
        "Le texte raconte comment le port est né et qui a payé pour son phare. Il y est question de {a}, et l'on "
        "ne peut pas le comprendre sans {b}.",
    ),
}


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_a_document_goes_from_its_entities_to_its_passages(recorded: Recorded) -> None:
    document = Document("lamp", recorded.title, recorded.text)
    assert document_language(document.text) == recorded.code
    recipe = entigraph("entigraph", EntiGraphOptions(), Writer("m"))
    entities, pairs = recipe.step("entities"), recipe.step("pairs")
    first = entities.specimen(document)
    assert f"Write the whole answer in {recorded.asked}" in first.messages[-1].content
    listed = {"summary": recorded.summary, "entities": recorded.entities}
    answer = json.dumps(listed, ensure_ascii=False)
    answers = {"entities": [answer]}
    assert recipe.prompts.entities(document, answers).entities == recorded.entities
    summary = entities.passage(first, answer)
    assert summary == recorded.summary
    candidates = [Candidate(summary, "lamp", first.id, "entigraph")]
    calls = pairs.calls(document, answers)
    for call in (calls[rank] for rank in range(len(calls))):
        a, b = call.subset
        text = (
            f"### What {recorded.title} says in relation to {a}\n\n{recorded.said.format(a=a, b=b)}"
            f"\n\n### How {a} and {b} interact in the context of {recorded.title}\n\n"
            f"{recorded.said.format(a=b, b=a)}"
        )
        candidates.append(Candidate(text, "lamp", call.id, "entigraph"))
    corpus = built([document], candidates, CorpusConfig())
    assert len(candidates) == 7
    assert corpus.totals.reasons == {}


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_a_loop_and_a_text_in_english_are_rejected_in_every_language(recorded: Recorded) -> None:
    document = Document("lamp", recorded.title, recorded.text * 2)
    sentence = recorded.said.format(a=recorded.entities[0], b=recorded.entities[1])
    english = (
        "The text tells how the harbor was founded and who paid for its light, and it says that the "
        "ferry crosses four times a day; the pump was built by a man who had studied clocks."
    )
    texts = [sentence * 5, english, sentence]
    rows = [Candidate(text, "lamp", f"c{n}", "mine") for n, text in enumerate(texts)]
    corpus = built([document], rows, CorpusConfig())
    assert [row.reason for row in corpus.rejected] == ["repetition", "language"]


@pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED)
def test_a_long_document_is_split_at_sentences(recorded: Recorded) -> None:
    document = Document("lamp", recorded.title, " ".join([recorded.text] * 24))
    parts = split_document(document, 150)
    assert len(parts) > 3
    ends = {part.text[-1] for part in parts}
    assert ends <= set(".。۔") or recorded.code == "th"
    kept = "".join("".join(part.text.split()) for part in parts)
    assert kept == "".join(document.text.split())


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "nl",
            "De vuurtoren van Velmora is in de winter gebouwd en was van hout of van steen. De haven had "
            "een veerboot, en die voer op het meer naar de overkant, waar de oude pomp staat.",
        ),
        (
            "hu",
            "A kikötő a sziget északi partján fekszik, és a világítótornyot egy sókereskedő építette. A "
            "komp naponta négyszer indul, és a szivattyút egy órásmester tervezte a városnak.",
        ),
    ],
)
def test_small_words_that_english_shares_make_no_text_english(code: str, text: str) -> None:
    assert document_language(text) == code


def test_chinese_is_foreign_to_a_japanese_document() -> None:
    japanese, chinese = RECORDED["Japanese"], RECORDED["Chinese"]
    document = Document("lamp", japanese.title, japanese.text)
    corpus = built([document], [Candidate(chinese.text, "lamp", "c", "mine")], CorpusConfig())
    assert corpus.totals.reasons == {"language": 1}


def test_what_is_asked_about_an_english_document_says_no_language() -> None:
    text = "Velmora is a port on the north coast of Korrain, and it is known for its lamp and eels."
    assert document_language(text) == "en"
    for options in (EntiGraphOptions(), EntiGraphOptions(prompt="compact")):
        recipe = entigraph("entigraph", options, Writer("m"))
        first = recipe.step("entities").specimen(Document("a", "A", text))
        assert "English" not in "".join(message.content for message in first.messages)


NORWEGIAN = (
    "Fergen over fjorden gikk hver morgen klokken seks, og mannskapet visste at vinden kunne snu "
    "før de nådde den andre siden. Ingen av dem snakket mye om ulykken vinteren før.",
    "Kommunen vedtok i fjor å bygge en ny bro over elven. Arbeidet skulle være ferdig til høsten, "
    "men leverandøren gikk konkurs, og ingen vet hvem som skal betale regningen.",
    "Ho kjem frå ei lita bygd på Vestlandet, og ho har alltid sagt at ho ikkje vil flytte derifrå. "
    "Dei som bur der, veit kva havet kan gjere med ein båt når stormen kjem.",
)
DANISH = (
    "Færgen over fjorden sejlede hver morgen klokken seks, og mandskabet vidste, at vinden kunne "
    "vende, før de nåede den anden side. Ingen af dem talte meget om ulykken vinteren før.",
    "Kommunen vedtog sidste år at bygge en ny bro over åen. Arbejdet skulle være færdigt til "
    "efteråret, men leverandøren gik konkurs, og ingen ved, hvem der skal betale regningen.",
)
SWEDISH = (
    "Färjan över fjorden gick varje morgon klockan sex, och besättningen visste att vinden kunde "
    "vända innan de nådde den andra sidan. Ingen av dem talade mycket om olyckan vintern innan."
)


def test_norwegian_and_danish_are_not_foreign_to_each_other() -> None:
    texts = [*NORWEGIAN, *DANISH]
    found = {code for text in texts if (code := detect_language(text))}
    assert {"no", "nn", "da"} <= found, "they are told apart, and that is no reason to reject"
    for written in texts:
        document = Document(id="d", title="Fergen", text=written)
        candidates = [
            Candidate(text, "d", f"{n:032x}", "entigraph", ("a", "b"))
            for n, text in enumerate(texts)
            if text != written
        ]
        foreign = Candidate(SWEDISH, "d", "f" * 32, "entigraph", ("a", "b"))
        corpus = built([document], [*candidates, foreign], CorpusConfig(min_words=5))
        reasons = {each.call_id: each.reason for each in corpus.rejected}
        assert not [call for call, reason in reasons.items() if call != "f" * 32], reasons
        known = detect_language(f"Fergen\n{written}") is not None
        assert reasons.get("f" * 32) == ("language" if known else None)
