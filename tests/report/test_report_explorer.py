"""Passages beside their documents, and the explorer of the entities, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fixture_run import artifact, rewrite_passage, write_run
from page_checks import BEYOND, opened

from steep.report.render import render_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> Gullholm & 'x'"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("explorer")
    return render_report(root, write_run(root))


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    with opened(browser, report) as page:
        yield page


@pytest.fixture
def view(page: Page) -> Locator:
    """A passage with words that its document has."""
    return page.locator(".compare", has=page.locator("a.run")).first


# ---- passages beside their documents -------------------------------------------------------------


def test_pointing_at_words_shows_their_place(view: Locator) -> None:
    run = view.locator("a.run").last
    view.locator(".source").evaluate("each => { each.style.maxHeight = '70px'; }")
    run.hover()
    place = view.locator(".source .shown").first
    assert place.inner_text().casefold()[:12] in run.inner_text().casefold()
    box, inner = view.locator(".source").bounding_box(), place.bounding_box()
    assert box is not None and inner is not None
    assert box["y"] <= inner["y"] and inner["y"] + inner["height"] <= box["y"] + box["height"]
    view.locator(".column").first.hover()
    assert view.locator(".shown").count() == 0


def test_a_click_keeps_the_place_without_moving_the_page(page: Page, view: Locator) -> None:
    run = view.locator("a.run").first
    run.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    run.click()
    view.locator(".column").first.hover()
    page.wait_for_timeout(50)
    assert view.locator(".source .shown").count() >= 1
    assert page.evaluate("scrollY") == before and "#" not in page.url
    run.click()
    view.locator(".column").first.hover()
    assert view.locator(".shown").count() == 0


def test_words_are_reached_by_the_keyboard(page: Page, view: Locator) -> None:
    marks = view.locator("a[data-places]")
    assert view.locator("a[data-places][tabindex='0']").count() == 1
    marks.first.focus()
    page.keyboard.press("ArrowRight")
    assert marks.nth(1).evaluate("each => each === document.activeElement")
    assert view.locator(".source .shown").count() >= 1
    page.keyboard.press("Enter")
    assert view.locator("a.pinned").count() == 1
    page.keyboard.press("Escape")
    assert view.locator("a.pinned").count() == 0


def test_without_a_script_words_are_marked_and_linked(browser: Browser, report: Path) -> None:
    with opened(browser, report, java_script_enabled=False) as page:
        run = page.locator(".compare a.run").first
        target = page.locator(run.get_attribute("href") or "")
        assert target.inner_text().split()[0].casefold() in run.inner_text().casefold()
        assert page.locator("#explorer").is_hidden()
        assert page.locator("#graph table").first.is_visible()


# ---- the explorer --------------------------------------------------------------------------------


def heading(page: Page) -> str:
    return page.locator("#explorer h3").inner_text()


def counted(page: Page) -> int:
    """The number of passages in the sentence above them."""
    text = page.locator("#explorer .note", has_text="in this page").first.inner_text()
    return int(next(word for word in text.split() if word.isdigit()))


def test_an_entity_that_is_searched_shows_its_passages(page: Page) -> None:
    search = page.get_by_label("Find an entity")
    search.fill("isla")
    search.press("Enter")
    assert heading(page) == "Isla Thorne"
    passages = page.locator(".passages li")
    assert passages.count() == 10 < counted(page)
    page.get_by_role("button", name="Show ").press("Enter")
    assert passages.count() == counted(page)
    passages.first.locator("summary").click()
    assert "Isla Thorne" in passages.first.locator(".text").inner_text()
    search.fill("nobody of this name")  # said while typing, and again after Enter
    status = page.locator("#explorer [role=status]")
    assert status.inner_text() == "No entity of this name in the page."
    search.press("Enter")
    assert heading(page) == "Isla Thorne"
    assert "No entity" in page.locator("#explorer [role=status]").inner_text()


def test_a_neighbor_becomes_the_center_and_the_trail_leads_back(page: Page) -> None:
    first = heading(page)
    node = page.locator("#explorer .node").nth(1)
    name = (node.get_attribute("aria-label") or "").partition(":")[0]
    node.focus()
    page.keyboard.press("Enter")
    assert heading(page) == name != first
    assert page.locator("#explorer h3").evaluate("each => each === document.activeElement")
    page.locator(".trail button", has_text=first).click()
    assert heading(page) == first
    node.locator("text").click()
    assert heading(page) == name
    assert page.locator(".trail button").all_inner_texts() == [first, name]


def test_a_line_shows_the_passages_of_both(page: Page) -> None:
    tie = page.locator("#explorer .tie").nth(2)
    number, _, rest = tie.locator("title").inner_html().partition(" passages about ")
    _, _, other = rest.partition(" and ")
    tie.locator(".hit").dispatch_event("click")
    assert counted(page) == int(number) == page.locator(".passages li").count()
    select = page.get_by_label("Passages about")
    assert select.evaluate("each => each.selectedOptions[0].text") == f"{other} ({number})"
    assert page.locator(".node.chosen").count() == 1
    select.select_option(index=0)
    assert counted(page) > int(number) and page.locator(".tie.chosen").count() == 0


def test_a_name_of_the_table_is_chosen(page: Page) -> None:
    page.locator("#graph tbody th", has_text="Foundry Nine").get_by_role("button").click()
    assert heading(page) == "Foundry Nine"
    command = page.locator("#explorer code").inner_text()
    assert command.startswith("steep status --entity 'Foundry Nine' --limit ")


def test_the_picture_fits_on_a_phone(browser: Browser, report: Path) -> None:
    with opened(browser, report, 390, has_touch=True) as page:
        assert page.evaluate(BEYOND) == 0
        boxes = [each.bounding_box() for each in page.locator("#explorer .node").all()]
        assert len(boxes) > 3
        assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
        page.locator("#explorer .node").nth(3).tap()
        page.locator(".compare a.run").first.tap()
        assert page.locator(".source .shown").count() >= 1


def test_hostile_texts_stay_texts(browser: Browser, tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    rewrite_passage(tmp_path, run_directory, HOSTILE)
    for name in ("documents", "generate"):
        (path,) = artifact(tmp_path, run_directory, name).glob("*s.jsonl")
        path.write_text(path.read_text().replace("Gullholm", "<img src=x onerror=alert(3)>"))
    with opened(browser, render_report(tmp_path, run_directory)) as page:
        page.locator("#explorer .node").nth(1).click()
        page.locator(".passages summary").first.click()
        assert page.locator(".passages .text").first.inner_text() == HOSTILE
        assert page.locator("img").count() == 0
        assert page.get_by_text("onerror=alert(3)").count() > 0
