"""Open a report in a browser, and watch what it must never do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

WATCH_POLICY = """
addEventListener("securitypolicyviolation", (event) => console.error(event.violatedDirective));
"""
# Texts of a chart that cover each other, where both are visible.
OVERLAPS = """
() => [...document.querySelectorAll(".chart, .legend")].flatMap((picture) => {
  const shown = (part) =>
    part.getClientRects().length > 0 && getComputedStyle(part).visibility !== "hidden";
  const parts = [...picture.querySelectorAll("text, .label, .value, .key, p.group, .detail")];
  const boxes = parts.filter(shown).map((text) => [text.textContent, text.getBoundingClientRect()]);
  const meet = ([, a], [, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  return boxes.flatMap((one, i) =>
    boxes.slice(i + 1).filter((other) => meet(one, other)).map((other) => [one[0], other[0]]));
})
"""
BEYOND = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@contextmanager
def opened(browser: Browser, path: Path, width: int = 1400, **options: Any) -> Iterator[Page]:
    """Open a file; at the end, it must have fetched nothing and have reported no error."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    problems: list[str] = []

    def fetched(request: Request) -> None:
        if request.url.partition("#")[0] != path.as_uri() and not request.url.startswith("data:"):
            problems.append(f"request of {request.url}")

    page.on("request", fetched)
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    if options.get("java_script_enabled", True):
        page.add_init_script(WATCH_POLICY)
    try:
        page.goto(path.as_uri())
        yield page
        assert not problems, problems
    finally:
        context.close()
