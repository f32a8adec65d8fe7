"""Sharing a goal over documents: in proportion to their lengths, as far as each can use its share.

Pure functions. A goal (tokens or dollars) is approached in rounds, because what a call gives is
known only when some were made; see `steep.generation.goals`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

SAMPLE = 0.05  # of the goal, made first, to learn what a call gives
# Of what is left, the share that a round aims at: later calls may give more than those so far (the
# texts about triplets come last, and are 1.4 times as long as those about pairs).
CAUTION = 0.7
NEAR = 0.02  # of the goal; when no more is left, a round aims at all of it
MET = 0.99


class Made(NamedTuple):
    """What a document has got so far: calls, and their tokens or dollars."""

    calls: int
    units: float


def share(
    amount: float, weights: Mapping[str, float], capacities: Mapping[str, float]
) -> dict[str, float]:
    """Divide an amount in proportion to weights, none getting more than its capacity.

    What one cannot use goes to the others, again in proportion (water-filling). The shares sum to
    the amount, or to all capacities if those are less.
    """
    shares = dict.fromkeys(weights, 0.0)
    open_ = {name for name in weights if weights[name] > 0 and capacities[name] > 0}
    left = amount
    while open_ and left > 0:
        level = left / sum(weights[name] for name in open_)
        full = {name for name in open_ if shares[name] + level * weights[name] >= capacities[name]}
        if not full:
            for name in open_:
                shares[name] += level * weights[name]
            return shares
        for name in full:
            left -= capacities[name] - shares[name]
            shares[name] = float(capacities[name])
        # What the others have is taken back, so that all are raised to one level.
        open_ -= full
        left += sum(shares[name] for name in open_)
        shares.update(dict.fromkeys(open_, 0.0))
    return shares


def whole_calls(
    calls: float, weights: Mapping[str, float], capacities: Mapping[str, int]
) -> dict[str, int]:
    """Share so many calls; the fractions go to the documents that miss most of one."""
    shares = share(calls, weights, capacities)
    counts = {name: math.floor(value + 1e-9) for name, value in shares.items()}
    left = math.floor(min(calls, sum(capacities.values())) + 1e-9) - sum(counts.values())
    by_rest = sorted(counts, key=lambda name: (counts[name] - shares[name], name))
    for name in [each for each in by_rest if counts[each] < capacities[each]][: max(0, left)]:
        counts[name] += 1
    return counts


def next_counts(
    amount: float,
    weights: Mapping[str, float],
    capacities: Mapping[str, int],
    counts: Mapping[str, int],
    made: Mapping[str, Made],
    expected_per_call: float,
) -> dict[str, int] | None:
    """How many calls each document has after the next round; None when there is no next round.

    Args:
        amount: The goal, in tokens or dollars.
        weights: The documents' lengths.
        capacities: How many calls each document has at all.
        counts: How many each has been given so far; no document is ever given fewer.
        made: What has come of those.
        expected_per_call: Tokens or dollars of a call, while none was made.
    """
    calls = sum(each.calls for each in made.values())
    units = sum(each.units for each in made.values())
    if units >= MET * amount:
        return None
    mean = units / calls if units > 0 else expected_per_call
    if calls == 0:
        wanted = max(1.0, SAMPLE * amount / mean)
    else:
        caution = CAUTION if amount - units > NEAR * amount else 1.0
        wanted = calls + max(1.0, caution * (amount - units) / mean)
    aim = whole_calls(wanted, weights, capacities)
    more = {name: max(aim[name], counts.get(name, 0)) for name in aim}
    return more if more != {name: counts.get(name, 0) for name in aim} else None
