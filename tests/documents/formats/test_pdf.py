"""PDF: structure from characters and boxes, and reasons for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_files import Text, lines, pdf, png_page

from steep.documents.child import Unreadable
from steep.documents.formats.extracted import given_title
from steep.documents.formats.paragraphs import joined_lines
from steep.documents.formats.pdf import extract

LEFT = [
    "The ferry crosses the sound twice a day, at",
    "dawn and at dusk, whatever the weather may be",
    "in winter. Its captain has never missed a trip",
    "since the old pier was rebuilt by the council",
    "after the great storm, which took the lantern",
    "and the roof of the waiting room on the quay.",
]
RIGHT = [
    "In summer a second boat is hired for visitors,",
    "who come to see the seals on the outer rocks",
    "and the ruined chapel on the northern headland",
    "of the island, where nobody has lived for long.",
    "Tickets are sold by the harbor master, a woman",
    "who knows each of the islanders by their names.",
]


def text_of(path: Path) -> str:
    return extract(str(path)).text


def test_headings_are_found_by_size_and_bold_type_and_lines_are_joined(tmp_path: Path) -> None:
    page = [
        Text(72, 80, "The Ferry Handbook", 20, "B"),
        Text(72, 130, "1 Timetable", 14, "B"),
        *lines(72, 155, *LEFT),
        Text(72, 250, "Fares", 10, "B"),
        *lines(72, 268, *RIGHT),
    ]
    found = extract(str(pdf(tmp_path / "a.pdf", [page], info="/Author (Ann Lee)")))
    assert found.text.split("\n\n") == [
        "# The Ferry Handbook",
        "## 1 Timetable",
        " ".join(LEFT),
        "### Fares",
        " ".join(RIGHT),
    ]
    assert (found.title, found.author) == ("The Ferry Handbook", "Ann Lee")


@pytest.mark.parametrize("by_row", [False, True])
def test_two_columns_are_read_one_after_the_other(tmp_path: Path, by_row: bool) -> None:
    left, right = lines(60, 150, *LEFT), lines(310, 150, *RIGHT)
    body = [each for pair in zip(left, right, strict=True) for each in pair]
    page = [
        Text(60, 100, "A heading over both columns of the page, as titles are", 16, "B"),
        *(body if by_row else left + right),
        Text(60, 300, "A line below both columns, wide enough to cross the gutter of the page."),
    ]
    blocks = text_of(pdf(tmp_path / "a.pdf", [page])).split("\n\n")
    assert blocks[1:] == [
        " ".join(LEFT),
        " ".join(RIGHT),
        "A line below both columns, wide enough to cross the gutter of the page.",
    ]


def test_three_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    short = [" ".join(line.split()[:5]) for line in LEFT]
    page = [text for at in range(3) for text in lines(40 + 180 * at, 100, *short)]
    page = sorted(page, key=lambda text: text.y)
    blocks = text_of(pdf(tmp_path / "a.pdf", [page])).split("\n\n")
    assert " ".join(blocks) == " ".join(short * 3)


def test_a_table_within_a_column_does_not_hide_the_columns(tmp_path: Path) -> None:
    page = [*lines(60, 150, *LEFT, *RIGHT), *lines(310, 150, *RIGHT)]
    for at in range(5):
        y = 150 + 12 * (len(RIGHT) + 1 + at)
        page += [Text(310 + 70 * n, y, f"{name} {at}") for n, name in enumerate("abc")]
    blocks = text_of(pdf(tmp_path / "a.pdf", [page])).split("\n\n")
    assert blocks[0] == " ".join([*LEFT, *RIGHT]) and blocks[1] == " ".join(RIGHT)
    assert blocks[2].startswith("| a 0 | b 0 | c 0 |\n| --- | --- | --- |\n| a 1 | b 1 | c 1 |")


def test_cells_in_columns_become_a_table_and_wrapped_cells_are_joined(tmp_path: Path) -> None:
    rows = [("Route", "Fare", "Runs"), ("North", "4.50", "daily"), ("South", "6.00", "on")]
    page = lines(72, 80, *LEFT)
    for at, row in enumerate(rows):
        page += [Text(72 + 120 * n, 180 + 14 * at, cell) for n, cell in enumerate(row)]
    page.append(Text(312, 180 + 14 * 3, "Sundays"))
    page += lines(72, 270, *RIGHT)
    blocks = text_of(pdf(tmp_path / "a.pdf", [page])).split("\n\n")
    assert blocks[1] == (
        "| Route | Fare | Runs |\n| --- | --- | --- |\n| North | 4.50 | daily |\n"
        "| South | 6.00 | on Sundays |"
    )
    assert blocks[2] == " ".join(RIGHT)


@pytest.mark.parametrize("drawn", ["{x} 600 m {x} 680 l S", "{x} 600 0.5 80 re f"])
def test_ruled_lines_part_the_columns_of_a_narrow_table(tmp_path: Path, drawn: str) -> None:
    rows = [("Seal", "KS-220", "31.50"), ("Bearing", "KB-030", "12.00"), ("Wheel", "KI", "9.00")]
    starts = (72, 118, 160)  # the longest cells end 5 to 10 points before the next column
    page = [
        *lines(72, 80, *LEFT),
        *(
            Text(x, 175 + 18 * at, cell)
            for at, row in enumerate([("Part", "Number", "Price"), *rows])
            for x, cell in zip(starts, row, strict=True)
        ),
        *lines(72, 300, *RIGHT),
    ]
    rules = "".join(f"{drawn.format(x=x)}\n" for x in (70, 115, 157.5, 190))
    blocks = text_of(pdf(tmp_path / "a.pdf", [page], extra=rules)).split("\n\n")
    assert blocks == [
        " ".join(LEFT),
        "| Part | Number | Price |\n| --- | --- | --- |\n"
        + "\n".join(f"| {' | '.join(row)} |" for row in rows),
        " ".join(RIGHT),
    ]


def test_running_heads_and_page_numbers_are_left_out_and_paragraphs_go_on(tmp_path: Path) -> None:
    pages = [
        [
            Text(72, 40, "The Ferry Handbook"),
            Text(480, 40, f"Page {number}"),
            *lines(72, 100, *(LEFT if number % 2 else RIGHT)[:-1], "and the sea went on"),
            Text(290, 800, str(number)),
        ]
        for number in range(1, 5)
    ]
    found = extract(str(pdf(tmp_path / "a.pdf", pages)))
    assert "Handbook" not in found.text and "Page" not in found.text
    assert not any(character.isdigit() for character in found.text)
    assert found.metadata == {"pages": "4", "running_lines": "4"}


def test_rows_that_pages_repeat_but_for_their_numbers_are_kept(tmp_path: Path) -> None:
    pages = [
        [
            Text(72, 80, f"Series K{number + 4}0", 18, "B"),
            *lines(72, 110, *LEFT),
            *(
                Text(72 + 120 * column, 700 + 18 * row, cell)
                for row, cells in enumerate(
                    (
                        ("Part", "Number", "Price"),
                        ("Seal", f"KS-22{number}", f"{31 + number}.50"),
                        ("Bearing", "KB-030", "12.00"),
                        ("Impeller", f"KI-44{number}", f"{205 + 7 * number}.00"),
                    )
                )
                for column, cell in enumerate(cells)
            ),
        ]
        for number in range(3)
    ]
    for feet in (False, True):
        made = [
            [*page, Text(72, 800, "Marlow Hydraulics"), Text(500, 800, str(at))] if feet else page
            for at, page in enumerate(pages, start=1)
        ]
        found = extract(str(pdf(tmp_path / f"{feet}.pdf", made)))
        assert found.metadata["running_lines"] == ("3" if feet else "0")
        assert "Marlow" not in found.text
        for number in range(3):
            assert f"# Series K{number + 4}0\n" in found.text
            assert f"| Impeller | KI-44{number} | {205 + 7 * number}.00 |" in found.text
        assert found.text.count("| Bearing | KB-030 | 12.00 |") == 3


@pytest.mark.parametrize("number", [2, 3, 4])
def test_large_feet_are_left_out_and_of_large_heads_the_first_is_kept(
    tmp_path: Path, number: int
) -> None:
    pages = [
        [
            Text(72, 50, "Pump Manual", 14),
            Text(72, 100, f"{at} Chapter {at}", 18, "B"),
            *lines(72, 130, *(LEFT if at % 2 else RIGHT)),
            Text(72, 790, f"Marlow Hydraulics - confidential {at}", 12),
        ]
        for at in range(1, number + 1)
    ]
    found = extract(str(pdf(tmp_path / "a.pdf", pages)))
    assert "Marlow" not in found.text
    assert found.text.count("Pump Manual") == 1
    assert [line for line in found.text.splitlines() if "Chapter" in line] == [
        f"# {at} Chapter {at}" for at in range(1, number + 1)
    ]


def test_lines_repeated_close_to_the_text_are_kept_but_in_the_outer_margin(tmp_path: Path) -> None:
    for y, kept in ((100, 3), (45, 0)):
        pages = [
            lines(72, y, "All times are local", *(LEFT, RIGHT, LEFT[::-1])[at]) for at in range(3)
        ]
        found = extract(str(pdf(tmp_path / f"{y}.pdf", pages)))
        assert found.text.count("All times are local") == kept


def test_a_paragraph_goes_on_over_a_page_break(tmp_path: Path) -> None:
    pages = [lines(72, 100, *LEFT, "Then the harbor master went"), lines(72, 100, "home.", *RIGHT)]
    assert "harbor master went home." in text_of(pdf(tmp_path / "a.pdf", pages))


@pytest.mark.parametrize(
    ("texts", "known", "joined"),
    [
        (["the light-", "house stands"], set(), "the lighthouse stands"),
        (["a well-", "known place"], {"well-known"}, "a well-known place"),
        (["a well-", "known place"], {"well-known", "wellknown"}, "a wellknown place"),
        (["the Anglo-", "Saxon king"], set(), "the Anglo- Saxon king"),
        (["pages 3-", "4 say"], set(), "pages 3- 4 say"),
        (["cut by the file\x02", "name"], set(), "cut by the filename"),
        (["渡し船は", "朝に出る"], set(), "渡し船は朝に出る"),
    ],
)
def test_words_hyphenated_at_a_line_end_are_joined(
    texts: list[str], known: set[str], joined: str
) -> None:
    assert joined_lines(texts, known) == joined


def test_lists_code_and_contents_keep_their_lines(tmp_path: Path) -> None:
    page = [
        *lines(72, 60, *RIGHT),
        Text(72, 150, "\u2022 first item of the list, which takes more than a line"),
        Text(81, 162, "and ends here"),
        Text(72, 174, "\u2022 second item"),
        Text(81, 186, "\u2022 item below the second"),
        Text(72, 220, "1. step one"),
        Text(72, 232, "2. step two"),
        Text(72, 270, "def ferry(name):", 10, "M"),
        Text(96, 282, "return name", 10, "M"),
        Text(72, 320, "Timetable . . . . . . . . . . . . 7"),
        Text(72, 332, "Fares . . . . . . . . . . . . . . 12"),
    ]
    blocks = text_of(pdf(tmp_path / "a.pdf", [page])).split("\n\n")
    assert blocks[1:] == [
        "- first item of the list, which takes more than a line and ends here\n- second item\n"
        "  - item below the second\n1. step one\n2. step two",
        "```\ndef ferry(name):\n    return name\n```",
        "Timetable",
        "Fares",
    ]


def test_a_turned_page_is_read_upright_and_words_at_an_angle_are_counted(tmp_path: Path) -> None:
    page = "".join(
        f"BT /F 10 Tf 0 1 -1 0 {100 + 12 * at} 100 Tm ({line}) Tj ET\n"
        for at, line in enumerate(LEFT)
    )
    stamp = "BT /F 30 Tf 0.7 0.7 -0.7 0.7 300 300 Tm (DRAFT) Tj ET\n"
    found = extract(str(pdf(tmp_path / "a.pdf", [[]], extra=page + stamp, rotate=90)))
    assert found.text == " ".join(LEFT)
    assert found.notes == ("1 word at an angle left out",)


def test_pages_without_text_are_counted_if_others_have_some(tmp_path: Path) -> None:
    found = extract(str(pdf(tmp_path / "a.pdf", [lines(72, 80, *LEFT), [], lines(72, 80, *RIGHT)])))
    assert found.notes == ("no text on 1 of 3 pages",)


def refusal(path: Path) -> str:
    with pytest.raises(Unreadable) as caught:
        extract(str(path))
    return str(caught.value)


def test_a_scan_is_refused_with_advice(tmp_path: Path) -> None:
    reason = refusal(png_page(tmp_path / "a.pdf"))
    assert reason.startswith("no text, as in a scan: only images on 1 of 1 page; ")
    assert reason.endswith("ocrmypdf IN.pdf OUT.pdf")
    assert refusal(pdf(tmp_path / "b.pdf", [[]])) == "it has 1 page and no text"
    reason = refusal(pdf(tmp_path / "c.pdf", [[]], extra="40 40 500 700 re S\n"))
    assert reason.startswith("no text and no image, only drawings on 1 of 1 page; if they show ")


def test_an_encrypted_file_says_so(tmp_path: Path) -> None:
    key = f"<{'41' * 32}>"
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O {key} /U {key} /P -4 >> /ID [<41> <41>]"
    path = pdf(tmp_path / "a.pdf", [lines(72, 80, *LEFT)], trailer=lock)
    assert refusal(path).startswith("encrypted; remove the password: qpdf")


def test_a_damaged_file_says_so_and_a_broken_table_of_objects_does_not_matter(
    tmp_path: Path,
) -> None:
    path = pdf(tmp_path / "a.pdf", [lines(72, 80, *LEFT)])
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0000000009", b"0000009999").replace(b"startxref", b"start"))
    assert text_of(path) == " ".join(LEFT)
    path.write_bytes(whole[:300])
    assert refusal(path).startswith("damaged, or no PDF")
    path.write_bytes(b"")
    assert refusal(path).startswith("damaged, or no PDF")


def test_characters_without_a_meaning_are_said(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", [lines(72, 80, *LEFT)])
    private = b"1 beginbfrange <20> <7e> <e020> endbfrange"
    cmap = b"1 begincodespacerange <00> <ff> endcodespacerange\n" + private
    font = b"\n99 0 obj\n<< /Length %d >>\nstream\n%s\nendstream\nendobj\n" % (len(cmap), cmap)
    data = path.read_bytes().replace(b"/Encoding /WinAnsiEncoding", b"/ToUnicode 99 0 R")
    path.write_bytes(data.replace(b"xref\n0", font + b"trailer << /Root 1 0 R >>\n"))
    reason = refusal(path)
    assert reason.startswith("its fonts do not say which characters they show (")
    assert reason.endswith("ocrmypdf --force-ocr IN.pdf OUT.pdf")


@pytest.mark.parametrize(
    ("title", "kept"),
    [
        ("Ferry  Handbook", "Ferry Handbook"),
        ("Microsoft Word - ferry.doc", None),
        ("ferry_v3.docx", None),
        ("Untitled", None),
        ("", None),
        (None, None),
    ],
)
def test_titles_that_programs_make_up_are_not_taken(title: str | None, kept: str | None) -> None:
    assert given_title(title) == kept
