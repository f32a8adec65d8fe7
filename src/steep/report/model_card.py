"""The model card of an exported model: a README.md with the YAML header that the Hub reads.

Scores and caveats are those of the report. The card names no host and no local path, it quotes no
document, text or question, and titles of documents only where they are given.

https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from steep.core.calls import RAW_RECIPE
from steep.core.formatting import UNKNOWN, count, decimal, duration, interval, listing, plural
from steep.report.blocks import Table
from steep.report.caveats import notes
from steep.report.conclusions import headline
from steep.report.markdown import escaped, section_lines, table_lines
from steep.report.render import result_sections
from steep.report.results import estimate
from steep.report.run_data import Arm, ReportData

UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True, slots=True)
class CardLicenses:
    """Identifiers of the Hub, such as `apache-2.0`, or `unknown`."""

    model: str
    base: str
    texts: str  # documents and synthetic texts


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """How a model was trained.

    Attributes:
        settings: Those that decide its weights, by dotted names; instruction tuning after them.
        hardware: The device, and the number of ranks.
        precision: Of the matrix products.
        parameters: Number of elements.
        artifact: The name of the directory that holds the model in its project.
        steep: The version that trained it.
        wall_s: The time of all runs that trained it, in seconds.
        tuned_on: The number of tokens of chats; None for a model that was not tuned.
    """

    settings: Mapping[str, Any]
    hardware: str
    precision: str
    parameters: int
    artifact: str
    steep: str
    wall_s: float
    tuned_on: float | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model card tells.

    Attributes:
        run: The run that trained the model, with its results.
        title: The name of the model.
        model: Its name in scores.
        trained: The name of the model before instruction tuning; else the same as `model`.
        base: The name of the model that training started from.
        base_on_hub: Whether that is its name on the Hub.
        licenses: Of the model and its data.
        languages: Of the documents, ISO 639-1 codes, the commonest first.
        titles: Of the documents; none where they are private.
        kind: Whether it is a chat model, in sentences.
        facts: How it was trained.
        vllm: The command that serves it.
        chat: Whether its tokenizer has a chat template.
    """

    run: ReportData
    title: str
    model: str
    trained: str
    base: str
    base_on_hub: bool
    licenses: CardLicenses
    languages: Sequence[str]
    titles: Sequence[str]
    kind: str
    facts: TrainingFacts
    vllm: str
    chat: bool

    @property
    def arm(self) -> Arm | None:
        """The training of the model."""
        return next((each for each in self.run.arms if each.name == self.trained), None)


def card_text(card: ModelCard) -> str:
    """Return the model card."""
    header = yaml.safe_dump(_header(card), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n" + "\n".join(_body(card)) + "\n"


# ---- header --------------------------------------------------------------------------------------


def _header(card: ModelCard) -> dict[str, Any]:
    header: dict[str, Any] = {"license": card.licenses.model}
    if card.languages:
        header["language"] = list(card.languages)
    if card.base_on_hub:
        header["base_model"] = card.base
        header["base_model_relation"] = "finetune"
    header |= {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["steep", "continued-pretraining", "synthetic-data"],
    }
    if metrics := list(_metrics(card)):
        questions = "Questions about the documents that the model was trained on"
        result = {
            "task": {"type": "question-answering", "name": "Closed-book question answering"},
            "dataset": {"type": "private-questions", "name": questions},
            "metrics": metrics,
        }
        header["model-index"] = [{"name": card.title, "results": [result]}]
    return header


def _metrics(card: ModelCard) -> Iterator[dict[str, Any]]:
    """Yield the closed-book accuracies of the model, with their sizes and intervals."""
    for found, how in card.run.tables.closed_book():
        for each in found.models:
            value = estimate(each)
            if each.name == card.model and value is not None:
                spread = interval(value.low, value.high)
                yield {
                    "type": "accuracy",
                    "value": round(value.value, 4),
                    "name": f"accuracy by {how} (n = {value.n}, 95% interval {spread} percent)",
                }


# ---- text ----------------------------------------------------------------------------------------


def _body(card: ModelCard) -> Iterator[str]:
    yield f"# {escaped(card.title)}"
    yield ""
    yield f"{escaped(card.base)} after continued pretraining on {_data(card)}, with Steep."
    yield f"{card.kind}"
    for found, how in card.run.tables.closed_book()[:1]:
        yield from ("", escaped(headline(found, how)))
    yield from _licenses(card)
    yield from _results(card)
    yield from _training_data(card)
    yield from _training(card)
    yield from _limits(card)
    yield from _use(card)
    yield from _reproduction(card)


def _data(card: ModelCard) -> str:
    recipes = [each for each in card.run.reads(card.trained) if each != RAW_RECIPE]
    documents = plural(_document_count(card.run), "document")
    return f"synthetic texts about {documents}" if recipes else documents


def _document_count(run: ReportData) -> int:
    return len(run.documents.titles) if run.documents else 0


def _licenses(card: ModelCard) -> Iterator[str]:
    yield from ("", "## License", "")
    yield f"- This model: {card.licenses.model}."
    yield f"- The base model, {escaped(card.base)}: {card.licenses.base}."
    yield f"- The documents and the synthetic texts: {card.licenses.texts}."
    writers = sorted({name for names in _writers(card).values() for name in names})
    if writers:
        yield (
            f"- The synthetic texts were written by {escaped(listing(writers))}. The terms of its "
            "provider may restrict what a model that was trained on them may be used for."
        )


def _results(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Results")
    sections = result_sections(card.run.tables)
    if not sections:
        yield from ("", "The model was not evaluated.")
        return
    yield ""
    yield (
        f"`{card.model}` is this model, `base` the model that training started from; the others "
        "were trained in the same run. Intervals are 95%."
    )
    for section in sections:
        yield ""
        yield from section_lines(section, level=3)
    if missing := _not_measured(card.run):
        yield from ("", f"Not measured: {listing(missing)}.")


def _not_measured(run: ReportData) -> list[str]:
    tables = run.tables
    measured = {
        "closed-book accuracy": tables.closed_book(),
        "open-book accuracy": tables.open_book,
        "forgetting": tables.general_text or tables.tasks,
        "contamination of the texts by the questions": tables.contamination,
        "faithfulness of the texts to the documents": tables.faithfulness,
    }
    return [name for name, found in measured.items() if not found]


def _writers(card: ModelCard) -> dict[str, Sequence[str]]:
    """Return the models that wrote the synthetic texts of each recipe that the model has read."""
    run = card.run
    imported = run.corpus.imported if run.corpus else {}
    generated = [run.generation.model] if run.generation and run.generation.model else []
    read = [each for each in run.reads(card.trained) if each != RAW_RECIPE]
    return {recipe: imported.get(recipe) or generated for recipe in read}


def _training_data(card: ModelCard) -> Iterator[str]:
    run, arm = card.run, card.arm
    yield from ("", "## Training data", "")
    languages = listing(card.languages) if card.languages else UNKNOWN
    yield f"- Documents: {count(_document_count(run))}, languages: {languages}."
    if arm is not None:
        yield (
            f"- Texts for training: {decimal(arm.passages, 0)} with "
            f"{decimal(arm.passage_tokens, 0)} tokens. Others in the table below are held out to "
            "measure the loss, or left out by the shares of the recipes."
        )
        yield (
            f"- Training tokens: {decimal(arm.tokens, 0)}, of which "
            f"{decimal(arm.replayed_tokens, 0)} are replayed general text; "
            f"{decimal(arm.epochs, 2)} passes over the texts."
        )
    if card.facts.tuned_on is not None:
        yield f"- Then instruction tuning on {count(card.facts.tuned_on)} tokens of chats."
    if run.corpus:
        yield ""
        yield from table_lines(_recipe_table(card))
    if card.titles:
        yield from ("", "The documents:", "")
        yield from (f"- {escaped(each)}" for each in card.titles)


def _recipe_table(card: ModelCard) -> Table:
    assert card.run.corpus is not None
    passages, words = Counter[str](), Counter[str]()
    for each in card.run.corpus.passages:
        passages[each.recipe] += 1
        words[each.recipe] += each.words
    writers = _writers(card)
    rows = [
        (recipe, passages[recipe], words[recipe], ", ".join(writers.get(recipe, ())) or "-")
        for recipe in card.run.reads(card.trained)
    ]
    caption = (
        "Texts of the recipes that this model reads; documents are the source documents themselves."
    )
    return Table(("recipe", "texts", "words", "written by"), rows, caption, texts={0, 3})


def _training(card: ModelCard) -> Iterator[str]:
    facts, arm = card.facts, card.arm
    yield from ("", "## Training", "")
    yield f"- Parameters: {count(facts.parameters)}."
    if arm is not None:
        yield f"- Steps: {decimal(arm.steps, 0)}, final loss {decimal(arm.final_loss, 3)}."
    yield f"- Hardware: {escaped(facts.hardware)}, {facts.precision} matrix products."
    yield f"- Time: {duration(facts.wall_s)}, with Steep {facts.steep}."
    yield from ("", "| setting | value |", "|---|---|")
    for name, value in facts.settings.items():
        yield f"| `{name}` | {escaped(str(value))} |"


def _limits(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Limits", "")
    generation = card.run.generation
    unnamed = replace(generation, endpoint="") if generation else None
    for heading, text in notes(replace(card.run, generation=unnamed)):
        yield f"- **{escaped(heading)}.** {escaped(text)}"


def _use(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Use", "", "```python")
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    yield ""
    yield 'name = "PATH_OR_NAME"'
    yield "tokenizer = AutoTokenizer.from_pretrained(name)"
    yield "model = AutoModelForCausalLM.from_pretrained(name)"
    if card.chat:
        yield 'messages = [{"role": "user", "content": "..."}]'
        yield "inputs = tokenizer.apply_chat_template("
        yield '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True'
        yield ")"
    else:
        yield 'inputs = tokenizer("...", return_tensors="pt")'
    yield "output = model.generate(**inputs, max_new_tokens=100)"
    yield "print(tokenizer.decode(output[0], skip_special_tokens=True))"
    yield from ("```", "", "With vLLM:", "", "```", card.vllm, "```")
    yield from ("", "For llama.cpp and Ollama, `steep export gguf` converts it in its project, or")
    yield "`convert_hf_to_gguf.py` of llama.cpp this directory."


def _reproduction(card: ModelCard) -> Iterator[str]:
    yield from ("", "## Reproduction", "")
    yield (
        f"`steep run` with the same documents, texts and settings trains `{card.facts.artifact}` "
        "again; its name is a hash of all of them."
    )
    digest = next(
        (
            found
            for each in card.run.tables.environments
            if (found := each.weights.get(card.model)) is not None
        ),
        None,
    )
    if digest is not None:
        yield f"The hash of the evaluated weights is {digest}."
