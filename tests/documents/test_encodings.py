# ruff: noqa: RUF001
"""Encodings of files: told by their bytes, said, and refused where they cannot be told."""

from __future__ import annotations

import codecs
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.core.errors import UserError
from steep.documents.legacy_encodings import CANDIDATES, likely_encoding
from steep.documents.reading import read_documents

TEXTS = {
    "windows-1252": "Die Möwe saß auf dem Pfahl; “später”, sagte er, fährt die Fähre zum Fluß.",
    "windows-1250": "Żółta łódź płynęła rzeką, a przewoźnik śpiewał pieśń o mieście.",
    "iso8859-2": "Loď odplula před svítáním a přístav zůstal prázdný; převozník už nikdy nepřišel.",
    "windows-1251": "Паромщик перевёз через реку сорок мешков соли, и больше его никто не видел.",
    "koi8-r": "Маяк построили весной, когда лёд ушёл из залива и рыбаки вернулись домой.",
    "cp866": "Смотритель зажигал лампу на закате и гасил её, когда солнце вставало над водой.",
    "windows-1253": "Ο φάρος χτίστηκε την άνοιξη, όταν οι ψαράδες γύρισαν από το πέλαγος.",
    "windows-1254": "Feneri ilkbaharda yaptılar; balıkçılar dönünce şehirde büyük bir şenlik oldu.",
    "windows-1255": "המגדלור נבנה באביב כאשר הדייגים חזרו הביתה מן הים הגדול.",
    "windows-1256": "بنيت المنارة في الربيع عندما عاد الصيادون من البحر إلى بيوتهم.",
    "windows-1257": "Švyturį pastatė pavasarį, kai žvejai grįžo iš jūros į savo namus.",
    "cp874": "ประภาคารถูกสร้างขึ้นในฤดูใบไม้ผลิเมื่อชาวประมงกลับบ้านจากทะเล",
    "cp932": "灯台は春に建てられた。漁師たちが海から帰ってきたとき、町では祭りが開かれた。",
    "euc-jp": "灯台守は日が沈むとランプに火をともし、朝になると静かに消した。",
    "gb18030": "灯塔建于春天，那时渔民们从海上回到家里，城里的人都来看他们。",
    "cp950": "燈塔建於春天，那時漁民們從海上回到家裡，城裡的人都來看他們。",
    "cp949": "등대는 봄에 세워졌다. 어부들이 바다에서 돌아왔을 때 마을에서는 잔치가 열렸다.",
}  # fmt: skip


@pytest.mark.parametrize("encoding", TEXTS)
def test_a_legacy_text_is_read_and_its_encoding_said(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(TEXTS[encoding].encode(encoding))
    reading = read_documents(tmp_path)
    assert reading.documents[0].text == TEXTS[encoding]
    (note,) = reading.skipped
    assert note.kept and reading.left_out == 0
    assert note.reason.startswith(f"read as {encoding}, which is likely")
    assert note.reason.endswith("iconv -f ENCODING -t UTF-8 IN > OUT")


def test_every_candidate_is_a_codec() -> None:
    assert all(codecs.lookup(encoding) for encoding in CANDIDATES)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv"])
@pytest.mark.parametrize("encoding", ["windows-1251", "cp932", "utf-16", "utf-8-sig"])
def test_records_are_decoded_as_texts_are(tmp_path: Path, suffix: str, encoding: str) -> None:
    text = TEXTS["windows-1251" if encoding == "utf-16" or encoding == "utf-8-sig" else encoding]
    row = json.dumps({"id": "a", "text": text}, ensure_ascii=False)
    content = {"jsonl": f"{row}\n", "json": f"[{row}]", "csv": f'id,text\na,"{text}"\n'}[suffix]
    (tmp_path / f"a.{suffix}").write_bytes(content.encode(encoding))
    reading = read_documents(tmp_path)
    assert reading.documents[0].text == text
    assert len(reading.skipped) == (encoding != "utf-8-sig")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_read_and_said(tmp_path: Path, encoding: str) -> None:
    text = "The harbour was dug in 1811.\n\nThe Möwe is a boat."
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    reading = read_documents(tmp_path)
    assert reading.documents[0].text == text
    (note,) = reading.skipped
    assert note.kept and note.reason.startswith("read as UTF-")


def test_a_damaged_file_is_kept_with_its_damage_counted(tmp_path: Path) -> None:
    sound = "Die Fähre fährt über den Fluß, öfter als früher.\n".encode() * 50
    (tmp_path / "a.txt").write_bytes(sound + b"Caf\xe9 und \x92 mehr.")
    reading = read_documents(tmp_path)
    assert reading.documents[0].text.endswith("Caf\ufffd und \ufffd mehr.")
    (note,) = reading.skipped
    assert note.reason.startswith("2 bytes not UTF-8 and replaced")
    assert note.reason.endswith(f"the first: 0xe9 at {len(sound) + 3:,}")


def test_lines_of_two_encodings_cost_only_the_bad_ones(tmp_path: Path) -> None:
    rows = [json.dumps({"id": str(n), "text": f"Größe {n}"}, ensure_ascii=False) for n in range(30)]
    lines = [row.encode("latin-1" if n == 7 else "utf-8") for n, row in enumerate(rows)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    reading = read_documents(tmp_path)
    assert len(reading.documents) == 29
    assert [(each.source, each.kept) for each in reading.skipped] == [("a.jsonl:8", False)]


def test_a_file_of_another_kind_counts_its_records_without_notes(tmp_path: Path) -> None:
    rows = [json.dumps({"question": f"Größe {n}?"}, ensure_ascii=False) for n in range(20)]
    (tmp_path / "questions.jsonl").write_bytes("\n".join(rows).encode("latin-1"))
    (tmp_path / "good.txt").write_text("Good.")
    (skipped,) = read_documents(tmp_path).skipped
    assert skipped.reason.startswith("none of its 20 records is a document; the first: expected")


def test_one_byte_that_cannot_be_told_costs_one_line(tmp_path: Path) -> None:
    rows = [b'{"id": "%d", "text": "Text"}' % n for n in range(20)]
    rows[3] = rows[3].replace(b"Text", b"\x81\xfe\x8d\xf7\x9d\xff\xb1\xa4")
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows))
    reading = read_documents(tmp_path)
    assert len(reading.documents) == 19
    assert reading.skipped[0].source == "a.jsonl:4"


@pytest.mark.parametrize(
    "data",
    [
        random.Random(0).randbytes(5000),
        b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(400),
        bytes(range(128, 256)),
        b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" * 20,
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UserError, match="no readable document"):
        read_documents(tmp_path)


@given(st.binary(max_size=400))
def test_any_bytes_are_told_or_not_and_never_fail(data: bytes) -> None:
    encoding = likely_encoding(data)
    assert encoding is None or encoding in CANDIDATES
