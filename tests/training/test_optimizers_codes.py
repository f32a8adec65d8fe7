"""Stochastic rounding, block codes and noise are unbiased."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from steep.training.quantize import (
    Noise,
    block_columns,
    decode_first,
    decode_second,
    encode_first,
    encode_second,
    hash_noise,
    round_stochastically,
    uniform,
)

ALL_NOISE = torch.arange(1 << 16, dtype=torch.int32)[:, None]
NEAREST = (1 << 22) - 1  # the noise that turns random rounding of second moments into nearest


@given(st.floats(1e-30, 1e30), st.booleans())
def test_stochastic_rounding_is_exact_in_expectation(size: float, negative: bool) -> None:
    master = torch.tensor([-size if negative else size])
    rounded = round_stochastically(master, ALL_NOISE[:, 0]).view(torch.bfloat16).double()
    assert len(set(rounded.tolist())) <= 2
    assert rounded.mean().item() == pytest.approx(master.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("columns", "block"), [(1024, 256), (576, 192), (300, 150), (61, 61), (257, 1), (18944, 256)]
)
def test_a_block_is_the_largest_divisor_up_to_256(columns: int, block: int) -> None:
    assert block_columns(columns) == block


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8))
def test_first_moments_are_exact_in_expectation(values: list[float]) -> None:
    exact = torch.tensor([[1e-6, *(1e-6 * value for value in values)]])
    every = exact.expand(len(ALL_NOISE), -1)
    decoded = decode_first(*encode_first(every, ALL_NOISE.expand_as(every)))
    close(decoded, exact[0], gap=2 / 127)


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=8))
def test_second_moments_are_exact_in_expectation(values: list[float]) -> None:
    exact = torch.tensor([[1e-12, *(1e-12 * value for value in values)]])
    every = exact.expand(len(ALL_NOISE), -1)
    noise = (ALL_NOISE * 128 + 64).expand_as(every)
    close(decode_second(*encode_second(every, noise)), exact[0], gap=4 / 255)


def close(decoded: Tensor, exact: Tensor, gap: float) -> None:
    """Means equal what was encoded, up to the grain of the noise times the widest gap of codes."""
    grain = 2.0**-16 * gap * exact.abs().max().double()
    error = (decoded.double().mean(dim=0) - exact.double()).abs()
    assert (error <= grain + 1e-5 * exact.double().abs()).all(), (error, exact)


@given(
    st.lists(st.floats(0, 2.0**100, width=32), min_size=1, max_size=64), st.integers(0, 2**23 - 1)
)
def test_a_positive_second_moment_never_gets_the_code_of_zero(
    values: list[float], noise: int
) -> None:
    exact = torch.tensor([values])
    codes, scale = encode_second(exact, torch.full_like(exact, noise, dtype=torch.int32))
    assert torch.equal(codes > 0, exact > 0)
    assert torch.equal(scale[:, 0], exact.amax(dim=1))


def test_a_block_of_zeros_stays_zero() -> None:
    zeros, noise = torch.zeros(2, 8), torch.zeros(2, 8, dtype=torch.int32)
    assert not decode_first(*encode_first(zeros, noise)).any()
    assert not decode_second(*encode_second(zeros, noise)).any()


@pytest.mark.parametrize("stochastic", [False, True])
def test_only_random_rounding_follows_a_decay_of_a_thousandth(stochastic: bool) -> None:
    """The block's largest holds the scale up while the others fade, as after a rare token."""
    value = torch.rand(64, 256, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.01
    value[:, 0] = 1.0
    nearest = torch.full(value.shape, NEAREST, dtype=torch.int32)
    codes, scale = encode_second(value, nearest)
    start = decode_second(codes, scale)[:, 1:].mean()
    for step in range(1000):
        faded = decode_second(codes, scale) * 0.999
        faded[:, 0] = 1.0
        noise = noise_of(step, value).second if stochastic else nearest
        codes, scale = encode_second(faded, noise)
    left = (decode_second(codes, scale)[:, 1:].mean() / start).item()
    assert left == pytest.approx(0.999**1000, rel=0.02) if stochastic else left > 0.999


def noise_of(step: int, like: Tensor, first_index: int = 12345) -> Noise:
    keys = [torch.tensor(value, dtype=torch.int32) for value in (first_index, step * 7919 + 17)]
    return hash_noise(keys[0], keys[1], like)


BITS = {"weight": 16, "first": 16, "second": 23}


@pytest.mark.parametrize("part", BITS)
def test_noise_is_uniform(part: str) -> None:
    """Chi-square over 256 bins of 2^20 draws: 255 on average, above 350 one time in 30,000."""
    noise = getattr(noise_of(3, torch.empty(1 << 20)), part)
    share = uniform(noise, BITS[part])
    assert share.min() > 0 and share.max() < 1
    assert share.mean().item() == pytest.approx(0.5, abs=5 * 12**-0.5 * 2**-10)
    counts = torch.histc(share, 256, 0, 1)
    expected = (1 << 20) / 256
    assert ((counts - expected) ** 2 / expected).sum().item() < 350


def test_noise_of_steps_parameters_and_purposes_is_uncorrelated() -> None:
    like = torch.empty(1 << 18)
    streams = [
        uniform(noise, bits) - 0.5
        for step, first_index in ((1, 5), (2, 5), (3, 5), (1, -77), (2, 6))
        for noise, bits in zip(noise_of(step, like, first_index), BITS.values(), strict=True)
    ]
    streams.append(streams[0].roll(1))  # neighbours
    correlations = torch.corrcoef(torch.stack(streams))
    off_diagonal = correlations - torch.eye(len(streams))
    assert off_diagonal.abs().max() < 5 * len(like) ** -0.5


def test_noise_of_a_shard_is_its_part_of_the_whole() -> None:
    whole = noise_of(9, torch.empty(1000), first_index=2**31 - 300)
    part = noise_of(9, torch.empty(400), first_index=2**31 - 300 + 600 - 2**32)
    for all_of_it, some in zip(whole, part, strict=True):
        assert torch.equal(all_of_it[600:], some)
