"""Watch the theory of EntiGraph in a world whose knowledge graph is known.

    python examples/world/world.py --out examples/world

Invented people name one another as mentor, rival and so on: a random directed graph. Raw text
states its links. Each step of the paper's procedure draws two people and adds what the shortest
path from one to the other implies. Small transformers are trained from scratch on the texts after
0, 20, 60, ... steps, with the same number of training tokens each, and asked for the link of every
pair. The theory predicts the share that is right, as it counts a link as known once it is written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from steep.core.files import write_json, write_text
from steep.scaling.figure import Series, draw
from steep.scaling.theory import LinkGraph, count_subtrees, random_world, tree_of
from steep.tokens.mixture import Mixture
from steep.tokens.order import Stream
from steep.tokens.shard import open_shard, write_shard
from steep.training.config import OptimizationConfig
from steep.training.loop import train
from steep.training.metrics import StepMetrics
from steep.training.parallel import connect

ENTITIES, DEGREE = 24, 3.0
STEPS = (0, 20, 60, 200, 600, 2000)
TRAINING_TOKENS = 600_000
ROWS, CONTEXT = 16, 64
RELATIONS = [
    "mentor",
    "rival",
    "ally",
    "cousin",
    "tailor",
    "banker",
    "tenant",
    "pupil",
    "doctor",
    "partner",
    "neighbor",
    "guide",
]
TEMPLATES = ("The {chain} of {x} is {y} .", "Who is the {chain} of {x} ? {y} .")
Pair = tuple[int, int]


class Named(NamedTuple):
    """A world with a name for each person, and the words of each path."""

    world: LinkGraph
    names: Sequence[str]
    chains: Mapping[Pair, str]  # of all pairs with a path: "rival of the mentor"
    paths: Mapping[Pair, tuple[Pair, ...]]  # the links that a step with this pair adds
    stated: frozenset[Pair]


class Score(NamedTuple):
    """The recall of a model, as shares."""

    steps: int
    training_tokens: int
    text_tokens: int
    stated: float
    written: float | None  # deduced links that are in the text
    unwritten: float | None  # deduced links that are not
    known: float  # written links that are recalled, of all pairs
    density: float  # links that are recalled, of all pairs
    predicted: float  # the theory's expectation


def named_world(seed: int) -> Named:
    """Draw a world; each person uses a relation once, so each chain of relations has one end."""
    world = random_world(ENTITIES, DEGREE, seed)
    random = np.random.default_rng(seed)
    stated: dict[Pair, str] = {}
    for x in range(ENTITIES):
        ends = world.links.indices[world.links.indptr[x] : world.links.indptr[x + 1]]
        words = random.permutation(RELATIONS)
        stated |= {(x, int(y)): str(word) for y, word in zip(ends, words, strict=False)}
    chains: dict[Pair, str] = {}
    paths: dict[Pair, tuple[Pair, ...]] = {}
    for x in range(ENTITIES):
        tree = tree_of(world, x)
        for y in map(int, tree.order[1:]):
            parent = int(tree.parents[y])
            word = stated[parent, y]
            chains[x, y] = word if parent == x else f"{word} of the {chains[x, parent]}"
            paths[x, y] = (*paths.get((x, parent), ()), (x, y))
    return Named(world, invented_names(random), chains, paths, frozenset(stated))


def invented_names(random: np.random.Generator) -> list[str]:
    """Return a name of two syllables for each person."""
    first = [a + b for a in "BDKLMNRSTV" for b in ("a", "e", "i", "o", "u")]
    last = ("lin", "mor", "rik", "dan", "sel", "vet")
    every = [head + tail for head in first for tail in last]
    return [every[int(each)] for each in random.permutation(len(every))[:ENTITIES]]


def written_links(named: Named, steps: int, seed: int) -> set[Pair]:
    """Return the links in the texts after so many steps; the stated ones are always there."""
    random = np.random.default_rng(seed)
    links = set(named.stated)
    for _ in range(steps):
        x, y = map(int, random.choice(ENTITIES, 2, replace=False))
        links.update(named.paths.get((x, y), ()))
    return links


def texts_of(named: Named, links: set[Pair]) -> list[str]:
    """Return each link in each template."""
    return [
        template.format(chain=named.chains[x, y], x=named.names[x], y=named.names[y])
        for x, y in sorted(links)
        for template in TEMPLATES
    ]


def word_tokenizer(named: Named) -> Any:
    """Return a tokenizer with one token per word."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", "The", "the", "of", "is", "Who", "?", ".", *RELATIONS, *named.names]
    tokenizer = Tokenizer(models.WordLevel({word: each for each, word in enumerate(words)}))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )


def new_model(vocabulary: int) -> Any:
    """Return an untrained transformer of 0.1 million parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
        )
    )


@torch.no_grad()
def answers(model: Any, tokenizer: Any, named: Named) -> dict[Pair, bool]:
    """Ask for the end of every chain; an answer is right if its token is the likeliest of all."""
    right: dict[Pair, bool] = {}
    by_length: dict[int, list[Pair]] = {}
    prompts = {
        pair: tokenizer(f"<s> The {chain} of {named.names[pair[0]]} is")["input_ids"]
        for pair, chain in named.chains.items()
    }
    for pair, ids in prompts.items():
        by_length.setdefault(len(ids), []).append(pair)
    was_training = model.training
    model.eval()
    for pairs in by_length.values():
        ids_BT = torch.tensor([prompts[pair] for pair in pairs])
        likeliest = model(input_ids=ids_BT).logits[:, -1].argmax(dim=-1).tolist()
        for pair, token in zip(pairs, likeliest, strict=True):
            right[pair] = tokenizer.convert_ids_to_tokens(token) == named.names[pair[1]]
    model.train(was_training)
    return right


def score(named: Named, links: set[Pair], right: Mapping[Pair, bool], steps: int) -> dict[str, Any]:
    """Return the shares of pairs that a model answers."""

    def share(pairs: set[Pair]) -> float | None:
        return sum(right[pair] for pair in pairs) / len(pairs) if pairs else None

    expected = float(count_subtrees(named.world).density(steps))
    return {
        "stated": share(set(named.stated)),
        "written": share(links - named.stated),
        "unwritten": share(set(named.chains) - links),
        "known": sum(right[pair] for pair in links) / named.world.pairs,
        "density": sum(right.values()) / named.world.pairs,
        "predicted": expected,
    }


def study(named: Named, steps: int, directory: Path, asked_at: Sequence[int]) -> list[Score]:
    """Train one model, and ask it after each number of training tokens."""
    tokenizer = word_tokenizer(named)
    links = written_links(named, steps, seed=1)
    manifest = write_shard(directory / "shard", texts_of(named, links), tokenizer)
    mixture = Mixture(
        Stream(open_shard(directory / "shard"), seed=0), (), CONTEXT, isolate_documents=True
    )
    settings = OptimizationConfig(
        context_tokens=CONTEXT,
        batch_sequences=ROWS,
        micro_batch_sequences=ROWS,
        learning_rate=5e-3,
        isolate_documents=True,
        compute="float32",
        compile="none",
        keep_checkpoints=0,
    )
    model = new_model(len(tokenizer))
    wanted = [max(1, round(tokens / (ROWS * CONTEXT))) for tokens in asked_at]
    scores: list[Score] = []

    def ask(metrics: StepMetrics) -> None:
        if metrics.step in wanted:
            right = answers(model, tokenizer, named)
            tokens = metrics.step * ROWS * CONTEXT
            found = score(named, links, right, steps)
            scores.append(Score(steps, tokens, manifest.tokens, **found))
            print(json.dumps(scores[-1]._asdict()), flush=True)

    train(model, mixture, settings, max(wanted), directory, connect(), on_step=ask)
    return scores


def main() -> None:
    """Train all models, and write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=TRAINING_TOKENS)
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    options = parser.parse_args()
    named = named_world(options.seed)
    began, processor = time.monotonic(), time.process_time()
    scores: list[Score] = []
    for steps in options.steps:
        asked_at = [options.tokens // 4, options.tokens // 2, options.tokens]
        with tempfile.TemporaryDirectory() as directory:
            scores += study(named, steps, Path(directory), asked_at)
    wall_s, processor_s = time.monotonic() - began, time.process_time() - processor
    print(f"{wall_s:.0f} s, {processor_s:.0f} CPU seconds")
    result = {
        "entities": ENTITIES,
        "degree": DEGREE,
        "seed": options.seed,
        "links": len(named.stated),
        "reachable": len(named.chains),
        "scores": [each._asdict() for each in scores],
    }
    write_json(options.out / "result.json", result)
    write_text(options.out / "world.svg", picture(named, scores))
    print("\n".join(table_of(scores)))


def table_of(scores: Sequence[Score]) -> list[str]:
    """Return the recall of each model as a table in Markdown."""

    def shown(share: float | None) -> str:
        return "" if share is None else f"{100 * share:.1f}"

    heads = "steps | tokens of text | training tokens | stated | deduced, written | "
    heads += "deduced, not written | of all pairs: written and recalled | theory"
    lines = [f"| {heads} |", "|---" * 8 + "|"]
    for each in scores:
        shares = (each.stated, each.written, each.unwritten, each.known, each.predicted)
        cells = [f"{each.steps:,}", f"{each.text_tokens:,}", f"{each.training_tokens:,}"]
        lines.append(f"| {' | '.join([*cells, *map(shown, shares)])} |")
    return lines


def picture(named: Named, scores: Sequence[Score]) -> str:
    """Return the figure: recall of all pairs over steps, beside the theory."""
    last = {each.steps: each for each in scores}  # after the most training tokens
    steps = np.geomspace(1, 4 * max(last), 60)
    expected = count_subtrees(named.world).density(steps).tolist()
    raw, grown = last.get(0), [each for number, each in last.items() if number]
    series = [
        Series("theory: written links", "#0f766e", list(zip(steps, expected, strict=True))),
        Series(
            "written, recalled", "#be123c", [(each.steps, each.known) for each in grown], marks=True
        ),
    ]
    if raw:
        ends = [(1.0, raw.known), (float(steps[-1]), raw.known)]
        series.append(Series("raw text, recalled", "#78716c", ends, dash="7 4"))
    return draw("Recall of the links of a world", "steps of the procedure", series)


if __name__ == "__main__":
    main()
