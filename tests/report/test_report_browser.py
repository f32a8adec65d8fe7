"""The page in a real browser: what it shows, what it never does, and what a reader can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fixture_run import write_run
from fixture_study import comparison_of_recipes, metric_of_study, study_of, study_plan
from fixture_tables import tables
from page_checks import BEYOND, OVERLAPS, opened

from steep.core.files import write_json
from steep.report.render import comparison_page, render_report
from steep.scaling.config import POINTER_NAME
from steep.scaling.results import RESULT_NAME, write_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

WIDTHS = (390, 800, 1400)
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Folds are checked as well; of the rows of a table, and of cards, the first is like the others.
OPEN_AND_SHORTEN = """
() => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
  for (const one of document.querySelectorAll("tbody > :nth-child(n+2), .card:nth-child(n+3)"))
    one.remove();
}
"""
TEXTS = "all => all.map(each => each.textContent)"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with every section and a scaling study."""
    root = tmp_path_factory.mktemp("report")
    run_directory = write_run(root, **tables())
    study = study_of(metric_of_study(study_plan()))
    write_study(root / ".steep" / "scale-01234567" / RESULT_NAME, study)
    write_json(run_directory / POINTER_NAME, {"scale": "scale-01234567"})
    return render_report(root, run_directory)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a comparison of recipes."""
    path = tmp_path_factory.mktemp("recipes") / "comparison.html"
    path.write_text(comparison_page(comparison_of_recipes(), "demo", {"base": 0}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def wide(browser: Browser, report: Path) -> Iterator[Page]:
    """The report at the width of a desktop; tests leave it as they found it."""
    with opened(browser, report, reduced_motion="reduce") as page:
        yield page


def test_the_checks_see_errors_and_requests(browser: Browser, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><meta http-equiv=Content-Security-Policy content=\"img-src 'none'\">"
        "<img src=other.png><script>throw new Error('boom')</script>"
        "<link rel=stylesheet href=x.css>"
    )
    with pytest.raises(AssertionError) as seen, opened(browser, bad):
        pass
    for problem in ("boom", "img-src", "x.css"):
        assert problem in str(seen.value)


def test_every_section_is_shown_and_in_the_contents(wide: Page) -> None:
    links = wide.locator("nav a")
    anchors = [link.get_attribute("href") for link in links.all()]
    assert anchors == [f"#{each.get_attribute('id')}" for each in wide.locator("section").all()]
    assert len(anchors) >= 12 and "#scaling" in anchors
    for anchor in anchors:
        box = wide.locator(f"{anchor}").bounding_box()
        assert box is not None and box["height"] > 80, anchor


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overlaps(browser: Browser, report: Path, recipes: Path, width: int) -> None:
    for path, charts in ((report, 10), (recipes, 0)):
        with opened(browser, path, width) as page:
            assert page.evaluate(OVERLAPS) == []
            assert page.evaluate(BEYOND) == 0, path.name
            assert page.locator(".chart").count() >= charts


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1400)])
def test_it_is_accessible(
    browser: Browser, report: Path, recipes: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for path in (report, recipes):
        with opened(browser, path, width, color_scheme=scheme) as page:
            page.evaluate(OPEN_AND_SHORTEN)
            found = axe.run(page, options={"runOnly": STANDARDS, "resultTypes": ["violations"]})
            assert found.violations_count == 0, found.generate_report()


def test_without_scripts_all_sections_have_the_same_text(
    browser: Browser, report: Path, wide: Page
) -> None:
    # The explorer of the entities is made by a script; a table has them, too.
    parts = "section > :not(#explorer)"
    with opened(browser, report, java_script_enabled=False) as page:
        assert page.locator(parts).evaluate_all(TEXTS) == wide.locator(parts).evaluate_all(TEXTS)
        assert page.locator("button").count() == 0


# ---- tables --------------------------------------------------------------------------------------


def column(table: Locator, number: int) -> list[str]:
    found: list[str] = table.locator(f"tbody tr > :nth-child({number})").evaluate_all(TEXTS)
    return found


def test_tables_are_sorted_by_click_and_by_keyboard(wide: Page) -> None:
    table = wide.locator("#graph table.sortable").first
    heading = table.locator("th", has_text="passages")
    place = 1 + table.locator("thead th").evaluate_all(TEXTS).index("passages")
    before = column(table, 1)
    table.locator("th button", has_text="entity").click()
    assert column(table, 1) == sorted(before, key=str.casefold) != before
    heading.locator("button").focus()
    wide.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert table.locator("[aria-sort]").count() == 1
    wide.keyboard.press("Space")
    numbers = [int(each) for each in column(table, place)]
    assert heading.get_attribute("aria-sort") == "ascending" and numbers == sorted(numbers)
    assert len({*numbers}) > 1
    wide.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") is None and column(table, 1) == before


def test_numbers_with_intervals_units_and_gaps_are_sorted_by_value(wide: Page) -> None:
    table = wide.locator("#scaling table.sortable").first
    button = table.locator("th button", has_text="accuracy")
    place = table.locator("thead > tr > *").evaluate_all(
        "all => all.findIndex(e => e.textContent.includes('accuracy'))"
    )
    button.click()
    shares = [float(each.partition("%")[0]) for each in column(table, place + 1)]
    assert shares == sorted(shares, reverse=True) and len(shares) >= 8
    tokens = table.locator("th button", has_text="training tokens")
    tokens.click()
    shown = [each.replace(",", "") for each in column(table, 3)]
    assert shown[-2:] == ["", ""], "rows without a value come last"
    tokens.click()
    assert column(table, 3)[-2:] == ["", ""]
    tokens.click()


# ---- charts --------------------------------------------------------------------------------------


def tip(page: Page) -> str:
    return page.locator(".tip").inner_text() if page.locator(".tip").is_visible() else ""


def test_a_mark_under_the_pointer_shows_its_values(wide: Page) -> None:
    chart = wide.locator("#results .chart").first
    chart.locator(".plot .mark").nth(1).hover()
    assert tip(wide).splitlines() == ["raw", "all questions", "47% [36, 58]", "n = 60"]
    box = wide.locator(".tip").bounding_box()
    assert box is not None and box["x"] >= 0
    wide.mouse.move(0, 0)
    assert tip(wide) == ""


def test_the_nearest_point_of_a_curve_is_read(wide: Page) -> None:
    chart = wide.locator("#training figure:not(details figure) .chart")
    chart.scroll_into_view_if_needed()
    panel = chart.locator(".panel").first.bounding_box()
    assert panel is not None
    chart.hover(position={"x": 60 + panel["width"] / 2, "y": 130})
    lines = [tip(wide)]
    for step in range(0, 260, 12):
        wide.mouse.move(panel["x"] + panel["width"] / 2, panel["y"] + step)
        lines.append(tip(wide))
    read = [line for line in lines if line]
    assert any(re.fullmatch(r"raw\n[78],\d{3} training tokens: loss .*", line) for line in read)
    assert {line.splitlines()[0] for line in read} == {"raw", "entigraph"}


def test_arrow_keys_read_a_chart(wide: Page) -> None:
    chart = wide.locator("#scaling .chart").first
    assert "Arrow keys read the values" in str(chart.get_attribute("aria-label"))
    wide.locator("#scaling .legend button").last.focus()
    wide.keyboard.press("Tab")
    first = tip(wide)
    assert first and wide.locator(".ring").is_visible()
    wide.keyboard.press("ArrowRight")
    assert tip(wide) not in ("", first)
    wide.keyboard.press("End")
    last = tip(wide)
    wide.keyboard.press("ArrowRight")
    assert tip(wide) == last
    wide.keyboard.press("Home")
    assert tip(wide) == first
    wide.keyboard.press("ArrowDown")
    assert tip(wide) != first
    wide.keyboard.press("Escape")
    assert tip(wide) == ""


def test_a_pointer_at_rest_leaves_the_keyboard_alone(wide: Page) -> None:
    """When a page is scrolled, browsers send events of a pointer that has not moved."""
    chart = wide.locator("#open-book .chart").first
    chart.hover(position={"x": 5, "y": 5})
    chart.focus()
    wide.keyboard.press("End")
    last = tip(wide)
    box = chart.bounding_box()
    assert last and box is not None
    place = {"clientX": box["x"] + 5, "clientY": box["y"] + 5}
    wide.mouse.move(place["clientX"], place["clientY"])
    wide.keyboard.press("Home")
    first = tip(wide)
    chart.dispatch_event("pointermove", place)
    chart.dispatch_event("pointerleave")
    assert tip(wide) == first != last
    wide.mouse.move(0, 0)
    wide.keyboard.press("Escape")


def test_a_finger_reads_a_chart(browser: Browser, report: Path) -> None:
    with opened(browser, report, 390, has_touch=True, is_mobile=True) as page:
        page.locator("#results .plot .mark").nth(2).tap()
        assert tip(page).startswith("entigraph")
        box = page.locator(".tip").bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
        page.locator("h1").tap()
        assert tip(page) == ""


def test_the_legend_hides_a_series_and_a_layer(wide: Page) -> None:
    figure = wide.locator("#scaling .keyed").first
    marks = figure.locator("[data-series=written]:is(g, polyline)")
    bands = figure.locator("polygon.band")
    assert marks.count() == 5 and bands.count() == 2
    series, layer = (
        figure.get_by_role("button", name=name) for name in ("written", "intervals of the fits")
    )
    layer.click()
    assert layer.get_attribute("aria-pressed") == "false"
    assert not bands.first.is_visible() and marks.first.is_visible()
    layer.click()
    series.press("Enter")
    assert not any(each.is_visible() for each in [*marks.all(), *bands.all()])
    assert figure.locator("g[data-series=raw]").first.is_visible()
    series.press("Enter")
    assert all(each.is_visible() for each in marks.all())


# ---- the page ------------------------------------------------------------------------------------


def test_the_colors_are_chosen_and_kept(browser: Browser, report: Path) -> None:
    with opened(browser, report, color_scheme="light") as page:
        paper = "() => getComputedStyle(document.body).backgroundColor"
        light, switch = page.evaluate(paper), page.get_by_role("button", name="Theme")
        assert switch.inner_text() == "Theme: auto"
        switch.click()
        assert switch.inner_text() == "Theme: light" and page.evaluate(paper) == light
        switch.press("Enter")
        assert switch.inner_text() == "Theme: dark" and page.evaluate(paper) != light
        page.reload()
        assert switch.inner_text() == "Theme: dark" and page.evaluate(paper) != light


def test_the_contents_follow_the_reader(wide: Page) -> None:
    link = wide.locator("nav a[href='#corpus']")
    link.click()
    wide.locator("nav a[href='#corpus'][aria-current]").wait_for()
    assert wide.locator("nav [aria-current]").count() == 1
    assert link.is_visible(), "the contents stay in view"
    wide.locator("#results h2 .anchor").focus()
    assert wide.url.endswith("#corpus")
    wide.keyboard.press("Enter")
    assert wide.url.endswith("#results")


def test_the_first_key_skips_the_contents(browser: Browser, report: Path) -> None:
    with opened(browser, report, 390, reduced_motion="reduce") as page:
        page.keyboard.press("Tab")
        assert page.locator(".skip").evaluate("each => each.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.closest('main') !== null")
        motion = "() => getComputedStyle(document.documentElement).scrollBehavior"
        assert page.evaluate(motion) == "auto"


def test_a_link_opens_the_fold_that_it_leads_into(browser: Browser, report: Path) -> None:
    with opened(browser, report) as page:
        fold = page.locator("details").last
        fold.locator(":scope > :nth-child(2)").evaluate("each => { each.id = 'inside' }")
        page.evaluate("() => { location.hash = 'inside' }")
        assert fold.get_attribute("open") is not None


def test_all_sections_are_printed_with_their_folds(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    with opened(browser, report, color_scheme="dark") as page:
        titles = page.locator("h2").all_inner_texts()
        page.pdf(path=tmp_path / "page.pdf", format="A4")
    document = pdfium.PdfDocument(tmp_path / "page.pdf")
    printed = "".join(sheet.get_textpage().get_text_bounded() for sheet in document)
    printed = re.sub(r"\s+", " ", printed)
    document.close()
    for text in (*titles, "learning_rate: 0.0003", "its document was not read"):
        assert re.sub(r"\s+", " ", text) in printed, text
    assert "Theme" not in printed and "Skip to" not in printed
