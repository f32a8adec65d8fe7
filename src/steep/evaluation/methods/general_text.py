"""Forgetting: the loss on general text, before and after, on the same texts.

A text is cut into windows of the context. Each begins with the last token of the one before, so
every token but the first is predicted once; BOS comes first where the tokenizer has one, as in
training. Nats per token compare models of one tokenizer; bits per byte compare any two. Both are
ratios of sums over texts; intervals are from resampling texts.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from steep.core.artifacts import Artifact
from steep.core.errors import UserError
from steep.core.files import content_hash, read_rows, write_rows
from steep.core.progress import Progress
from steep.core.token_ids import token_ids
from steep.documents.document import Skipped
from steep.documents.general_text import KINDS, NoText, builtin_texts, stream_general_texts
from steep.evaluation.encoding import batches
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.methods.common import ROWS_NAME, Method, Session, is_local, rows_by_model
from steep.evaluation.results import Interval
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.statistics import Score, bootstrap_interval, ratio, ratio_difference
from steep.evaluation.study_results import GeneralTextResult, LossDifference, LossScore, ModelLoss

log = logging.getLogger("steep")

STAGE, VERSION = "general-loss", 3
LEAST_TEXTS = 4  # for an interval


class GeneralText(NamedTuple):
    """A text and its name: the file's, and its number in it from 1."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class TextLoss:
    """The loss of a model on one text: `nats` over `tokens` predictions, and its size."""

    text_id: str
    nats: float
    tokens: int
    bytes: int


def read_general_texts(
    source: Path | Literal["builtin"],
) -> tuple[list[GeneralText], list[Skipped]]:
    """Read texts as replay does; return them and the lines without text.

    Raises:
        UserError: The file cannot be read, or there is no text in it.
    """
    path = builtin_texts() if source == "builtin" else source
    skipped: list[Skipped] = []
    try:
        numbered = enumerate(stream_general_texts(path, skipped), start=1)
        texts = [GeneralText(f"{path.name}:{number}", text) for number, text in numbered]
    except NoText as error:
        raise UserError(
            "There is no general text.", where=path, expected=KINDS, found=error
        ) from error
    return texts, skipped


def text_losses(
    model: Any,
    tokenizer: Any,
    texts: Sequence[GeneralText],
    context_tokens: int,
    batch_tokens: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[TextLoss]:
    """Compute the loss on each text; the model is left as it was.

    A window has `context_tokens`, a forward pass `batch_tokens`, padding included. `on_progress` is
    called after each batch with the number of finished windows and their total.

    Raises:
        UserError: A window is longer than the model's context, or the loss is not a number.
    """
    from steep.evaluation.likelihood import evaluation_mode
    from steep.evaluation.local_model import by_halves

    _check_context(model, context_tokens)
    sequences = [token_ids(tokenizer, each.text) for each in texts]
    windows = [
        (number, window)
        for number, ids in enumerate(sequences)
        for window in windows_of(ids, context_tokens)
    ]
    nats = [0.0] * len(texts)
    done = 0

    def window_nats(batch: Sequence[int]) -> list[float]:
        return _window_nats(model, [windows[index][1] for index in batch])

    with evaluation_mode(model):
        for batch in batches([len(window) for _, window in windows], batch_tokens):
            found = by_halves(batch, window_nats)
            for index, value in zip(batch, found, strict=True):
                nats[windows[index][0]] += value
            done += len(batch)
            on_progress(done, len(windows))
    for value, each in zip(nats, texts, strict=True):
        if not math.isfinite(value):
            raise UserError(
                f"The model's loss on general text is not a number but {value}.",
                where=each.id,
                hint="its training diverged; train again with a lower learning rate",
            )
    return [
        TextLoss(each.id, value, max(0, len(ids) - 1), len(each.text.encode()))
        for each, value, ids in zip(texts, nats, sequences, strict=True)
    ]


def windows_of(ids: Sequence[int], context_tokens: int) -> list[Sequence[int]]:
    """Cut a sequence so that every token but the first is predicted in exactly one window."""
    step = context_tokens - 1
    return [ids[start : start + context_tokens] for start in range(0, len(ids) - 1, step)]


def _window_nats(model: Any, windows: Sequence[Sequence[int]]) -> list[float]:
    """Return the nats of each window; padding is on the right, where no token sees it."""
    import torch

    from steep.evaluation.likelihood import log_softmax_at, padded

    ids_BT = padded(windows).to(model.device)
    with torch.inference_mode():
        logits_BTV = model(input_ids=ids_BT, use_cache=False).logits
        return [
            -math.fsum(log_softmax_at(logits_TV[: len(each) - 1], ids_T[1 : len(each)]))
            for logits_TV, ids_T, each in zip(logits_BTV, ids_BT, windows, strict=True)
        ]


def _check_context(model: Any, context_tokens: int) -> None:
    limit = getattr(model.config, "max_position_embeddings", None) or math.inf
    if not 2 <= context_tokens <= limit:
        raise UserError(
            "A window of general text does not fit the model.",
            expected=f"2 to {limit} tokens",
            found=context_tokens,
        )


def loss_score(rows: Sequence[TextLoss]) -> LossScore:
    """Compute the loss of one model with intervals over texts."""
    ids = [row.text_id for row in rows]
    return LossScore(
        nats_per_token=_interval(map(_token_sums, rows), ids, ratio),
        bits_per_byte=_interval(map(_byte_sums, rows), ids, ratio),
        **_sizes(rows),
    )


def loss_difference(after: Sequence[TextLoss], before: Sequence[TextLoss]) -> LossScore:
    """Compute after minus before on the same texts: above 0, something was forgotten.

    Raises:
        ValueError: The texts are not the same.
    """
    ids, others = ([(row.text_id, row.bytes) for row in rows] for rows in (after, before))
    if ids != others:
        first = f"{ids[:1]} {others[:1]}"
        raise ValueError(f"not the same texts: {len(ids)} after, {len(others)} before, {first}")

    def interval(sums: Callable[[TextLoss], tuple[float, int]]) -> Interval:
        columns = [(*sums(a), *sums(b)) for a, b in zip(after, before, strict=True)]
        return _interval(columns, [id_ for id_, _ in ids], ratio_difference)

    same_tokens = all(a.tokens == b.tokens for a, b in zip(after, before, strict=True))
    return LossScore(
        nats_per_token=interval(_token_sums) if same_tokens else None,
        bits_per_byte=interval(_byte_sums),
        **_sizes(after),
    )


def _interval(columns: Iterable[Sequence[float]], ids: Sequence[str], score: Score) -> Interval:
    """Compute an interval over texts, which is open if they are too few to be resampled.

    Each of three texts is drawn three times in 4% of resamples, so no percentile of theirs is one
    of 95%.
    """
    found = bootstrap_interval(list(columns), ids, score)
    few = len(set(ids)) < LEAST_TEXTS
    return replace(found, low=-math.inf, high=math.inf) if few else found


def _token_sums(row: TextLoss) -> tuple[float, int]:
    return row.nats, row.tokens


def _byte_sums(row: TextLoss) -> tuple[float, int]:
    return row.nats / math.log(2), row.bytes


def _sizes(rows: Sequence[TextLoss]) -> dict[str, int]:
    return {
        "texts": len(rows),
        "tokens": sum(row.tokens for row in rows),
        "bytes": sum(row.bytes for row in rows),
    }


def check(setup: EvaluationSetup) -> None:
    """Check the general text, before anything is spent."""
    texts = setup.forgetting.texts
    if texts is None:
        return
    if skipped := read_general_texts(texts)[1]:
        log.warning("general text: %d lines without text", len(skipped))
    if texts == setup.replayed:
        log.warning(
            "forgetting.texts is also the text that training replays: its loss shows little about "
            "forgetting"
        )


def ask(_: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Compute the loss of one local model on general text."""
    settings = eval_model.setup.forgetting
    if settings.texts is None or not is_local(eval_model, "general text"):
        return
    path = settings.texts if isinstance(settings.texts, Path) else builtin_texts()
    fields = {
        "forgetting.texts": content_hash(path),
        "forgetting.context_tokens": settings.context_tokens,
    }

    def make(directory: Path) -> dict[str, Any]:
        texts, skipped = read_general_texts(path)
        with Progress(f"general text {eval_model.name}", None, "windows") as progress:
            rows = text_losses(
                *eval_model.loaded,
                texts,
                settings.context_tokens,
                eval_model.setup.evaluate.batch_tokens,
                progress.update,
            )
        write_rows(directory / ROWS_NAME, rows, TextLoss)
        return {"texts": len(rows), "skipped": len(skipped)}

    yield eval_model.build(STAGE, VERSION, fields, make)


def general_text_result(
    artifacts: Sequence[Artifact], _: Sequence[Artifact], setup: EvaluationSetup
) -> GeneralTextResult:
    """Compute the loss of each model; later models minus the first, on the same texts."""
    rows = rows_by_model(artifacts, TextLoss)
    (first, before), *others = rows.items()
    return GeneralTextResult(
        models=tuple(ModelLoss(name=n, **vars(loss_score(each))) for n, each in rows.items()),
        differences=tuple(
            LossDifference(a=name, b=first, **vars(loss_difference(after, before)))
            for name, after in others
        ),
    )


def bits_per_byte(artifact: Artifact) -> float:
    """Return the loss of the model of an artifact of rows, in bits per byte over all texts."""
    return loss_score(read_rows(artifact.path / ROWS_NAME, TextLoss)).bits_per_byte.mean


METHOD = Method(STAGE, ask, general_text_result, chosen=False, about=None)
