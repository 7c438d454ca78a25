"""Sharing a rule's traffic out between stable and canary, in whole numbers that add up to what they did."""

from collections.abc import Sequence

from daemon.adapters.traffic.sides import Side

WHOLE = 100
"""What a rule's weights add up to when we have to choose, as Flagger and Istio's own examples have it."""


def shared_out(weights: Sequence[int], sides: Sequence[Side], percent: float) -> list[int]:
    """The weights with which the canary gets ``percent`` of what it shares with stable.

    The first canary and the largest stable entry take it all, their namesakes 0; what belongs to others stays. More
    than 0 percent is never rounded to nothing, less than 100 never to all.
    """
    canary = [index for index, side in enumerate(sides) if side is Side.CANARY]
    stable = [index for index, side in enumerate(sides) if side is Side.STABLE]
    total = sum(weights[index] for index in (*canary, *stable)) or WHOLE
    if total < WHOLE and round(total * percent / WHOLE, 6) % 1:
        total = WHOLE  # too coarse to say it in
    share = round(total * percent / WHOLE)
    if 0 < percent < WHOLE:
        share = min(max(share, 1), total - 1)
    takers = {canary[0]: share, max(stable, key=lambda index: (weights[index], -index)): total - share}
    moved = {*canary, *stable}
    return [takers.get(index, 0) if index in moved else weight for index, weight in enumerate(weights)]
