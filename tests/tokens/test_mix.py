"""Arms with shares: each source has its share of the tokens, and what is left out is counted."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from steep.core.arms import SourceUse, recipes_read
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.core.files import write_rows
from steep.corpus.passage import PASSAGES_NAME, Passage, TextPlace, TextRow
from steep.tokens.build import SUBSET_NAME, ShardBuilder, is_held_out
from steep.tokens.mix import build_mix
from steep.tokens.shard import open_shard
from steep.tokens.sources import shares_of
from steep.tokens.subset import CHOSEN_NAME, build_subset, by_shares

TEXTS = {"focal": 40, "qa": 9, "rephrase": 30}  # per document
PROMPTS = ("easy", "hard", "odd")


def passages() -> list[Passage]:
    found = [Passage(f"documents:{n}", f"Raw {n}.", f"d{n}", None, 0, "documents", (), 2)
             for n in range(3)]  # fmt: skip
    for recipe, number in TEXTS.items():
        for rank in range(number):
            for n in range(3):
                subset = (PROMPTS[rank % 3],) if recipe == "rephrase" else ()
                text = f"{recipe} {rank} of {n}: " + "the ferry rings its bell " * (1 + rank % 4)
                found.append(
                    Passage(f"{recipe}{rank}-{n}", text, f"d{n}", "c", rank, recipe, subset, 9)
                )
    return found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def corpus(project: Project) -> Artifact:
    def make(directory: Path) -> dict[str, Any]:
        write_rows(directory / PASSAGES_NAME, passages(), Passage)
        return {"by_recipe": dict(Counter(each.recipe for each in passages()))}

    return build(project, Identity("corpus", 1, {}, {}), make)


@pytest.fixture
def builder(project: Project, tiny_directory: Path) -> ShardBuilder:
    tokenizer = AutoTokenizer.from_pretrained(tiny_directory)
    return ShardBuilder(project, "tiny", lambda: tokenizer)


def uses(shard: Artifact) -> dict[str, SourceUse]:
    return {each["source"]: SourceUse(**each) for each in shard.manifest["mix"]}


def longest(builder: ShardBuilder) -> int:
    return max(len(builder.tokenizer()(each.text)["input_ids"]) + 2 for each in passages())


def test_sources_have_their_shares_and_the_rest_is_counted(
    builder: ShardBuilder, corpus: Artifact
) -> None:
    shard = build_mix(builder, "mix", corpus, {"focal": 3, "qa": 1}, 0.0)
    taken = uses(shard)
    tokens = shard.manifest["tokens"]
    assert tokens == sum(each.tokens for each in taken.values()) == open_shard(shard.path).ends[-1]
    assert taken["qa"].tokens == taken["qa"].available_tokens, "the scarcest source is whole"
    assert taken["focal"].available_passages == 3 * TEXTS["focal"] > taken["focal"].passages
    assert 0 <= taken["focal"].tokens - 3 * taken["qa"].tokens < longest(builder)
    assert str(taken["qa"]).startswith("qa: all ") and " of " in str(taken["focal"])
    chosen = np.load(shard.path / CHOSEN_NAME).tolist()
    own = [each for each in passages() if each.recipe in ("focal", "qa")]
    documents = Counter(own[n].document_id for n in chosen if own[n].recipe == "focal")
    assert max(documents.values()) - min(documents.values()) <= 1, "balanced over documents"


def test_the_shard_holds_the_chosen_texts_in_order(builder: ShardBuilder, corpus: Artifact) -> None:
    shard = build_mix(builder, "mix", corpus, {"documents": 0.5, "focal": 0.5}, 0.0)
    opened, tokenizer = open_shard(shard.path), builder.tokenizer()
    chosen = np.load(shard.path / CHOSEN_NAME).tolist()
    own = [each.text for each in passages() if each.recipe in ("documents", "focal")]
    starts = [0, *opened.ends[:-1].tolist()]
    written = [
        tokenizer.decode(opened.ids[start:end].tolist(), skip_special_tokens=True)
        for start, end in zip(starts, opened.ends.tolist(), strict=True)
    ]
    assert written == [own[number] for number in chosen]


def test_weights_are_normalized_and_belong_to_the_identity(
    builder: ShardBuilder, corpus: Artifact
) -> None:
    def made(weights: dict[str, float]) -> str:
        return build_mix(builder, "mix", corpus, weights, 0.1).hash8

    assert made({"qa": 1, "focal": 1}) == made({"focal": 0.5, "qa": 0.5})
    assert made({"qa": 1, "focal": 2}) != made({"focal": 0.5, "qa": 0.5})


def test_every_part_of_a_recipe_has_an_equal_share(builder: ShardBuilder, corpus: Artifact) -> None:
    weights = {"rephrase/*": 0.75, "qa": 0.25}
    assert shares_of("mix", weights, corpus) == {"qa": 0.25} | {
        f"rephrase/{each}": 0.25 for each in PROMPTS
    }
    taken = uses(build_mix(builder, "mix", corpus, weights, 0.0))
    tokens = [each.tokens for each in taken.values()]
    assert len(tokens) == 4 and max(tokens) - min(tokens) < longest(builder)
    alone = build_mix(builder, "easy", corpus, {"rephrase/easy": 7}, 0.0)
    assert alone.manifest["passages"] == TEXTS["rephrase"]


@pytest.mark.parametrize("also", ["rephrase/easy", "rephrase"])
def test_a_part_that_is_read_twice_is_refused(corpus: Artifact, also: str) -> None:
    for weights in ({"rephrase/*": 0.5, also: 0.5}, {also: 0.5, "rephrase/*": 0.5}):
        with pytest.raises(UserError, match="reads 'rephrase/easy' twice"):
            shares_of("mix", weights, corpus)


def test_a_smaller_subset_keeps_the_shares_and_is_part_of_larger_ones(
    builder: ShardBuilder, corpus: Artifact, project: Project
) -> None:
    shard = build_mix(builder, "mix", corpus, {"focal": 0.5, "rephrase/*": 0.5}, 0.1)
    lengths = np.diff(open_shard(shard.path).ends, prepend=0)
    kept: set[int] = set()
    for tokens in (400, 900, 2000):
        subset = build_subset(project, corpus, shard, ("focal", "rephrase"), 0.1, tokens)
        texts = np.load(subset.path / SUBSET_NAME)
        assert kept < set(texts.tolist())
        kept = set(texts.tolist())
        assert subset.manifest["tokens"] == lengths[texts].sum()
        by_source = tokens_by_source(shard, texts, lengths)
        assert abs(by_source["focal"] - tokens / 2) < longest(builder)
        for part in PROMPTS:
            assert abs(by_source[part] - tokens / 6) < longest(builder)


def tokens_by_source(shard: Artifact, texts: Any, lengths: Any) -> Counter[str]:
    """The tokens of each source in a subset of a shard whose held-out texts are a tenth."""
    own = [
        each
        for each in passages()
        if each.recipe in ("focal", "rephrase")
        and not is_held_out(TextRow(each.id, each.recipe, each.text), 0.1)
    ]
    chosen = np.load(shard.path / CHOSEN_NAME)
    found: Counter[str] = Counter()
    for number in texts.tolist():
        passage = own[chosen[number]]
        found[passage.subset[0] if passage.subset else passage.recipe] += int(lengths[number])
    return found


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(1, 50)), min_size=9),
    st.lists(st.floats(0.05, 1), min_size=3, max_size=3),
)
def test_shares_hold_for_any_texts(rows: list[tuple[str, int, int]], weights: list[float]) -> None:
    rows += [(name, 0, 5) for name in "abc"]
    places = [TextPlace(str(n), name, f"d{d}", n) for n, (name, d, _) in enumerate(rows)]
    lengths = np.array([length for _, _, length in rows], np.int64)
    shares = {name: each / sum(weights) for name, each in zip("abc", weights, strict=True)}
    subset = by_shares(places, lengths, shares, math.inf)
    texts = subset.texts.tolist()
    assert len(set(texts)) == len(texts) and subset.tokens == lengths[subset.texts].sum()
    tokens, available = Counter[str](), Counter[str]()
    for number, (name, _, length) in enumerate(rows):
        available[name] += length
        tokens[name] += length if number in texts else 0
    total = min(available[name] / shares[name] for name in shares)
    assert any(tokens[name] == available[name] for name in shares)
    assert all(-1e-6 <= tokens[name] - total * shares[name] < 50 for name in shares)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"rephrase/esy": 1}, "did you mean 'rephrase/easy'?"),
        ({"qa/*": 1}, "the corpus has no parts of it"),
        ({"quiz": 1}, "no passage of it"),
    ],
)
def test_unknown_parts_are_refused(
    builder: ShardBuilder, corpus: Artifact, weights: dict[str, float], expected: str
) -> None:
    with pytest.raises(UserError, match=r"train\.arms\.mix") as raised:
        build_mix(builder, "mix", corpus, weights, 0.0)
    assert expected in str(raised.value)


def test_a_source_of_which_all_is_held_out_is_named(
    builder: ShardBuilder, corpus: Artifact
) -> None:
    with pytest.raises(UserError, match="no passage is left to train on"):
        build_mix(builder, "mix", corpus, {"documents": 1, "qa": 1}, 1.0)


def test_the_recipes_of_an_arm() -> None:
    assert recipes_read({"rephrase/easy": 1, "rephrase/hard": 1, "qa": 2}) == ("rephrase", "qa")
    assert recipes_read(["qa", "a/b"]) == ("qa", "a/b")
