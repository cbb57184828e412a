"""The reward of an edit: the paired gain, shrunk by its standard error, less a price for the tokens that it adds."""

from __future__ import annotations

from protocols.messages import Evaluation

PRIOR_GAIN, GAIN_EXAMPLES = 0.05**2, 1000.0
"""Prior of the mean squared true gain, and its weight in examples: as much as ten edits that change the score by 5
points, measured on a hundred examples each."""
PRIOR_SPREAD, SPREAD_EXAMPLES = 0.25, 10.0
"""Prior of the variance of one difference, and its weight in examples: one answer in four changes."""


class Reward:
    """The posterior mean of the true gain, at the time of the outcome.

    Empirical Bayes after Morris (1983, Parametric empirical Bayes inference) for gains g_i over n_i paired examples,
    whose differences have the sample variance d_i:

        true gain  ~ N(0, v)                            reward = g v / (v + s / n) - token_price * tokens added
        s          = the mean of d_i weighted by n_i - 1, over all outcomes so far
        v          = the mean of g_i^2 - s / n_i weighted by n_i, over all outcomes so far

    both including this outcome, and with the priors above; v is at least a hundredth of its prior. So a candidate
    that lost on a few examples counts for less than one that was measured in full. s is common to all edits, because
    the sample variance of a few differences is unreliable: if all are equal, it is 0. v is weighted by examples,
    because a race ends when it looks bad: on few examples g^2 is then far above s / n, although no true gain was
    large.
    """

    def __init__(self, token_price: float) -> None:
        self._token_price = token_price
        self._degrees, self._spread = SPREAD_EXAMPLES, SPREAD_EXAMPLES * PRIOR_SPREAD
        self._examples, self._squares = GAIN_EXAMPLES, GAIN_EXAMPLES * PRIOR_GAIN

    def __call__(self, evaluation: Evaluation, added: int) -> float:
        """The reward of one evaluation whose prompt is `added` tokens longer than its parent."""
        price, gain, n = self._token_price * added, evaluation.gain, evaluation.paired
        if not n:
            return -price
        self._degrees += n - 1
        self._spread += (n - 1) * n * evaluation.error**2
        noise = self._spread / self._degrees / n
        self._examples += n
        self._squares += n * (gain * gain - noise)
        variance = max(self._squares / self._examples, PRIOR_GAIN / 100)
        return gain * variance / (variance + noise) - price
