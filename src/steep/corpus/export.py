"""Export a corpus as Parquet files that `datasets` loads and `steep import --corpus` reads.

The files hold the passages in their order: `data/train-00000-of-00003.parquet`, ... A file has
passages of one recipe, so that each recipe is a configuration of the data set. The raw documents
are not among them. Files are complete when the directory `data` appears.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from steep.core.calls import OF_DOCUMENT, RAW_RECIPE
from steep.core.files import disk_errors, write_rows
from steep.corpus.passage import Passage, stream_rows
from steep.ledger.ledger import Ledger, chunks
from steep.ledger.records import IMPORT_ENDPOINT

DATA = "data"
FILE_CHARACTERS = 2**27  # of text in a file, at most; they compress to about a third
ROWS_PER_QUERY = 500
SAMPLES = 2  # rows of each recipe that a card shows


@dataclass(frozen=True, slots=True)
class ExportedPassage:
    """A row of an exported corpus.

    Attributes:
        id: The id of the passage: of its call and, after `@`, of its document.
        text: The training text.
        document_id: The document that it is about.
        recipe: What it was written by.
        subset: What it is about, such as names of entities.
        rank: The position among the texts of its recipe about its document.
        words: The number of words.
        model: The model that wrote it.
        call_id: The call in the ledger that gave it.
        prompt_tokens: Of the call; None for an imported text.
        completion_tokens: Of the call; None for an imported text.
        cost_usd: Of the call; None where no price is known, and for an imported text.
    """

    id: str
    text: str
    document_id: str
    recipe: str
    subset: tuple[str, ...]
    rank: int
    words: int
    model: str
    call_id: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None


@dataclass
class RecipeTotals:
    """The exported passages of a recipe.

    A call whose text went to several documents is counted for each of them.
    """

    passages: int = 0
    words: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0  # passages whose cost is unknown
    models: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    samples: list[ExportedPassage] = field(default_factory=list)

    def add(self, row: ExportedPassage) -> None:
        """Count a passage."""
        self.passages += 1
        self.words += row.words
        self.prompt_tokens += row.prompt_tokens or 0
        self.completion_tokens += row.completion_tokens or 0
        self.cost_usd += row.cost_usd or 0.0
        self.unpriced += row.cost_usd is None
        self.models.add(row.model)
        if len(self.samples) < SAMPLES:
            self.samples.append(row)


def write_data(directory: Path, passages: Path, ledger: Ledger) -> dict[str, RecipeTotals]:
    """Write `data/` below a directory from a `passages.parquet`; return the totals by recipe.

    Files of an earlier export are replaced.
    """
    temporary = directory / f".{DATA}.tmp"
    totals: dict[str, RecipeTotals] = {}
    with disk_errors(directory):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            recipes = []
            for number, rows in enumerate(_files(exported_passages(passages, ledger))):
                write_rows(temporary / str(number), rows, ExportedPassage)
                own = totals.setdefault(rows[0].recipe, RecipeTotals())
                recipes.append(own)
                for row in rows:
                    own.add(row)
            for number, own in enumerate(recipes):
                name = f"train-{number:05d}-of-{len(recipes):05d}.parquet"
                (temporary / str(number)).rename(temporary / name)
                own.files.append(f"{DATA}/{name}")
            shutil.rmtree(directory / DATA, ignore_errors=True)
            temporary.rename(directory / DATA)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return totals


def exported_passages(path: Path, ledger: Ledger) -> Iterator[ExportedPassage]:
    """Yield the rows for the passages of a `passages.parquet`, without the raw documents."""
    own = (each for each in stream_rows(path, Passage) if each.recipe != RAW_RECIPE)
    columns = "id, model, endpoint, prompt_tokens, completion_tokens, cost_usd"
    for some in chunks(own, ROWS_PER_QUERY):
        calls = {each.call_id for each in some if each.call_id}
        found = {call_id: rest for call_id, *rest in ledger.select_ids(columns, calls)}
        for each in some:
            assert each.call_id is not None
            model, endpoint, prompt, completion, cost = found[each.call_id]
            counted = (None,) * 3 if endpoint == IMPORT_ENDPOINT else (prompt, completion, cost)
            yield _row(each, each.call_id, public_name(model), *counted)


def public_name(model: str) -> str:
    """Return the name of a model without the path of a local directory."""
    return Path(model).name if model.startswith(("/", ".", "~")) else model


def _row(
    passage: Passage,
    call_id: str,
    model: str,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    cost_usd: float | None,
) -> ExportedPassage:
    named = OF_DOCUMENT in passage.id
    return ExportedPassage(
        id=passage.id if named else f"{passage.id}{OF_DOCUMENT}{passage.document_id}",
        text=passage.text,
        document_id=passage.document_id,
        recipe=passage.recipe,
        subset=passage.subset,
        rank=passage.rank,
        words=passage.words,
        model=model,
        call_id=call_id.partition(OF_DOCUMENT)[0],
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=cost_usd,
    )


def _files(rows: Iterable[ExportedPassage]) -> Iterator[list[ExportedPassage]]:
    """Cut rows into files of one recipe and of limited characters."""
    some: list[ExportedPassage] = []
    characters = 0
    for row in rows:
        if some and (row.recipe != some[0].recipe or characters >= FILE_CHARACTERS):
            yield some
            some, characters = [], 0
        some.append(row)
        characters += len(row.text)
    if some:
        yield some
