"""The page in a real browser: no console message, and nothing overlaps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fixture_run import write_run
from fixture_tables import tables

from steep.report.render import render_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

WIDTHS = (390, 800, 1400)
# Opens the page in frames of the wanted widths and measures it from outside: the page itself
# forbids every script but its own.
PROBE = """<!doctype html><title>probe</title>
<script>
const shown = (part) => part.getClientRects().length > 0;
function overlaps(picture) {
  const visible = (text) => shown(text) && getComputedStyle(text).visibility !== "hidden";
  const own = [...picture.querySelectorAll("text, .label, .value, .key, p.group, .detail")];
  const texts = own.filter(visible);
  const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
  const meet = ([, a], [, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  return boxes.flatMap((one, i) => boxes.slice(i + 1).filter((other) => meet(one, other))
    .map((other) => [one[0], other[0]]));
}
function measure(frame) {
  const page = frame.contentDocument;
  const pictures = [...page.querySelectorAll(".chart")].filter(shown);
  return {
    overlaps: pictures.flatMap(overlaps),
    charts: pictures.length,
    beyond: page.documentElement.scrollWidth - page.documentElement.clientWidth,
  };
}
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(measure);
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>
<pre id="found"></pre>
"""
FRAME = '<iframe src="{page}" style="border:0;width:{width}px;height:900px"></iframe>'


class Visit(NamedTuple):
    """What a headless browser saw."""

    dom: str
    console: list[str]


def visit(page: Path, profile: Path, *flags: str) -> Visit:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return Visit(done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line])


def measure(page: Path, profile: Path) -> list[dict[str, Any]]:
    probe = page.with_name("probe.html")
    frames = [FRAME.format(page=page.name, width=width) for width in WIDTHS]
    probe.write_text(PROBE + "".join(frames), encoding="utf-8")
    seen = visit(probe, profile, "--allow-file-access-from-files")
    assert seen.console == []
    found = re.search(r'<pre id="found">(.+?)</pre>', seen.dom, re.DOTALL)
    assert found is not None, seen.dom[-2000:]
    result: list[dict[str, Any]] = json.loads(unescape(found[1]))
    return result


def test_the_check_sees_errors(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><p>hello</p><script>throw new Error('boom')</script>")

    seen = visit(page, tmp_path / "profile")

    assert "hello" in seen.dom
    assert any("boom" in line for line in seen.console)


def test_the_page_opens_without_a_message(tmp_path: Path) -> None:
    page = render_report(tmp_path, write_run(tmp_path))

    seen = visit(page, tmp_path / "profile")

    assert seen.console == []
    for heading in ("Closed book: likelihood", "Caveats", "Generation", "Training", "Corpus"):
        assert f"<h2>{heading}<" in seen.dom
    assert seen.dom.count("<svg") >= 7


@pytest.mark.parametrize(("more", "charts"), [({}, 4), (tables(), 9)])
def test_nothing_overlaps(tmp_path: Path, more: dict[str, Any], charts: int) -> None:
    page = render_report(tmp_path, write_run(tmp_path, **more))

    for width, found in zip(WIDTHS, measure(page, tmp_path / "profile"), strict=True):
        assert found["overlaps"] == []
        assert found["beyond"] == 0, width
        assert found["charts"] == charts
