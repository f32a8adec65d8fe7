"""Print the Markdown sources as PDF files, with Chromium.

    python examples/handbook/make_pdfs.py

The PDF files are part of the example; this shows how they were made.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
STYLE = """
@page { size: A4; margin: 20mm 18mm; }
body { font: 11pt/1.5 serif; } h1 { font-size: 20pt; } h2 { font-size: 13pt; margin-top: 1.4em; }
table { border-collapse: collapse; }
td { border: 1px solid #888; padding: 3pt 6pt; vertical-align: top; }
"""


def to_html(markdown: str) -> str:
    """Return HTML of headings, paragraphs and tables."""
    blocks = [_block(each) for each in re.split(r"\n{2,}", markdown.strip())]
    return f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>" + "\n".join(blocks)


def _block(text: str) -> str:
    if heading := re.match(r"(#+) (.+)", text):
        level = len(heading[1])
        return f"<h{level}>{escape(heading[2])}</h{level}>"
    if text.startswith("|"):
        rows = [line.strip("|").split("|") for line in text.splitlines() if "---" not in line]
        cells = ["".join(f"<td>{escape(cell.strip())}</td>" for cell in row) for row in rows]
        return "<table>" + "".join(f"<tr>{each}</tr>" for each in cells) + "</table>"
    return f"<p>{escape(text)}</p>"


def main() -> None:
    """Write a PDF file for each source."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("make_pdfs: no Chromium on this machine")
    for source in sorted((HERE / "source").glob("*.md")):
        target = HERE / "documents" / f"{source.stem}.pdf"
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / f"{source.stem}.html"
            page.write_text(to_html(source.read_text(encoding="utf-8")), encoding="utf-8")
            flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
            command = [chromium, *flags, f"--print-to-pdf={target}", page.as_uri()]
            subprocess.run(command, check=True, capture_output=True)
        print(target)


if __name__ == "__main__":
    main()
