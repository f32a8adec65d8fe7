"""`steep export corpus`: a data set that others load, and that gives the same corpus again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from small_project import settle
from steep_command import Steep

from steep.corpus.passage import Passage, read_passages
from steep.ledger.ledger import Ledger
from steep.recipes.recipe import RecipeOptions
from steep.recipes.template import TemplateOptions
from steep.stages.export_corpus import _public_options

pytest_plugins = ["command_fixtures"]

ARMS = {"raw": ["documents"], "all": ["documents", "entigraph", "rephrase", "told"]}
TOLD = "Joren Pell kept bees in Tessel before the town made him master of its harbour, long ago"
RECIPES: dict[str, dict[str, Any]] = {"rephrase": {"samples": 1}, "entigraph": {"pairs": 5}}


@pytest.fixture
def written(project: Path, steep: Steep) -> Path:
    """A project with texts of two recipes and imported ones, tokenized."""
    settle(
        project / "steep.yaml",
        train={"arms": ARMS},
        tokenize={"holdout": 0.3},
        corpus={"near_duplicates": None},
        generate={"recipes": RECIPES},
    )
    rows: list[dict[str, Any]] = [
        {"document_id": document, "recipe": "told", "model": "/private/models/gpt", "sample": n}
        for document in ("pell", "hask")
        for n in range(3)
    ]
    texts = [json.dumps({**row, "text": f"{TOLD}: {row['sample']}."}) + "\n" for row in rows]
    (project / "texts.jsonl").write_text("".join(texts))
    assert steep("import", "--generations", "texts.jsonl", cwd=project).code == 0
    ended = steep("tokenize", cwd=project)
    assert ended.code == 0, ended.err
    return project


def corpus_of(project: Path) -> tuple[Passage, ...]:
    (path,) = project.glob(".steep/corpus-*/passages.parquet")
    return read_passages(path)


def tokens_of(project: Path, arm: str) -> bytes:
    for path in project.glob(".steep/tokenize-*/manifest.json"):
        if json.loads(path.read_text())["arm"] == arm:
            return (path.parent / "tokens.bin").read_bytes()
    raise AssertionError(arm)


def rows_of(directory: Path) -> list[dict[str, Any]]:
    files = sorted(directory.glob("data/*.parquet"))
    return [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]


def header_of(directory: Path) -> dict[str, Any]:
    _, header, _ = (directory / "README.md").read_text().split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(header)
    return found


def test_importing_an_export_gives_the_same_corpus_and_shards(written: Path, steep: Steep) -> None:
    ended = steep("export", "corpus", "out", cwd=written)
    assert ended.code == 0, ended.err
    fresh = written.parent / "fresh"
    shutil.copytree(written, fresh, ignore=shutil.ignore_patterns(".steep", "runs", "out"))
    settle(fresh / "steep.yaml", generate={"recipes": {}})
    ended = steep("import", "--corpus", written / "out", cwd=fresh)
    assert ended.code == 0, ended.err
    own = [each for each in corpus_of(written) if each.recipe != "documents"]
    assert f"{len(own)} rows = {len(own)} imported + 0 already there" in ended.out
    assert "0 imported" in steep("import", "--corpus", written / "out", cwd=fresh).out
    ended = steep("tokenize", cwd=fresh)
    assert ended.code == 0, ended.err
    places = [
        [(each.text, each.recipe, each.document_id, each.rank, each.subset) for each in corpus]
        for corpus in (corpus_of(written), corpus_of(fresh))
    ]
    assert places[0] == places[1] and len({recipe for _, recipe, *_ in places[0]}) == 4
    for arm in ARMS:
        assert tokens_of(written, arm) == tokens_of(fresh, arm)
    ended = steep("export", "corpus", "again", cwd=fresh)
    assert ended.code == 0, ended.err
    kept = ("id", "text", "document_id", "recipe", "subset", "rank", "words", "model", "call_id")
    first, second = rows_of(written / "out"), rows_of(fresh / "again")
    assert [[row[name] for name in kept] for row in first] == [
        [row[name] for name in kept] for row in second
    ]
    ended = steep("trace", "--text", own[0].text[:40], "--json", cwd=fresh)
    origin = json.loads(ended.out)["traces"][0]["origin"]
    assert origin["imported_from"].endswith("train-00000-of-00003.parquet:1")


def test_the_passages_of_several_corpora_are_not_interleaved(written: Path, steep: Steep) -> None:
    assert steep("export", "corpus", "out", cwd=written).code == 0
    fresh = written.parent / "fresh"
    shutil.copytree(written, fresh, ignore=shutil.ignore_patterns(".steep", "runs", "out"))
    settle(fresh / "steep.yaml", generate={"recipes": {}})
    for number, path in enumerate(sorted((written / "out/data").iterdir())):
        (fresh / f"{number}/data").mkdir(parents=True)
        shutil.copy(path, fresh / f"{number}/data")
        assert steep("import", "--corpus", str(number), cwd=fresh).code == 0
    assert steep("export", "corpus", "again", cwd=fresh).code == 0
    assert len(list((fresh / "again/data").iterdir())) == 3, "one file per recipe"
    recipes = [row["recipe"] for row in rows_of(fresh / "again")]
    assert recipes == sorted(row["recipe"] for row in rows_of(written / "out"))


def test_rows_tell_the_call_and_nothing_private(written: Path, steep: Steep) -> None:
    assert steep("export", "corpus", "out", "--license", "cc-by-4.0", cwd=written).code == 0
    rows = rows_of(written / "out")
    assert [row["recipe"] for row in rows] == [
        each.recipe for each in corpus_of(written) if each.recipe != "documents"
    ]
    with Ledger(written / ".steep/ledger.db", read_only=True) as ledger:
        for row in rows:
            record = ledger.get(row["call_id"])
            assert record is not None and list(record.subset) == row["subset"]
            assert record.stage == "entities" or record.text[:20] == row["text"][:20]
            usage = record.completion.usage
            counted: tuple[Any, ...] = (
                usage.prompt_tokens,
                usage.completion_tokens,
                record.completion.cost_usd,
            )
            assert row["id"] == f"{row['call_id']}@{row['document_id']}"
            if row["recipe"] == "told":
                counted, model = (None, None, None), "gpt"
            else:
                model = "scripted"
            assert (row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]) == counted
            assert row["model"] == model
    header = header_of(written / "out")
    assert header["license"] == "cc-by-4.0" and header["language"] == ["en"]
    names = [each["config_name"] for each in header["configs"]]
    assert names == ["default", "rephrase", "entigraph", "told"]
    card = (written / "out/README.md").read_text()
    assert "127.0.0.1" not in card and "/private" not in card and "Generation is finished" in card
    assert sorted(path.name for path in (written / "out").iterdir()) == [
        *("README.md", "data", "steep-corpus.json"),
    ]
    assert not (written / "runs/default/dataset").exists()


def test_the_corpus_is_exported_while_another_process_writes_the_ledger(
    project: Path, steep: Steep
) -> None:
    ended = steep("export", "corpus", cwd=project)
    assert ended.code == 2 and "no synthetic text" in ended.err
    ended = steep("export", "corpus", "--push", "me/texts", cwd=project, HF_TOKEN="")
    assert ended.code == 2 and "no token of the Hugging Face Hub" in ended.err
    limited = {"max_total_tokens": 15_000, "recipes": {"rephrase": {"samples": 50}}}
    settle(project / "steep.yaml", generate=limited)
    assert steep("generate", cwd=project).code == 0
    before = sorted((project / ".steep").iterdir())
    with Ledger(project / ".steep/ledger.db"):  # as a generation that runs
        ended = steep("export", "corpus", cwd=project)
    assert ended.code == 0, ended.err
    assert "generation is not finished" in ended.out
    out = project / "runs/default/dataset"
    some = rows_of(out)
    assert "**Generation is not finished**: 450 planned calls" in (out / "README.md").read_text()
    assert sorted((project / ".steep").iterdir())[: len(before)] == before
    settle(project / "steep.yaml", generate={"max_total_tokens": 30_000})
    assert steep("generate", cwd=project).code == 0
    assert steep("export", "corpus", cwd=project).code == 0
    more = rows_of(out)
    assert 0 < len(some) < len(more)
    assert {row["id"] for row in some} < {row["id"] for row in more}


def test_documents_are_exported_only_when_asked_for(written: Path, steep: Steep) -> None:
    assert steep("export", "corpus", "out", "--documents", cwd=written).code == 0
    fresh = written.parent / "fresh"
    shutil.copytree(written, fresh, ignore=shutil.ignore_patterns(".steep", "runs", "documents"))
    documents = {"path": "out/documents.jsonl"}
    settle(fresh / "steep.yaml", generate={"recipes": {}}, documents=documents)
    assert steep("import", "--corpus", "out", cwd=fresh).code == 0
    assert steep("tokenize", cwd=fresh).code == 0
    assert tokens_of(written, "all") == tokens_of(fresh, "all")
    assert steep("export", "corpus", "out", cwd=written).code == 0
    assert not (written / "out/documents.jsonl").exists()


def test_what_cannot_be_exported_or_imported(written: Path, steep: Steep, tmp_path: Path) -> None:
    ended = steep("export", "corpus", "documents", cwd=written)
    assert ended.code == 2 and "an export has not written" in ended.err
    assert not (written / "documents/README.md").exists()
    ended = steep("export", "corpus", "out", "--public", cwd=written)
    assert ended.code == 2 and "--push OWNER/NAME" in ended.err
    assert not (written / "out").exists()
    for arguments, said in (
        (["--corpus", "nowhere"], "no such directory"),
        (["--corpus", "documents"], "none of these files"),
        ([], "not clear what to import"),
    ):
        ended = steep("import", *arguments, cwd=written)
        assert ended.code == 2 and said in ended.err
    (written / "bad/data").mkdir(parents=True)
    (written / "bad/data/a.parquet").write_bytes(b"not parquet")
    assert "cannot be read" in steep("import", "--corpus", "bad", cwd=written).err
    pq.write_table(_table(["id", "text"]), written / "bad/data/a.parquet")
    assert "no document_id, recipe, model, subset" in steep(
        "import", "--corpus", "bad", cwd=written
    ).err  # fmt: skip
    names = ["id", "text", "document_id", "recipe", "model", "subset"]
    pq.write_table(_table(names), written / "bad/data/a.parquet")
    ended = steep("import", "--corpus", "bad", cwd=written)
    assert ended.code == 2 and "'id' must be a call and a document" in ended.err


def test_without_texts_no_directory_is_made(project: Path, steep: Steep) -> None:
    ended = steep("export", "corpus", "out", cwd=project)
    assert ended.code == 2 and "no synthetic text" in ended.err
    assert not (project / "out").exists()


class _OptionsWithPaths(RecipeOptions):
    instructions: Path
    samples: int = 3


def test_the_card_has_no_local_path_of_any_recipe() -> None:
    of_package = _OptionsWithPaths(instructions=Path("/home/me/secret.md"))
    assert _public_options(of_package) == {"samples": 3}
    own = TemplateOptions(template=Path("/home/me/own.md"), samples=2, text="Tell {document}")
    assert _public_options(own) == {"samples": 2}


def _table(names: list[str]) -> Any:
    import pyarrow as pa

    return pa.table({name: np.array(["x"]) for name in names})


def test_the_library_of_data_sets_loads_it(
    written: Path, steep: Steep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    assert steep("export", "corpus", "out", cwd=written).code == 0
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset(str(written / "out"), split="train", cache_dir=cache)
    assert loaded["text"][:] == [row["text"] for row in rows_of(written / "out")]
    told = datasets.load_dataset(str(written / "out"), "told", split="train", cache_dir=cache)
    assert set(told["recipe"]) == {"told"} and len(told) == 6
