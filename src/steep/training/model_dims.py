"""The dimensions of a model, which decide its memory and arithmetic, from its configuration alone.

A model on PyTorch's `meta` device has the shapes of all parameters but no values: 8B parameters
take a second and no memory, so a run that does not fit is refused before anything is downloaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from steep.core.errors import UserError


class ParameterShape(NamedTuple):
    """The shape of a parameter; a tied one is listed once.

    Attributes:
        size: Its dimensions.
        trained: True if it gets a gradient.
        used: Share of it that a token is multiplied with: 0 for an input embedding, the share of
            the active experts, else 1.
    """

    size: tuple[int, ...]
    trained: bool
    used: float

    @property
    def numbers(self) -> int:
        """Return the number of its elements."""
        return math.prod(self.size)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The dimensions of a decoder-only transformer.

    Attributes:
        parameters: All parameters.
        layers: Number of decoder layers.
        layer_parameters: Elements of all decoder layers together.
        hidden: Width of the residual stream.
        queries: Heads times their dimension.
        keys: Key-value heads times their dimension.
        intermediate: Width inside the feed-forward part, over all active experts.
        vocabulary: Rows of the output head.
    """

    parameters: tuple[ParameterShape, ...]
    layers: int
    layer_parameters: int
    hidden: int
    queries: int
    keys: int
    intermediate: int
    vocabulary: int

    @property
    def parameter_count(self) -> int:
        """Return the number of elements, trained or not."""
        return sum(each.numbers for each in self.parameters)

    @property
    def trained_count(self) -> int:
        """Return the number of trained elements."""
        return sum(each.numbers for each in self.parameters if each.trained)


def empty_model(config: Any) -> Any:
    """Return a causal LM of a Hugging Face configuration on the `meta` device."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """Return the decoder layers: the modules of the longest list in the model.

    Raises:
        UserError: There is no list.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise UserError(
            "This model has no list of decoder layers.",
            where="train.model",
            expected="a decoder-only transformer",
            found=type(model).__name__,
        )
    return list(max(lists, key=lambda layers: sum(1 for _ in layers)))


def shape_of(model: nn.Module) -> ModelShape:
    """Read the shape of a Hugging Face causal LM, loaded or empty, whole or sharded."""
    hugging_face: Any = model
    config = hugging_face.config.get_text_config()
    heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    intermediate = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    layers = decoder_layers(model)
    return ModelShape(
        parameters=_parameters(model, hugging_face.get_output_embeddings(), _experts_share(config)),
        layers=len(layers),
        layer_parameters=sum(each.numel() for layer in layers for each in layer.parameters()),
        hidden=config.hidden_size,
        queries=heads * head_dim,
        keys=(getattr(config, "num_key_value_heads", None) or heads) * head_dim,
        intermediate=intermediate * (getattr(config, "num_experts_per_tok", None) or 1),
        vocabulary=config.vocab_size,
    )


def _parameters(
    model: nn.Module, head: nn.Module | None, experts_share: float
) -> tuple[ParameterShape, ...]:
    tables = {
        each.weight
        for each in model.modules()
        if isinstance(each, nn.Embedding) and (head is None or each.weight is not head.weight)
    }

    def used(name: str, parameter: nn.Parameter) -> float:
        if parameter in tables:
            return 0.0
        return experts_share if ".experts." in name else 1.0

    return tuple(
        ParameterShape(tuple(parameter.shape), parameter.requires_grad, used(name, parameter))
        for name, parameter in model.named_parameters()
    )


def _experts_share(config: Any) -> float:
    """Return the share of a layer's experts that are active for a token."""
    names = ("num_local_experts", "num_experts", "n_routed_experts")
    experts = next((getattr(config, name) for name in names if getattr(config, name, None)), None)
    return config.num_experts_per_tok / experts if experts else 1.0
