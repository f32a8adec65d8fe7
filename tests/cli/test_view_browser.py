"""The live page in a real browser: it follows a run, fetches nothing foreign, and ends in a report.

The server is a process; the run is played by the files that a run writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from view_process import RUN, empty_project, now, record, task, viewing, write_progress

from steep.core.files import write_jsonl

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
HOSTILE = "A text. <img src=http://evil.example/x onerror=alert(1)><script>alert(2)</script>"
REPORT = "<!doctype html><link rel=icon href=data:,><title>The report</title><h1>The report</h1>"
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
BEYOND = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
PATIENCE_MS = 60_000


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[tuple[Page, list[str], list[str]]]:
    """Open a page; give what it fetches, and what it says on the console."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    fetched: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    try:
        page.goto(url)
        yield page, fetched, said
    finally:
        context.close()


def test_the_page_follows_a_run_to_its_report(tmp_path: Path, browser: Browser) -> None:
    project = empty_project(tmp_path / "project")
    with (
        viewing(project) as view,
        opened(browser, view.url) as (page, fetched, said),
    ):
        heading = page.locator("h1")
        assert heading.text_content() == "Waiting for a run"
        write_progress(project)
        record(project, HOSTILE)
        page.wait_for_selector("text=Running: generate")
        card = page.locator("article.card .text")
        page.wait_for_selector("article.card")
        assert card.first.text_content() == HOSTILE
        assert page.locator("#announcement").text_content() == "Running: generate"
        assert page.locator("progress").get_attribute("value") == "0.25"
        assert page.title() == "25% Running: generate (first)"

        card.first.hover()  # who reads a text is not disturbed, ...
        record(project, "Another text.", first=1)
        write_progress(project, tasks=[task("generate", done=6)])
        page.wait_for_selector("text=6 of 12 calls")
        assert page.locator("article.card").count() == 1
        heading.hover()  # ... and sees the next ones after that
        page.wait_for_selector("text=Another text.")
        for width in (390, 800, 1200):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(BEYOND) == 0, width

        (project / RUN / "report.html").write_text(REPORT)
        write_progress(project, state="done")
        page.wait_for_selector("text=Open the report")
        page.wait_for_selector("h1:has-text('The report')")
        assert page.url == view.url
        assert said == []
        assert {url for url in fetched if not url.startswith(view.url)} <= {"data:,"}


def test_everybody_can_read_the_page(tmp_path: Path, browser: Browser) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    project = empty_project(tmp_path / "project")
    write_progress(project, tasks=[task("documents", finished=True), task("generate", failed=1)])
    record(project, "A text. " * 100, "Another text.")
    log = [{"time": now(), "level": level, "message": "a line"} for level in ("INFO", "ERROR")]
    write_jsonl(project / RUN / "log.jsonl", log)
    metrics(project / ".steep" / "train-01234567")
    write_progress(project, stage="train", tasks=[task("generate"), task("train raw")])
    with viewing(project) as view, opened(browser, f"{view.url}live") as (page, _, said):
        page.wait_for_selector("svg")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = axe.run(page, options={"runOnly": {"type": "tag", "values": STANDARDS}})
            assert found.violations_count == 0, found.generate_report()
        assert said == []


def metrics(directory: Path) -> None:
    rows = [
        {"step": step, "tokens": step, "loss": 1.0, "learning_rate": 1e-4, "tokens_per_s": 1.0,
         "left_s": 9.0}
        for step in range(1, 9)
    ]  # fmt: skip
    write_jsonl(directory / "metrics.jsonl", rows)


def test_a_server_that_goes_away_is_told_and_not_asked_all_the_time(
    tmp_path: Path, browser: Browser
) -> None:
    project = empty_project(tmp_path / "project")
    write_progress(project)
    (project / RUN / "log.jsonl").write_text(
        json.dumps({"time": "2026-01-02T03:04:05Z", "level": "INFO", "message": "a line"}) + "\n"
    )
    with (
        viewing(project) as view,
        opened(browser, f"{view.url}live") as (page, fetched, said),
    ):
        page.wait_for_selector("text=a line")
        notice = page.locator("#connection")
        assert notice.is_hidden()
        assert view.stop()[0] == 0
        page.wait_for_selector("#connection:visible")
        assert "Disconnected" in (notice.text_content() or "")
        assert page.locator("h1").text_content() == "Running: generate"
        before = len(fetched)
        page.wait_for_timeout(4000)
        assert len(fetched) - before <= 3
        port = view.url.rstrip("/").rpartition(":")[2]
        assert all(each.startswith("Failed to load resource: net::") for each in said), said
        with viewing(project, "--port", port):
            page.wait_for_selector("#connection", state="hidden")
