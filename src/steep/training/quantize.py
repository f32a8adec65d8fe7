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
# A little less than 127^2, so that no code of rounded arithmetic is beyond 127.
FIRST_SQUARE = FIRST_CODES**2 * (1 - 2.0**-21)
SMALLEST_SCALE = 1e-30  # smaller ones are divided by this, which keeps quotients finite


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
    codes = codes_NC.float()
    return codes * codes.abs() * (scale_N1 * (1 / FIRST_SQUARE))


def decode_second(codes_NC: Tensor, scale_N1: Tensor) -> Tensor:
    """Return the values of uint8 codes of a second moment."""
    root = codes_NC.float() * (1 / SECOND_CODES)
    return root * root * (root * root) * scale_N1


def encode_first(values_NC: Tensor, noise_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 codes and scales of a first moment; `noise_NC` has 16 bits.

    For u uniform in (0, 1) and s = 127^2 * |value| / scale, the code is the number of c >= 0 with
    c^2 + u * ((c + 1)^2 - c^2) <= s: the floor of sqrt(s - u * (1 - u)) + 1 - u. Below, `centered`
    is 1/2 - u.
    """
    size_NC = values_NC.abs()
    scale_N1 = largest(size_NC)
    square = size_NC * (FIRST_SQUARE / scale_N1.clamp(min=SMALLEST_SCALE))
    centered = uniform(noise_NC, 16, -0.5)
    code = square_root(square + (centered * centered - 0.25)) + centered
    return nearest(code.copysign(values_NC)).to(torch.int8), scale_N1


def encode_second(values_NC: Tensor, noise_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Return uint8 codes and scales of a second moment; `noise_NC` has 23 bits."""
    scale_N1 = largest(values_NC)
    share = values_NC * (1 / scale_N1.clamp(min=SMALLEST_SCALE))
    # A little more than 1/2 is subtracted, so that the lower neighbor of the largest value is 254.
    lower_code = nearest(share.rsqrt().rsqrt() * SECOND_CODES - 0.5001).clamp(min=1)
    lower = lower_code.float()
    square, next_square = lower * lower, (lower + 1) * (lower + 1)
    # Distances to the lower neighbor, of the value and of the upper neighbor.
    above = share * float(SECOND_CODES**4) - square * square
    gap = (2 * lower + 1) * (square + next_square)
    code = lower_code + (uniform(noise_NC, 23) * gap < above)
    return torch.where(values_NC > 0, code, 0).to(torch.uint8), scale_N1


def largest(values_NC: Tensor) -> Tensor:
    """Return the largest of each row's nonnegative numbers, which are ordered as their bits."""
    return values_NC.view(torch.int32).amax(dim=1, keepdim=True).view(torch.float32)


def square_root(values: Tensor) -> Tensor:
    """Return the square root of fp32, of zero and negative numbers 1e-19."""
    normal = values.view(torch.int32).clamp(min=0x00800000).view(torch.float32)
    return normal * normal.rsqrt()


def nearest(values: Tensor) -> Tensor:
    """Round fp32 of at most 2^22 to int32: in 1.5 * 2^23 + x, the low bits are the integer."""
    return (values + 1.5 * 2.0**23).view(torch.int32) - 0x4B400000


def uniform(noise: Tensor, bits: int, low: float = 0.0) -> Tensor:
    """Turn integers of `bits` bits into fp32 in (low, low + 1) with a mean of exactly low + 1/2."""
    one_to_two = ((noise << (23 - bits)) | 0x3F800000).view(torch.float32)
    return one_to_two - (1 - low - 0.5 * 2.0**-bits)


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
