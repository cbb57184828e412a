"""What an edit earned: the paired gain, shrunk by its standard error, less a price for the tokens that it adds."""

from __future__ import annotations

from protocols.messages import Evaluation

PRIOR_VARIANCE, PRIOR_COUNT = 0.05**2, 10.0


class Reward:
    """The posterior mean of the true gain, as it is believed to be when the outcome comes.

    Empirical Bayes after Morris (1983, Parametric empirical Bayes inference) for gains g_i with standard errors e_i:

        true gain  ~ N(0, v)                            reward = g v / (v + e^2) - token_price * tokens added
        v          = the mean of g_i^2 - e_i^2 over what has come, this gain included, and of PRIOR_COUNT gains of
                     PRIOR_VARIANCE (an edit that moves the score by 5 points); at least a hundredth of that

    So a candidate that lost at its first look, on few examples, counts for less than one that was measured in full.
    An error is taken to be at least 1/n, since n equal differences are no proof that there is no other.
    """

    def __init__(self, token_price: float) -> None:
        self._token_price = token_price
        self._count, self._squares = PRIOR_COUNT, PRIOR_COUNT * PRIOR_VARIANCE

    def __call__(self, evaluation: Evaluation, added: int) -> float:
        """The reward of one evaluation whose prompt is `added` tokens longer than its parent."""
        price = self._token_price * added
        if not evaluation.paired:
            return -price
        gain, noise = evaluation.gain, max(evaluation.error, 1 / evaluation.paired) ** 2
        self._count += 1
        self._squares += gain * gain - noise
        variance = max(self._squares / self._count, PRIOR_VARIANCE / 100)
        return gain * variance / (variance + noise) - price
