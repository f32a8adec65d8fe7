"""Fewer bits for weights and moments: stochastic rounding, block codes, and their noise.

- A weight is rounded to one of its two bfloat16 neighbors, in expectation to itself.
- Adam's moments are 8-bit codes with one fp32 scale per block. Codes are companded, so that small
  values in a block keep relative precision: code c stands for scale * (c / 127)^2 (first moment,
  signed) and scale * (c / 255)^4 (second). Rounding is stochastic here too: rounded to nearest, a
  second moment that decays by 0.1% per step would never reach the next code, 1.6% away at best.
- The noise is a hash of (seed, name, step, element). Nothing is drawn or saved, and a resumed run
  rounds as an uninterrupted one, on any number of ranks.

The code of a positive second moment is never zero, since a step is divided by its root.

Shapes: N elements or blocks, C columns of a block; scales are (N, 1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_BLOCK = 256  # elements that share a scale: 4 / 256 B an element
FIRST_CODES, SECOND_CODES = 127, 255


class Noise(NamedTuple):
    """Independent uniform integers per element, of 16, 16 and 23 bits, stored as int32."""

    weight: Tensor
    first: Tensor
    second: Tensor


def round_stochastically(master: Tensor, noise: Tensor) -> Tensor:
    """Round fp32 to one of its two bfloat16 neighbors by 16-bit noise; return the bits as int16."""
    assert master.dtype == torch.float32, master.dtype
    return ((master.view(torch.int32) + noise) >> 16).to(torch.int16)


def block_columns(columns: int) -> int:
    """Return the largest divisor of a row's length that is at most 256."""
    return max(size for size in range(1, LARGEST_BLOCK + 1) if columns % size == 0)


def decode_first(codes_NC: Tensor, scale_N1: Tensor) -> Tensor:
    """Return the values of int8 codes of a first moment."""
    root = codes_NC.float() / FIRST_CODES
    return root * root.abs() * scale_N1


def decode_second(codes_NC: Tensor, scale_N1: Tensor) -> Tensor:
    """Return the values of uint8 codes of a second moment."""
    root = codes_NC.float() / SECOND_CODES
    return root * root * (root * root) * scale_N1


def encode_first(values_NC: Tensor, noise_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 codes and scales of a first moment; `noise_NC` has 16 bits."""
    scale_N1 = values_NC.abs().amax(dim=1, keepdim=True)
    share = values_NC.abs() / torch.where(scale_N1 > 0, scale_N1, 1.0)
    lower = (share.sqrt() * FIRST_CODES).floor().clamp(max=FIRST_CODES - 1)
    # Distance to the lower neighbor, as a share of the distance between the two.
    above = (share * FIRST_CODES**2 - lower * lower) / (2 * lower + 1)
    code = lower + (uniform(noise_NC, 16) < above)
    return (code * values_NC.sign()).to(torch.int8), scale_N1


def encode_second(values_NC: Tensor, noise_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Return uint8 codes and scales of a second moment; `noise_NC` has 23 bits."""
    scale_N1 = values_NC.amax(dim=1, keepdim=True)
    share = values_NC / torch.where(scale_N1 > 0, scale_N1, 1.0)
    lower = (share.sqrt().sqrt() * SECOND_CODES).floor().clamp(min=1, max=SECOND_CODES - 1)
    square, next_square = lower * lower, (lower + 1) * (lower + 1)
    # In units of the lower code's own value: fourth powers of 255 leave fp32 no digits to subtract.
    ratio = next_square / square
    above = (share * (SECOND_CODES**2 / square) * (SECOND_CODES**2 / square) - 1) / (
        ratio * ratio - 1
    )
    code = lower + (uniform(noise_NC, 23) < above)
    return torch.where(values_NC > 0, code, 0.0).to(torch.uint8), scale_N1


def uniform(noise: Tensor, bits: int) -> Tensor:
    """Turn integers of `bits` bits into fp32 in (0, 1) with a mean of exactly one half."""
    return (noise.float() + 0.5) * 2.0**-bits


def hash_noise(first_index: Tensor, step_key: Tensor, like: Tensor) -> Noise:
    """Return noise for each element of `like`: a pure function of the arguments and its index.

    Rounds of a 32-bit multiply-xorshift finalizer, the step's key after the first: the streams of
    two steps are then not shifted copies of each other, and two more rounds decorrelate them (after
    one they still correlate by 0.5).

    Args:
        first_index: int32: the parameter's key plus the index of the first element in the whole
            parameter, wrapped. Indices wrap too: beyond 2^32 elements the noise repeats.
        step_key: int32, different for each step.
        like: A tensor of the shape of the noise.
    """
    place = torch.arange(like.numel(), dtype=torch.int32, device=like.device).view(like.shape)
    word = _xorshift(place + first_index, 16) * 0x7FEB352D
    word = _xorshift(word ^ step_key, 15) * -0x7B935975
    word = _xorshift(_xorshift(word, 16) * 0x2C1B3C6D, 15)
    again = _xorshift((word + step_key) * 0x297A2D39, 16)
    return Noise(word & 0xFFFF, _shifted(word, 16), _shifted(again, 9))


def _xorshift(word: Tensor, count: int) -> Tensor:
    return word ^ _shifted(word, count)


def _shifted(word: Tensor, count: int) -> Tensor:
    """Shift right without the sign, which torch keeps for int32."""
    return (word >> count) & ((1 << (32 - count)) - 1)
