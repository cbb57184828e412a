"""Fair division (max-min): nobody gets more than they ask for, and what they leave is divided among the others."""

from __future__ import annotations

from collections.abc import Sequence


def fair(total: float, mine: float, others: Sequence[float]) -> float:
    """My share of `total`, which may be infinite, among these demands."""
    left, number = total, len(others) + 1
    for demand in sorted(others):
        if demand > left / number:
            break
        left -= demand
        number -= 1
    return max(0.0, min(mine, left / number))


def divide(total: int, demands: Sequence[int]) -> list[int]:
    """Whole shares of each of the demands, in their order: the first come first where it does not come out even. What
    nobody asks for is divided equally among those who ask for something."""
    shares, left = [0] * len(demands), total
    number = len(demands)
    for place in sorted(range(number), key=lambda place: demands[place]):
        shares[place] = min(demands[place], left // number)
        left -= shares[place]
        number -= 1
    asking = [place for place, demand in enumerate(demands) if demand]
    for place in asking:  # the remainders
        if left and shares[place] < demands[place]:
            shares[place] += 1
            left -= 1
    if asking and all(shares[place] == demands[place] for place in asking):
        for place in asking:
            shares[place] += left // len(asking)
    return shares
