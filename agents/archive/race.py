"""The race of a child against its parent: the same examples for both, and a look after every answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from protocols.messages import Scores

NORMAL = NormalDist()
PRIOR_SQUARE, PRIOR_COUNT = 0.25, 4.0
"""The mean squared difference that is expected before any is known, and how many known ones it weighs as much as."""


def resolved(examples: int) -> float:
    """The standard error that a mean of so many differences is expected to have before any is known: a smaller
    difference no race can tell from none."""
    return math.sqrt(PRIOR_SQUARE / examples) if examples else 0.0


class Capital:
    """What a bettor has who began with 1 and bets that differences to come, in [-1, 1], have a mean above `floor`.

    A difference multiplies it by 1 + bet * (difference - floor), and the bet depends on nothing but what came before.
    So where each difference, given those before it, has a mean of at most `floor`, the capital is a non-negative
    supermartingale: the probability that it ever reaches 1/alpha is at most alpha, however often it is looked at
    (Ville; for bounded means Waudby-Smith & Ramdas, arXiv 2010.09686); that it exceeds U/alpha wherever it is
    stopped, with U uniform and drawn apart, is no greater (Ramdas & Manole, arXiv 2304.02611).

    The bet is what a z-test of level alpha on all of the `total` differences would hold if it had to be sold now: by
    induction from its last look (Koning & van Meer, arXiv 2501.03982), and computed anew from the capital and what is
    left to come (as STaR-Bets, arXiv 2505.22422). So it costs no power to look, and validity needs no normal law:

        p = alpha * capital     x = Phi^-1(p)     bet = phi(x) / (p * sigma * sqrt(differences to come))

    sigma^2 is the mean square so far of (difference - floor). A bet that could lose more than all is cut to all.
    """

    def __init__(self, alpha: float, floor: float, total: int) -> None:
        """`alpha` in (0, 1), `floor` in (-1, 1); `total` differences are to come at most."""
        self._alpha, self._floor, self._left = alpha, floor, total
        self._squares, self._count = PRIOR_SQUARE * PRIOR_COUNT, PRIOR_COUNT
        self.value = 1.0

    @property
    def level(self) -> float:
        """alpha * capital: at most the chance that what is to come takes a child to 1/alpha that is no better; 1 or
        more is there."""
        return self._alpha * self.value

    @property
    def bet(self) -> float:
        """The share of the capital that is at stake for each point of difference; 0 once there is nothing to win."""
        if not 0 < self.level < 1 or not self._left:
            return 0.0
        slope = NORMAL.pdf(NORMAL.inv_cdf(self.level)) / self.level
        return min(slope / math.sqrt(self._squares / self._count * self._left), 1 / (1 + self._floor))

    def take(self, difference: float | None) -> None:
        """The next difference; None: one that never comes."""
        if difference is not None:
            over = difference - self._floor
            self.value *= max(0.0, 1 + self.bet * over)
            self._squares += over * over
            self._count += 1
        self._left -= 1


class Race:
    """The verdict on a child, from its differences in an order that was drawn before the first was known.

    Won as soon as the capital reaches 1/alpha; lost when it falls below `futile` in [0, 1), which costs no validity:
    a race that is given up accepts nobody. Who is still running when the examples run out has won if there is more
    than there was to begin with, and `coin`, uniform in [0, 1), is below alpha * capital.
    """

    def __init__(self, capital: Capital, futile: float, coin: float) -> None:
        self._capital, self._futile, self._coin = capital, futile, coin
        self.won = self.lost = False

    def look(self, difference: float | None) -> None:
        """Take the next difference in; None for an example that the child left unanswered. A verdict stands."""
        if self.won or self.lost:
            return
        self._capital.take(difference)
        self.won = self._capital.level >= 1
        self.lost = self._capital.value < self._futile

    def end(self) -> bool:
        """No more differences will come: whether the child has won."""
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
    """The paired difference; all zero where no example was answered by both."""
    differences = [c - p for c, p in zip(child, parent, strict=True) if c is not None and p is not None]
    n = len(differences)
    if n == 0:
        return Paired(0.0, 0.0, 0)
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1) if n > 1 else 0.0
    return Paired(mean, math.sqrt(variance / n), n)
