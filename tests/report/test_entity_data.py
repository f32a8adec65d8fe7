"""The data of the explorer: counts of all passages, and texts within a budget."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from fixture_run import write_run
from test_report_components import passage, small_run, write_texts

from steep.report import entity_data
from steep.report.entity_counts import count_entities
from steep.report.entity_data import explorer_data, size_of
from steep.report.html import data_block
from steep.report.run_data import load_run


def test_everything_is_in_the_page_of_a_small_run(tmp_path: Path) -> None:
    run = load_run(tmp_path, write_run(tmp_path))
    found = [each for each in count_entities(run) if each.passages]
    data = explorer_data(run, found)

    assert run.corpus is not None
    about = [each for each in run.corpus.passages if len(each.subset) > 1]
    assert (data.entities, data.passages) == (len(found), len(about))
    assert data.all_passages == len(about)
    rows = data.value["entities"]
    for row, entity in zip(rows, found, strict=True):
        name, passages, documents, first, others, together = row
        assert (name, passages) == (entity.name, entity.passages)
        assert documents == len(entity.documents) and others == len(entity.cooccurring)
        assert sum(count for _, count in first) <= passages
        counts = [count for _, count in together]
        assert counts == sorted(counts, reverse=True)
        assert {rows[number][0]: count for number, count in together}.items() <= (
            entity.cooccurring.items()
        )
    for document, recipe, about_numbers, text, cut in data.value["passages"]:
        assert data.value["documents"][document] in run.documents.titles.values()  # type: ignore[union-attr]
        assert recipe == "entigraph" and not cut and text
        assert len({rows[number][0] for number in about_numbers}) >= 2


def test_budgets_hold_and_each_entity_comes_before_second_passages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity_data, "ENTITY_BYTES", 4_000)
    monkeypatch.setattr(entity_data, "TEXT_BYTES", 20_000)
    random = Random(0)
    names = [f"entity {number} <&\u00e9\u6e21>" for number in range(300)]
    passages = [passage(n, "a", *random.sample(names[: 3 + n], 2)) for n in range(297)]
    write_texts(tmp_path, passages, "\u6e21" * 3_000)
    run = small_run(passages, {"a": names}, tmp_path)
    found = count_entities(run)

    data = explorer_data(run, found)

    assert size_of(data.value["entities"]) <= 4_500 and data.entities < 100
    assert size_of(data.value["passages"]) <= 21_000
    assert 0 < data.passages < data.all_passages <= len(passages)
    assert all(cut and len(text) == 1_200 for *_, text, cut in data.value["passages"])
    seen: set[int] = set()
    for _, _, about, _, _ in data.value["passages"]:
        own = {each for each in about if isinstance(each, int)}
        assert own - seen, "a second passage before the first one of another entity"
        seen |= own
    for *_, together in data.value["entities"]:
        assert all(number < data.entities for number, _ in together)


def test_data_cannot_end_its_block() -> None:
    text = data_block("x", ["</script><script>alert(1)</script>", "<!--"]).text
    assert text.count("<") == 2 and "\\u003c/script>" in text
