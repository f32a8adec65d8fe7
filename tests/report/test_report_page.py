"""The whole page from a whole run: numbers, sums, escaping, what is missing is said."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from fixture_run import (
    KINDS,
    RECORDED,
    USAGE,
    artifact,
    drop_artifact,
    edit,
    import_recorded_texts,
    rewrite_passage,
    write_run,
)

from steep.core.calls import STATUSES
from steep.core.errors import UserError
from steep.core.files import read_json, write_jsonl
from steep.report.blocks import Figure
from steep.report.render import render_report
from steep.report.run_data import load_run
from steep.report.sections import corpus as corpus_section
from steep.report.sections.training import training

PASSAGES = "passages.parquet"


class Page(HTMLParser):
    """Text, tags and balance of a page."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.open: list[str] = []
        self.parts: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        values = dict(attrs)
        self.ids.update(filter(None, [values.get("id")]))
        self.links += [
            value or "" for key, value in attrs if key in ("src", "href", "action", "xlink:href")
        ]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script", "title"):
            self.parts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.parts))


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    return write_run(tmp_path)


def render(root: Path, run_directory: Path) -> Page:
    return Page(render_report(root, run_directory).read_text(encoding="utf-8"))


def test_the_page_shows_every_number_of_the_evaluation(tmp_path: Path, run_directory: Path) -> None:
    text = render(tmp_path, run_directory).text

    assert "What SmolLM2-135M-Instruct learned from 6 documents" in text
    assert "28.3%[17.3, 39.3]" in text
    assert "n = 60" in text and "n = 20" in text
    assert "+40.0[+26.7, +53.3]" in text
    assert "Minimum detectable difference: about 18.3 points" in text
    assert "closed book and scored by log-likelihood per token" in text
    assert "chance 25%" in text
    assert "q61" in text


def test_guessing_is_shown_for_each_kind_where_it_differs(
    tmp_path: Path, run_directory: Path
) -> None:
    path = artifact(tmp_path, run_directory, "evaluate") / "scores.json"
    one = render(tmp_path, run_directory)
    table = read_json(path)["likelihood"]
    same = table | {"chance_by_kind": dict.fromkeys(KINDS, 0.25)}
    edit(path, likelihood=same)
    assert render(tmp_path, run_directory).text == one.text
    edit(
        path, likelihood=table | {"chance_by_kind": dict(zip(KINDS, (0.2, 0.25, 0.5), strict=True))}
    )
    text = render(tmp_path, run_directory).text
    for share in (20, 25, 50):
        assert f"n = 20, chance {share}%" in text
    assert "n = 60, chance" not in text


def test_sets_that_were_not_watched_are_not_mentioned(tmp_path: Path, run_directory: Path) -> None:
    assert "An increasing loss on general text" in render(tmp_path, run_directory).text
    for path in (tmp_path / ".steep").glob("train-*/validation.jsonl"):
        path.write_text('{"step": 0, "documents": 3.0}\n{"step": 64, "documents": 1.0}\n')
    text = render(tmp_path, run_directory).text
    assert "indicates forgetting" not in text and "held-out" not in text
    assert "Only arms that read the documents themselves are trained on them." in text


def test_learning_and_forgetting_are_shown(tmp_path: Path, run_directory: Path) -> None:
    text = render(tmp_path, run_directory).text
    assert "held-out synthetic text" in text and "held-out general text" in text
    assert "3.100 \u2192 2.200" in text
    assert "2.800 \u2192 3.300" in text, "what was forgotten"
    for path in (tmp_path / ".steep").glob("train-*/validation.jsonl"):
        path.unlink()
    assert "held-out general text" not in render(tmp_path, run_directory).text


def test_rates_are_those_of_the_time_at_work(tmp_path: Path, run_directory: Path) -> None:
    text = render(tmp_path, run_directory).text
    written = USAGE["completion_tokens"] / 301.5
    assert f"completion tokens per second while calls were in flight{written:,.1f}" in text
    assert "196 s256" in text or "3 min 16 s256" in text, "16,384 tokens in 64 s of steps"


def test_the_ledger_is_an_equation_that_adds_up(tmp_path: Path, run_directory: Path) -> None:
    text = render(tmp_path, run_directory).text

    equation = re.search(r"([\d,]+) planned = (.*? to do)", text)
    assert equation is not None
    terms = [int(term) for term in re.findall(r"\d+", equation[2])]
    assert sum(terms) == int(equation[1]) == 283
    assert len(terms) == len(STATUSES) + 1
    assert "$0.00 (own machine)" in text
    assert "no answer within 300 s" in text


def test_a_ledger_that_does_not_add_up_says_so(tmp_path: Path, run_directory: Path) -> None:
    manifest = artifact(tmp_path, run_directory, "generate") / "manifest.json"
    edit(manifest, counts=read_json(manifest)["counts"] | {"planned": 290})

    text = render(tmp_path, run_directory).text

    assert "290 planned \N{NOT EQUAL TO}" in text
    assert "7 calls unaccounted for" in text


def test_an_unknown_cost_is_never_zero(tmp_path: Path, run_directory: Path) -> None:
    manifest = artifact(tmp_path, run_directory, "generate") / "manifest.json"
    steps = [{**each, "unpriced": 3} for each in read_json(manifest)["by_step"]]
    edit(manifest, cost_usd=None, unpriced=271, by_step=steps)
    run = read_json(run_directory / "run.json")
    for name in ("outcomes", "endpoints"):
        run[name] = [{**each, "unpriced": 3} for each in run[name]]
    edit(run_directory / "run.json", **{**run, "lost": {}})

    text = render(tmp_path, run_directory).text

    assert "costunknown" in text
    assert "$0" not in text
    assert "Unknown does not mean free" in text


def test_a_paid_endpoint_has_its_price_and_its_name(tmp_path: Path, run_directory: Path) -> None:
    manifest = artifact(tmp_path, run_directory, "generate") / "manifest.json"
    edit(manifest, cost_usd=3.5, model="big-model", endpoint="a host of ours")
    config = run_directory / "config.yaml"
    config.write_text(config.read_text().replace("engine: embedded", "engine: openai"))

    text = render(tmp_path, run_directory).text

    assert "$3.50" in text and "own machine" not in text
    assert "The generator was big-model" in text and "a host of ours" in text


def test_hostile_text_stays_text_everywhere(tmp_path: Path, run_directory: Path) -> None:
    hostile = "</p><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt; $title"
    clean = render(tmp_path, run_directory)
    rewrite_passage(tmp_path, run_directory, hostile)
    documents = artifact(tmp_path, run_directory, "documents") / "documents.jsonl"
    documents.write_text(documents.read_text().replace("Foundry Nine", "<b>Nine</b>"))
    entities = artifact(tmp_path, run_directory, "generate") / "entities.jsonl"
    entities.write_text(entities.read_text().replace("Quill Street", "<i onclick=x>Quill"))
    edit(run_directory / "run.json", hardware="<u>two</u> cores", name="a<b")
    scores = artifact(tmp_path, run_directory, "evaluate") / "scores.json"
    scores.write_text(scores.read_text().replace("entigraph", "<em>graph</em>"))
    config = run_directory / "config.yaml"
    config.write_text(config.read_text() + "# </pre><script>alert(3)</script>\n")

    page = render(tmp_path, run_directory)

    assert page.tags["script"] == clean.tags["script"] == 2  # its own, and data
    assert page.tags["img"] == page.tags["b"] == page.tags["em"] == page.tags["u"] == 0
    assert page.text.count(hostile) == 10
    assert "<b>Nine</b>" in page.text and "<em>graph</em>" in page.text
    assert "alert(3)" in page.text


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path, run_directory: Path) -> None:
    path = render_report(tmp_path, run_directory)
    markup = path.read_text(encoding="utf-8")
    page = Page(markup)

    assert not re.search(r"(?:https?:)?//[a-z]", markup.replace("http://www.w3.org/2000/svg", ""))
    assert "@import" not in markup and "url(" not in markup
    assert all(link.startswith("#") or link == "data:," for link in page.links)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert max(page.ids.values()) == 1
    assert page.open == []


def test_every_chart_has_a_name(tmp_path: Path, run_directory: Path) -> None:
    markup = render_report(tmp_path, run_directory).read_text(encoding="utf-8")

    charts = re.findall(r'<div role="img" aria-label="[^"]+" class="chart \w+">', markup)
    drawings = re.findall(r"<svg ([^>]*)>", markup)
    assert len(charts) == 6 == markup.count('role="img"')
    parts = ("viewBox", "x=")  # of a drawing that is hidden itself
    assert all('aria-hidden="true"' in each or each.startswith(parts) for each in drawings)


def test_the_same_artifacts_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    pages = [render_report(root, write_run(root)).read_bytes() for root in (first, second)]

    assert pages[0] == pages[1]


def test_a_run_without_questions_says_so(tmp_path: Path, run_directory: Path) -> None:
    drop_artifact(run_directory, "evaluate")

    text = render(tmp_path, run_directory).text

    assert "SmolLM2-135M-Instruct trained on 6 documents" in text
    assert "learned from 6 documents" not in text
    assert "The intervals cover" not in text
    assert "was not measured" in text
    assert "This run asked no questions." in text
    assert "chance" not in text


def test_a_run_of_imported_texts_has_no_ledger_and_no_entities(
    tmp_path: Path, run_directory: Path
) -> None:
    drop_artifact(run_directory, "generate", "corpus")

    text = render(tmp_path, run_directory).text

    assert "This run planned no calls and has no corpus." in text
    assert "Entities" not in text and "The entities" not in text


def test_entities_without_passages_give_no_table(tmp_path: Path, run_directory: Path) -> None:
    drop_artifact(run_directory, "corpus")

    assert "The entities that the generator extracted" not in render(tmp_path, run_directory).text


def test_a_run_that_trained_nothing_says_so(tmp_path: Path, run_directory: Path) -> None:
    drop_artifact(run_directory, "train", "tokenize", "evaluate")

    text = render(tmp_path, run_directory).text

    assert "This run trained no model and asked no questions." in text
    assert "Continued pretraining" not in text
    assert "trained once" not in text


def test_a_run_with_several_seeds_does_not_say_that_arms_were_trained_once(
    tmp_path: Path, run_directory: Path
) -> None:
    assert "Each arm was trained once" in render(tmp_path, run_directory).text
    config = run_directory / "config.yaml"
    settings = yaml.safe_load(config.read_text())
    settings.setdefault("train", {})["seeds"] = 3
    config.write_text(yaml.safe_dump(settings))

    text = render(tmp_path, run_directory).text

    assert "Each arm was trained 3 times" in text and "trained once" not in text


def test_one_arm_is_not_compared(tmp_path: Path, run_directory: Path) -> None:
    run = read_json(run_directory / "run.json")["artifacts"]
    one = {stage: {"raw": run[stage]["raw"]} for stage in ("train", "tokenize")}
    edit(run_directory / "run.json", artifacts=run | one)
    scores = artifact(tmp_path, run_directory, "evaluate") / "scores.json"
    likelihood = read_json(scores)["likelihood"]
    edit(scores, likelihood={**likelihood, "models": likelihood["models"][:1], "pairs": []})

    text = render(tmp_path, run_directory).text

    assert "there is no other model to compare it with" in text
    assert "All arms had the same number of training tokens" not in text


def test_unequal_training_is_not_called_equal(tmp_path: Path, run_directory: Path) -> None:
    raw = read_json(run_directory / "run.json")["artifacts"]["train"]["raw"]
    edit(tmp_path / raw / "manifest.json", tokens=8_192)

    text = render(tmp_path, run_directory).text

    assert "The arms differ in training tokens" in text
    assert "raw 8,192 and entigraph 16,384" in text


def test_ten_passages_and_three_rejected_have_their_provenance(
    tmp_path: Path, run_directory: Path
) -> None:
    page = render(tmp_path, run_directory)

    assert page.tags["article"] == 13
    assert page.text.count("recipeentigraph") >= 13
    assert len(set(re.findall(r"call([0-9a-f]{32})", page.text))) == 13
    assert "(no text)" in page.text


def test_reasons_for_rejection_come_with_recipes_and_examples(
    tmp_path: Path, run_directory: Path
) -> None:
    page = render(tmp_path, run_directory)
    assert "entigraph 15" in page.text and "entigraph 8" in page.text
    assert page.text.count("The bell & the bell ... c-loop-") == 2


def test_a_text_without_blanks_is_counted_and_folded(tmp_path: Path, run_directory: Path) -> None:
    rejected = artifact(tmp_path, run_directory, "corpus") / "rejected.parquet"
    rewrite_passage(tmp_path, run_directory, "渡船每天四次开往佩尔镇。" * 40)
    page = render(tmp_path, run_directory)
    assert page.text.count("Show the rest") == 10
    table = pq.read_table(rejected)
    said = pa.array(["潮汐泵为渡船充电。"] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("text"), "text", said), rejected)
    assert "length8 words" in render(tmp_path, run_directory).text


@pytest.mark.parametrize("missing", ["run.json", "config.yaml"])
def test_a_missing_file_is_one_clear_message(
    tmp_path: Path, run_directory: Path, missing: str
) -> None:
    (run_directory / missing).unlink()

    with pytest.raises(UserError, match=f"(?s){missing}.*steep run"):
        render_report(tmp_path, run_directory)


def test_an_artifact_that_is_gone_is_named(tmp_path: Path, run_directory: Path) -> None:
    gone = artifact(tmp_path, run_directory, "corpus") / "manifest.json"
    gone.unlink()

    with pytest.raises(UserError, match=re.escape(str(gone))):
        render_report(tmp_path, run_directory)


def test_recorded_texts_are_shown_as_what_they_are(tmp_path: Path, run_directory: Path) -> None:
    corpus = artifact(tmp_path, run_directory, "corpus")
    import_recorded_texts(corpus / "passages.parquet")
    edit(corpus / "manifest.json", imported={RECORDED: ["large"]})
    config = run_directory / "config.yaml"
    config.write_text(config.read_text().replace("[entigraph]", f"[{RECORDED}]"))

    text = render(tmp_path, run_directory).text

    assert f"{RECORDED}, recorded texts of a large model" in text, "in the table of recipes"
    assert "generated elsewhere at another time and imported at no cost" in text
    assert "Trained on them: entigraph." in text
    pairs = sum(row["recipe"] == RECORDED for row in pq.read_table(corpus / PASSAGES).to_pylist())
    assert f"({pairs} of {pairs} texts passed the filters; written by a large model)" in text
    assert "No model was trained on the texts of SmolLM2-135M-Instruct" in text
    assert "were generated in this run, in this process," in text
    assert "Two texts about" in text
    written, recorded = text.split("Two texts about ")[1].split("written by")[1:3]
    first, second = written_entities(text)
    assert f"Recorded: {first} and {second} belong together" in written + recorded
    assert "a large model, recorded and imported" in recorded


def test_counts_beside_the_headline_add_up(tmp_path: Path, run_directory: Path) -> None:
    corpus = artifact(tmp_path, run_directory, "corpus")
    written = sum(
        row["recipe"] == "entigraph" for row in pq.read_table(corpus / PASSAGES).to_pylist()
    )
    import_recorded_texts(corpus / PASSAGES)
    rows = pq.read_table(corpus / PASSAGES).to_pylist()
    recorded = sum(row["recipe"] == RECORDED for row in rows)

    text = render(tmp_path, run_directory).text

    assert written > 223, "the shard of the fixture holds fewer"
    assert (
        f"Of the {written + recorded} synthetic passages, raw reads none, entigraph reads 223 "
        f"({written - 223} held out to measure the loss) and no arm reads {recorded} "
        f"({RECORDED} {recorded}). The filters rejected 27 more texts."
    ) in text


def test_arms_of_unknown_shards_have_no_counts_beside_the_headline(
    tmp_path: Path, run_directory: Path
) -> None:
    drop_artifact(run_directory, "tokenize")

    assert "synthetic passages, " not in render(tmp_path, run_directory).text


def test_a_remark_stands_at_the_top(tmp_path: Path, run_directory: Path) -> None:
    config = run_directory / "config.yaml"
    assert "Note. " not in render(tmp_path, run_directory).text.partition("Conclusions")[0]
    config.write_text(config.read_text() + "remark: Too little training <to> show anything.\n")
    top = render(tmp_path, run_directory).text.partition("Conclusions")[0]
    assert "Note. Too little training <to> show anything." in top


def written_entities(text: str) -> list[str]:
    """The two names in the heading above the texts."""
    heading = text.split("Two texts about ")[1].split("The generated text")[0]
    return heading.split(" and ")


def test_all_generated_texts_are_searched_for_a_recorded_one(
    tmp_path: Path, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = artifact(tmp_path, run_directory, "corpus")
    import_recorded_texts(corpus / PASSAGES)
    edit(corpus / "manifest.json", imported={RECORDED: ["large"]})
    table = pq.read_table(corpus / PASSAGES)
    recorded = [row["recipe"] == RECORDED for row in table.to_pylist()]
    last = max(index for index, each in enumerate(recorded) if each) - 1  # one about a pair
    kept = [index for index, each in enumerate(recorded) if not each or index == last]
    pq.write_table(table.take(kept), corpus / PASSAGES)
    monkeypatch.setattr(corpus_section, "COMPARED_AT_ONCE", 1)

    first, second = written_entities(render(tmp_path, run_directory).text)
    assert f"Recorded: {first} and {second} belong" in table.to_pylist()[last]["text"]


def test_texts_of_one_origin_are_not_compared(tmp_path: Path, run_directory: Path) -> None:
    text = render(tmp_path, run_directory).text
    assert "Two texts about" not in text
    assert "Recorded texts" not in text


def test_losses_on_the_same_texts_are_drawn_below_the_training_loss(
    tmp_path: Path, run_directory: Path
) -> None:
    for path in (tmp_path / ".steep").glob("train-*/validation.jsonl"):
        before, after = path.read_text().splitlines()
        path.write_text(f'{before}\n{{"step": 32, "synthetic": 2.5, "replay": 2.9}}\n{after}\n')
    run = load_run(tmp_path, run_directory)
    section = training(run)
    assert section is not None
    figure = next(block for block in section.blocks if isinstance(block, Figure))
    drawn = figure.draw(run.series).text
    labels = re.findall(r'<p class="group">(.*?)</p>', drawn)
    assert labels == [
        "loss (nats per token)",
        "loss on held-out synthetic text",
        "loss on held-out general text",
    ]
    assert "16,384 training tokens: loss on held-out synthetic text 2.200" in drawn
    assert "0 training tokens: loss on held-out general text 2.800" in drawn


def test_the_page_of_a_large_run_stays_small(tmp_path: Path, run_directory: Path) -> None:
    path = artifact(tmp_path, run_directory, "corpus") / PASSAGES
    rows = pq.read_table(path)
    many = pa.concat_tables([rows] * 80)
    ids = pa.array([f"p{number}" for number in range(many.num_rows)])
    pq.write_table(many.set_column(many.column_names.index("id"), "id", ids), path)
    for steps in (tmp_path / ".steep").glob("train-*/metrics.jsonl"):
        row = json.loads(steps.read_text().splitlines()[0])
        write_jsonl(steps, [row | {"tokens": 512 * step} for step in range(1, 20_001)])

    page = render_report(tmp_path, run_directory)

    assert many.num_rows > 15_000
    assert page.stat().st_size < 6e6
