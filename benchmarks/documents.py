"""Reading PDF and web pages beside a plain loop over the same libraries: time and memory.

    python -m benchmarks.documents                         # 1,000 PDF pages, 10,000 web pages
    python -m benchmarks.documents --pdf FOLDER --html FOLDER      # your own files
    python -m benchmarks.documents --cached                # and a second reading with the cache

The plain loop calls pypdfium2 (text alone, no structure) and trafilatura (Markdown) in one process
without limits. Each way is timed in a process of its own; time is that of all processors, and
memory the peak of that process and of its largest child.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

WORDS = [
    f"{a}{b}{c}" for a in ("ka", "lo", "mi", "ren") for b in "stvn" for c in ("a", "ed", "ing")
]
PDF_FILES, PDF_PAGES, PDF_LINES = 20, 50, 45
HTML_FILES = 10_000


def sentence(drawn: random.Random, words: int) -> str:
    """Return some invented words."""
    return " ".join(drawn.choices(WORDS, k=words)).capitalize()


def write_pdf(path: Path, drawn: random.Random) -> None:
    """Write pages of text with a running head, a heading and a page number each."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    kids = []
    for page in range(PDF_PAGES):
        shown = [(40, 9, "A running head"), (820, 9, str(page + 1)), (80, 16, sentence(drawn, 4))]
        shown += [(110 + 15 * line, 10, sentence(drawn, 13)) for line in range(PDF_LINES)]
        content = "".join(
            f"BT /F {size} Tf 60 {842 - y} Td ({text}) Tj ET\n" for y, size, text in shown
        )
        kids.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects) + 2} "
            "0 R /Resources << /Font << /F 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {PDF_PAGES} >>"
    body = "".join(f"{at} 0 obj\n{each}\nendobj\n" for at, each in enumerate(objects, start=1))
    path.write_text(f"%PDF-1.7\n{body}trailer << /Root 1 0 R >>\n%%EOF\n")


def write_html(path: Path, drawn: random.Random) -> None:
    """Write a page of about 30 kB: an article among navigation, teasers and scripts."""
    links = "".join(f'<li><a href="/{n}">{sentence(drawn, 3)}</a></li>' for n in range(60))
    body = "".join(
        f"<h2>{sentence(drawn, 4)}</h2><p>{sentence(drawn, 80)}.</p><p>{sentence(drawn, 60)}.</p>"
        for _ in range(6)
    )
    script = f"<script>{'var x = 1; ' * 800}</script>"
    path.write_text(
        f"<html><head><title>{path.stem}</title>{script}</head><body><nav><ul>{links}</ul></nav>"
        f"<article><h1>{sentence(drawn, 5)}</h1>{body}</article><aside><ul>{links}</ul></aside>"
        "<footer>All rights reserved.</footer></body></html>"
    )


def steep_way(folder: Path) -> int:
    """Read as `steep` does; return the characters."""
    from steep.documents.extraction_cache import cached_extraction
    from steep.documents.reading import read_documents

    with cached_extraction(folder.parent / f"{folder.name}-cache"):
        return sum(len(each.text) for each in read_documents(folder).documents)


def plain_pdf(folder: Path) -> int:
    """Loop over the pages with pypdfium2."""
    import pypdfium2

    return sum(
        len(page.get_textpage().get_text_range())
        for path in sorted(folder.rglob("*.pdf"))
        for page in pypdfium2.PdfDocument(path)
    )


def plain_html(folder: Path) -> int:
    """Loop over the pages with trafilatura."""
    import trafilatura

    paths = sorted(folder.rglob("*.html"))
    found = (trafilatura.extract(path.read_bytes(), output_format="markdown") for path in paths)
    return sum(len(text or "") for text in found)


WAYS: dict[str, Callable[[Path], int]] = {
    "steep": steep_way,
    "plain_pdf": plain_pdf,
    "plain_html": plain_html,
}


def measure(way: str, folder: Path) -> None:
    """Print what one way takes, as one line of JSON."""
    start = time.monotonic()
    characters = WAYS[way](folder)
    seconds = time.monotonic() - start
    from steep.documents.child import end_idle_children

    end_idle_children()  # so that their time is counted
    own = resource.getrusage(resource.RUSAGE_SELF)
    theirs = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = sum(each.ru_utime + each.ru_stime for each in (own, theirs))
    peaks = [round(each.ru_maxrss / 1024) for each in (own, theirs)]
    print(json.dumps({"s": seconds, "cpu_s": cpu, "mib": peaks, "characters": characters}))


def report(what: str, way: str, folder: Path, pages: int) -> None:
    """Print a row: pages per second of processor time and of the clock, and peak memory."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.documents", "--way", way]
    done = subprocess.run([*command, "--folder", str(folder)], capture_output=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    own, child = found["mib"]
    print(
        f"{what:<22}{way:<12}{pages / found['cpu_s']:>8.1f} pages/CPU s {pages / found['s']:>8.1f} "
        f"pages/s {own:>6} MiB + {child} MiB per child, {found['characters']:,} characters",
        flush=True,
    )


def number_of_pages(folder: Path) -> int:
    """Return the number of pages of all PDF files."""
    import pypdfium2

    return sum(len(pypdfium2.PdfDocument(path)) for path in folder.rglob("*.pdf"))


def compare(what: str, folder: Path, pages: int, plain: str, cached: bool) -> None:
    """Measure both ways on a folder."""
    for way in (plain, "steep", *(["steep"] if cached else [])):
        report(what, way, folder, pages)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the inputs unless folders are given, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pdf", type=Path, help="a folder of PDF files")
    parser.add_argument("--html", type=Path, help="a folder of .html files")
    parser.add_argument("--pages", type=int, default=HTML_FILES, help="web pages to make")
    parser.add_argument(
        "--cached", action="store_true", help="also read a second time, from the cache"
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.way:
        measure(given.way, given.folder)
        return
    drawn = random.Random(0)
    with tempfile.TemporaryDirectory() as temporary:
        pdf, html = Path(temporary, "pdf"), Path(temporary, "html")
        for folder in (pdf, html):
            folder.mkdir()
        for number in range(0 if given.pdf else PDF_FILES):
            write_pdf(pdf / f"{number}.pdf", drawn)
        for number in range(0 if given.html else given.pages):
            write_html(html / f"{number}.html", drawn)
        pdf, html = given.pdf or pdf, given.html or html
        compare("PDF", pdf, number_of_pages(pdf), "plain_pdf", given.cached)
        compare("web pages", html, len([*html.rglob("*.html")]), "plain_html", given.cached)


if __name__ == "__main__":
    main()
