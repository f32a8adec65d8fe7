"""Build the clients of the configuration; refuse contradictory settings before anything is spent.

Each endpoint is one client, a model in this process is one, and so is a whole Ray cluster. Building
the clients logs who will see the documents.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steep.core.errors import UserError
from steep.core.formatting import plural
from steep.documents.document import Document
from steep.generation.config import EMBEDDED_MODEL, GenerateConfig
from steep.generation.setup import HTTP_ENGINES, base_urls, prices_of
from steep.generation.work_queue import assign
from steep.llm.client import Client, DecodingStep
from steep.llm.local.devices import default_device
from steep.llm.model_names import check_libraries, embedded_directory, find_model

log = logging.getLogger("steep")

if TYPE_CHECKING:
    from steep.llm.openai_batch import BatchClient

InProcess = Literal["embedded", "transformers", "vllm"]


def make_clients(
    settings: GenerateConfig,
    documents: Sequence[Document],
    on_step: Callable[[DecodingStep], None] = lambda step: None,
    root: Path | None = None,
) -> list[Client]:
    """Return the clients of the configuration, with models loaded and clusters connected.

    A Ray cluster must be connected from the main thread. `on_step` is called with the steps of a
    model in this process; `root` is the base of a relative path.

    Raises:
        UserError: An address, a key, a model or a cluster cannot be used.
    """
    if settings.engine in HTTP_ENGINES:
        return _http_clients(settings, documents)
    if settings.engine == "ray":
        return [_ray_client(settings, len(documents), root)]
    from steep.llm.local.client import open_engine

    model = _model_of(settings, root)
    if model is None:
        embedded_directory()  # logs that the model is converted, if needed
    client = open_engine(_in_process(settings), model, on_step)
    log.info(
        "generate: '%s' runs in this process (%s); nothing leaves the machine",
        settings.model,
        settings.engine,
    )
    if settings.engine == "embedded" and default_device() == "cuda":
        log.warning(
            "generate: the embedded engine does not use the GPU; generate.engine: transformers does"
        )
    return [client]


def make_batch_client(settings: GenerateConfig, endpoint: str) -> BatchClient:
    """Return the client of a provider's batch API.

    Raises:
        UserError: The address or the key cannot be used.
    """
    from steep.llm.openai_batch import BatchClient

    as_batch = settings.model_copy(update={"engine": "openai-batch"})
    return BatchClient(
        endpoint,
        api_key_env=settings.api_key_env,
        timeout_s=settings.timeout_s,
        retry_s=settings.retry_minutes * 60,
        prices=prices_of(as_batch, endpoint),
    )


def check(settings: GenerateConfig, root: Path | None = None) -> None:
    """Check the settings for contradictions, before anything is read or spent.

    Raises:
        UserError: The engine does not fit the other settings, or its libraries are missing.
    """
    if settings.engine in HTTP_ENGINES:
        _check_endpoints(settings)
        return
    engine = _in_process(settings)
    if engine == "embedded" and settings.model != EMBEDDED_MODEL:
        where = "ray_engine" if settings.engine == "ray" else "engine"
        raise UserError(
            "The embedded engine supports the embedded model only.",
            where="generate.model",
            expected=EMBEDDED_MODEL,
            found=settings.model,
            hint=f"correct it, or set generate.{where} to transformers or vllm",
        )
    if settings.engine in ("ray", "vllm"):
        _check_installed(settings)
    if settings.engine != "ray":
        check_libraries()
    _check_model(settings, root)


def _check_endpoints(settings: GenerateConfig) -> None:
    urls = base_urls(settings)
    if not urls:
        problem = "No endpoint is configured."
    elif settings.engine == "openai-batch" and len(urls) > 1:
        problem = "The batch API takes one endpoint."
    elif len({url.rstrip("/") for url in urls}) < len(urls):
        problem = "An endpoint is named twice; raise generate.concurrency instead."
    else:
        return
    raise UserError(problem, where="generate.base_url", found=", ".join(urls) or "[]")


def _check_installed(settings: GenerateConfig) -> None:
    """Refuse vLLM and Ray where they are not installed, and vLLM without a GPU."""
    name, package = ("Ray", "ray") if settings.engine == "ray" else ("vLLM", "vllm")
    if importlib.util.find_spec(package) is None:
        raise UserError(
            f"{name} is not installed.",
            where="generate.engine",
            hint=f"pip install 'steep[{package}]' (on every node of a cluster), or choose another "
            "engine",
        )
    if settings.engine == "ray":
        if settings.ray_engine == "vllm" and settings.ray_gpus_per_actor == 0:
            raise UserError(
                "vLLM needs a GPU, and the Ray actors have none.",
                where="generate.ray_gpus_per_actor",
                expected="1, or as many as the model needs",
                found=f"{settings.ray_gpus_per_actor:g}",
            )
        return
    if default_device() != "cuda":
        raise UserError(
            "vLLM needs a GPU, and PyTorch finds none.",
            where="generate.engine",
            hint="set generate.engine to transformers or embedded, which also run on a CPU",
        )


def _check_model(settings: GenerateConfig, root: Path | None) -> None:
    """Refuse a name that cannot be a model; a name on the Hub is looked up when it is loaded."""
    on_nodes = settings.engine == "ray" and settings.ray_address is not None
    if on_nodes and Path(settings.model).is_absolute():
        return  # the nodes of the cluster must have it, not this machine
    if settings.model != EMBEDDED_MODEL:
        find_model(settings.model, root or Path(), "generate.model", has_owner=True)


def _in_process(settings: GenerateConfig) -> InProcess:
    engine = settings.ray_engine if settings.engine == "ray" else settings.engine
    assert engine != "openai" and engine != "openai-batch"
    return engine


def _model_of(settings: GenerateConfig, root: Path | None) -> str | None:
    """Return the directory or Hub name to load; None is the embedded model."""
    if settings.model == EMBEDDED_MODEL:
        return None
    path = (root or Path()) / settings.model
    return str(path.resolve()) if path.is_dir() else settings.model


def _http_clients(settings: GenerateConfig, documents: Sequence[Document]) -> list[Client]:
    from steep.llm.openai import OpenAIClient

    clients: list[Client] = [
        OpenAIClient(
            url,
            api_key_env=settings.api_key_env,
            concurrency=settings.concurrency,
            timeout_s=settings.timeout_s,
            prices=prices_of(settings, url),
            bounded=settings.max_cost_usd is not None or settings.max_total_tokens is not None,
        )
        for url in base_urls(settings)
    ]
    shares = assign(documents, len(clients))
    for client, share in zip(clients, shares, strict=True):
        log.info(
            "generate: %s is sent %s of %s, only those with calls left",
            client.endpoint,
            f"{len(share):,}",
            plural(len(documents), "document"),
        )
    return clients


def _ray_client(settings: GenerateConfig, documents: int, root: Path | None) -> Client:
    from steep.llm.local.client import open_engine
    from steep.llm.ray_engine import RayClient

    cluster = settings.ray_address or "of this machine"
    log.info("generate: the Ray cluster %s will see %s", cluster, plural(documents, "document"))
    return RayClient(
        partial(open_engine, settings.ray_engine, _model_of(settings, root)),
        address=settings.ray_address,
        actors=settings.ray_actors,
        cpus_per_actor=settings.ray_cpus_per_actor,
        gpus_per_actor=settings.ray_gpus_per_actor,
    )
