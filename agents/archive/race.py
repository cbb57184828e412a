"""The race of a child against its parent: a sequential test on paired examples, with a look after every answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from protocols.messages import Scores

NORMAL = NormalDist()
PRIOR_SQUARE, PRIOR_COUNT = 0.25, 4.0
"""Prior of the mean squared difference, and its weight in observed differences."""


def resolved(examples: int) -> float:
    """The prior standard error of a mean over this many differences: a race cannot tell a smaller difference from
    none."""
    return math.sqrt(PRIOR_SQUARE / examples) if examples else 0.0


class Capital:
    """The capital of a bettor who starts with 1 and bets that the differences, in [-1, 1], have a mean above `floor`.

    Each difference multiplies the capital by 1 + bet * (difference - floor), where the bet depends only on earlier
    differences. So if each difference, given the earlier ones, has a mean of at most `floor`, the capital is a
    non-negative supermartingale: the probability that it ever reaches 1/alpha is at most alpha, however often it is
    looked at (Ville; for bounded means Waudby-Smith & Ramdas, arXiv 2010.09686). The probability that it exceeds
    U/alpha at any stopping time, with an independent uniform U, is no greater (Ramdas & Manole, arXiv 2304.02611).

    The bet follows a z-test of level alpha on all `total` differences, by induction from its last look (Koning & van
    Meer, arXiv 2501.03982); it is computed anew each time from the capital and the differences to come (as in
    STaR-Bets, arXiv 2505.22422). So repeated looks cost no power, and validity does not need a normal distribution:

        p = alpha * capital     x = Phi^-1(p)     bet = phi(x) / (p * sigma * sqrt(differences to come))

    sigma^2 is the mean square so far of (difference - floor). The bet is limited to the whole capital.
    """

    def __init__(self, alpha: float, floor: float, total: int) -> None:
        """`alpha` in (0, 1), `floor` in (-1, 1); `total`: maximum number of differences to come."""
        self._alpha, self._floor, self._left = alpha, floor, total
        self._squares, self._count = PRIOR_SQUARE * PRIOR_COUNT, PRIOR_COUNT
        self.value = 1.0

    @property
    def level(self) -> float:
        """alpha * capital: an upper bound of the probability that a child no better than its parent still reaches
        1/alpha; it is there at 1 or more."""
        return self._alpha * self.value

    @property
    def bet(self) -> float:
        """The share of the capital that is at stake per unit of difference; 0 once there is nothing left to win."""
        if not 0 < self.level < 1 or not self._left:
            return 0.0
        slope = NORMAL.pdf(NORMAL.inv_cdf(self.level)) / self.level
        return min(slope / math.sqrt(self._squares / self._count * self._left), 1 / (1 + self._floor))

    def take(self, difference: float | None) -> None:
        """Add the next difference; None: it is missing."""
        if difference is not None:
            over = difference - self._floor
            self.value *= max(0.0, 1 + self.bet * over)
            self._squares += over * over
            self._count += 1
        self._left -= 1


class Race:
    """The verdict on a child, from its differences in an order that was drawn before the first was known.

    The race is won as soon as the capital reaches 1/alpha, and lost when it falls below `futile` in [0, 1); giving up
    a race accepts no child, so it does not affect validity. An undecided race at the end of the examples is won if
    the capital is above 1 and `coin`, uniform in [0, 1), is below alpha * capital.
    """

    def __init__(self, capital: Capital, futile: float, coin: float) -> None:
        self._capital, self._futile, self._coin = capital, futile, coin
        self.won = self.lost = False

    def look(self, difference: float | None) -> None:
        """Add the next difference; None for an example that the child left unanswered. A verdict is final."""
        if self.won or self.lost:
            return
        self._capital.take(difference)
        self.won = self._capital.level >= 1
        self.lost = self._capital.value < self._futile

    def end(self) -> bool:
        """End the race, and return whether the child has won."""
        if not self.lost and self._capital.value > 1:
            self.won = self._coin < self._capital.level
        return self.won


@dataclass(frozen=True, slots=True)
class Paired:
    """`gain`: mean of child minus parent over the `n` examples that both answered; `error`: its standard error."""

    gain: float
    error: float
    n: int


def compare(child: Scores, parent: Scores) -> Paired:
    """The paired difference; all zero if no example was answered by both."""
    differences = [c - p for c, p in zip(child, parent, strict=True) if c is not None and p is not None]
    n = len(differences)
    if n == 0:
        return Paired(0.0, 0.0, 0)
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1) if n > 1 else 0.0
    return Paired(mean, math.sqrt(variance / n), n)
