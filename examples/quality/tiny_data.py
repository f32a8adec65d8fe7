"""Write invented stories in QuALITY's format, and general text for replay, to try every command.

    python examples/quality/tiny_data.py DIRECTORY

Writes quality.jsonl (four stories of 90 words, each with three four-choice questions) and
replay.jsonl.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PEOPLE = ("Anselm Toke", "Brid Calloway", "Corin Weld", "Dagny Marsh")
THINGS = ("a brass sextant", "a sack of blue seed", "a cracked radio valve", "a map of ice")
PLACES = (
    "the relay station on Ganymede",
    "the drowned market",
    "Port Ilse",
    "the salt observatory",
)
REASONS = ("to pay for the crossing", "to free his brother", "to end the strike", "to fix the pump")
STORY = (
    "{who} came to {where} in the year of the short summer and carried {what}. Nobody at "
    "{where} had asked for help, and the quartermaster said so. {who} stayed all the same, "
    "slept under the long table, and learned the names of the eleven who worked there. In the "
    "third week the lamps went out. It was {who} who sold {what} {why}, and who never spoke "
    "of it again. When the ship came back, the quartermaster wrote one line into the log: "
    "that {who} had been there, and had stayed."
)
QUESTIONS = (
    ("What did {who} carry to {where}?", THINGS),
    ("Why did {who} sell {what}?", REASONS),
    ("Where did {who} stay in the year of the short summer?", PLACES),
)
REPLAY = (
    "Bread dough rises faster in a warm kitchen, because yeast works best at about 30 degrees.",
    "A bicycle chain that is cleaned and oiled every few weeks lasts several times as long.",
    "Rivers carry sand to the sea, where currents sort it by size and lay it down in beaches.",
)


def article(number: int) -> dict[str, object]:
    """Return a story with its questions, as a row of QuALITY's files."""
    words = {
        "who": PEOPLE[number],
        "what": THINGS[number],
        "where": PLACES[number],
        "why": REASONS[number],
    }
    questions = [
        {
            "question": question.format(**words),
            "question_unique_id": f"{number}_{place}",
            "options": list(options),
            "gold_label": number + 1,  # counted from 1
            "difficult": place % 2,
        }
        for place, (question, options) in enumerate(QUESTIONS)
    ]
    return {
        "article_id": f"{number:05}",
        "set_unique_id": f"{number:05}_A",
        "title": f"The Log of {PLACES[number].split()[-1]}",
        "author": PEOPLE[-1 - number],
        "year": "1957",
        "topic": "Science fiction",
        "article": STORY.format(**words),
        "questions": questions,
    }


def main(directory: Path) -> None:
    """Write the files."""
    directory.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, object]]] = {
        "quality.jsonl": [article(number) for number in range(len(PEOPLE))],
        "replay.jsonl": [{"text": text} for text in REPLAY],
    }
    for name, each in rows.items():
        text = "".join(json.dumps(row) + "\n" for row in each)
        (directory / name).write_text(text, encoding="utf-8")
        print(f"{directory / name}: {len(each)} rows")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data"))
